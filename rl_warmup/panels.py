"""What the figures share: colors, panels, names at the ends of lines, files."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from rl_warmup.analysis import Analysis
from rl_warmup.cells import Context, short

# Okabe and Ito's colors, told apart by color-blind readers; yellow is too pale for lines and comes last.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
CONTROL = "#222222"
Line = Literal["-", "--", "-.", ":"]
LINES: tuple[Line, ...] = ("-", "--", "-.", ":")
COLUMNS = 4
STYLE: Any = {
    "svg.hashsalt": "rl_warmup",  # else every file has other ids
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "figure.titlesize": 11,
}

Group = tuple[str, str, str, int]  # environment, algorithm, trainer, budget
Look = tuple[str, Line]  # color, line style
Looks = Mapping[str, Look]  # by the warmup's short name
Ends = Mapping[str, float]  # where the line of each warmup ends


def panels(
    contexts: Sequence[Context],
    looks: Looks,
    labels: tuple[str, str],
    paint: Callable[[Axes, Context, Looks], Ends],
    scale: Callable[[Sequence[Axes]], None],
) -> Figure:
    """One panel a context, wrapped; lines are named at their ends, or in a legend where panels are many."""
    columns = min(COLUMNS, len(contexts))
    rows = -(-len(contexts) // columns)
    direct = columns < 3
    size = (max(4.9 * columns, 7.0) if direct else 3.6 * columns, 3.0 * rows + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for unused in grid[len(contexts) :]:
        unused.set_visible(False)
    grid = grid[: len(contexts)]
    ends = [paint(axes, context, looks) for axes, context in zip(grid, contexts, strict=True)]
    scale(grid)
    for index, (axes, context) in enumerate(zip(grid, contexts, strict=True)):
        axes.set_title(panel_title(context, contexts))
        axes.set_xlabel(labels[0])
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_ylabel(labels[1] if index % columns == 0 else "")
        if direct:
            _name_ends(axes, ends[index], looks)
    if not direct:
        _legend(figure, sorted({name for found in ends for name in found}), looks)
    return figure


def title(figure: Figure, context: Context, text: str) -> None:
    """The figure's title: environment, algorithm, trainer and budget, then `text`."""
    env, algo, trainer, total = context.group
    what = f"{env}, {algo.upper()} ({trainer}), {total:,} environment steps".replace(",000 ", " 000 ")
    figure.suptitle(f"{what}\n{text}", x=0.01, ha="left", linespacing=1.4)


def panel_title(context: Context, contexts: Sequence[Context]) -> str:
    """The learning rate, and whatever else tells the panels apart."""
    rate = f"learning rate {context.settings['learning_rate']:.4g}"
    schedules = {other.settings["schedule.name"] for other in contexts}
    if len(schedules) > 1:
        rate += f", {context.settings['schedule.name']}"
    rest = context.label.partition(f" {context.settings['schedule.name']}")[2]
    return rate + rest.replace(" ", "\n", 1)


def range_words(counts: Sequence[int]) -> str:
    """Counts as a number or a range.

    >>> range_words([10]), range_words([10, 8, 9])
    ('10', '8 to 10')
    """
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def looks_of(analysis: Analysis, contexts: Sequence[Context]) -> dict[str, Look]:
    """Color and line of each warmup, the same in all panels; the control is black."""
    controls = {id(comparison.pairing.control) for comparison in analysis.comparisons}
    names: dict[str, bool] = {}
    for context in contexts:
        for cell in context.cells:
            control = id(cell) in controls or cell.warmup.get("name") == "none"
            names[short(cell.arm)] = names.get(short(cell.arm), False) or control
    looks: dict[str, Look] = {name: (CONTROL, "-") for name, control in names.items() if control}
    for index, name in enumerate(sorted(name for name, control in names.items() if not control)):
        looks[name] = (COLORS[index % len(COLORS)], LINES[index // len(COLORS) % len(LINES)])
    return looks


def spread(values: Sequence[float], gap: float) -> NDArray[np.float64]:
    """Positions near `values`, in the same order, at least `gap` apart.

    >>> spread([1.0, 1.0, 5.0], gap=1.0).tolist()
    [0.5, 1.5, 5.0]
    """
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


def file_name(group: Group, groups: Sequence[Group]) -> str:
    """What a group's files are called: environment and algorithm, and the rest only where it is needed.

    >>> file_name(("cartpole", "ppo", "sb3", 5000), [("cartpole", "ppo", "sb3", 5000)])
    'cartpole-ppo'
    """
    alike = [other for other in groups if other[:2] == group[:2]]
    parts = group[:2] if len(alike) == 1 else group
    return re.sub(r"[^\w.-]+", "-", "-".join(map(str, parts)))


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG (150 dpi) and SVG; the same figure gives the same files."""
    png, svg = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg"))
    figure.savefig(png, dpi=150, metadata={"Software": None})
    figure.savefig(svg, metadata={"Date": None, "Creator": None})
    return [png, svg]


def _name_ends(axes: Axes, ends: Ends, looks: Looks) -> None:
    """Write each line's name to the right of its end, pushed apart where they would overlap."""
    axes.set_ylim(axes.get_ylim())
    to_panel = axes.transScale + axes.transLimits
    heights = [float(to_panel.transform((1.0, value))[1]) for value in ends.values()]
    for name, height in zip(ends, spread(heights, 0.075), strict=True):
        axes.text(1.02, height, name, color=looks[name][0], transform=axes.transAxes, va="center")


def _legend(figure: Figure, names: Sequence[str], looks: Looks) -> None:
    names = sorted(names, key=lambda name: (looks[name][0] != CONTROL, name))
    lines = [Line2D([], [], color=looks[name][0], linestyle=looks[name][1], linewidth=2) for name in names]
    figure.legend(lines, names, loc="outside lower left", ncols=min(len(names), COLUMNS), frameon=False)
