"""The tables of a report with one row per arm: scores, stability, seeds, times, doses, what happened inside."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rl_warmup.report.tables import Columns, Entry, Table, table
from rl_warmup.report.words import Row, interval, metric_name, number, place, rate, share, varied

DOSE = ("n_below_99", "budget_lost", "learning_rate_mean")  # descriptive metrics that the table of doses shows
EVENTS = ("recovered",)  # descriptive metrics that belong to stability


def scores(report: Mapping[str, Any]) -> Table | None:
    """The metrics of return of each cell: IQM over its runs with the interval of the mean."""
    metrics = report["study"]["metrics"]
    names = [name for name, about in metrics.items() if about["role"] != "descriptive" and not about["noise_floor"]]
    columns: Columns = {"arm": _arm, "n": _runs, **{metric_name(name): _score(name) for name in names}}
    caption = (
        "Mean over the runs of each arm, with the 95% bootstrap interval over seeds (too narrow for few runs)."
    )
    return _cells("scores", "Scores of every arm", caption, report["cells"], columns)


def stability(report: Mapping[str, Any]) -> Table | None:
    """The metrics of stability within a run beside the floor that evaluation noise gives."""
    metrics = report["study"]["metrics"]
    names = [name for name, about in metrics.items() if about["noise_floor"] or name in EVENTS]
    names = _known(names, report["cells"])
    columns: Columns = {"arm": _arm, "n": _runs, **{metric_name(name): _with_floor(name) for name in names}}
    caption = (
        "Mean over runs. “floor”: what a constant policy would show by evaluation noise alone; “above”: share of "
        "runs beyond 95% of their own floor."
    )
    return _cells("stability", "Stability within runs", caption, report["cells"] if names else [], columns)


def across_seeds(report: Mapping[str, Any]) -> Table | None:
    """Dispersion over seeds, and shares of runs with Wilson intervals."""
    columns: Columns = {
        "arm": _arm,
        "n": _runs,
        "final: IQR": _spread("final", "iqr"),
        "final: MAD": _spread("final", "mad"),
        "final: worst quarter": _spread("final", "lower_cvar25"),
        "area: IQR": _spread("area", "iqr"),
        "area: IPR-90": _spread("area", "ipr90", digits=1),
        "diverged": _share_of("diverged"),
        "not learned": _share_of("not_learned"),
    }
    caption = (
        "Differences between seeds, in normalized return (IPR-90: percentile 95 − 5, in %; worst quarter: mean of "
        "the lowest 25% of runs), and shares of runs with Wilson 95% intervals."
    )
    return _cells("across-seeds", "Across seeds", caption, report["cells"], columns)


def time_to_threshold(report: Mapping[str, Any]) -> Table | None:
    """Time to the threshold, runs that never reach it included."""
    columns: Columns = {
        "arm": _arm,
        "reached": lambda row: f"{row['time_to_threshold']['reached']} of {row['n']}",
        "restricted mean": lambda row: share(row["time_to_threshold"]["restricted_mean"]),
        "median": _median,
    }
    caption = (
        "Environment steps to the threshold as a share of the budget (Kaplan–Meier). Runs that never reach "
        "it count with the whole budget in the restricted mean."
    )
    return _cells("time", "Time to the threshold", caption, [row for row in report["cells"] if row["n"]], columns)


def dose(report: Mapping[str, Any]) -> Table | None:
    """What the optimizer received."""
    columns: Columns = {
        "arm": _arm,
        "gradient steps": lambda row: f"{row['gradient_steps']:,.0f}",
        "below 99% of base": lambda row: f"{row['n_below_99']:,.0f}",
        "budget lost": lambda row: share(row["budget"]),
        "first rate": lambda row: f"{row['learning_rate_first']:.3g}",
        "mean rate": lambda row: f"{row['learning_rate_mean']:.3g}",
    }
    caption = "Learning rates read from the optimizer after each step, mean over the scored runs."
    return _cells("dose", "Dose", caption, report["dose"], columns)


def diagnostics(report: Mapping[str, Any]) -> Table | None:
    """What was measured inside training; no part of any verdict."""
    metrics = report["study"]["metrics"]
    names = [name for name, about in metrics.items() if about["role"] == "descriptive"]
    names = _known([name for name in names if name not in DOSE + EVENTS], report["cells"])
    columns: Columns = {"arm": _arm, "n": _runs, **{metric_name(name): _mean(name) for name in names}}
    caption = "Mean over the runs of each arm of what was recorded in every update phase; never part of a verdict."
    return _cells("internals", "Inside training", caption, report["cells"] if names else [], columns)


def _cells(name: str, title: str, caption: str, rows: Sequence[Row], columns: Columns) -> Table | None:
    named = varied(rows)
    return table(name, title, caption, rows, columns, lambda row: f"{place(row, named)}, {rate(row)}")


def _known(names: Sequence[str], cells: Sequence[Row]) -> list[str]:
    return [name for name in names if any(row["metrics"][name]["mean"] is not None for row in cells)]


def _arm(row: Row) -> str:
    return str(row["short"])


def _runs(row: Row) -> str:
    return str(row["n"])


def _score(name: str) -> Callable[[Row], Entry]:
    def entry(row: Row) -> Entry:
        found = row["metrics"][name]
        ends = "" if found["ci_low"] is None else interval(found["ci_low"], found["ci_high"], sign=False)
        return Entry(number(found["mean"]), ends)

    return entry


def _mean(name: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = row["metrics"][name]["mean"]
        return "–" if value is None else f"{value:.3g}"

    return text


def _with_floor(name: str) -> Callable[[Row], Entry]:
    def entry(row: Row) -> Entry:
        found = row["metrics"][name]
        floor, above = found.get("noise_floor"), found.get("above_noise_floor")
        known = floor is not None and above is not None
        detail = f"floor {floor:.3g}\nabove {share(above)}" if known else ""
        return Entry("–" if found["mean"] is None else f"{found['mean']:.3g}", detail)

    return entry


def _spread(metric: str, statistic: str, digits: int = 3) -> Callable[[Row], str]:
    return lambda row: number(row["across_seeds"][metric][statistic], digits=digits)


def _share_of(what: str) -> Callable[[Row], Entry]:
    def entry(row: Row) -> Entry:
        found = row["shares"][what]
        ends = "" if found["ci_low"] is None else f"[{share(found['ci_low'])}, {share(found['ci_high'])}]"
        return Entry(share(found["share"]), ends)

    return entry


def _median(row: Row) -> str:
    median = row["time_to_threshold"]["median"]
    return "not reached" if median is None else share(median)
