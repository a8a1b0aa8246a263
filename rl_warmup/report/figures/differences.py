"""The paired differences of a group, a dot a pair of seeds; means with intervals, for the forest plot too."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rl_warmup.analysis.cells import rate_scale
from rl_warmup.analysis.comparison import Comparison
from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.analysis.pairs import Pairing
from rl_warmup.report.figures.frames import pair_frame
from rl_warmup.report.figures.panels import RASTERIZED, WIDTH, Looks, natural
from rl_warmup.report.figures.sheets import Sheet, headline, place
from rl_warmup.report.words import metric_name, range_words, tuned_rate

LABEL_LENGTH = 34  # characters
MANY = 12  # rows from which each takes a single line
CONTRAST = "0.35"  # color of contrasts, which are no arm's


class Estimate(NamedTuple):
    """A mean with its interval, to be drawn at the height y."""

    y: float
    mean: float
    low: float | None
    high: float | None
    color: str
    filled: bool  # confirmatory; hollow: exploratory


def differences(comparisons: Sequence[Comparison], metrics: Sequence[Metric], looks: Looks) -> Sheet | None:
    """Treatment - control of each seed, with mean and interval, a panel a metric; None without any pair."""
    names = [metric.name for metric in metrics]
    comparisons = [found for found in comparisons if found.paired.n and found.metric.name in names]
    rows = [found.pairing for found in comparisons if found.metric.name == names[0]]
    rows.sort(
        key=lambda row: (row.contrast or "", row.block.settings["learning_rate"], natural(row.treatment.short))
    )
    if not rows:
        return None
    many = len(rows) > MANY
    height = (0.3 if many else 0.48) * len(rows)
    figure = Figure(figsize=(WIDTH, 1.6 + height), layout="constrained")
    grid = figure.subplots(1, len(metrics), sharey=True)
    places = {id(row): len(rows) - 1 - index for index, row in enumerate(rows)}
    for axes, metric in zip(grid, metrics, strict=True):
        found = [comparison for comparison in comparisons if comparison.metric.name == metric.name]
        if found:
            _draw_metric(axes, metric, found, places, looks)
        else:
            axes.set_visible(False)  # undefined without the constants of the environment
    grid[0].set_yticks(range(len(rows)), [_label(row, ", " if many else "\nlearning rate ") for row in rows][::-1])
    grid[0].set_ylim(-0.6, len(rows) - 0.4)
    n = range_words([found.paired.n for found in comparisons])
    title = f"Paired differences: {place(rows[0].block.group)}, n = {n} pairs of seeds"
    note = _note(comparisons)
    headline(figure, title, note)
    return Sheet("differences", title, note, pair_frame(comparisons), figure)


def _label(row: Pairing, between: str) -> str:
    rate = tuned_rate(row.block.settings["learning_rate"], rate_scale(row.block))
    what = row.treatment_label if row.contrast is None else f"contrast: {row.contrast}"
    return f"{textwrap.fill(what, LABEL_LENGTH)}{between}{rate}"


def _note(comparisons: Sequence[Comparison]) -> str:
    open_ = all(found.paired.ci_low is None for found in comparisons)
    parts = ["Treatment − control, one dot a pair of seeds"]
    mean = " (too few pairs for a 95% interval)" if open_ else " with 95% interval in the runs seen"
    parts.append(f"above them the mean{mean}")
    if any(found.smallest_effect is not None for found in comparisons):
        parts.append("gray band: too small to matter")
    if any(found.family == "exploratory" for found in comparisons):
        parts.append("hollow: exploratory")
    return f"{'; '.join(parts)}."


def _draw_metric(
    axes: Axes, metric: Metric, found: Sequence[Comparison], places: dict[int, int], looks: Looks
) -> None:
    estimates, dots, colors = [], [], []
    for comparison in found:
        pairing, paired, y = comparison.pairing, comparison.paired, places[id(comparison.pairing)]
        color = CONTRAST if pairing.contrast else looks[pairing.treatment.short][0]
        values = comparison.differences
        offsets = np.linspace(-0.28, -0.1, len(values)) if len(values) > 1 else np.array([-0.18])
        dots.append(np.column_stack([values, y + offsets]))
        colors += [color] * len(values)
        if paired.estimate is not None:
            filled = comparison.family == "confirmatory"
            estimates.append(Estimate(y + 0.14, paired.estimate, paired.ci_low, paired.ci_high, color, filled))
    points = np.concatenate(dots)
    scatter = axes.scatter(points[:, 0], points[:, 1], s=9, color=colors, alpha=0.55, linewidth=0, zorder=2)
    scatter.set_rasterized(4 * len(points) > RASTERIZED)
    draw_estimates(axes, estimates, 6)
    head_metric(axes, metric, found[0].smallest_effect, found[0].pairing.normalized)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    if metric.binary:
        axes.set_xlim(-1.1, 1.1)
        axes.set_xticks([-1, 0, 1])
    axes.tick_params(left=False)


def head_metric(axes: Axes, metric: Metric, effect: float | None, normalized: bool) -> None:
    """Name a panel of differences on one metric, with zero, what is too small to matter, and where better is."""
    if effect is not None:
        axes.axvspan(-effect, effect, color="0.91", linewidth=0, zorder=0)
    axes.axvline(0, color="0.4", linewidth=0.8, zorder=1)
    axes.spines["left"].set_visible(False)
    axes.set_title(metric_name(metric.name), weight="bold", pad=14)
    arrow = "better →" if metric.better == "higher" else "← better"
    axes.annotate(
        arrow, (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", color="0.35", fontsize=8.5
    )
    axes.set_xlabel(f"treatment − control\n({metric.unit_of(normalized)})", fontsize=8.5)


def draw_estimates(axes: Axes, estimates: Sequence[Estimate], size: float, marker: str = "o") -> None:
    """Means with their intervals; no line where few pairs leave the interval without an end."""
    lines, colors = [], []
    for one in estimates:
        if one.low is not None and one.high is not None:
            lines.append([(one.low, one.y), (one.high, one.y)])
            colors.append(one.color)
    axes.add_collection(LineCollection(lines, colors=colors, linewidths=2, capstyle="butt", zorder=3))
    axes.scatter(
        [one.mean for one in estimates],
        [one.y for one in estimates],
        s=size**2,
        marker=marker,
        facecolors=[one.color if one.filled else "white" for one in estimates],
        edgecolors=[one.color for one in estimates],
        linewidths=1.1,
        zorder=4,
    )
