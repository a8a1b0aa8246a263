"""All figures of an analysis, drawn with matplotlib from tidy tables: PNG, SVG and the table as CSV."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import matplotlib as mpl

from rl_warmup.analysis.cells import Block
from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.study import Analysis
from rl_warmup.report.figures.diagnostics import diagnostics
from rl_warmup.report.figures.differences import differences
from rl_warmup.report.figures.forest import forest
from rl_warmup.report.figures.heatmaps import heatmaps
from rl_warmup.report.figures.lines import curves, learning_rates, time_to_threshold
from rl_warmup.report.figures.mechanisms import mechanisms
from rl_warmup.report.figures.panels import STYLE, looks_of
from rl_warmup.report.figures.sheets import Kind, Sheet, file_name, save
from rl_warmup.report.tables import grouped


@dataclass(frozen=True)
class Drawn:
    """A figure that was written: what its files are called, what it is, and what it says."""

    name: str  # of its files, without their suffix
    kind: Kind
    title: str
    caption: str  # how to read it
    files: tuple[Path, Path, Path]  # PNG, SVG, CSV


def draw(analysis: Analysis, folder: Path) -> list[Drawn]:
    """Draw every figure as PNG (150 dpi) and SVG, with its data as CSV, into `folder`; what was drawn.

    One forest plot for the whole study, then a set for each environment, algorithm, trainer and budget.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context(STYLE):
        for group, sheet in _sheets(analysis):
            name = "-".join(filter(None, (sheet.kind, group, re.sub(r"[^\w.-]+", "-", sheet.part))))
            drawn.append(Drawn(name, sheet.kind, sheet.title, sheet.caption, save(sheet, folder / name)))
    return drawn


def _sheets(analysis: Analysis) -> Iterator[tuple[str, Sheet]]:
    """Every figure with its group's name, one kind at a time, so that few are in memory."""
    for sheet in forest(analysis.comparisons, with_role("confirmatory"), analysis.pooled):
        yield "", sheet
    groups = grouped(analysis.blocks, attrgetter("group"))
    for group, members in groups.items():
        scales = grouped(members, attrgetter("normalized"))
        for normalized, blocks in scales.items():
            name = file_name(group, list(groups))
            for found in filter(None, _of_group(analysis, blocks)):
                yield name if normalized or len(scales) == 1 else f"{name}-not-normalized", found


def _of_group(analysis: Analysis, blocks: Sequence[Block]) -> Iterator[Sheet | None]:
    looks, group = looks_of(analysis, blocks), blocks[0].group
    comparisons = [
        found
        for found in analysis.comparisons
        if found.pairing.block.group == group and found.pairing.normalized == blocks[0].normalized
    ]
    yield curves(blocks, looks)
    yield from heatmaps(blocks, comparisons, looks)
    yield differences(comparisons, with_role("confirmatory"), looks)
    yield time_to_threshold(blocks, looks)
    yield learning_rates(blocks, looks)
    yield from diagnostics(blocks, looks)
    yield from mechanisms(blocks, looks)
