"""What happens inside the runs over gradient steps: a row of panels a quantity, a column a learning rate."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from rl_warmup.analysis.cells import Block
from rl_warmup.report.figures.frames import BINS, by_cell, diagnostic_frame
from rl_warmup.report.figures.panels import WIDTH, Looks, narrow
from rl_warmup.report.figures.sheets import Sheet, headline, place, runs_words

COLUMNS = 4  # learning rates of a figure; more are continued in another one
WIDE = 30.0  # a quantity that spans more than this factor is drawn on a logarithmic scale
QUANTITIES = {
    "loss": "loss",
    "grad_norm_mean": "gradient norm\nbefore clipping",
    "relative_update": "‖Δθ‖ / ‖θ‖\nan update phase",
    "approx_kl": "approximate KL\n(nats)",
    "clip_fraction": "clip fraction\n(share of samples)",
    "td_error_mean": "TD error\n(mean |target − Q|)",
    "q_max_abs": "largest |Q|",
}


def diagnostics(blocks: Sequence[Block], looks: Looks) -> list[Sheet]:
    """Medians and quartiles over seeds, four learning rates a figure; nothing without readable updates."""
    frame = by_cell(blocks, diagnostic_frame)
    if frame.is_empty():
        return []
    names = frame["panel"].unique(maintain_order=True).to_list()
    pages = -(-len(names) // COLUMNS)
    size = -(-len(names) // pages)
    limits = frame.group_by("quantity").agg(pl.col("quartile_low").min(), pl.col("quartile_high").max())
    scales = {str(row[0]): (float(row[1]), float(row[2])) for row in limits.iter_rows()}
    sheets = []
    for page in range(pages):
        part = frame.filter(pl.col("panel").is_in(names[page * size : (page + 1) * size]))
        runs = runs_words(part.group_by("panel", "arm").agg(pl.col("n").max())["n"].sort())
        number = f" ({page + 1} of {pages})" if pages > 1 else ""
        title = f"Inside the runs: {place(blocks[0].group)}, n = {runs} an arm{number}"
        sheets.append(_sheet(part, looks, scales, title, str(page + 1) if page else ""))
    return sheets


def _sheet(
    frame: pl.DataFrame, looks: Looks, scales: dict[str, tuple[float, float]], title: str, number: str
) -> Sheet:
    quantities = frame["quantity"].unique(maintain_order=True).to_list()
    parts = frame.partition_by("panel", maintain_order=True)
    figure = Figure(figsize=(WIDTH, 1.25 * len(quantities) + 1.4), layout="constrained")
    grid = figure.subplots(len(quantities), len(parts), squeeze=False, sharey="row", sharex="col")
    for row, quantity in zip(grid, quantities, strict=True):
        for axes, part in zip(row, parts, strict=True):
            draw_bands(axes, part.filter(pl.col("quantity") == quantity), looks)
        set_scale(row[0], *scales[quantity])
        row[0].set_ylabel(QUANTITIES[quantity], fontsize=8)
    for axes, part in zip(grid[0], parts, strict=True):
        axes.set_title(narrow(part["panel"][0], len(parts)))
    for axes in grid[-1]:
        axes.set_xlabel("gradient step")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    figure.align_ylabels(grid[:, 0])
    note = (
        f"Median over seeds with quartiles; of each run the mean over each {1 / BINS:.0%} of its gradient steps "
        "(of |Q| the maximum). Description only: no verdict rests on it."
    )
    headline(figure, title, note, frame["arm"].unique(maintain_order=True).to_list(), looks)
    return Sheet("diagnostics", title, note, frame, figure, number)


def draw_bands(axes: Axes, frame: pl.DataFrame, looks: Looks) -> None:
    """A line with its quartiles for each arm."""
    bands, colors = [], []
    for arm in frame.partition_by("arm", maintain_order=True):
        color, line = looks[str(arm["arm"][0])]
        steps, low, middle, high = (
            arm.select("gradient_step", "quartile_low", "median", "quartile_high").to_numpy().T
        )
        bands.append(np.column_stack([np.append(steps, steps[::-1]), np.append(low, high[::-1])]))
        colors.append(color)
        axes.plot(steps, middle, color=color, linestyle=line, linewidth=1.2)
    axes.add_collection(PolyCollection(bands, facecolors=colors, alpha=0.18, linewidths=0))
    axes.margins(x=0)
    axes.autoscale_view()


def set_scale(axes: Axes, low: float, high: float) -> None:
    """A logarithmic scale where all is positive and spans much, else a linear one."""
    if low > 0 and high / low > WIDE:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=4))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(3))
