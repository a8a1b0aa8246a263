"""Heat maps of a grid of learning rates and warmups: what each cell reached, and its difference to the control."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rl_warmup.analysis.cells import Block
from rl_warmup.analysis.study import Comparison
from rl_warmup.report.figures.comparison_frames import heat_frame
from rl_warmup.report.figures.frames import setting_of
from rl_warmup.report.figures.panels import CONTROL, VERDICTS, WIDTH, Looks, natural
from rl_warmup.report.figures.sheets import Sheet, headline, place, range_words

METRICS = ("final", "area")
SMALLEST, LARGEST = 2, 3  # of both sides of a grid, and of its longer one
WIDEST = 6  # learning rates for which two maps fit beside each other
# through white, from the color of worse to the color of better
DIVERGING = LinearSegmentedColormap.from_list("verdicts", [VERDICTS["worse"][1], "#FFFFFF", VERDICTS["better"][1]])


def heatmaps(blocks: Sequence[Block], comparisons: Sequence[Comparison], looks: Looks) -> list[Sheet]:
    """A figure for each base schedule (or other setting) with a grid of learning rates and warmups."""
    series: dict[str, list[Block]] = {}
    for block in blocks:
        name = " ".join(filter(None, (block.settings["schedule.name"], setting_of(block))))
        series.setdefault(name, []).append(block)
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
    reached = _limits(frame["iqm"], 0.0, 1.0)
    away = max([abs(value) for value in frame["difference"].drop_nulls()] + [0.05])
    for index, metric in enumerate(METRICS):
        part = frame.filter(pl.col("metric") == metric)
        top, below = (
            grid.T.ravel()[2 * index : 2 * index + 2] if across == 2 else grid[2 * index : 2 * index + 2, 0]
        )
        first = _map(top, part, arms, rates, "iqm", "cividis", reached)
        top.set_title(f"{metric}: interquartile mean")
        second = _map(below, part, arms, rates, "difference", DIVERGING, (-away, away))
        below.set_title(f"{metric}: mean difference to the control")
    for mesh, axes, label in ((first, grid[0], "normalized return"), (second, grid[-1], "difference")):
        figure.colorbar(mesh, ax=list(axes), label=label, pad=0.01, aspect=12)
    for axes in grid[-1]:
        axes.set_xlabel("peak learning rate" + ("" if frame["learning_rate_scale"].null_count() else " (× tuned)"))
    title = f"Learning rate × warmup: {place(block.group)}, n = {_runs(frame)} a cell"
    title += f", {name} schedule" if name else ""
    symbols = ", ".join(f"{symbol} {verdict}" for verdict, (symbol, _) in VERDICTS.items())
    note = f"In normalized return: 0 a random policy, 1 the reference. Verdicts: {symbols}; –: no runs."
    headline(figure, title, note)
    return Sheet("heatmap", title, note, frame, figure, name)


def _map(
    axes: Axes,
    frame: pl.DataFrame,
    arms: Sequence[str],
    rates: Sequence[float],
    column: str,
    colors: str | Colormap,
    limits: tuple[float, float],
) -> QuadMesh:
    """One map: color and number in each cell."""
    values: NDArray[np.float64] = np.full((len(arms), len(rates)), np.nan)
    for row in frame.iter_rows(named=True):
        x, y = rates.index(row["learning_rate"]), arms.index(row["arm"])
        if row[column] is not None:
            values[y, x] = row[column]
    mesh = axes.pcolormesh(values, cmap=colors, vmin=limits[0], vmax=limits[1], edgecolor="white", linewidth=1.5)
    words = _words(frame, column)
    for y, arm in enumerate(arms):
        for x, rate in enumerate(rates):
            dark = np.isfinite(values[y, x]) and _dark(mesh, values[y, x])
            text = words.get((arm, rate), "–")
            axes.text(
                x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=8, color="white" if dark else "black"
            )
    scales = dict(frame.select("learning_rate", "learning_rate_scale").iter_rows())
    names = [f"{rate:.4g}" + (f"\n({scales[rate]:.4g}×)" if scales[rate] else "") for rate in rates]
    axes.set_xticks(np.arange(len(rates)) + 0.5, names)
    axes.set_yticks(np.arange(len(arms)) + 0.5, arms)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylim(len(arms), 0)
    return mesh


def _words(frame: pl.DataFrame, column: str) -> dict[tuple[str, float], str]:
    """What stands in each cell."""
    words = {}
    for row in frame.iter_rows(named=True):
        words[row["arm"], row["learning_rate"]] = _cell_words(row, column)
    return words


def _cell_words(row: dict[str, Any], column: str) -> str:
    if row[column] is None:
        return "control" if row["is_control"] and row["n"] else "–"
    if column == "iqm":
        return f"{row['iqm']:.2f}"
    return f"{round(row['difference'], 2) + 0.0:+.2f} {VERDICTS[row['verdict']][0]}".replace("-", "−")


def _dark(mesh: QuadMesh, value: float) -> bool:
    """Whether white is easier to read on the color of a value than black."""
    red, green, blue, _ = mesh.to_rgba(np.array([value]))[0]
    return bool(0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 < 0.18)


def _limits(values: pl.Series, low: float, high: float) -> tuple[float, float]:
    """A range that holds `low` to `high` and all values."""
    known = values.drop_nulls().to_list()
    return min([low, *known]), max([high, *known])


def _runs(frame: pl.DataFrame) -> str:
    counts = frame.filter(pl.col("n") > 0)["n"].to_list()
    return f"{range_words(counts)} run{'s' if max(counts) > 1 else ''}"
