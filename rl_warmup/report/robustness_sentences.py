"""Sentences on the critical learning rate, and on the dose that a warmup takes away."""

from collections.abc import Mapping, Sequence
from typing import Any

from rl_warmup.records.words import counted
from rl_warmup.report import words
from rl_warmup.report.words import Row, interval, number, share


def critical_rate(row: Row, report: Mapping[str, Any], named: Sequence[str] = ()) -> str:
    """Whether a warmup moves the learning rate at which half of the runs still learn."""
    moves = "the learning rate at which half of the runs still learn"
    what = f"{words.arm_words(row['treatment'], report)}, {words.place(row, named)}"
    ends = row["eta50_control"], row["eta50_treatment"]
    if row["finding"] == "censored" or row["log2_ratio"] is None or None in ends:
        return f"{what}: whether it moves {moves} cannot be said, the grid of learning rates does not reach it."
    found = {
        "supported": f"raises {moves}",
        "harms": f"lowers {moves}",
        "refuted": f"does not move {moves} by half an octave",
        "undecided": f"whether it moves {moves} is undecided",
        "descriptive": f"no verdict on whether it moves {moves} ({row.get('descriptive')})",
    }[row["finding"]]
    size = f"{number(row['log2_ratio'], sign=True, digits=2)} {interval(row['ci_low'], row['ci_high'], digits=2)}"
    rates = " to ".join(f"{value:.2g}" for value in ends)
    return f"{what}: {found}, from {rates}, {size} octaves, n = {counted(row['n_seeds'], 'seed')}."


def dose(report: Mapping[str, Any]) -> list[str]:
    """The share of the summed learning rate that a warmup takes away; nothing where none is known."""
    lost = [row["budget"] for row in report["dose"] if row["budget"]]
    if not lost:
        return []
    low, high = share(min(lost)), share(max(lost))
    much = low if low == high else f"{low} to {high}"
    return [f"the price: {much} of the summed learning rate is not delivered to the optimizer."]
