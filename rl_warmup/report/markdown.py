"""report.md for a README or an issue, and report.tex with the main table for a paper, from report.json."""

import re
from collections.abc import Mapping
from typing import Any

from rl_warmup.report.cell_tables import transfer
from rl_warmup.report.comparison_tables import comparisons, environments, failures
from rl_warmup.report.sentences import Sentence, sentences
from rl_warmup.report.tables import Table
from rl_warmup.report.verdicts import SYMBOLS
from rl_warmup.report.words import agents_words, minus

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "−": "$-$",
    "∞": r"$\infty$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "ρ": r"$\rho$",
    "–": "--",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def markdown(report: Mapping[str, Any]) -> str:
    """The answer, the tables that it rests on, the problems and how to reproduce, in GitHub's Markdown."""
    study = report["study"]
    tables = [table for make in (environments, failures, transfer) if (table := make(report))]
    parts = [
        f"# {escape(study['name'])}",
        escape(study["description"] or ""),
        findings(report),
        *(_under(table.title, _table(table), bullet="") for table in tables),
        background(report),
    ]
    return _joined(parts) + "\n"


def findings(report: Mapping[str, Any]) -> str:
    """The answer, what to know before relying on it, and the main table."""
    said = sentences(report)
    limits = [sentence for sentence in said if sentence.kind == "limit"]
    parts = [
        f"**{escape(said[0].text)}**",
        "\n".join(_item(sentence) for sentence in said[1:] if sentence not in limits),
        _under("Before you rely on this", [escape(sentence.text) for sentence in limits]),
        _under("Comparisons", _table(main_table(report)), bullet=""),
    ]
    return _joined(parts)


def background(report: Mapping[str, Any]) -> str:
    """The problems and how to reproduce."""
    parts = [
        _under("Problems", [escape(problem) for problem in report["problems"]]),
        _under("How to reproduce", _origin(report["reproduce"]), bullet=""),
    ]
    return _joined(parts)


def latex(report: Mapping[str, Any]) -> str:
    """The main table as a LaTeX `table`; the preamble needs `booktabs`."""
    table = main_table(report)
    if table is None:
        return "% rl_warmup: there is nothing to compare in this study\n"
    count = len(table.columns)
    columns = "l" * table.words + "r" * (count - table.words)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{escape_tex(report['study']['name'])}: {escape_tex(table.caption)}}}",
        rf"\label{{tab:{re.sub(r'[^a-zA-Z0-9]+', '-', report['study']['name'])}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(escape_tex(column.text) for column in table.columns) + r" \\",
    ]
    for group in table.groups:
        lines += [r"\midrule", rf"\multicolumn{{{count}}}{{l}}{{{escape_tex(group.heading)}}} \\"]
        lines += [
            " & ".join(escape_tex(entry.verdict or entry.text) for entry in row) + r" \\" for row in group.rows
        ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def main_table(report: Mapping[str, Any]) -> Table | None:
    """The confirmatory comparisons, or the exploratory ones where nothing was declared."""
    return comparisons(report, "confirmatory") or comparisons(report, "exploratory")


def escape(text: str) -> str:
    """A text without meaning in Markdown or HTML.

    >>> escape("a_b | <c>")
    'a\\\\_b \\\\| \\\\<c\\\\>'
    """
    return re.sub(r"([\\`*_<>|~#])", r"\\\1", text)


def escape_tex(text: str) -> str:
    r"""A text without meaning in LaTeX.

    >>> escape_tex("10% of a_b: -0.1")
    '10\\% of a\\_b: $-$0.1'
    """
    return "".join(_TEX.get(sign, sign) for sign in minus(text))


def _joined(parts: list[str]) -> str:
    return "\n\n".join(part for part in parts if part)


def _item(sentence: Sentence) -> str:
    symbol = SYMBOLS.get(sentence.kind)
    return f"- {symbol} **{sentence.kind}**: {escape(sentence.text)}" if symbol else f"- {escape(sentence.text)}"


def _under(heading: str, lines: list[str], bullet: str = "- ") -> str:
    return "" if not lines else "\n".join([f"## {heading}", "", *(bullet + line for line in lines)])


def _table(table: Table | None) -> list[str]:
    """Lines of a Markdown table; the group is in the first column of its first row, detail behind its text."""
    if table is None:
        return []
    heads = ["compared", *(column.text for column in table.columns)]
    sides = [*["---"] * (1 + table.words), *["---:"] * (len(table.columns) - table.words)]
    rows = [
        [group.heading if index == 0 else "", *(f"{entry.text} {entry.detail}".strip() for entry in row)]
        for group in table.groups
        for index, row in enumerate(group.rows)
    ]
    return [_cells(heads), _cells(sides, escaped=True), *map(_cells, rows), "", escape(table.caption)]


def _cells(texts: list[str], escaped: bool = False) -> str:
    return "| " + " | ".join(text if escaped else escape(text) for text in texts) + " |"


def _origin(how: Mapping[str, Any]) -> list[str]:
    """Commands as a code block, what plays the agents, then what they ran with."""
    commands = ["```", *how["commands"], "```", ""] if how["commands"] else []
    facts = {"hardware": how["hardware"], "device": how["devices"], "commit": how["git_commits"], **how["versions"]}
    known = [f"{name} {', '.join(map(str, values))}" for name, values in facts.items() if values]
    agents = how.get("agents")
    play = [agents_words(agents), "", "```", *agents["commands"], "```", ""] if agents else []
    return [*commands, *play, escape("; ".join([*known, f"{how['training_hours']:.3g} hours of training"])) + "."]
