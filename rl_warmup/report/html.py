"""report.html: one file that needs no network, from report.json and the files of its figures."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from rl_warmup.report import cell_tables, comparison_tables, robustness_tables
from rl_warmup.report.figures.panels import HUES
from rl_warmup.report.sentences import VERDICTS, Sentence, sentences
from rl_warmup.report.tables import Table
from rl_warmup.report.verdicts import MEANINGS, SYMBOLS
from rl_warmup.report.words import agents_words, minus

LARGEST_SVG = 1_500_000  # bytes; a larger one is shown as PNG
MOST_FINDINGS = 10  # sentences that are open; the rest is folded
Maker = Callable[[Mapping[str, Any]], Table | None]


class Section(NamedTuple):
    """A part of the page: a kind of figures, tables that are open, and `folded` ones behind their titles."""

    name: str
    title: str
    text: str = ""
    kind: str = ""
    tables: tuple[Maker, ...] = ()
    folded: tuple[Maker, ...] = ()


SECTIONS = (
    Section("forest", "All comparisons", kind="forest"),
    Section(
        "environments",
        "Over all environments",
        "What holds on the average of the environments that were run, and how far they agree.",
        tables=(comparison_tables.environments,),
    ),
    Section(
        "main-table",
        "Main table",
        "Estimates are means over pairs of runs that share a seed; intervals invert the tests.",
        tables=(partial(comparison_tables.comparisons, family="confirmatory"), comparison_tables.failures),
        folded=(partial(comparison_tables.comparisons, family="exploratory"), comparison_tables.sensitivity),
    ),
    Section("curves", "Evaluation curves", kind="curves", folded=(cell_tables.scores,)),
    Section("heatmaps", "Learning rate × warmup", kind="heatmap"),
    Section("differences", "Paired differences", kind="differences"),
    Section(
        "robustness",
        "Learning-rate robustness",
        "Does warmup raise the learning rate from which runs no longer learn?",
        tables=(robustness_tables.critical_rates, robustness_tables.phi),
    ),
    Section(
        "transfer",
        "Pretrained agents",
        "What arms gain and lose that start from a trained agent, beside the same arms from scratch.",
        tables=(cell_tables.transfer,),
    ),
    Section(
        "stability",
        "Stability, seeds and time",
        "Exploratory: these numbers describe, and decide nothing.",
        kind="time_to_threshold",
        tables=(cell_tables.stability, cell_tables.across_seeds),
        folded=(cell_tables.time_to_threshold, robustness_tables.dispersion),
    ),
    Section(
        "dose",
        "Dose",
        "What the optimizer really received: learning rates read back at every step.",
        kind="learning_rate",
        tables=(cell_tables.dose,),
    ),
    Section(
        "diagnostics",
        "Diagnostics",
        "What happened inside training. Never part of a verdict.",
        kind="diagnostics",
        folded=(cell_tables.diagnostics,),
    ),
)


def render(report: Mapping[str, Any], figures: Path) -> str:
    """The page as HTML. `figures`: the folder that holds the files of `report["figures"]`.

    Raises:
        FileNotFoundError: if a figure has neither SVG nor PNG.
    """
    said = sentences(report)
    return _template().render(
        report=report,
        lead=said[0].text,
        findings=_of(said, "looks", *VERDICTS, "plan", "robustness", "dose"),
        most=MOST_FINDINGS,
        limits=_of(said, "limit"),
        played=agents_words(report["reproduce"]["agents"]) if "agents" in report["reproduce"] else "",
        glance=comparison_tables.glance(report),
        sections=list(_evidence(report, figures)),
        metrics=comparison_tables.metrics(report),
        symbols=SYMBOLS,
        meanings=MEANINGS,
        colors=HUES,  # the figures' own
    )


def picture(drawn: Mapping[str, Any], figures: Path) -> dict[str, Any]:
    """A figure with its file as a data URI: the SVG, or the PNG where that one is too large or missing."""
    svg, png = (figures / f"{drawn['name']}.{kind}" for kind in ("svg", "png"))
    use_svg = svg.exists() and (svg.stat().st_size <= LARGEST_SVG or not png.exists())
    kind, path = ("svg+xml", svg) if use_svg else ("png", png)
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return {**drawn, "source": f"data:image/{kind};base64,{content}"}


def _evidence(report: Mapping[str, Any], figures: Path) -> Iterator[dict[str, Any]]:
    """The sections that have something to show, with their figures and tables."""
    for section in SECTIONS:
        found = {
            "pictures": [picture(row, figures) for row in report["figures"] if row["kind"] == section.kind],
            "tables": [table for make in section.tables if (table := make(report))],
            "folded": [table for make in section.folded if (table := make(report))],
        }
        if any(found.values()):
            yield section._asdict() | found


def _of(said: Sequence[Sentence], *kinds: str) -> list[Sentence]:
    return [sentence for sentence in said if sentence.kind in kinds]


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("rl_warmup.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = minus
    return environment.get_template("report.html")
