"""Lines over training, a panel for each learning rate: returns, learning rates, time to the threshold."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from rl_warmup.analysis.cells import Block
from rl_warmup.report.figures.frames import by_cell, curve_frame, dose_frame, threshold_frame
from rl_warmup.report.figures.panels import CONTROL, RASTERIZED, Ends, Looks, panels
from rl_warmup.report.figures.sheets import Sheet, headline, place, runs_words
from rl_warmup.report.words import capital

ENV_STEPS = "environment steps"


def curves(blocks: Sequence[Block], looks: Looks) -> Sheet | None:
    """Evaluation curves: IQM over seeds at each evaluation with its interval, runs thin behind; None without."""
    frame = by_cell(blocks, curve_frame)
    if frame.is_empty():
        return None
    thresholds = _thresholds(blocks)
    paint = partial(_draw_curves, thresholds)
    figure, names = panels(frame, looks, (ENV_STEPS, "evaluation return"), paint, shared=True)
    title = f"Evaluation return: {place(blocks[0].group)}, {_arms(blocks)}"
    one = all(len(cell.scored) < 2 for block in blocks for cell in block.cells)
    middle = "Thick: interquartile mean over seeds; band: its 95% bootstrap interval; thin: single runs"
    solved = (
        f"dashed: the return from which the task counts as solved ({_listed(thresholds)})" if thresholds else ""
    )
    note = capital("; ".join(filter(None, ["" if one else middle, solved])) + ".") if solved or not one else ""
    headline(figure, title, note, names, looks)
    return Sheet("curves", title, f"Return of the evaluation episodes. {note}".rstrip(), frame, figure)


def learning_rates(blocks: Sequence[Block], looks: Looks) -> Sheet | None:
    """Learning rate read from the optimizer against gradient step, first seed of each cell; None if not known."""
    frame = by_cell(blocks, dose_frame)
    if frame.is_empty():
        return None
    total, shown = _last(frame["gradient_step"]), last_ramp(frame)
    drawn = frame.filter(pl.col("gradient_step") <= shown)
    figure, names = panels(drawn, looks, ("gradient step", "learning rate"), _draw_rates, shared=False)
    seeds = ", ".join(map(str, sorted(frame["seed"].unique())))
    title = f"Learning rate delivered: {place(blocks[0].group)}, n = 1 run an arm (seed {seeds})"
    note = "As read from the optimizer at the first and last gradient step of every update phase."
    if shown < total:
        note += f" The first {shown:,} of {total:,} gradient steps; after them all arms follow the base schedule."
    headline(figure, title, note, names, looks)
    return Sheet("learning_rate", title, note, frame, figure)


def time_to_threshold(blocks: Sequence[Block], looks: Looks) -> Sheet | None:
    """Share of runs that have reached the threshold (Kaplan-Meier); None without scored runs."""
    frame = by_cell(blocks, threshold_frame)
    if frame.is_empty():
        return None
    figure, names = panels(frame, looks, (ENV_STEPS, "share of runs at the threshold"), _draw_shares, shared=True)
    title = f"Time to the threshold: {place(blocks[0].group)}, {_arms(blocks)}"
    note = (
        f"Share of runs with an evaluation return of {_listed(_thresholds(blocks))} or more so far (Kaplan-Meier); "
        "runs that never get there are censored at the budget, not dropped."
    )
    headline(figure, title, note, names, looks)
    return Sheet("time_to_threshold", title, note, frame, figure)


def _thresholds(blocks: Sequence[Block]) -> list[float]:
    """The returns from which the task counts as solved, where they are known."""
    return sorted({value for block in blocks if (value := block.settings.get("env.threshold")) is not None})


def last_ramp(frame: pl.DataFrame) -> int:
    """Gradient steps worth showing: twice as many as differ from the base by 1%, or all if those are many."""
    steps = frame["gradient_step"]
    away = (frame["learning_rate_delivered"] - frame["learning_rate_base"]).abs() > 0.01 * frame[
        "learning_rate_base"
    ]
    total, last = _last(steps), _last(steps.filter(away))
    end = int(steps.filter(steps > last).min() or total)  # type: ignore[arg-type] # where the ramp has ended
    return 2 * end if last and 2 * end < 0.6 * total else total


def _last(steps: pl.Series) -> int:
    return int(steps.max() or 0)  # type: ignore[arg-type]


def _draw_curves(thresholds: Sequence[float], axes: Axes, part: pl.DataFrame, looks: Looks) -> Ends:
    ends: dict[str, float] = {}
    alpha = float(np.clip(15 / part.select("arm", "seed").n_unique(), 0.1, 0.3))  # of single runs, paler if many
    for arm in part.partition_by("arm", maintain_order=True):
        name = str(arm["arm"][0])
        color, line = looks[name]
        middle, runs = arm.filter(pl.col("seed").is_null()), arm.filter(pl.col("seed").is_not_null())
        steps = middle["env_step"].to_numpy()
        lines = runs.select("env_step", "return").to_numpy().reshape(-1, len(steps), 2)
        thin = LineCollection(list(lines), colors=color, linewidths=0.5, alpha=alpha, zorder=1)
        thin.set_rasterized(part.height > RASTERIZED)
        axes.add_collection(thin)
        if middle["ci_low"].null_count() < middle.height:
            band = middle["ci_low"].to_numpy(), middle["ci_high"].to_numpy()
            axes.fill_between(steps, *band, color=color, alpha=0.2, linewidth=0, zorder=2)
        axes.plot(steps, middle["return"].to_numpy(), color=color, linestyle=line, linewidth=1.8, zorder=3)
        known = middle["return"].to_numpy()
        known = known[np.isfinite(known)]
        ends[name] = float(known[-1] if known.size else np.nanmean(lines[..., 1]))
    for threshold in thresholds:
        axes.axhline(threshold, color="0.45", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.autoscale_view()
    axes.margins(x=0)
    return ends


def _draw_rates(axes: Axes, part: pl.DataFrame, looks: Looks) -> Ends:
    ends: dict[str, float] = {}
    arms = {str(arm["arm"][0]): arm for arm in part.partition_by("arm", maintain_order=True)}
    for name in sorted(arms, key=lambda name: looks[name][0] != CONTROL):  # the control below
        color, line = looks[name]
        rates = arms[name]["learning_rate_delivered"].to_numpy()
        width = 4.0 if color == CONTROL else 1.6  # the control stays visible where another line covers it
        axes.plot(arms[name]["gradient_step"].to_numpy(), rates, color=color, linestyle=line, linewidth=width)
        ends[name] = float(rates[-1])
    axes.margins(x=0)
    peak = max(float(np.max(line.get_ydata())) for line in axes.lines)
    axes.set_ylim(0, 1.08 * max(peak, 1e-12))  # from 0, so that a linear ramp looks like one
    return ends


def _draw_shares(axes: Axes, part: pl.DataFrame, looks: Looks) -> Ends:
    ends: dict[str, float] = {}
    for arm in part.partition_by("arm", maintain_order=True):
        name = str(arm["arm"][0])
        color, line = looks[name]
        shares = arm["share_reached"].to_numpy()
        axes.step(arm["env_step"].to_numpy(), shares, where="post", color=color, linestyle=line, linewidth=1.8)
        ends[name] = float(shares[-1])
    axes.margins(x=0)
    axes.set_ylim(-0.03, 1.03)
    return ends


def _arms(blocks: Sequence[Block]) -> str:
    return f"n = {runs_words(len(cell.scored) for block in blocks for cell in block.cells)} an arm"


def _listed(values: Sequence[float]) -> str:
    return " or ".join(f"{value:g}" for value in values)
