"""Matplotlib figures of an analysis: evaluation curves, learning rates delivered, paired differences."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rl_warmup.analysis import Analysis, Comparison
from rl_warmup.cells import Cell, Context, short
from rl_warmup.dose import phases
from rl_warmup.inference import iqm
from rl_warmup.metrics import METRICS
from rl_warmup.panels import (
    CONTROL,
    STYLE,
    Ends,
    Group,
    Looks,
    file_name,
    looks_of,
    panels,
    range_words,
    save,
    title,
)

RESAMPLES = 1000


def draw(analysis: Analysis, folder: Path) -> list[Path]:
    """Draw every figure as PNG (150 dpi) and SVG into `folder`, a set for each group of contexts; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[Group, list[Context]] = defaultdict(list)
    for context in analysis.contexts:
        groups[context.group].append(context)
    paths: list[Path] = []
    with mpl.rc_context(STYLE):
        for group, contexts in groups.items():
            looks = looks_of(analysis, contexts)
            comparisons = [found for found in analysis.comparisons if found.pairing.context.group == group]
            for kind, figure in (
                ("curves", curves(contexts, looks)),
                ("learning_rate", learning_rates(contexts, looks)),
                ("differences", differences(comparisons, looks)),
            ):
                name = f"{kind}-{file_name(group, list(groups))}"
                paths += [] if figure is None else save(figure, folder / name)
    return paths


def curves(contexts: Sequence[Context], looks: Looks) -> Figure | None:
    """Evaluation curves: IQM over seeds at each evaluation with its interval, runs thin behind; None without."""
    contexts = [context for context in contexts if any(cell.scored for cell in context.cells)]
    if not contexts:
        return None
    labels = ("environment steps", "evaluation return (sum of rewards)")
    figure = panels(contexts, looks, labels, _draw_curves, _share_limits)
    counts = [len(cell.scored) for context in contexts for cell in context.cells if cell.scored]
    n = range_words(counts)
    band = "" if max(counts) == 1 else ": IQM over seeds with 95% bootstrap interval, single runs thin"
    title(figure, contexts[0], f"evaluation return, n = {n} run{'s' if n != '1' else ''} an arm{band}")
    return figure


def learning_rates(contexts: Sequence[Context], looks: Looks) -> Figure | None:
    """Learning rate read from the optimizer against gradient step, first seed of each cell; None if not known."""
    contexts = [context for context in contexts if any(_first_dose(cell) is not None for cell in context.cells)]
    if not contexts:
        return None
    labels = ("gradient step", "learning rate")
    figure = panels(contexts, looks, labels, _draw_rates, _scale_rates)
    seeds = sorted({cell.scored[0].seed for context in contexts for cell in context.cells if cell.scored})
    which = f"seed {', '.join(map(str, seeds))}"
    title(figure, contexts[0], f"learning rate delivered, as read from the optimizer, n = 1 run an arm ({which})")
    return figure


def differences(comparisons: Sequence[Comparison], looks: Looks) -> Figure | None:
    """Treatment - control of each seed, with mean and interval, a panel a metric; None without any pair."""
    comparisons = [found for found in comparisons if found.paired.n]
    rows = [found.pairing for found in comparisons if found.metric.name == next(iter(METRICS))]
    rows.sort(key=lambda row: (row.family, short(row.treatment.arm), row.context.settings["learning_rate"]))
    if not rows:
        return None
    figure = Figure(figsize=(12.0, 1.9 + 0.55 * len(rows)), layout="constrained")
    grid = figure.subplots(1, len(METRICS), sharey=True)
    places = {id(row): len(rows) - 1 - index for index, row in enumerate(rows)}
    for axes, name in zip(grid, METRICS, strict=True):
        found = [comparison for comparison in comparisons if comparison.metric.name == name]
        _draw_metric(axes, found, places, looks)
    names = [
        f"{short(row.treatment.arm)}\nlearning rate {row.context.settings['learning_rate']:.4g}" for row in rows
    ]
    grid[0].set_yticks(range(len(rows)), names[::-1])
    grid[0].set_ylim(-0.6, len(rows) - 0.4)
    n = range_words([found.paired.n for found in comparisons])
    unbounded = all(found.paired.ci_low is None for found in comparisons)
    mean = "mean (too few pairs for a 95% interval)" if unbounded else "mean with 95% interval"
    text = f"difference to the control, n = {n} pairs of seeds: {mean}, one dot a pair"
    open_ = "" if all(row.family == "confirmatory" for row in rows) else "; hollow: exploratory"
    title(figure, rows[0].context, f"{text}; gray band: too small to matter{open_}")
    return figure


def iqm_band(
    values: NDArray[np.float64],  # [runs, evaluations]
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # [evaluations] each
    """95% percentile bootstrap interval of the IQM at each evaluation; whole runs are resampled."""
    picked = rng.integers(len(values), size=(resamples, len(values)))
    chunks = np.array_split(picked, 10)  # bounds the memory
    means = np.concatenate([iqm(values[rows], axis=1) for rows in chunks])
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def _draw_curves(axes: Axes, context: Context, looks: Looks) -> Ends:
    ends: dict[str, float] = {}
    for cell in context.cells:
        if not cell.scored:
            continue
        color, line = looks[short(cell.arm)]
        middle = iqm(cell.returns, axis=0)
        axes.plot(context.steps, cell.returns.T, color=color, linewidth=0.5, alpha=0.3, zorder=1)
        if len(cell.scored) > 1:
            low, high = iqm_band(cell.returns, np.random.default_rng(0))
            axes.fill_between(context.steps, low, high, color=color, alpha=0.2, linewidth=0, zorder=2)
        axes.plot(context.steps, middle, color=color, linestyle=line, linewidth=1.8, zorder=3)
        ends[short(cell.arm)] = float(middle[-1])
    threshold = context.cells[0].settings["env.threshold"]
    axes.axhline(threshold, color="0.55", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.annotate(
        f"solved from {threshold:g}", (0, threshold), (3, -11), textcoords="offset points", color="0.4", fontsize=8
    )
    axes.margins(x=0)
    return ends


def _share_limits(grid: Sequence[Axes]) -> None:
    """One range of returns for all panels, so that they can be compared."""
    limits = np.array([axes.get_ylim() for axes in grid])
    for axes in grid:
        axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def _draw_rates(axes: Axes, context: Context, looks: Looks) -> Ends:
    ends: dict[str, float] = {}
    for cell in sorted(context.cells, key=lambda cell: looks[short(cell.arm)][0] != CONTROL):
        updates = _first_dose(cell)
        if updates is None:
            continue
        color, line = looks[short(cell.arm)]
        # two points a phase: its first and its last gradient step, counted from 1
        end, first = updates["gradient_step"], updates["gradient_step"] - updates["n_steps"] + 1
        steps = np.stack([first.to_numpy(), end.to_numpy()], axis=1).ravel()
        rates = updates.select("learning_rate_first", "learning_rate_last").to_numpy().ravel()
        width = 3.5 if color == CONTROL else 1.6  # the control stays visible where another line covers it
        axes.plot(steps, rates, color=color, linestyle=line, linewidth=width, alpha=0.9)
        ends[short(cell.arm)] = float(rates[-1])
    axes.margins(x=0)
    return ends


def _scale_rates(grid: Sequence[Axes]) -> None:
    """Each panel from 0 to its own peak, so that a linear ramp looks like one."""
    for axes in grid:
        peak = max(float(np.max(line.get_ydata())) for line in axes.lines)
        axes.set_ylim(0, 1.08 * max(peak, 1e-12))


def _draw_metric(axes: Axes, found: Sequence[Comparison], places: dict[int, int], looks: Looks) -> None:
    metric, effect = found[0].metric, found[0].smallest_effect
    for comparison in found:
        _draw_row(
            axes, comparison, places[id(comparison.pairing)], looks[short(comparison.pairing.treatment.arm)][0]
        )
    if effect is not None:
        axes.axvspan(-effect, effect, color="0.9", linewidth=0, zorder=0)
    axes.axvline(0, color="0.4", linewidth=0.8, zorder=1)
    axes.set_title(metric.name.replace("_", " "))
    axes.set_xlabel(f"treatment − control\n({metric.unit}; {metric.better} is better)")
    if metric.binary:
        axes.set_xlim(-1.1, 1.1)
    axes.margins(x=0.08)


def _draw_row(axes: Axes, comparison: Comparison, place: int, color: str) -> None:
    """Dots below, mean and interval above them; no line where few pairs leave the interval without an end."""
    values, paired = comparison.differences, comparison.paired
    offsets = np.linspace(-0.26, -0.1, len(values)) if len(values) > 1 else np.array([-0.18])
    axes.scatter(values, place + offsets, s=9, color=color, alpha=0.55, linewidth=0, zorder=2)
    if paired.estimate is None:
        return
    if paired.ci_low is not None and paired.ci_high is not None:
        axes.plot([paired.ci_low, paired.ci_high], [place + 0.12] * 2, color=color, linewidth=2, zorder=3)
    hollow = comparison.pairing.family == "exploratory"
    face = "white" if hollow else color
    axes.plot(paired.estimate, place + 0.12, "o", color=color, markerfacecolor=face, markersize=6, zorder=4)


def _first_dose(cell: Cell) -> pl.DataFrame | None:
    """Update phases of the cell's first seed, if they are known."""
    updates = phases(cell.scored[0]) if cell.scored else None
    return None if updates is None or updates.is_empty() else updates
