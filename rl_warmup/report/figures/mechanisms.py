"""What `diagnostics=full` measured: a figure for each mechanism by which warmup could matter, never a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from rl_warmup.analysis.cells import Block, Cell
from rl_warmup.report.figures.diagnostics import COLUMNS, draw_bands, set_scale
from rl_warmup.report.figures.frames import by_cell, quartiles
from rl_warmup.report.figures.panels import WIDTH, Looks, narrow
from rl_warmup.report.figures.sheets import Sheet, headline, place, runs_words

LIMIT = "stability_limit"
_LIMITED = ("critical_sharpness", "sharpness")
_SHARES = ("churn", "dormant", "dead")
_WARM = 0.99  # of the base learning rate: as much as a warmup has to reach to be over


@dataclass(frozen=True)
class Mechanism:
    """A figure: what it is called, what its columns begin with and how rows are labelled, and how to read it."""

    part: str
    title: str
    rows: dict[str, str]
    note: str = ""


MECHANISMS = (
    Mechanism(
        "sharpness",
        "Curvature and stability",
        {"critical_sharpness": "critical\nsharpness", "sharpness": "preconditioned\nsharpness", LIMIT: ""},
        "Thin: (2 + 2·β₁) / ((1 − β₁)·η), above which Adam is unstable: 38 / η. Critical sharpness is 2 / the step "
        "at which the loss would rise, and a bound of the preconditioned one from below.",
    ),
    Mechanism(
        "layers",
        "Size of the updates, by layer",
        {"relative_update_": "‖Δθ‖ / ‖θ‖", "angle_": "angle (°)"},
        "Of the weights and biases of a layer, over an update phase.",
    ),
    Mechanism(
        "policy",
        "Change of the policy",
        {
            "churn": "churn (share\nof states)",
            "policy_kl": "KL(π‖π′)\n(nats)",
            "policy_entropy": "entropy\n(nats)",
        },
        "Over an update phase, on the probe states; the first five phases are all measured.",
    ),
    Mechanism(
        "units",
        "Units that the networks use",
        {
            "dormant_": "dormant units\n(share)",
            "dead_": "dead units\n(share)",
            "effective_rank_": "effective rank",
        },
        "Dormant: mean |h| of at most 2.5% of its layer's mean; dead: 0. Rank: of what the last layer sees.",
    ),
    Mechanism(
        "noise",
        "Noise of the gradient",
        {"noise_scale_": "noise scale\n(transitions)"},
        "Transitions whose mean gradient has as much noise as signal; gaps: more than the probe batch can show.",
    ),
)


def mechanisms(blocks: Sequence[Block], looks: Looks) -> list[Sheet]:
    """A figure for each mechanism that was measured, four learning rates each; none for basic diagnostics."""
    sheets = []
    for mechanism in MECHANISMS:
        frame = by_cell(blocks, partial(mechanism_frame, mechanism))
        if frame.is_empty():
            continue
        names = frame["panel"].unique(maintain_order=True).to_list()
        pages = -(-len(names) // COLUMNS)
        size = -(-len(names) // pages)
        for page in range(pages):
            part = frame.filter(pl.col("panel").is_in(names[page * size : (page + 1) * size]))
            runs = runs_words(part.group_by("panel", "arm").agg(pl.col("n").max())["n"].sort())
            number = f" ({page + 1} of {pages})" if pages > 1 else ""
            title = f"{mechanism.title}: {place(blocks[0].group)}, n = {runs} an arm{number}"
            sheets.append(_sheet(mechanism, part, looks, title, f"-{page + 1}" if page else ""))
    return sheets


def mechanism_frame(mechanism: Mechanism, _: Block, cell: Cell) -> pl.DataFrame | None:
    """Median and quartiles over seeds of a mechanism's columns, at every phase that was measured."""
    if (small := cell.scored[0].small) is not None:
        return small.inside.get(mechanism.part)
    tables = [run.updates.with_columns(seed=run.seed) for run in cell.scored if run.updates is not None]
    if not tables:
        return None
    names = [n for start in mechanism.rows for n in tables[0].columns if _is_row(n, start)]
    if not names:
        return None
    table = pl.concat([one.select("seed", "gradient_step", *names) for one in tables])
    values = table.unpivot(names, index=["seed", "gradient_step"], variable_name="quantity")
    values = values.with_columns(pl.col("value").fill_nan(None)).drop_nulls("value")
    end = warmup_end(tables[0])
    return quartiles(values, names, "gradient_step").with_columns(warmup_end=pl.lit(end, pl.Int64))


def _is_row(name: str, start: str) -> bool:
    return name.startswith(start) and len(name) > len(start) if start.endswith("_") else name == start


def warmup_end(updates: pl.DataFrame) -> int | None:
    """Gradient steps until the learning rate stays at its base; None where it always is, or never comes there."""
    below = (updates["learning_rate_last"] < _WARM * updates["base_learning_rate"]).to_numpy()
    last = int(np.flatnonzero(below)[-1]) if below.any() else None
    return None if last is None or last == updates.height - 1 else int(updates["gradient_step"][last])


def _sheet(mechanism: Mechanism, frame: pl.DataFrame, looks: Looks, title: str, page: str) -> Sheet:
    quantities = [q for q in frame["quantity"].unique(maintain_order=True).to_list() if q != LIMIT]
    parts = frame.partition_by("panel", maintain_order=True)
    figure = Figure(
        figsize=(WIDTH, (1.25 if len(quantities) < 8 else 0.95) * len(quantities) + 1.5), layout="constrained"
    )
    grid = figure.subplots(len(quantities), len(parts), squeeze=False, sharey="row", sharex="col")
    for row, quantity in zip(grid, quantities, strict=True):
        shown = frame.filter(pl.col("quantity").is_in([quantity, LIMIT] if quantity in _LIMITED else [quantity]))
        low, high = _limits(shown)
        for axes, part in zip(row, parts, strict=True):
            draw_bands(axes, _within(part.filter(pl.col("quantity") == quantity), 2 * high), looks)
            _mark(axes, part, looks, quantity in _LIMITED)
        _scale(row[0], quantity, low, high)
        row[0].set_ylabel(_label(mechanism, quantity), fontsize=8)
    for axes, part in zip(grid[0], parts, strict=True):
        axes.set_title(narrow(part["panel"][0], len(parts)))
    for axes in grid[-1]:
        axes.set_xlabel("gradient step")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
    figure.align_ylabels(grid[:, 0])
    note = (
        f"{mechanism.note} Median over seeds with quartiles, on the probe batch; dotted: the learning rate has "
        "reached its base. Description only: no verdict rests on it."
    )
    headline(figure, title, note, frame["arm"].unique(maintain_order=True).to_list(), looks)
    return Sheet("diagnostics", title, note, frame, figure, f"{mechanism.part}{page}")


def _scale(axes: Axes, quantity: str, low: float, high: float) -> None:
    """That of the other diagnostics, but shares from 0 on, and nothing is taken beyond what is finite."""
    if quantity.startswith(_SHARES):
        axes.set_ylim(-0.05 * (high or 0.1), 1.05 * (high or 0.1))  # so that lines at 0 are seen
        axes.yaxis.set_major_locator(MaxNLocator(3))
        return
    set_scale(axes, low, high)
    if axes.get_yscale() == "log":
        axes.set_ylim(low / 1.3, 1.3 * high)


def _mark(axes: Axes, part: pl.DataFrame, looks: Looks, limited: bool) -> None:
    """Where each warmup ends, and the limit of stability."""
    for arm in part.partition_by("arm", maintain_order=True):
        color, line = looks[str(arm["arm"][0])]
        end = arm["warmup_end"][0]
        if end is not None:
            axes.axvline(end, color=color, linestyle=":", linewidth=0.9, zorder=0)
        if limited:
            limit = arm.filter(pl.col("quantity") == LIMIT)
            steps, middle = limit.select("gradient_step", "median").to_numpy().T
            axes.plot(steps, middle, color=color, linestyle=line, linewidth=0.6)


def _within(frame: pl.DataFrame, top: float) -> pl.DataFrame:
    """With quartiles that are infinite at the `top`, beyond what is shown: a band has no gaps."""
    quartiles = pl.col("quartile_low", "quartile_high")
    return frame.with_columns(pl.when(quartiles.is_infinite()).then(top).otherwise(quartiles).name.keep())


def _limits(frame: pl.DataFrame) -> tuple[float, float]:
    values = frame.select("quartile_low", "median", "quartile_high").to_numpy()
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def _label(mechanism: Mechanism, quantity: str) -> str:
    start = next(start for start in mechanism.rows if _is_row(quantity, start))
    part = quantity.removeprefix(start).replace("_", " ")
    return "\n".join(filter(None, (part, mechanism.rows[start])))
