"""The cells of report.json: what the runs of each arm did, and the learning rates they were given."""

from typing import Any

import numpy as np

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.cells import Block, Cell, coordinates
from rl_warmup.analysis.dose import mean_dose
from rl_warmup.analysis.metrics.registry import metrics
from rl_warmup.analysis.statistics.across_seeds import across, share
from rl_warmup.analysis.statistics.estimators import iqm
from rl_warmup.analysis.statistics.survival import median, restricted_mean

RESAMPLES = 2000
ACROSS = ("final", "area")  # metrics whose dispersion over seeds is reported


def cell_row(block: Block, cell: Cell) -> dict[str, Any]:
    """One cell: its runs, each metric over the scored ones, dispersion over seeds, and time to the threshold."""
    n = len(cell.scored)
    counts = {"diverged": cell.count("diverged"), "not_learned": int(cell.scores["not_learned"].sum())}
    return {
        **coordinates(block),
        "arm": cell.arm,
        "short": cell.short,
        "warmup": dict(cell.warmup),
        "n": n,
        "n_diverged": counts["diverged"],
        "n_failed": cell.count("failed"),
        "metrics": {name: _metric(cell, name) for name in metrics()},
        "across_seeds": {name: across(cell.scores[name]) for name in ACROSS},
        "shares": {name: _share(min(count, n), n) for name, count in counts.items()},
        "time_to_threshold": _time(cell),
    }


def dose_row(block: Block, cell: Cell) -> dict[str, Any] | None:
    """What the optimizer of a cell received, means over its scored runs; None where that is not known."""
    dose = mean_dose(cell.scored)
    return None if dose is None else {**coordinates(block), "arm": cell.arm, "short": cell.short, **dose}


def _metric(cell: Cell, name: str) -> dict[str, float | None]:
    row = _location(cell.scores[name])
    if name in cell.floors:
        known = np.isfinite(cell.floors[name])
        row["noise_floor"] = float(cell.floors[name][known].mean()) if known.any() else None
        row["above_noise_floor"] = float(cell.above_floor[name][known].mean()) if known.any() else None
    return row


def _location(values: FloatArray) -> dict[str, float | None]:  # values: [runs], nan: undefined
    """Mean with its interval, and IQM, of the runs that have a value; None without any, no interval with one."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return dict.fromkeys(("mean", "iqm", "ci_low", "ci_high"))
    low, high = mean_interval(values) if values.size > 1 else (None, None)
    return {"mean": float(values.mean()), "iqm": float(iqm(values)), "ci_low": low, "ci_high": high}


def mean_interval(values: FloatArray, level: float = 0.95) -> tuple[float, float]:  # values: [runs]
    """Percentile bootstrap interval of the mean over runs, with resamples that are the same for every cell."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(values.size, size=(RESAMPLES, values.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _share(count: int, n: int) -> dict[str, float | None]:
    return dict(zip(("share", "ci_low", "ci_high"), share(count, n), strict=True))


def _time(cell: Cell) -> dict[str, Any]:
    """Runs that reached the threshold; mean time restricted to the budget and median time, as shares of it."""
    times = cell.scores["time_to_threshold"]
    known = times.size > 0
    return {
        "reached": int(cell.reached.sum()),
        "restricted_mean": restricted_mean(times, cell.reached) if known else None,
        "median": median(times, cell.reached) if known else None,
    }
