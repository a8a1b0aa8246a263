"""The forest plot: every comparison of a study at a glance, a row each, grouped by what it was trained on."""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rl_warmup.analysis.comparison import Comparison
from rl_warmup.analysis.families import PooledComparison
from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.report.figures.differences import Estimate, draw_estimates, head_metric
from rl_warmup.report.figures.frames import comparison_frame, pooled_frame
from rl_warmup.report.figures.panels import VERDICTS, WIDTH
from rl_warmup.report.figures.sheets import Sheet, headline, wrapped
from rl_warmup.report.words import GROUP, environment, range_words, short_rate

LONGEST = 60  # rows of a figure; more are continued in another one
ROW = (*GROUP, "schedule", "setting", "learning_rate", "contrast", "treatment", "control")
HEAD = 0.3  # rows between the names of the columns and the first heading
LABEL_LENGTH = 28  # characters of a line that says what is compared
SIGNS: Any = {"color": "0.35", "fontsize": 7.5, "ha": "right", "va": "center"}
ROW_HEIGHT, LABEL_WIDTH, MARGIN, TOP = 0.21, 3.4, 0.12, 0.75  # inches


class Line(NamedTuple):
    """A line of the plot: the heading of a group, or a comparison by the values of `ROW`."""

    text: str
    row: tuple[Any, ...] | None
    rate: float | None = None
    y: float = 0.0  # in rows from the top


def forest(
    comparisons: Sequence[Comparison], metrics: Sequence[Metric], pooled: Sequence[PooledComparison] = ()
) -> list[Sheet]:
    """All comparisons with intervals and verdicts, a panel a metric; in several figures if they are many.

    Pooled questions come first, drawn as diamonds.
    """
    names = [metric.name for metric in metrics]
    pages: list[tuple[pl.DataFrame, bool]] = []
    for normalized in (True, False):  # never on one scale
        shown = [one for one in comparisons if one.metric.name in names and one.pairing.normalized is normalized]
        frame = comparison_frame(shown)
        if not frame.is_empty():
            order = (*GROUP, "schedule", "setting", "learning_rate", "contrast", "family")
            frame = frame.sort(*order, maintain_order=True)
            if normalized and pooled:
                frame = pl.concat([pooled_frame(pooled), frame], how="diagonal_relaxed")
            pages += [(page, normalized) for page in _pages(frame)]
    return [_sheet(page, metrics, index, len(pages), normalized) for index, (page, normalized) in enumerate(pages)]


def _pages(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """The table in parts of at most `LONGEST` rows of the plot, equally long."""
    keys = frame.select(ROW).unique(maintain_order=True)
    pages = -(-keys.height // LONGEST)
    size = -(-keys.height // pages)
    numbered = frame.join(keys.with_row_index("page"), on=ROW, nulls_equal=True, how="left", maintain_order="left")
    return numbered.with_columns(pl.col("page") // size).partition_by(
        "page", maintain_order=True, include_key=False
    )


def _sheet(frame: pl.DataFrame, metrics: Sequence[Metric], index: int, pages: int, normalized: bool) -> Sheet:
    lines, note = _lines(frame), _note(frame)
    rows = lines[-1].y + 0.3 + 0.3 * (lines[-1].text.count("\n") + 1)
    foot = 0.3 + 0.16 * len(wrapped(note))  # inches for verdicts and note
    figure, grid = _grid(ROW_HEIGHT * (rows + HEAD), TOP + foot, len(metrics))
    grid[0].set_ylim(rows, -HEAD)
    _write_labels(grid[0], lines, frame)
    for axes, metric in zip(grid[1:], metrics, strict=True):
        part = frame.filter(pl.col("metric") == metric.name)
        if part.is_empty():
            axes.set_visible(False)  # undefined without the constants of the environment
        else:
            _draw_metric(axes, metric, part, lines, normalized)
    title = f"All comparisons, n = {range_words(frame['n'].to_list())} pairs of seeds"
    title += f" ({index + 1} of {pages})" if pages > 1 else ""
    above, below = headline(figure, title, note)
    above.set_y(1 - 0.12 / figure.get_figheight())
    below.set_y(0.1 / figure.get_figheight())
    _legend(figure, frame, foot)
    return Sheet("forest", title, note, frame, figure, str(index + 1) if index else "")


def _grid(height: float, bottom: float, metrics: int) -> tuple[Figure, Sequence[Axes]]:
    """A figure with axes of this height in inches above the `bottom`: for the labels, then for each metric."""
    whole = height + TOP + bottom
    figure = Figure(figsize=(WIDTH, whole))
    grid = figure.subplots(
        1,
        1 + metrics,
        sharey=True,
        width_ratios=[LABEL_WIDTH, *[(WIDTH - LABEL_WIDTH) / metrics] * metrics],
        gridspec_kw={
            "left": MARGIN / WIDTH,
            "right": 1 - 2.5 * MARGIN / WIDTH,
            "bottom": bottom / whole,
            "top": 1 - TOP / whole,
            "wspace": 0.2,
        },
    )
    return figure, list(grid)


def _lines(frame: pl.DataFrame) -> list[Line]:
    """Headings and rows from top to bottom; a row is as high as the words in it."""
    lines: list[Line] = []
    for group in frame.partition_by(*GROUP, maintain_order=True):
        env, algo, trainer, total = group.select(GROUP).row(0)
        many = f"{len(env.split())} environments together"  # their names would reach into the panels
        where = many if total is None else f"{environment(env)}, {total:,} steps"
        lines.append(Line(f"{algo.upper()} on {where} ({trainer})", None))
        for row in group.unique(ROW, keep="first", maintain_order=True).iter_rows(named=True):
            text = textwrap.fill(_words(row), LABEL_LENGTH)
            lines.append(Line(text, tuple(row[key] for key in ROW), row["learning_rate"]))
    heights = [1 if line.row is None else 0.4 + 0.6 * (line.text.count("\n") + 1) for line in lines]
    middles = np.cumsum(heights) - np.array(heights) / 2
    return [line._replace(y=float(y)) for line, y in zip(lines, middles, strict=True)]


def _words(row: dict[str, Any]) -> str:
    """What is compared: the treatment, and the control where it is not the arm without warmup."""
    if row["contrast"] is not None:
        return f"contrast: {row['contrast']}"
    against = "" if row["control"] == "none" else f" against {row['control']}"
    setting = f", {row['setting']}" if row["setting"] else ""
    schedule = "" if row["schedule"] == "constant" else f", {row['schedule']}"
    return f"{row['treatment']}{against}{schedule}{setting}"


def _write_labels(axes: Axes, lines: Sequence[Line], frame: pl.DataFrame) -> None:
    """The columns left of the plot: what is compared, at which learning rate, by how many pairs."""
    axes.set_axis_off()
    about = {tuple(row[key] for key in ROW): row for row in frame.iter_rows(named=True)}
    columns = {"comparison": (0.0, "left"), "learning rate": (0.58, "left"), "n": (1.03, "right")}
    for name, (x, side) in columns.items():
        axes.text(x, 1.0, name, transform=axes.transAxes, va="bottom", ha=side, color="0.35", fontsize=8.5)
    for line in lines:
        y = line.y
        if line.row is None:
            axes.text(
                0, y, line.text, weight="bold", va="center", fontsize=8.5, transform=axes.get_yaxis_transform()
            )
            continue
        row = about[line.row]
        words = (line.text, short_rate(row, schedule=False), str(row["n"]))
        for text, (x, side) in zip(words, columns.values(), strict=True):
            axes.text(x, y, text, va="center", ha=side, fontsize=8.5, transform=axes.get_yaxis_transform())


def _draw_metric(axes: Axes, metric: Metric, frame: pl.DataFrame, lines: Sequence[Line], normalized: bool) -> None:
    places = {line.row: line.y for line in lines if line.row is not None}
    effect: Any = frame["smallest_effect"].max()
    known = [*frame["estimate"], *frame["ci_low"], *frame["ci_high"]]
    widest = [abs(value) for value in known if value is not None]
    edge = max([*widest, 2 * (effect or 0.05)])
    axes.set_xlim(-1.08 * edge, 1.08 * edge)
    estimates: list[Estimate] = []
    pooled: list[Estimate] = []
    for row in frame.iter_rows(named=True):
        y, (symbol, color) = places[tuple(row[key] for key in ROW)], VERDICTS[row["verdict"]]
        axes.text(1.02, y, symbol, transform=axes.get_yaxis_transform(), color=color, va="center", weight="bold")
        if row["estimate"] is not None:
            filled = row["family"] == "confirmatory"
            low, high = row["ci_low"], row["ci_high"]
            one = Estimate(y, row["estimate"], low, high, color, filled)
            estimates.append(one)
            if row.get("agreeing") is not None:
                pooled.append(one)
                signs = f"{row['agreeing']} of {row['environments']}"
                axes.text(1.02, y + 0.75, signs, transform=axes.get_yaxis_transform(), **SIGNS)
    draw_estimates(axes, [one for one in estimates if one not in pooled], 5)
    if pooled:
        draw_estimates(axes, pooled, 6.5, marker="D")
    _draw_means(axes, frame, places)
    _draw_open_ends(axes, estimates)
    head_metric(axes, metric, effect, normalized)
    for above, line in pairwise(lines):
        if above.rate != line.rate and above.row is not None:
            axes.axhline((above.y + line.y) / 2, color="0.85", linewidth=0.6, zorder=0)
    axes.tick_params(left=False, labelleft=False)
    axes.locator_params(axis="x", nbins=3)


def _draw_means(axes: Axes, frame: pl.DataFrame, places: Mapping[Any, float]) -> None:
    """Thin, up to the edge of the panel: the interval of the mean, whatever rare runs do."""
    for row in frame.filter(pl.col("mean_ci_low").is_not_null()).iter_rows(named=True):
        y, (_, color) = places[tuple(row[key] for key in ROW)], VERDICTS[row["verdict"]]
        low, high = np.clip([row["mean_ci_low"], row["mean_ci_high"]], *axes.get_xlim())
        axes.plot([low, high], [y, y], color=color, linewidth=0.7, zorder=2)


def _draw_open_ends(axes: Axes, estimates: Sequence[Estimate]) -> None:
    """Dotted up to the edge of the panel where few pairs leave an interval open."""
    for one in estimates:
        for end, edge in zip((one.low, one.high), axes.get_xlim(), strict=True):
            if end is None:
                axes.plot([one.mean, edge], [one.y, one.y], color=one.color, linewidth=1.2, linestyle=":", zorder=2)


def _note(frame: pl.DataFrame) -> str:
    parts = ["Mean of treatment − control over pairs of seeds; thick: 95% interval in the runs seen"]
    if frame["mean_ci_low"].null_count() < frame.height:
        parts.append("thin: of the mean, whatever rare runs do")
    if "agreeing" in frame.columns and frame["agreeing"].null_count() < frame.height:
        parts.append("diamonds: all environments, weighted equally, and in how many of them the sign is the same")
    if frame["ci_low"].null_count():
        parts.append("dotted: too few pairs to bound it")
    if frame["smallest_effect"].null_count() < frame.height:
        parts.append("gray band: too small to matter")
    if frame["learning_rate_scale"].null_count() < frame.height:
        parts.append("×: of the tuned learning rate")
    if frame["family"].n_unique() > 1:
        parts.append("filled: confirmatory, hollow: exploratory")
    elif frame["family"][0] == "exploratory":
        parts.append("hollow: exploratory")
    return f"{'; '.join(parts)}."


def _legend(figure: Figure, frame: pl.DataFrame, height: float) -> None:
    """What the symbols mean and how often each verdict was given, below the panels."""
    counts = dict(frame.group_by("verdict").len().iter_rows())
    x, y = MARGIN / WIDTH, height / figure.get_size_inches()[1]
    for verdict, (symbol, color) in VERDICTS.items():
        if verdict in counts:
            text = f"{symbol}  {verdict} ({counts[verdict]})"
            figure.text(x, y, text, color=color, weight="bold", va="center", fontsize=9)
            x += 0.065 + 0.0075 * len(verdict)
