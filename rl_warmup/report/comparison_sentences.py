"""One comparison of report.json as a sentence: what it shows, of what, and how many runs failed meanwhile."""

from collections.abc import Mapping, Sequence
from typing import Any

from rl_warmup.analysis.statistics.scopes import ALPHA
from rl_warmup.records.words import counted
from rl_warmup.report import words
from rl_warmup.report.looks import decided_at
from rl_warmup.report.pooled import agreement, pairs
from rl_warmup.report.verdicts import headline, of_runs
from rl_warmup.report.words import GROUP, Row, interval, number, p_value, share

FAILED = "not_learned"  # the metric whose sentence is about the failures themselves


def verdict(row: Row, report: Mapping[str, Any], named: Sequence[str] = ()) -> str:
    """A comparison that is decided, of the mean or in the runs seen."""
    same = headline(row).startswith("equivalent")
    said = (_equivalent if same else _difference)(row, report) + decided_at(row)
    beside = f"{_failures(row)}{_pairs_won(row)}{agreement(row)}{_scope(row)}"  # an objection, then sentences
    return f"{_subject(row, report, named)}: {said}{beside}."


def too_small(row: Row, report: Mapping[str, Any], named: Sequence[str] = ()) -> str:
    """A comparison that is open because its difference, though significant, is too small to matter."""
    size = f"{_signed(row, report, 'ci')}, adjusted p {p_value(row['p_adjusted'])}"
    few = f"significant but smaller than {_effect(row, report)}; {counted(row['n'], 'pair')} are too few"
    noun = words.nouns(row["metric"])[0]
    return f"{_subject(row, report, named)}: the difference in {noun}, {size}, is {few} to call it equivalent."


def failed(row: Row, report: Mapping[str, Any], named: Sequence[str] = ()) -> str:
    """Failures of two arms of which nothing else is decided."""
    return f"{_subject(row, report, named)}: {_counts(row)} runs did not learn{_detail(row)}."


def has_failures(row: Row) -> bool:
    """Whether it is known that a run of a comparison failed."""
    return row["failures"] is not None and any(row["failures"][arm]["count"] for arm in ("treatment", "control"))


def _subject(row: Row, report: Mapping[str, Any], named: Sequence[str]) -> str:
    return f"{words.compared(row, report)}, {words.place(row, named)} at {words.rate(row)}"


def _equivalent(row: Row, report: Mapping[str, Any]) -> str:
    """Smaller than what matters; in the runs seen where a study has looks."""
    of_mean, n = row["verdict"] == "equivalent", pairs(row)
    scope = "whatever rare runs do" if of_mean else "in the runs seen"
    p = p_value(row["p_equivalence_adjusted" if of_mean else "p_equivalence_in_runs_seen_adjusted"])
    size = _signed(row, report, "mean_ci" if of_mean else "ci")
    shown = f"is shown to be smaller than {_effect(row, report)}, {scope}"
    said = f"{size}, {shown}, n = {n}, adjusted p of equivalence {p}"
    significant = row["p_adjusted"] is not None and row["p_adjusted"] <= ALPHA
    also = f"; significant (adjusted p {p_value(row['p_adjusted'])}), but too small to matter"
    return f"the difference in {words.nouns(row['metric'])[0]}, {said}{also if significant else ''}"


def _difference(row: Row, report: Mapping[str, Any]) -> str:
    """Better or worse: by how much, with the interval and the p of what it is shown of."""
    of_mean = row["verdict"] != "inconclusive"
    ends, p = ("mean_ci", "p_mean_adjusted") if of_mean else ("ci", "p_adjusted")
    noun, less, more = words.nouns(row["metric"])
    counts = f" ({_counts(row)})" if row["metric"] == FAILED and row["failures"] else ""
    said = f"{more if row['estimate'] > 0 else less} {noun}{counts} by {_magnitude(row, report, ends)}"
    n, scope = pairs(row), ", whatever rare runs do" if of_mean else ""
    return f"{said}{_relative(row, report)}, n = {n}, adjusted p {p_value(row[p])}{scope}"


def _pairs_won(row: Row) -> str:
    """In how many pairs the treatment is better; of failures their own test says it."""
    won = row["pairs_won"]
    if won is None or row["metric"] == FAILED:
        return ""
    tied = f", {won['tied']:,} tied" if won["tied"] else ""
    return f". Pairs: {won['won']:,} won, {won['lost']:,} lost{tied} (sign test p {p_value(won['p_value'])})"


def _scope(row: Row) -> str:
    """Why a verdict is of the runs seen only, and what would undo it."""
    if row["verdict"] != "inconclusive":
        return ""
    if row["bound"] is None:
        return ". Not shown for the mean, which takes bounds of the metric"
    same = row["verdict_in_runs_seen"] == "equivalent"
    if same or row["break_even"] is None:
        p = p_value(row["p_equivalence_adjusted" if same else "p_mean_adjusted"])
        return f". Not shown for the mean, whatever rare runs do (adjusted p {p})"
    rate, excluded = row["break_even"]["rate"], row["break_even"]["excluded"]
    runs = "treated runs" if row["verdict_in_runs_seen"] == "better" else "runs of the control"
    loss = "do not learn" if row["metric"] == FAILED else "lose everything"
    excludes = f"{counted(row['n'], 'pair')} exclude {'only ' * (excluded >= rate)}rates above {share(excluded)}"
    return f". Not shown for the mean: it is undone if {share(rate)} of the {runs} {loss}, and {excludes}"


def _failures(row: Row) -> str:
    """Runs that did not learn in both arms; where the better arm has more of them, as an objection."""
    found = row["failures"]
    if found is None or (row["metric"] == FAILED and not headline(row).startswith("equivalent")):
        return ""
    one, other = (found[arm]["count"] for arm in ("treatment", "control"))
    more = "more" if one > other else "fewer"
    if one != other and headline(row).startswith({"more": "better", "fewer": "worse"}[more]):
        return f", but {more} of its runs did not learn: {_counts(row)}{_detail(row)}"
    return f". Runs that did not learn: {_counts(row)}{_detail(row)}"


def _detail(row: Row) -> str:
    """The test of the failures, and the rates that are not excluded unless the break-even rate says so."""
    detail = [f"exact McNemar p {p_value(row['failures']['p_value'])}"] if has_failures(row) else []
    if row["break_even"] is None:
        limits = (share(row["failures"][arm]["upper"]) for arm in ("treatment", "control"))
        detail.append(f"rates up to {' and '.join(limits)} are not excluded")
    return f" ({'; '.join(detail)})" if detail else ""


def _counts(row: Row) -> str:
    return " against ".join(of_runs(row["failures"][arm]) for arm in ("treatment", "control"))


def _effect(row: Row, report: Mapping[str, Any]) -> str:
    points = _in_points(row, report)
    return f"{100 * row['smallest_effect']:g} percentage points" if points else f"{row['smallest_effect']:g}"


def _signed(row: Row, report: Mapping[str, Any], ends: str) -> str:
    """A difference with its sign, its interval and its unit."""
    points = _in_points(row, report)
    scale, digits = (100, 1) if points else (1, 3)
    mean, low, high = (_scaled(row[key], scale) for key in ("estimate", f"{ends}_low", f"{ends}_high"))
    unit = "percentage points" if points else f"of {words.unit(row, report)}"
    return f"{number(mean, sign=True, digits=digits)} {interval(low, high, digits=digits)} {unit}"


def _magnitude(row: Row, report: Mapping[str, Any], ends: str) -> str:
    """Size of a difference whose direction is said in words; of shares, in percentage points."""
    points = _in_points(row, report)
    scale = (1 if row["estimate"] > 0 else -1) * (100 if points else 1)
    digits = 0 if points else 2 if abs(row["estimate"]) >= 0.1 else 3
    low, high = (_scaled(row[f"{ends}_{end}"], scale) for end in ("low", "high"))
    low, high = (low, high) if scale > 0 else (high, low)
    size = f"{number(scale * row['estimate'], digits=digits)} {interval(low, high, sign=False, digits=digits)}"
    return f"{size} {'percentage points' if points else f'of {words.unit(row, report)}'}"


def _in_points(row: Row, report: Mapping[str, Any]) -> bool:
    return words.unit(row, report).startswith("share of ")


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value


def _relative(row: Row, report: Mapping[str, Any]) -> str:
    """A change in area as a share of what the control had: what a warmup costs, in a number that people know."""
    control = [
        cell["metrics"][row["metric"]]["mean"]
        for cell in report["cells"]
        if cell["arm"] == row["control_arm"] and all(cell[key] == row[key] for key in GROUP)
    ]
    shown = row["metric"] == "area" and row["contrast"] is None and row.get("normalized", True)
    if not shown or len(control) != 1 or (control[0] or 0) <= 0:
        return ""
    return f" ({share(abs(row['estimate']) / control[0])} of the control's {number(control[0], digits=2)})"
