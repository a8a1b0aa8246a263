"""The tables of a report with one row per arm: scores, stability, seeds, times, doses, what happened inside."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rl_warmup.report.tables import Columns, Entry, Table, table
from rl_warmup.report.words import (
    Row,
    capital,
    interval,
    metric_name,
    number,
    own_returns,
    place,
    rate,
    share,
    varied,
)

DOSE = ("n_below_99", "budget_lost", "learning_rate_mean")  # descriptive metrics that the table of doses shows
EVENTS = ("recovered",)  # descriptive metrics that belong to stability
_ARM: Columns = {"arm": lambda row: str(row["short"])}
_RUNS: Columns = {**_ARM, "n": lambda row: str(row["n"])}


def scores(report: Mapping[str, Any]) -> Table | None:
    """The metrics of return of each cell: IQM over its runs with the interval of the mean."""
    metrics = report["study"]["metrics"]
    names = [name for name, about in metrics.items() if about["role"] != "descriptive" and not about["noise_floor"]]
    caption = (
        "Mean over the runs of each arm, with the 95% bootstrap interval over seeds (too narrow for few runs)."
    )
    columns: Columns = {**_RUNS, **{metric_name(name): partial(_score, name) for name in names}}
    return _cells("scores", "Scores of every arm", caption, report["cells"], columns)


def stability(report: Mapping[str, Any]) -> Table | None:
    """The metrics of stability within a run beside the floor that evaluation noise gives."""
    caption = (
        "Mean over runs. “floor”: what a constant policy would show by evaluation noise alone; “above”: share of "
        "runs beyond 95% of their own floor."
    )
    metrics = report["study"]["metrics"]
    names = [name for name, about in metrics.items() if about["noise_floor"] or name in EVENTS]
    return _cells("stability", "Stability within runs", caption, *_measured(report["cells"], names, _with_floor))


def across_seeds(report: Mapping[str, Any]) -> Table | None:
    """Dispersion over seeds, and shares of runs with Wilson intervals."""
    columns: Columns = {
        **_RUNS,
        "final: IQR": lambda row: number(row["across_seeds"]["final"]["iqr"]),
        "final: MAD": lambda row: number(row["across_seeds"]["final"]["mad"]),
        "final: worst quarter": lambda row: number(row["across_seeds"]["final"]["lower_cvar25"]),
        "area: IQR": lambda row: number(row["across_seeds"]["area"]["iqr"]),
        "area: IPR-90": lambda row: number(row["across_seeds"]["area"]["ipr90"], digits=1),
        "diverged": partial(_share, "diverged"),
        "not learned": partial(_share, "not_learned"),
    }
    if any(row.get("clipped") for row in report["cells"]):
        columns = {**columns, "clipped evaluations": lambda row: share(row.get("clipped"))}
    caption = (
        "Differences between seeds, in normalized return unless headed otherwise (IPR-90: percentile 95 − 5, in %; "
        "worst quarter: mean of the lowest 25% of runs), and shares of runs with Wilson 95% intervals. Evaluations "
        "beyond the bounds of the environment are clipped there."
    )
    return _cells("across-seeds", "Across seeds", caption, report["cells"], columns)


def time_to_threshold(report: Mapping[str, Any]) -> Table | None:
    """Time to the threshold, runs that never reach it included."""
    columns: Columns = {
        **_ARM,
        "reached": lambda row: f"{row['time_to_threshold']['reached']} of {row['n']}",
        "restricted mean": lambda row: share(row["time_to_threshold"]["restricted_mean"]),
        "median": lambda row: share(row["time_to_threshold"]["median"], unknown="not reached"),
    }
    rows = [row for row in report["cells"] if row["time_to_threshold"]["restricted_mean"] is not None]
    caption = (
        "Environment steps to the threshold as a share of the budget (Kaplan–Meier). Runs that never reach "
        "it count with the whole budget in the restricted mean."
    )
    return _cells("time", "Time to the threshold", caption, rows, columns)


def dose(report: Mapping[str, Any]) -> Table | None:
    """What the optimizer received."""
    columns: Columns = {
        **_ARM,
        "gradient steps": lambda row: f"{row['gradient_steps']:,.0f}",
        "below 99% of base": lambda row: f"{row['n_below_99']:,.0f}",
        "budget lost": lambda row: share(row["budget"]),
        "first rate": lambda row: f"{row['learning_rate_first']:.3g}",
        "mean rate": lambda row: f"{row['learning_rate_mean']:.3g}",
    }
    caption = "Learning rates read from the optimizer after each step, mean over the scored runs."
    return _cells("dose", "Dose", caption, report["dose"], columns)


def transfer(report: Mapping[str, Any]) -> Table | None:
    """What arms that start from trained agents gain and lose."""
    rows = report.get("transfer", [])
    names = list(rows[0]["measures"]) if rows else []
    said = "; ".join(f"{metric_name(name)}: {rows[0]['measures'][name]['description']}" for name in names)
    caption = f"Mean over the runs, with the 95% bootstrap interval over seeds. {capital(said)}."
    columns: Columns = {**_RUNS, **{metric_name(name): partial(_measure, name) for name in names}}
    return _cells("transfer", "Pretrained agents", caption, rows, columns)


def diagnostics(report: Mapping[str, Any]) -> Table | None:
    """What was measured inside training; no part of any verdict."""
    caption = "Mean over the runs of each arm of what was recorded in every update phase; never part of a verdict."
    metrics = report["study"]["metrics"]
    names = [name for name, about in metrics.items() if about["role"] == "descriptive"]
    names = [name for name in names if name not in DOSE + EVENTS]
    return _cells("internals", "Inside training", caption, *_measured(report["cells"], names, _mean))


def _cells(name: str, title: str, caption: str, rows: Sequence[Row], columns: Columns) -> Table | None:
    named = varied(rows)
    return table(
        name, title, caption, rows, columns, lambda row: f"{place(row, named)}, {rate(row)}{own_returns(row)}"
    )


def _measured(
    cells: Sequence[Row], metrics: Sequence[str], entry: Callable[[str, Row], str | Entry]
) -> tuple[Sequence[Row], Columns]:
    """Cells with a column for each metric that some of them has a value of; no cells without such a metric."""
    known = [name for name in metrics if any(row["metrics"][name]["mean"] is not None for row in cells)]
    return cells if known else [], {**_RUNS, **{metric_name(name): partial(entry, name) for name in known}}


def _score(name: str, row: Row) -> Entry:
    found = row["metrics"][name]
    ends = "" if found["ci_low"] is None else interval(found["ci_low"], found["ci_high"], sign=False)
    return Entry(number(found["mean"]), ends)


def _measure(name: str, row: Row) -> Entry:
    found = row["measures"][name]
    ends = "" if found["ci_low"] is None else interval(found["ci_low"], found["ci_high"], sign=False)
    return Entry(number(found["mean"]), ends)


def _mean(name: str, row: Row) -> str:
    value = row["metrics"][name]["mean"]
    return "–" if value is None else f"{value:.3g}"


def _with_floor(name: str, row: Row) -> Entry:
    floor, above = (row["metrics"][name].get(key) for key in ("noise_floor", "above_noise_floor"))
    known = floor is not None and above is not None
    return Entry(_mean(name, row), f"floor {floor:.3g}\nabove {share(above)}" if known else "")


def _share(what: str, row: Row) -> Entry:
    found = row["shares"][what]
    ends = "" if found["ci_low"] is None else f"[{share(found['ci_low'])}, {share(found['ci_high'])}]"
    return Entry(share(found["share"]), ends)
