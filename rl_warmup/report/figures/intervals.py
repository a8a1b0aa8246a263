"""Means with intervals, as the forest plot and the paired differences draw them."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.report.words import metric_name


class Estimate(NamedTuple):
    """A mean with its interval, to be drawn at the height y."""

    y: float
    mean: float
    low: float | None
    high: float | None
    color: str
    filled: bool  # confirmatory; hollow: exploratory


def head_metric(axes: Axes, metric: Metric) -> None:
    """Name a panel of differences on one metric, with the direction in which treatment is better."""
    axes.set_title(metric_name(metric.name), weight="bold", pad=14)
    arrow = "better →" if metric.better == "higher" else "← better"
    axes.annotate(
        arrow, (0, 1), (0, 3), xycoords="axes fraction", textcoords="offset points", color="0.35", fontsize=8.5
    )
    axes.set_xlabel(f"treatment − control\n({metric.unit})", fontsize=8.5)


def draw_estimates(axes: Axes, estimates: Sequence[Estimate], size: float) -> None:
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
        facecolors=[one.color if one.filled else "white" for one in estimates],
        edgecolors=[one.color for one in estimates],
        linewidths=1.1,
        zorder=4,
    )
