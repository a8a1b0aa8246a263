"""Records as W&B rows: which columns go where, which of many rows are sent, and which were sent before."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from rl_warmup.records.read import dose_of
from rl_warmup.records.words import last_line

TABLES = ("evaluations", "updates", "episodes")
SENT_ROWS = 200
"""Rows of `episodes` and of `updates` that are sent of a finished run at most; evaluations all are."""

DOSE = frozenset(
    {"learning_rate_first", "learning_rate_last", "learning_rate_mean", "base_learning_rate"}
    | {"n_below_99", "omega_sum", "n_steps", "gradient_step"}
)
"""Columns of `updates` with what the optimizer received; the others are diagnostics."""


def history_row(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The W&B history row of one trainer event: `env_step`, and eval/*, train/*, dose/* or diagnostics/*.

    None is dropped; NaN and infinities stay.

    Raises:
        ValueError: for an unknown table.

    >>> history_row("episodes", {"env_step": 40, "return": 12.0, "length": 12})
    {'env_step': 40, 'train/return': 12.0, 'train/length': 12}
    """
    values = {key: value for key, value in row.items() if key != "env_step"}
    if table == "evaluations":
        named = _evaluation(values["returns"], values["lengths"])
    elif table == "episodes":
        named = {f"train/{key}": value for key, value in values.items()}
    elif table == "updates":
        named = {f"{'dose' if key in DOSE else 'diagnostics'}/{key}": value for key, value in values.items()}
    else:
        raise ValueError(f"unknown table {table!r}; use 'evaluations', 'episodes' or 'updates'")
    return {"env_step": row["env_step"]} | {key: value for key, value in named.items() if value is not None}


def counter(table: str) -> str:
    """The column with the number of the last row of `table` that was sent: a resumed run sends those after it."""
    return f"rows/{table}"


def numbered(tables: Mapping[str, pl.DataFrame], sent: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """The W&B rows of whole tables in the order of env_step, thinned evenly, without the first `sent` of each."""
    rows = [
        (row["env_step"], place, number, table, row)
        for place, table in enumerate(TABLES)
        for number, row in _thinned(table, tables[table], sent.get(table, 0))
    ]
    for _, _, number, table, row in sorted(rows, key=lambda found: found[:3]):
        yield history_row(table, row) | {counter(table): number}


def _thinned(table: str, frame: pl.DataFrame, sent: int) -> Iterator[tuple[int, dict[str, Any]]]:
    every = 1 if table == "evaluations" else -(-frame.height // SENT_ROWS) or 1
    last = frame.height - 1
    kept = [index for index in range(last + 1) if index >= sent and ((last - index) % every == 0 or index == 0)]
    for index, row in zip(kept, frame[kept].iter_rows(named=True), strict=True):
        yield index + 1, row


def summary(info: Mapping[str, Any], updates: pl.DataFrame | None = None) -> dict[str, Any]:
    """The final values of a run: how it ended, and the dose that its optimizer received, if `updates` are known."""
    dose = dose_of(None if updates is None else updates.filter(pl.col("n_steps") > 0)) or {}
    return {
        **{
            key: info.get(key) for key in ("status", "latest_return", "env_steps", "gradient_steps", "wall_seconds")
        },
        "error": last_line(info.get("error")),
        "diverged": int(info["status"] == "diverged"),
        **{f"received/{key}": value for key, value in dose.items()},
    }


def _evaluation(returns: list[float], lengths: list[int]) -> dict[str, float]:
    if not returns:
        return {}
    with np.errstate(invalid="ignore"):  # a diverged run may return infinities of both signs
        return {
            "eval/return_mean": float(np.mean(returns)),
            "eval/return_min": float(np.min(returns)),
            "eval/return_max": float(np.max(returns)),
            "eval/length_mean": float(np.mean(lengths)),
        }
