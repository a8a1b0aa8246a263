"""What a report says of a study that looked at its comparisons before all seeds were in."""

from collections.abc import Mapping
from typing import Any

from rl_warmup.analysis.looks import Looking
from rl_warmup.records.words import counted
from rl_warmup.report.words import Row, listed


def as_json(looking: Looking) -> dict[str, Any]:
    """The `looks` of report.json."""
    looks = looking.declared
    taken = {"taken": list(looking.taken), "refused": looking.refused}
    return {**vars(looks), "planned": list(looks.counts), **taken}


def intervals(report: Mapping[str, Any]) -> str:
    """What intervals are beside corrected p: those of a study with looks hold at every look.

    >>> intervals({}), intervals({"looks": {"taken": [20]}})
    ('uncorrected', 'repeated (they hold at every look), else uncorrected')
    """
    return "repeated (they hold at every look), else uncorrected" if _holds(report) else "uncorrected"


def sentences(report: Mapping[str, Any]) -> list[str]:
    """Which looks were planned and taken, what decided when, and what that does to estimates; or why they fail."""
    looks = report.get("looks")
    if looks is None:
        return []
    if not _holds(report):
        return [
            f"looks were declared at {_pairs(looks['planned'])}, and they do not hold: {looks['refused']}. The "
            "verdicts are exploratory, as of a study of fixed n."
        ]
    rows = [row for row in report["comparisons"] if row["family"] == "confirmatory"]
    open_ = sum(row["decided_at"] is None for row in rows)
    by_look = {n: sum(row["decided_at"] == n for row in rows) for n in looks["taken"]}
    parts = [f"{count} decided at {n}" for n, count in by_look.items() if count]
    parts += [f"{open_} open"] if open_ else []
    last = looks["taken"][-1]
    if last == looks["planned"][-1]:
        ended = f"went to the end, {last}"
    else:
        ended = f"stopped at {last}, where all is decided" if not open_ else f"has {last} so far"
    found = f"{counted(len(rows), 'comparison')}: {listed(parts)}" if parts else "nothing is compared"
    return [
        f"this study looks at {_pairs(looks['planned'])}, spending {looks['spending']}, and {ended} ({found}). "
        "Seeds were added by this rule only. p and intervals (repeated ones) hold at every look; estimates after "
        "an early stop are too large."
    ]


def decided_at(row: Row) -> str:
    """At which look a comparison was decided, where that was not the last one.

    >>> decided_at({"decided_at": 20, "n": 40}), decided_at({"n": 40})
    (', decided at the look at 20 pairs', '')
    """
    at = row.get("decided_at")
    return f", decided at the look at {at} pairs" if at is not None and at < row["n"] else ""


def _pairs(counts: list[int]) -> str:
    return f"{listed([str(count) for count in counts])} pairs"


def _holds(report: Mapping[str, Any]) -> bool:
    return bool((report.get("looks") or {}).get("taken"))
