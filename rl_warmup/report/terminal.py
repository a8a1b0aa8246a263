"""The report on the terminal: headlines, tables and problems."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from rl_warmup.analysis.statistics.verdicts import NOT_TESTED
from rl_warmup.records.words import counted
from rl_warmup.report.looks import intervals
from rl_warmup.report.pooled import is_tested, rows_of
from rl_warmup.report.sentences import sentences
from rl_warmup.report.tables import grouped
from rl_warmup.report.verdicts import EQUAL, SEEN, SYMBOLS, brief, headline, of_runs, p_of_mean, scope_of
from rl_warmup.report.words import (
    Row,
    agents_words,
    bare_p,
    environment,
    interval,
    listed,
    metric_name,
    number,
    own_returns,
    short_rate,
)

STYLES = {
    "better": "bold green",
    "worse": "bold red",
    "equivalent": "bold blue",
    "better in the runs seen": "green",
    "worse in the runs seen": "red",
    "equivalent in the runs seen": "blue",
    "inconclusive": "yellow",
}
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
    console.print()
    _print_pooled(rows_of(report), console)
    for family in ("confirmatory", "exploratory"):
        members = [row for row in shown if row["family"] == family]
        if members:
            hold = intervals(report) if family == "confirmatory" else "uncorrected"
            _print_comparisons(members, family, hold, console)
    if len(shown) < len(report["comparisons"]):
        rest = counted(len(report["comparisons"]) - len(shown), "comparison")
        console.print(f"{rest} on other metrics, all exploratory: in report.html\n", highlight=False)
    cells = [{**row, **{name: number(row["metrics"][name]["iqm"]) for name in names}} for row in report["cells"]]
    columns = RUNS | {metric_name(name): f"{{{name}}}" for name in names}
    _print_cells("Cells: interquartile mean over the scored runs", cells, columns, console)
    if rows := report.get("transfer"):
        moved = [
            {**row, **{name: number(row["measures"][name]["mean"]) for name in row["measures"]}} for row in rows
        ]
        measured = {metric_name(name): f"{{{name}}}" for name in rows[0]["measures"]}
        _print_cells("Pretrained agents: mean over the scored runs (docs/transfer.md)", moved, measured, console)
    if report["dose"]:
        title = "Dose: learning rates read from the optimizer, mean over the scored runs"
        _print_cells(title, report["dose"], DOSE, console)
    if agents := report["reproduce"].get("agents"):
        for line in (agents_words(agents), *(f"  {command}" for command in agents["commands"]), ""):
            console.print(escape(line), soft_wrap=True, highlight=False)
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


def _print_pooled(rows: Sequence[Row], console: Console) -> None:
    """The pooled questions, and in how many environments each difference has the sign of the pooled one."""
    if not rows:
        return
    _print_comparisons(rows, "pooled over environments, each weighted equally", "uncorrected", console)
    for question, members in grouped(rows, lambda row: (_compared(row), tuple(row["environments"]))).items():
        signs = (f"{metric_name(row['metric'])} {row['agreeing']} of {len(question[1])}" for row in members)
        said = (
            f"{question[0][0]} on {listed([environment(name) for name in question[1]])}: environments with the sign"
        )
        console.print(
            f"{said} of the difference: {', '.join(signs)}", soft_wrap=True, highlight=False, markup=False
        )
    console.print()


def _print_comparisons(comparisons: Sequence[Row], family: str, hold: str, console: Console) -> None:
    """One row a metric of each comparison, with what is compared beside its rows or, without room, above them.

    Args:
        hold: what intervals are.
    """
    groups = grouped(comparisons, _compared)
    table = _table(f"Comparisons ({family}): treatment − control, mean over pairs of seeds")
    table.add_column("")
    _add_comparisons(table, groups)
    if _room(table, console) <= console.width:
        console.print(table)
        console.print()
    else:
        console.print(f"[bold]{table.title}[/bold]")
        for lines, rows in groups.items():
            table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
            _add_comparisons(table, {(): rows})
            table.width = _room(table, console)
            console.print(", ".join(lines), markup=False, highlight=False)
            console.print(table, crop=False)
            console.print()
    said = {headline(row) for row in comparisons}
    note = [
        f"p is corrected; the 95% interval is that of the verdict (inconclusive: runs seen), {hold}.",
        *([f"{EQUAL}."] if "equivalent" in said else []),
        *([f"{SEEN}."] if any("seen" in word for word in said) else []),
    ]
    console.print("\n".join(note), soft_wrap=not console.is_terminal, highlight=False)
    console.print()


def _add_comparisons(table: Table, groups: Mapping[tuple[str, ...], Sequence[Row]]) -> None:
    """Add one row per metric to a table, beside what is compared if the table has a column for it."""
    named = bool(table.columns)
    p = ("p seen", "p mean") if named else ("p seen",)
    for heading in ("metric", "n", "diff.", "95% interval", *p, "verdict"):
        table.add_column(heading, justify="left" if heading in ("metric", "verdict") else "right", no_wrap=True)
    for lines, rows in groups.items():
        for line, row in zip_longest(lines, rows, fillvalue=None):
            table.add_row(*([escape(line or "")] if named else []), *(_values(row, named) if row else ()))
        table.add_section()


def _print_cells(title: str, rows: Sequence[Row], columns: Mapping[str, str], console: Console) -> None:
    """One row a cell: its arm, where it was trained, and its values by the formats of `columns`; as text without
    room for a table.
    """
    table = _table(title)
    for heading in ("arm", "env"):
        table.add_column(heading, overflow="fold")
    for heading in columns:
        table.add_column(heading, justify="right")
    texts = [[text.format_map(row) for text in columns.values()] for row in rows]
    for row, values in zip(rows, texts, strict=True):
        table.add_row(escape(row["arm"]), escape(_where(row)), *values)
    if _room(table, console) <= console.width:
        console.print(table)
        console.print()
        return
    console.print(f"[bold]{title}[/bold]")
    for row, values in zip(rows, texts, strict=True):
        said = ", ".join(f"{heading} {value}" for heading, value in zip(columns, values, strict=True))
        console.print(f"{row['arm']}, {_where(row)}: {said}", markup=False, highlight=False)
    console.print()


def _room(table: Table, console: Console) -> int:
    """Columns of a terminal that a table needs, so that no number or word is cut."""
    for column in table.columns:
        if column.no_wrap:
            column.min_width = max(console.measure(cell).maximum for cell in (column.header, *column.cells))
    return Measurement.get(console, console.options.update(width=1000), table).minimum


def _compared(row: Row) -> tuple[str, ...]:
    """What a comparison is and how many of its runs did not learn, a line each."""
    name = [] if row["contrast"] is None else [f"contrast {row['contrast']}"]
    arms = [row["treatment"], f"against {row['control']}"]
    failed = row["failures"]
    counts = (
        [] if failed is None else [f"not learned: {failed['treatment']['count']}, {of_runs(failed['control'])}"]
    )
    about = (f"learning rate {short_rate(row)}", _where(row), *filter(None, [own_returns(row)[3:]]), *counts)
    return (*name, *arms, *about)


def _values(row: Row, wide: bool) -> list[str]:
    """The cells of a comparison; where there is room, with the symbol of its verdict and the p of the mean."""
    word, scope = brief(headline(row)) if is_tested(row) else NOT_TESTED, scope_of(row)
    verdict = f"{SYMBOLS[headline(row)]} {word}" if wide else word
    return [
        metric_name(row["metric"]),
        str(row["n"]),
        number(row["estimate"], sign=True),
        "–" if row["estimate"] is None else escape(interval(row[f"{scope}_low"], row[f"{scope}_high"])),
        bare_p(row["p_adjusted"]),
        *([bare_p(p_of_mean(row))] if wide else []),
        f"[{STYLES[headline(row)]}]{verdict}[/]",
    ]


def _where(row: Row) -> str:
    where = row["env"] or f"{len(row['environments'])} environments,"
    return f"{where} {row['algo']} {row['trainer']}"


def _table(title: str) -> Table:
    looks: Any = {"title_justify": "left", "title_style": "bold", "box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0)}
    return Table(title=title, show_edge=False, pad_edge=False, **looks)
