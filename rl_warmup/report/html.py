"""report.html: one file that needs no network, from report.json and the files of its figures."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rl_warmup.report import cell_tables, comparison_tables
from rl_warmup.report.figures.panels import VERDICTS as LOOKS
from rl_warmup.report.sentences import VERDICTS, Sentence, sentences
from rl_warmup.report.tables import Table
from rl_warmup.report.words import SYMBOLS

LARGEST_SVG = 1_500_000  # bytes; a larger one is shown as PNG
MOST_FINDINGS = 10  # sentences that are open; the rest is folded
_MINUS = re.compile(r"(?<![\w.)])-(?=[\d.∞])")


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it."""

    title: str
    caption: str
    source: str  # data URI
    files: str  # where to find it and its data


@dataclass(frozen=True)
class Section:
    """A part of the page; `tables` are open, `folded` ones wait behind their caption."""

    name: str
    title: str
    text: str = ""
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[Table, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.pictures or self.tables or self.folded)


def render(report: Mapping[str, Any], figures: Path) -> str:
    """The page as HTML. `figures`: the folder that holds the files of `report["figures"]`.

    Raises FileNotFoundError if a figure has neither SVG nor PNG.
    """
    said = sentences(report)
    evidence = [section for section in _evidence(report, figures) if not section.empty]
    page: str = _template().render(
        report=report,
        lead=said[0].text,
        findings=_of(said, *VERDICTS, "robustness", "dose"),
        most=MOST_FINDINGS,
        limits=_of(said, "limit"),
        glance=comparison_tables.glance(report),
        sections=evidence,
        metrics=comparison_tables.metrics(report),
        symbols=SYMBOLS,
        colors={verdict: color for verdict, (_, color) in LOOKS.items()},  # the figures' own
    )
    return page


def picture(drawn: Mapping[str, Any], figures: Path) -> Picture:
    """A figure with its file inside: the SVG, or the PNG where that one is too large or missing."""
    svg, png = (figures / f"{drawn['name']}.{kind}" for kind in ("svg", "png"))
    use_svg = svg.exists() and (svg.stat().st_size <= LARGEST_SVG or not png.exists())
    kind, path = ("svg+xml", svg) if use_svg else ("png", png)
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    files = f"figures/{drawn['name']}.png, .svg, .csv"
    return Picture(drawn["title"], drawn["caption"], f"data:image/{kind};base64,{content}", files)


def minus(text: str) -> str:
    """The same with typographic minus signs before numbers.

    >>> minus("-0.1 [-∞, 0.2] of linear-10%")
    '−0.1 [−∞, 0.2] of linear-10%'
    """
    return _MINUS.sub("−", text)


def _evidence(report: Mapping[str, Any], figures: Path) -> list[Section]:
    def drawn(*kinds: str) -> tuple[Picture, ...]:
        return tuple(picture(row, figures) for kind in kinds for row in report["figures"] if row["kind"] == kind)

    return [
        Section("forest", "All comparisons", pictures=drawn("forest")),
        Section(
            "main-table",
            "Main table",
            "Estimates are means over pairs of runs that share a seed; intervals invert the exact test.",
            tables=_present(comparison_tables.comparisons(report, "confirmatory")),
            folded=_present(
                comparison_tables.comparisons(report, "exploratory"), comparison_tables.sensitivity(report)
            ),
        ),
        Section(
            "curves", "Evaluation curves", pictures=drawn("curves"), folded=_present(cell_tables.scores(report))
        ),
        Section("heatmaps", "Learning rate × warmup", pictures=drawn("heatmap")),
        Section("differences", "Paired differences", pictures=drawn("differences")),
        Section(
            "robustness",
            "Learning-rate robustness",
            "Does warmup raise the learning rate from which runs no longer learn?",
            tables=_present(comparison_tables.critical_rates(report), comparison_tables.phi(report)),
        ),
        Section(
            "stability",
            "Stability, seeds and time",
            "Exploratory: these numbers describe, and decide nothing.",
            pictures=drawn("time_to_threshold"),
            tables=_present(cell_tables.stability(report), cell_tables.across_seeds(report)),
            folded=_present(cell_tables.time_to_threshold(report), comparison_tables.dispersion(report)),
        ),
        Section(
            "dose",
            "Dose",
            "What the optimizer really received: learning rates read back at every step.",
            pictures=drawn("learning_rate"),
            tables=_present(cell_tables.dose(report)),
        ),
        Section(
            "diagnostics",
            "Diagnostics",
            "What happened inside training. Never part of a verdict.",
            pictures=drawn("diagnostics"),
            folded=_present(cell_tables.diagnostics(report)),
        ),
    ]


def _present(*found: Table | None) -> tuple[Table, ...]:
    return tuple(table for table in found if table is not None)


def _of(said: Sequence[Sentence], *kinds: str) -> list[Sentence]:
    return [sentence for sentence in said if sentence.kind in kinds]


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("rl_warmup.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = minus
    return environment.get_template("report.html")
