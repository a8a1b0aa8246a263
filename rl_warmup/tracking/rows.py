"""Records as W&B rows: which columns go where, which of many rows are sent, and which were sent before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import polars as pl

from rl_warmup.config.inside import MEASURED
from rl_warmup.records.read import dose_of
from rl_warmup.records.schema import FINISHED
from rl_warmup.records.words import error_line
from rl_warmup.tracking import client

TABLES = {"evaluations": "eval", "updates": "diagnostics", "episodes": "train"}
"""The tables that are sent, with what their columns begin with at W&B; those in `DOSE` begin with dose."""
SENT_ROWS = 200
"""Rows of `episodes` and of `updates` that are sent of a finished run at most; evaluations all are."""
DOSE = frozenset(
    {"learning_rate_first", "learning_rate_last", "learning_rate_mean", "base_learning_rate"}
    | {"n_below_99", "omega_sum", "n_steps", "gradient_step"}
)
"""Columns of `updates` with what the optimizer received; the others are diagnostics."""


def history_row(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The W&B history row of one recorded row: `env_step`, and eval/*, train/*, dose/* or diagnostics/*.

    None is dropped; NaN and infinities stay.

    >>> history_row("episodes", {"env_step": 40, "return": 12.0, "length": 12})
    {'env_step': 40, 'train/return': 12.0, 'train/length': 12}
    """
    values = _evaluation(row["returns"], row["lengths"]) if table == "evaluations" else row
    named = {
        f"{'dose' if key in DOSE else TABLES[table]}/{key}": value
        for key, value in values.items()
        if key != "env_step" and value is not None
    }
    return {"env_step": row["env_step"]} | named


def _evaluation(returns: list[float], lengths: list[int]) -> dict[str, float]:
    if not returns:
        return {}
    with np.errstate(invalid="ignore"):  # a diverged run may return infinities of both signs
        return {
            "return_mean": float(np.mean(returns)),
            "return_min": float(np.min(returns)),
            "return_max": float(np.max(returns)),
            "length_mean": float(np.mean(lengths)),
        }


def numbered(
    tables: Mapping[str, pl.DataFrame], sent: Mapping[str, int], *, thinned: bool = True
) -> list[dict[str, Any]]:
    """The W&B rows of tables after the first `sent` of each, in the order of env_step.

    Each has the number of its row in rows/<table>, by which a resumed run knows what was sent.

    Args:
        tables: all rows recorded so far.
        sent: how many of each table are at W&B.
        thinned: whether long tables are thinned evenly to `SENT_ROWS`, which keeps their ends and what
            `diagnostics=full` measured.
    """
    rows = []
    for table in TABLES:
        frame = tables[table]
        last = frame.height - 1
        every = -(-frame.height // SENT_ROWS) if thinned and table != "evaluations" else 1
        measured: Sequence[bool] = (
            frame[MEASURED].is_not_null().to_list() if MEASURED in frame.columns else [False] * frame.height
        )
        kept = [
            index
            for index in range(sent.get(table, 0), last + 1)
            if (last - index) % every == 0 or index == 0 or measured[index]
        ]
        for index, row in zip(kept, frame[kept].iter_rows(named=True), strict=True):
            rows.append(history_row(table, row) | {f"rows/{table}": index + 1})
    return sorted(rows, key=itemgetter("env_step"))


def sent_before(run: client.Run) -> dict[str, int]:
    """How many rows of each table the server, or offline the files of earlier sessions, have of a run."""
    arrived: Any = client.written_before(run) if run.offline else run.summary
    return {table: int(arrived.get(f"rows/{table}") or 0) for table in TABLES}


def close(run: client.Run, info: Mapping[str, Any], updates: pl.DataFrame, metrics: Mapping[str, Any]) -> None:
    """End a W&B run with how the recorded one ended, the dose that its optimizer received, and its metrics."""
    dose = dose_of(updates) or {}
    final = {
        **{
            key: info.get(key) for key in ("status", "latest_return", "env_steps", "gradient_steps", "wall_seconds")
        },
        "error": error_line(info.get("error")),
        "diverged": int(info["status"] == "diverged"),
        **{f"received/{key}": value for key, value in dose.items()},
        **{f"metrics/{key}": value for key, value in metrics.items()},
    }
    client.close(run, final, exit_code=0 if info["status"] in FINISHED else 1)
