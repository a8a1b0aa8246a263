"""What the record files of a run hold: statuses, tables, columns, and the errors of those that do not."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from rl_warmup.config.algorithms import ALGORITHMS

STATUSES = ("running", "completed", "diverged", "failed")
FINISHED = ("completed", "diverged")
SOURCE_EVALUATIONS = "source_evaluations"
"""Table of a run that starts from a trained agent: evaluations in that one's environment at both ends."""
_DOSE = {
    "env_step": pl.Int64,
    "gradient_step": pl.Int64,
    "n_steps": pl.Int64,
    "learning_rate_first": pl.Float64,
    "learning_rate_last": pl.Float64,
    "learning_rate_mean": pl.Float64,
    "base_learning_rate": pl.Float64,
    "n_below_99": pl.Int64,
    "omega_sum": pl.Float64,
}
_DIAGNOSTICS = ("loss", "grad_norm_mean", "grad_norm_max", "clipped_share", "relative_update")


class RecordError(ValueError):
    """A record that cannot be read, trusted or written; the message names the file and what is wrong with it."""


class Unwritable(RecordError):
    """A run's files cannot be written any more: a full disk, a read-only folder, a run that was taken over."""


def table_schemas(
    algorithm: str, further: Sequence[str] = (), from_agent: bool = False
) -> dict[str, dict[str, Any]]:
    """Columns and types of the tables of a run.

    Args:
        further: columns of `updates` that only some runs have, see `config.columns`.
        from_agent: whether it starts from a trained one, and is evaluated in that one's environment, too.
    """
    diagnostics = dict.fromkeys((*_DIAGNOSTICS, *ALGORITHMS[algorithm].columns, *further), pl.Float64)
    evaluations = {"env_step": pl.Int64, "returns": pl.List(pl.Float64), "lengths": pl.List(pl.Int64)}
    return {
        "evaluations": evaluations,
        "episodes": {"env_step": pl.Int64, "return": pl.Float64, "length": pl.Int64},
        "updates": {**_DOSE, **diagnostics},
        **({SOURCE_EVALUATIONS: evaluations} if from_agent else {}),
    }
