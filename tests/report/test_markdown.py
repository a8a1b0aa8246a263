"""report.md and report.tex."""

import re

from helpers.example_report import comparison, report

from rl_warmup.report.markdown import latex, markdown


def test_markdown_has_the_answer_the_table_the_problems_and_the_origin_in_this_order() -> None:
    text = markdown(report())
    parts = [
        "# example",
        "**In 13 confirmatory",
        "▲ **better**",
        "## Before",
        "## Comparisons",
        "## Problems",
        "## How",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "```\npython -m rl_warmup.run study=example\npython -m rl_warmup.report runs/example\n```" in text
    assert "4 x AMD EPYC" in text
    assert "rl-warmup 0.1.0, 0.2.0" in text


def test_every_row_of_a_markdown_table_has_the_same_cells() -> None:
    content = report() | {"comparisons": [comparison(0.004, "final", treatment="a | b")]}
    tables = re.findall(r"(?:^\|.*\n)+", markdown(content), re.MULTILINE)
    assert [_cells_of(table) for table in tables] == [{11}, {9}]
    for table in tables:
        assert re.fullmatch(r"\| --- (\| --- )+(\| ---: )+\|", table.splitlines()[1])


def _cells_of(table: str) -> set[int]:
    return {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}


def test_markdown_has_the_failures_and_what_agents_of_another_task_gain() -> None:
    measures = {
        "jumpstart": {"description": "mean of the first evaluation", "mean": 0.5, "ci_low": 0.4, "ci_high": 0.6}
    }
    moved = [row | {"measures": measures} for row in report()["cells"]]
    text = markdown(report() | {"transfer": moved})
    titles = re.findall("^## (.*)", text, re.MULTILINE)
    assert titles[1:4] == ["Comparisons", "Failures, pairs won, and pairs to decide", "Pretrained agents"]
    assert "| 2 / 5 of 20 [1.2%, 32%] / [8.7%, 49%] |" in text  # as on the page, with the limits


def test_markdown_shows_names_as_they_are() -> None:
    text = markdown(report())
    assert r"run \<b\>x\</b\> is left out" in text
    assert r"Does it \<help\>?" in text


def test_latex_is_a_balanced_booktabs_table_with_one_cell_a_column() -> None:
    text = latex(report())
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and not line.startswith(r"\multicolumn")]
    assert len(rows) == 14  # 13 comparisons and the heading
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {8}
    assert r"\begin{tabular}{llrrrrrrr}" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 4, 1]


def test_latex_has_no_sign_that_ends_a_document() -> None:
    content = report() | {"comparisons": [comparison(0.004, "final", treatment="50%_a & b~{c}^d #1 $")]}
    text = latex(content)
    assert r"50\%\_a \& b\textasciitilde{}\{c\}\textasciicircum{}d \#1 \$" in text
    assert "[$-$0.370, +0.430]" in text
    assert text.isascii()


def test_a_study_without_a_declaration_shows_its_exploratory_comparisons() -> None:
    content = report() | {"comparisons": [comparison(0.004, "final", family="exploratory")]}
    assert "Exploratory comparisons" in latex(content)
    assert "Exploratory comparisons" in markdown(content)


def test_without_comparisons_both_still_say_so() -> None:
    content = report() | {"comparisons": []}
    assert latex(content).startswith("% rl_warmup: there is nothing to compare")
    assert "## Comparisons" not in markdown(content)
