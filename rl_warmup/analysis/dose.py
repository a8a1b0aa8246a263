"""The learning rates that the optimizer really received, from the records."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from rl_warmup.analysis.runs import Run
from rl_warmup.records.dose import dose_of

_RATES = ("learning_rate_first", "learning_rate_last", "learning_rate_mean")


def phases(run: Run) -> pl.DataFrame | None:
    """The update phases of a run that took optimizer steps; None if they cannot be read."""
    return None if run.updates is None else run.updates.filter(pl.col("n_steps") > 0)


def mean_dose(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Mean dose over the runs whose dose is known, with their number and the first one's id; None without any."""
    known = [(run, dose) for run in runs if (dose := dose_of(phases(run))) is not None]
    if not known:
        return None
    mean = {key: float(np.mean([dose[key] for _, dose in known])) for key in known[0][1]}
    return {"n": len(known), "run_id": known[0][0].run_id, **mean}


def same_dose(one: Run, other: Run) -> bool | None:
    """Whether two runs received equal learning rates in all update phases that both have; None if not known."""
    first, second = phases(one), phases(other)
    if first is None or second is None:
        return None
    shared = min(first.height, second.height)
    if shared == 0:
        return None
    given, usual = (frame.head(shared).select(_RATES).to_numpy() for frame in (first, second))
    return bool(np.allclose(given, usual, rtol=1e-9, atol=0))
