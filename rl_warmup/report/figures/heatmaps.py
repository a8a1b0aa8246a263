"""Heat maps of a grid of learning rates and warmups: what each cell reached, and its difference to the control."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.cells import Block
from rl_warmup.analysis.comparison import Comparison
from rl_warmup.report.figures.frames import heat_frame
from rl_warmup.report.figures.panels import CONTROL, VERDICTS, WIDTH, Looks, natural
from rl_warmup.report.figures.sheets import Sheet, headline, place, runs_words
from rl_warmup.report.tables import grouped
from rl_warmup.report.words import minus, short_rate

METRICS = ("final", "area")
SMALLEST, LARGEST = 2, 3  # of both sides of a grid, and of its longer one
WIDEST = 6  # learning rates for which two maps fit beside each other
# through white, from the color of worse to the color of better
DIVERGING = LinearSegmentedColormap.from_list("verdicts", [VERDICTS["worse"][1], "#FFFFFF", VERDICTS["better"][1]])


class Map(NamedTuple):
    """What a map shows of each cell, and its scale of colors."""

    column: str
    title: str
    colors: str | Colormap
    limits: tuple[float, float]


def heatmaps(blocks: Sequence[Block], comparisons: Sequence[Comparison], looks: Looks) -> list[Sheet]:
    """A figure for each base schedule (or other setting) with a grid of learning rates and warmups."""
    series = grouped(blocks, lambda block: f"{block.settings['schedule.name']} {block.rest}".rstrip())
    sheets = []
    for name, members in series.items():
        frame = heat_frame(members, comparisons, METRICS)
        sizes = sorted((frame["learning_rate"].n_unique(), frame["arm"].n_unique()))
        if sizes[0] >= SMALLEST and sizes[1] >= LARGEST and len(members) == frame["learning_rate"].n_unique():
            sheets.append(_sheet(frame, members[0], name if len(series) > 1 else "", looks))
    return sheets


def _sheet(frame: pl.DataFrame, block: Block, name: str, looks: Looks) -> Sheet:
    arms = sorted(frame["arm"].unique(), key=lambda arm: (looks[arm][0] != CONTROL, natural(arm)))
    rates = sorted(frame["learning_rate"].unique())
    across = 2 if len(rates) <= WIDEST else 1
    rows = 4 // across
    size = (WIDTH, rows * (0.75 + 0.34 * len(arms)) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, across, squeeze=False, sharex=True, sharey=True)
    reached, away = (
        frame["iqm"].drop_nulls(),
        max([abs(value) for value in frame["difference"].drop_nulls()] + [0.05]),
    )
    ends = (0.0, 1.0) if block.normalized else (min(reached, default=0.0), max(reached, default=1.0))
    kinds = (
        Map("iqm", "interquartile mean", "cividis", (min([ends[0], *reached]), max([ends[1], *reached]))),
        Map("difference", "mean difference to the control", DIVERGING, (-away, away)),
    )
    for index, metric in enumerate(METRICS):
        part = frame.filter(pl.col("metric") == metric)
        places = grid.T.ravel()[2 * index : 2 * index + 2]
        meshes = [_draw(axes, part, arms, rates, kind) for axes, kind in zip(places, kinds, strict=True)]
        for axes, kind in zip(places, kinds, strict=True):
            axes.set_title(f"{metric}: {kind.title}")
            _label(axes, frame, arms)
    labels = ("normalized return" if block.normalized else "return", "difference")
    for mesh, row, label in zip(meshes, (grid[0], grid[-1]), labels, strict=True):
        figure.colorbar(mesh, ax=list(row), label=label, pad=0.01, aspect=12)
    for axes in grid[-1]:
        axes.set_xlabel("peak learning rate" + ("" if frame["learning_rate_scale"].null_count() else " (× tuned)"))
    title = f"Learning rate × warmup: {place(block.group)}, n = {runs_words(frame['n'])} a cell"
    title += f", {name} schedule" if name else ""
    symbols = ", ".join(f"{symbol} {verdict}" for verdict, (symbol, _) in VERDICTS.items())
    unit = "normalized return: 0 a random policy, 1 the reference" if block.normalized else "return, not normalized"
    note = f"In {unit}. Verdicts: {symbols}; –: no runs."
    headline(figure, title, note)
    return Sheet("heatmap", title, note, frame, figure, name)


def _draw(axes: Axes, frame: pl.DataFrame, arms: Sequence[str], rates: Sequence[float], kind: Map) -> QuadMesh:
    """One map: color and number in each cell."""
    values: FloatArray = np.full((len(arms), len(rates)), np.nan)
    words = np.full(values.shape, "–", dtype=object)
    for row in frame.iter_rows(named=True):
        cell = arms.index(row["arm"]), rates.index(row["learning_rate"])
        words[cell] = _words(row, kind.column)
        if row[kind.column] is not None:
            values[cell] = row[kind.column]
    low, high = kind.limits
    mesh = axes.pcolormesh(values, cmap=kind.colors, vmin=low, vmax=high, edgecolor="white", linewidth=1.5)
    for (y, x), text in np.ndenumerate(words):
        color = "white" if np.isfinite(values[y, x]) and _dark(mesh, float(values[y, x])) else "black"
        axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=8, color=color)
    return mesh


def _label(axes: Axes, frame: pl.DataFrame, arms: Sequence[str]) -> None:
    rows = frame.unique("learning_rate", keep="last").sort("learning_rate").iter_rows(named=True)
    names = [short_rate(row, schedule=False, gap="\n") for row in rows]
    axes.set_xticks(np.arange(len(names)) + 0.5, names)
    axes.set_yticks(np.arange(len(arms)) + 0.5, arms)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylim(len(arms), 0)


def _words(row: dict[str, Any], column: str) -> str:
    """The text in a cell."""
    if row[column] is None:
        return "control" if row["is_control"] and row["n"] else "–"
    if column == "iqm":
        return f"{row['iqm']:.2f}"
    return minus(f"{round(row['difference'], 2) + 0.0:+.2f} {VERDICTS[row['verdict']][0]}")


def _dark(mesh: QuadMesh, value: float) -> bool:
    """Whether white is easier to read on the color of a value than black."""
    red, green, blue, _ = mesh.to_rgba(np.array([value]))[0]
    return bool(0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 < 0.18)
