"""The report on the terminal: headlines, tables and problems."""

from collections.abc import Mapping, Sequence
from itertools import groupby, zip_longest
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rl_warmup.cells import short
from rl_warmup.metrics import METRICS

VERDICTS = {
    "better": ("▲", "bold green"),
    "worse": ("▼", "bold red"),
    "equivalent": ("=", "bold blue"),
    "inconclusive": ("?", "yellow"),
}
Row = Mapping[str, Any]


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the content of report.json for a person, nothing of `problems` hidden."""
    study = report["study"]
    console.print(f"\n[bold]{escape(study['name'])}[/bold]  {escape(study['description'] or '')}".rstrip())
    for line in headlines(report["comparisons"]):
        console.print(line, soft_wrap=not console.is_terminal)
    for family in ("confirmatory", "exploratory"):
        members = [row for row in report["comparisons"] if row["family"] == family]
        if members:
            console.print(comparison_table(members, family, wide=console.width >= 100))
    console.print(cell_table(report["cells"]))
    if report["dose"]:
        console.print(dose_table(report["dose"]))
    if report["problems"]:
        console.print(f"[bold yellow]Problems ({len(report['problems'])})[/bold yellow]")
    for problem in report["problems"]:
        console.print(f"  • {escape(problem)}", soft_wrap=not console.is_terminal, highlight=False)


def headlines(comparisons: Sequence[Row]) -> list[str]:
    """A sentence for every confirmatory comparison and metric with a verdict; one where there is none."""
    confirmatory = [row for row in comparisons if row["family"] == "confirmatory"]
    decided = [row for row in confirmatory if row["verdict"] != "inconclusive"]
    lines = [_headline(row) for row in decided]
    rest = len(confirmatory) - len(decided)
    if rest:
        lines.append(f"[yellow]?[/yellow] {rest} of {len(confirmatory)} confirmatory comparisons are inconclusive.")
    return lines


def comparison_table(comparisons: Sequence[Row], family: str, wide: bool = True) -> Table:
    """One row a metric of each comparison of a family, with what is compared spelled out beside its rows."""
    table = _table(f"Comparisons ({family}): treatment − control, mean over pairs of seeds")
    table.add_column("")
    for heading in ("metric", "n", "diff.", "95% interval", "p adj.", "verdict"):
        table.add_column(heading, justify="left" if heading in ("metric", "verdict") else "right", no_wrap=True)
    for heading in ("n to decide", "pairing ρ") if wide else ():
        table.add_column(heading, justify="right")
    for lines, rows in groupby(comparisons, key=_compared):
        for line, row in zip_longest(lines, rows, fillvalue=None):
            table.add_row(escape(line or ""), *(_values(row, wide) if row else ()))
        table.add_section()
    return table


def cell_table(cells: Sequence[Row]) -> Table:
    """One row a cell: its runs, and the IQM of each metric."""
    table = _table("Cells: interquartile mean over the scored runs")
    table.add_column("arm")
    table.add_column("env")
    for heading in ("n", "diverged", "failed", *(name.replace("_", " ") for name in METRICS)):
        table.add_column(heading, justify="right")
    for row in cells:
        counts = [str(row[key]) for key in ("n", "n_diverged", "n_failed")]
        values = [number(row["metrics"][name]["iqm"]) for name in METRICS]
        table.add_row(escape(row["arm"]), escape(_where(row)), *counts, *values)
    return table


def dose_table(dose: Sequence[Row]) -> Table:
    """One row a cell: what the optimizer received."""
    table = _table("Dose: learning rates read from the optimizer, mean over the scored runs")
    table.add_column("arm")
    table.add_column("env")
    for heading in ("gradient steps", "below 99% of base", "budget lost", "first rate", "mean rate"):
        table.add_column(heading, justify="right")
    for row in dose:
        steps = [f"{row['gradient_steps']:.0f}", f"{row['n_below_99']:.0f}"]
        rates = [f"{row['learning_rate_first']:.3g}", f"{row['learning_rate_mean']:.3g}"]
        table.add_row(escape(row["arm"]), escape(_where(row)), *steps, f"{row['budget']:.1%}", *rates)
    return table


def number(value: float | None, unknown: str = "–", sign: bool = False, digits: int = 3) -> str:
    """A value with three decimals, or as many as asked for.

    >>> number(0.12345), number(-0.0001, sign=True), number(None)
    ('0.123', '0.000', '–')
    """
    if value is None:
        return unknown
    rounded = round(value, digits) + 0.0  # no minus before zero
    return f"{rounded:+.{digits}f}" if sign and rounded else f"{rounded:.{digits}f}"


def _headline(row: Row) -> str:
    metric, (symbol, style) = METRICS[row["metric"]], VERDICTS[row["verdict"]]
    equivalent = row["verdict"] == "equivalent"
    words = "equivalent to" if equivalent else f"{row['verdict']} than"
    p = "equivalence p" if equivalent else "adjusted p"
    value = row["p_equivalence_adjusted" if equivalent else "p_adjusted"]
    return (
        f"[{style}]{symbol}[/] {escape(short(row['treatment_arm']))} is [{style}]{words}[/] "
        f"{escape(short(row['control_arm']))} at learning rate {_rate(row)} ({escape(_where(row))}) in "
        f"{metric.name.replace('_', ' ')}: {number(row['estimate'], sign=True)} {escape(_interval(row))} "
        f"{metric.unit}, {metric.better} is better; {p} = {value:.2g}, n = {row['n']}"
    )


def _compared(row: Row) -> tuple[str, ...]:
    """What a comparison is, a line each."""
    control, rate = short(row["control_arm"]), _rate(row)
    return short(row["treatment_arm"]), f"against {control}", f"learning rate {rate}", _where(row)


def _values(row: Row, wide: bool) -> list[str]:
    symbol, style = VERDICTS[row["verdict"]]
    decide = "" if row["n_to_decide"] is None else str(row["n_to_decide"])
    return [
        row["metric"].replace("_", " "),
        str(row["n"]),
        number(row["estimate"], sign=True),
        escape(_interval(row)),
        "–" if row["p_adjusted"] is None else f"{row['p_adjusted']:.2g}",
        f"[{style}]{symbol} {row['verdict']}[/]",
        *([decide, number(row["pairing_correlation"], digits=2)] if wide else []),
    ]


def _interval(row: Row) -> str:
    """95% interval of the mean difference; few pairs leave it without an end."""
    if row["estimate"] is None:
        return "–"
    return f"[{number(row['ci_low'], '−∞', sign=True)}, {number(row['ci_high'], '∞', sign=True)}]"


def _rate(row: Row) -> str:
    schedule = "" if row["schedule"] == "constant" else f" {row['schedule']}"
    return f"{row['learning_rate']:.4g}{schedule}"


def _where(row: Row) -> str:
    return f"{row['env']} {row['algo']} {row['trainer']}"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
