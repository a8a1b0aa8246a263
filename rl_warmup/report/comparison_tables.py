"""The tables of a report with one row per comparison of two arms, and the one that explains the metrics."""

from collections.abc import Mapping
from typing import Any

from rl_warmup.analysis.statistics.verdicts import NOT_TESTED
from rl_warmup.report.looks import intervals
from rl_warmup.report.pooled import is_tested, rows_of
from rl_warmup.report.tables import Columns, Entry, Group, Table, grouped, heading_of, table
from rl_warmup.report.verdicts import EQUAL, SYMBOLS, headline, of_runs, p_of_mean, scope_of
from rl_warmup.report.words import (
    Row,
    bare_p,
    environment,
    interval,
    metric_name,
    number,
    share,
)

PLANNED = ("in_runs_seen", "mean", "equivalent")  # verdicts that a plan has pairs for


def glance(report: Mapping[str, Any]) -> Table | None:
    """One row per pair of arms, one column per confirmatory metric: which way, by how much."""
    names = [name for name, metric in report["study"]["metrics"].items() if metric["role"] == "confirmatory"]
    found = [row for row in report["comparisons"] if row["metric"] in names]
    rows = [row for row in found if row["family"] == "confirmatory"] or found
    rows = [*rows_of(report), *rows]
    if not rows:
        return None
    groups = []
    for heading, members in grouped(rows, heading_of(rows)).items():
        by_metric = {row["metric"]: row for row in members}
        exploratory = all(row["family"] == "exploratory" for row in members)
        cells = tuple(_glance(by_metric.get(name)) for name in names)
        groups.append(Group(heading + (" · exploratory" if exploratory else ""), (cells,)))
    better = report["study"]["metrics"]
    columns = tuple(Entry(metric_name(name), f"{better[name]['better']} is better") for name in names)
    caption = (
        "Treatment − control: mean over pairs of seeds, with the 95% interval of what the verdict "
        f"speaks of (inconclusive: of the runs seen), {intervals(report)}."
    )
    return Table("glance", "At a glance", caption, columns, tuple(groups), words=len(names))


def comparisons(report: Mapping[str, Any], family: str) -> Table | None:
    """One row per metric and pair of arms."""
    rows = [row for row in report["comparisons"] if row["family"] == family]
    rows = [*rows_of(report), *rows] if family == "confirmatory" else rows
    how = _correction(report) if family == "confirmatory" else "Benjamini–Hochberg"
    columns: Columns = {
        "metric": lambda row: metric_name(row["metric"]),
        "verdict": _verdict,
        "n": lambda row: str(row["n"]),
        "difference": lambda row: number(row["estimate"], sign=True),
        "runs seen: 95%": lambda row: _ends(row, "ci"),
        "adjusted p": lambda row: bare_p(row["p_adjusted"]),
        "mean: 95%": lambda row: _ends(row, "mean_ci"),
        "adjusted p of the mean": lambda row: bare_p(p_of_mean(row)),
        "did not learn": _failures,
    }
    title = f"{family.capitalize()} comparisons"
    caption = (
        f"{title}, treatment − control by seed. Runs seen: sign flips; mean: whatever rare runs do, Dirichlet. "
        f"Verdicts are by p corrected for all comparisons ({how}; {EQUAL}); intervals: 95%, {intervals(report)}."
    )
    return table(f"comparisons-{family}", title, caption, rows, columns, heading_of(rows), words=2)


def environments(report: Mapping[str, Any]) -> Table | None:
    """The pooled questions and what each environment says of them: one row per question and environment."""
    names = {"": "all together"} | {row["env"]: environment(row["env"]) for row in _parts(report)}
    columns: Columns = {
        "metric": lambda row: metric_name(row["metric"]) if row["env"] is None else "",
        "where": lambda row: names[row["env"] or ""],
        "verdict": _verdict,
        "n": lambda row: str(row["n"]),
        "difference": lambda row: number(row["estimate"], sign=True),
        "runs seen: 95%": lambda row: _ends(row, "ci"),
        "mean: 95%": lambda row: _ends(row, "mean_ci"),
        "same sign": lambda row: "" if row["env"] else f"{row['agreeing']} of {len(row['environments'])}",
    }
    rows = [row for question in rows_of(report) for row in (question, *_parts({"pooled": [question]}))]
    heading = heading_of(rows_of(report))
    title = "Over all environments, and each of them"
    caption = (
        "Treatment − control in normalized units. All environments: the mean of their means, weighted equally; "
        "same sign: how many of them have the sign of that mean. Intervals are uncorrected 95%."
    )
    return table("environments", title, caption, rows, columns, lambda row: heading(row.get("of", row)), 3)


def _parts(report: Mapping[str, Any]) -> list[Row]:
    """The environments of pooled questions, each with its question."""
    return [{**part, "of": row} for row in rows_of(report) for part in row["by_environment"]]


def _correction(report: Mapping[str, Any]) -> str:
    if report["study"].get("order") != "pooled_first" or not rows_of(report):
        return "Holm"
    return "pooled questions first, then their environments by Holm"


def failures(report: Mapping[str, Any]) -> Table | None:
    """What stands beside the verdicts: failures, pairs won, what would undo a verdict and what would decide."""
    rows = [row for row in report["comparisons"] if row["family"] == "confirmatory"]
    columns: Columns = {
        "metric": lambda row: metric_name(row["metric"]),
        "did not learn": lambda row: Entry(_failures(row), _failure_limits(row)),
        "McNemar p": lambda row: Entry(*_failure_p(row)),
        "pairs won": _won,
        "sign test p": lambda row: "–" if row["pairs_won"] is None else bare_p(row["pairs_won"]["p_value"]),
        "undone by": _undone,
        "pairs to decide": _planned,
    }
    title = "Failures, pairs won, and pairs to decide"
    caption = (
        "Runs that did not learn, of treatment and control, with 95% limits of the rates (Clopper–Pearson) and "
        "exact McNemar p. Pairs won: of those not tied, with the 95% interval of their share. Undone by: share of "
        "the better arm's runs that would have to lose everything. Pairs to decide, in 80% of such studies: in the "
        "runs seen / of the mean (both at the smallest effect that matters) / equivalent (at 0)."
    )
    return table("failures", title, caption, rows, columns, heading_of(rows))


def sensitivity(report: Mapping[str, Any]) -> Table | None:
    """The confirmatory comparisons by other methods."""
    rows = [row for row in report["comparisons"] if row["family"] == "confirmatory"]
    columns: Columns = {
        "metric": lambda row: metric_name(row["metric"]),
        "sign flips": lambda row: Entry(bare_p(row["p_value"]), _ends(row, "ci")),
        "unpaired": lambda row: bare_p(row["p_unpaired"]),
        "Welch": lambda row: bare_p(row["p_welch"]),
        "Dirichlet": lambda row: Entry(bare_p(row["p_mean"]), _ends(row, "mean_ci")),
        "Phan": lambda row: Entry(bare_p(row["p_phan"]), _ends(row, "phan")),
        "betting": lambda row: Entry(bare_p(row["p_betting"]), _ends(row, "betting")),
        "equivalence": lambda row: bare_p(row["p_equivalence"]),
        "IQM": lambda row: Entry(number(row["iqm"], sign=True), _bca(row)),
        "pairing ρ": lambda row: number(row["pairing_correlation"], digits=2),
    }
    title = "The confirmatory comparisons by other methods"
    caption = (
        "The same differences by other methods: p, not adjusted, and 95% intervals; the IQM with its BCa interval. "
        "Sign flips to Welch speak of the runs seen. Dirichlet, Phan and betting speak of the mean, whatever rare "
        "runs do; the level of the last two is proved for every distribution. Only sign flips, Dirichlet and "
        "equivalence decide."
    )
    return table("sensitivity", title, caption, rows, columns, heading_of(rows))


def metrics(report: Mapping[str, Any]) -> Table | None:
    """What each metric means."""
    rows = [{"name": name, **about} for name, about in report["study"]["metrics"].items()]
    columns: Columns = {
        "metric": lambda row: metric_name(row["name"]),
        "what it is": lambda row: row["description"],
        "unit": lambda row: row["unit"],
        "better": lambda row: row["better"],
        "δ": lambda row: "–" if row["smallest_effect"] is None else f"{row['smallest_effect']:g}",
        "role": lambda row: row["role"],
    }
    return table("metrics", "What each metric means", "δ: smallest effect that matters.", rows, columns, words=6)


def _glance(row: Row | None) -> Entry:
    if row is None:
        return Entry("–")
    ends = "" if row["estimate"] is None else _ends(row, scope_of(row))
    return Entry(number(row["estimate"], sign=True), ends, headline(row))


def _verdict(row: Row) -> Entry:
    word = headline(row) if is_tested(row) else NOT_TESTED
    return Entry(f"{SYMBOLS[headline(row)]} {word}", verdict=headline(row))


def _ends(row: Row, of: str) -> str:
    """An interval, or a dash where there is none at all."""
    unknown = row["estimate"] is None or (of != "ci" and row[f"{of}_low"] is None)
    return "–" if unknown else interval(row[f"{of}_low"], row[f"{of}_high"])


def _failures(row: Row) -> str:
    """Runs that did not learn: in the treatment, in the control."""
    found = row["failures"]
    return "–" if found is None else f"{found['treatment']['count']:,} / {of_runs(found['control'])}"


def _failure_limits(row: Row) -> str:
    found = row["failures"]
    ends = [] if found is None else [found[arm] for arm in ("treatment", "control")]
    return " / ".join(f"[{share(one['low'])}, {share(one['high'])}]" for one in ends)


def _failure_p(row: Row) -> tuple[str, str]:
    found = row["failures"]
    return ("–", "") if found is None else (bare_p(found["p_value"]), f"mid-p {bare_p(found['p_mid'])}")


def _won(row: Row) -> str | Entry:
    won = row["pairs_won"]
    if won is None:
        return "–"
    ends = f"[{share(won['low'])}, {share(won['high'])}]"
    return Entry(f"{won['won']:,} of {won['won'] + won['lost']:,}", ends)


def _undone(row: Row) -> str | Entry:
    """The break-even rate of a verdict that few runs show, and the rates that they exclude."""
    found = row["break_even"]
    return "" if found is None else Entry(share(found["rate"]), f"excluded: above {share(found['excluded'])}")


def _planned(row: Row) -> str:
    """Pairs for a verdict in the runs seen, of the mean, and for equivalent; nothing where the mean is decided."""
    plan = row["plan"]
    return "" if plan is None else " / ".join("–" if plan[key] is None else f"{plan[key]:,}" for key in PLANNED)


def _bca(row: Row) -> str:
    ends = row["iqm_ci_low"], row["iqm_ci_high"]
    return "–" if ends == (None, None) else interval(*ends)
