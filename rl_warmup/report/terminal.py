"""The report on the terminal: headlines, tables and problems."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rl_warmup.records.words import counted
from rl_warmup.report.sentences import sentences
from rl_warmup.report.tables import grouped
from rl_warmup.report.words import SYMBOLS, Row, bare_p, interval, metric_name, number, short_rate

STYLES = {"better": "bold green", "worse": "bold red", "equivalent": "bold blue", "inconclusive": "yellow"}
RUNS = {"n": "{n}", "diverged": "{n_diverged}", "failed": "{n_failed}"}  # formats of values of a row
DOSE = {
    "gradient steps": "{gradient_steps:.0f}",
    "below 99% of base": "{n_below_99:.0f}",
    "budget lost": "{budget:.1%}",
    "first rate": "{learning_rate_first:.3g}",
    "mean rate": "{learning_rate_mean:.3g}",
}


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print the content of report.json for a person, nothing of `problems` hidden."""
    study = report["study"]
    names = [name for name, metric in study["metrics"].items() if metric["role"] == "confirmatory"]
    console.print(f"\n[bold]{escape(study['name'])}[/bold]  {escape(study['description'] or '')}".rstrip())
    for line in headlines(report):
        console.print(line, soft_wrap=not console.is_terminal, highlight=False)
    shown = [row for row in report["comparisons"] if row["metric"] in names]
    for family in ("confirmatory", "exploratory"):
        members = [row for row in shown if row["family"] == family]
        if members:
            console.print(comparison_table(members, family, wide=console.width >= 100))
    if len(shown) < len(report["comparisons"]):
        rest = counted(len(report["comparisons"]) - len(shown), "comparison")
        console.print(f"{rest} on other metrics, all exploratory: in report.html\n", highlight=False)
    cells = [{**row, **{name: number(row["metrics"][name]["iqm"]) for name in names}} for row in report["cells"]]
    columns = RUNS | {metric_name(name): f"{{{name}}}" for name in names}
    console.print(cell_table("Cells: interquartile mean over the scored runs", cells, columns))
    if report["dose"]:
        title = "Dose: learning rates read from the optimizer, mean over the scored runs"
        console.print(cell_table(title, report["dose"], DOSE))
    if report["problems"]:
        console.print(f"[bold yellow]Problems ({len(report['problems'])})[/bold yellow]")
    for problem in report["problems"]:
        console.print(f"  • {escape(problem)}", soft_wrap=not console.is_terminal, highlight=False)


def headlines(report: Mapping[str, Any]) -> list[str]:
    """The sentences of a report, with the symbols of verdicts; without its limits, which the problems name."""
    lines = []
    for sentence in sentences(report):
        if sentence.kind in SYMBOLS:
            style, symbol = STYLES[sentence.kind], SYMBOLS[sentence.kind]
            lines.append(f"[{style}]{symbol} {sentence.kind}:[/] {escape(sentence.text)}")
        elif sentence.kind != "limit":
            lines.append(escape(sentence.text))
    return lines


def comparison_table(comparisons: Sequence[Row], family: str, wide: bool = True) -> Table:
    """One row a metric of each comparison of a family, with what is compared spelled out beside its rows."""
    table = _table(f"Comparisons ({family}): treatment − control, mean over pairs of seeds")
    table.add_column("")
    for heading in ("metric", "n", "diff.", "95% interval", "p adj.", "verdict"):
        table.add_column(heading, justify="left" if heading in ("metric", "verdict") else "right", no_wrap=True)
    for heading in ("n to decide", "pairing ρ") if wide else ():
        table.add_column(heading, justify="right")
    for lines, rows in grouped(comparisons, _compared).items():
        for line, row in zip_longest(lines, rows, fillvalue=None):
            table.add_row(escape(line or ""), *(_values(row, wide) if row else ()))
        table.add_section()
    return table


def cell_table(title: str, rows: Sequence[Row], columns: Mapping[str, str]) -> Table:
    """One row a cell: its arm, where it was trained, and its values by the formats of `columns`."""
    table = _table(title)
    table.add_column("arm")
    table.add_column("env")
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in rows:
        values = [text.format_map(row) for text in columns.values()]
        table.add_row(escape(row["arm"]), escape(_where(row)), *values)
    return table


def _compared(row: Row) -> tuple[str, ...]:
    """What a comparison is, a line each."""
    name = [] if row["contrast"] is None else [f"contrast {row['contrast']}"]
    arms = [row["treatment"], f"against {row['control']}"]
    return (*name, *arms, f"learning rate {short_rate(row)}", _where(row))


def _values(row: Row, wide: bool) -> list[str]:
    decide = "" if row["n_to_decide"] is None else str(row["n_to_decide"])
    return [
        metric_name(row["metric"]),
        str(row["n"]),
        number(row["estimate"], sign=True),
        "–" if row["estimate"] is None else escape(interval(row["ci_low"], row["ci_high"])),
        bare_p(row["p_adjusted"]),
        f"[{STYLES[row['verdict']]}]{SYMBOLS[row['verdict']]} {row['verdict']}[/]",
        *([decide, number(row["pairing_correlation"], digits=2)] if wide else []),
    ]


def _where(row: Row) -> str:
    return f"{row['env']} {row['algo']} {row['trainer']}"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
