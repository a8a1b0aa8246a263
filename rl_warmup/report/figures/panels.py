"""What the figures of lines share: colors, panels, names at the ends of lines."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import ArrayLike

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.cells import Block
from rl_warmup.analysis.study import Analysis
from rl_warmup.report.verdicts import SYMBOLS

# Okabe and Ito's colors, which color-blind readers can distinguish; yellow is too pale for lines and comes last.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
CONTROL = "#222222"
HUES = {"better": "#0072B2", "worse": "#D55E00", "equivalent": "#009E73", "inconclusive": "#767676"}
VERDICTS = {  # symbol and color: never distinguished by color only
    verdict: (symbol, HUES[verdict.split()[0]]) for verdict, symbol in SYMBOLS.items()
}
Line = Literal["-", "--", "-.", ":"]
LINES: tuple[Line, ...] = ("-", "--", "-.", ":")
WIDTH = 10.0  # inches: at 96 pixels an inch as wide as a page of the report
NAME_WIDTH = 18  # characters
LINE_HEIGHT, NAME_GAP = 0.135, 0.04  # inches, of the names at the ends of lines
RASTERIZED = 5000  # with more points than this, marks behind the estimates are pixels in the SVG
STYLE: Any = {
    "svg.hashsalt": "rl_warmup",  # else every file has other ids
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "figure.constrained_layout.h_pad": 0.07,
    "path.simplify_threshold": 0.2,
}

Look = tuple[str, Line]  # color, line style
Looks = Mapping[str, Look]  # by the warmup's short name
Ends = Mapping[str, float]  # where the line of each warmup ends


def panels(
    frame: pl.DataFrame,
    looks: Looks,
    labels: tuple[str, str],
    paint: Callable[[Axes, pl.DataFrame, Looks], Ends],
    shared: bool,
) -> tuple[Figure, list[str]]:
    """One panel for each `panel` of the frame, lines named right of each row; or the names for a legend if many.

    `shared`: whether all panels have one range of values, so that they can be compared.
    """
    parts = frame.partition_by("panel", maintain_order=True)
    columns = columns_of(len(parts))
    height = 3.3 if columns < 3 else 2.6  # inches
    figure, grid = _grid(len(parts), columns, height)
    ends = [paint(axes, part, looks) for axes, part in zip(grid, parts, strict=True)]
    if shared:
        share_limits(grid)
    for index, (axes, part) in enumerate(zip(grid, parts, strict=True)):
        first = index % columns == 0
        axes.set_title(narrow(part["panel"][0], columns))
        axes.set_xlabel(labels[0] if index + columns >= len(parts) else "")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_ylabel(labels[1] if first else "")
        axes.tick_params(labelleft=first or not shared)
    names = sorted({name for found in ends for name in found})
    gap = name_gap(names) / (height - 0.65)
    if gap * len(names) > 1 or any(set(found) != set(names) for found in ends):
        return figure, names
    for index in range(columns - 1, len(parts) + columns - 1, columns):
        last = min(index, len(parts) - 1)
        name_ends(grid[last], ends[last], looks, gap, in_layout=index == last)
    return figure, []


def _grid(count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels of this height in inches."""
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, height * rows + 0.9), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for unused in grid[count:]:
        unused.set_visible(False)
    return figure, grid[:count]


def columns_of(count: int) -> int:
    """Panels in a row.

    >>> [columns_of(count) for count in (1, 2, 3, 4, 5, 9, 10)]
    [1, 2, 3, 2, 3, 3, 4]
    """
    return {1: 1, 2: 2, 4: 2}.get(count, 3 if count <= 9 else 4)


def narrow(title: str, columns: int) -> str:
    """A panel's title, on two lines where four panels are in a row."""
    return title.replace(" (", "\n(") if columns > 3 else title


def share_limits(grid: Sequence[Axes]) -> None:
    """One range of values for all panels."""
    limits = np.array([axes.get_ylim() for axes in grid])
    for axes in grid:
        axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def looks_of(analysis: Analysis, blocks: Sequence[Block]) -> dict[str, Look]:
    """Color and line of each warmup, the same in all panels; the control is black."""
    pairings = [found.pairing for found in analysis.comparisons if found.pairing.contrast is None]
    controls = {id(pairing.control) for pairing in pairings}
    cells = [cell for block in blocks for cell in block.cells]
    black = {cell.short for cell in cells if id(cell) in controls or cell.warmup.get("name") == "none"}
    colored = {cell.short for cell in cells} - black
    looks: dict[str, Look] = {
        name: (CONTROL, LINES[index % len(LINES)])
        for index, name in enumerate(sorted(black, key=lambda name: (len(name), name)))
    }
    for index, name in enumerate(sorted(colored, key=natural)):
        looks[name] = (COLORS[index % len(COLORS)], LINES[index // len(COLORS) % len(LINES)])
    return looks


def natural(name: str) -> list[tuple[int, float, str]]:
    """Key by which labels are sorted, numbers in them by their value."""
    words = [(word, word.rstrip("%")) for word in name.split()]
    return [(1, float(n), "") if n.replace(".", "", 1).isdigit() else (0, 0.0, word) for word, n in words]


def spread(values: ArrayLike, gap: float) -> FloatArray:
    """Positions near `values`, in the same order, at least `gap` apart.

    >>> spread([1.0, 1.0, 5.0], gap=1.0).tolist()
    [0.5, 1.5, 5.0]
    """
    values = np.asarray(values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    blocks: list[tuple[float, int]] = []  # values that push each other: the mean of value - rank·gap, how many
    for rank, index in enumerate(order):
        mean, size = values[index] - rank * gap, 1
        while blocks and blocks[-1][0] >= mean:
            before, members = blocks.pop()
            mean, size = (before * members + mean * size) / (members + size), size + members
        blocks.append((mean, size))
    placed = np.empty(len(values))
    placed[order] = np.concatenate([np.full(size, mean) for mean, size in blocks]) + gap * np.arange(len(values))
    return placed


def name_gap(names: Sequence[str]) -> float:
    """Distance in inches between the names at the ends of lines."""
    lines = max(textwrap.fill(name, NAME_WIDTH).count("\n") + 1 for name in names)
    return LINE_HEIGHT * lines + NAME_GAP


def name_ends(axes: Axes, ends: Ends, looks: Looks, gap: float, in_layout: bool = True) -> None:
    """Write each line's name to the right of its end, at least `gap` of the panel's height apart and beside it.

    `in_layout`: whether room is made for the names; not where an empty panel leaves it.
    """
    axes.set_ylim(axes.get_ylim())
    to_panel = axes.transScale + axes.transLimits
    heights = [float(to_panel.transform((1.0, value))[1]) for value in ends.values()]
    for name, height in zip(ends, spread(inside(heights, gap), gap), strict=True):
        words = textwrap.fill(name, NAME_WIDTH)
        text = axes.text(1.02, height, words, color=looks[name][0], transform=axes.transAxes, va="center")
        text.set(linespacing=1.0, in_layout=in_layout)


def inside(values: Sequence[float], gap: float) -> FloatArray:
    """Values moved so that `spread` keeps them within 0 to 1, if they fit.

    >>> inside([1.0, 1.0, 0.2], gap=0.25).tolist()
    [0.75, 1.0, 0.2]
    """
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return np.clip(values, ranks * gap, np.maximum(1 - (len(values) - 1 - ranks) * gap, ranks * gap))
