"""What the figures draw, as tidy tables in polars; each is written beside its figure as CSV."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.cells import Block, Cell, coordinates, rate_scale
from rl_warmup.analysis.comparison import Comparison
from rl_warmup.analysis.families import PooledComparison
from rl_warmup.analysis.statistics.estimators import iqm
from rl_warmup.analysis.statistics.survival import kaplan_meier
from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.report.words import tuned_rate

RESAMPLES = 500
POINTS = 500  # more phases of one run than this are not drawn one by one
BINS = 100  # parts of the gradient steps that a diagnostic is averaged over
OF_ALL = ("loss", "grad_norm_mean", "relative_update")


def panel_of(block: Block, blocks: Sequence[Block]) -> str:
    """Title of a block's panel: the learning rate, and what else distinguishes it from the other blocks."""
    words = tuned_rate(block.settings["learning_rate"], rate_scale(block))
    schedule = block.settings["schedule.name"]
    if len({other.settings["schedule.name"] for other in blocks}) > 1:
        words += f", {schedule}"
    return f"learning rate {words}" + (f"\n{block.rest}" if block.rest else "")


def iqm_band(
    values: FloatArray,  # [runs, evaluations]
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[FloatArray, FloatArray]:  # [evaluations] each
    """95% percentile bootstrap interval of the IQM at each evaluation; whole runs are resampled."""
    picked = rng.integers(len(values), size=(resamples, len(values)))
    out = len(values) // 4  # runs left out at either end
    by_evaluation = np.ascontiguousarray(values.T)
    means = np.stack(  # one evaluation at a time bounds the memory
        [np.sort(row[picked], axis=1)[:, out : len(values) - out].mean(axis=1) for row in by_evaluation], axis=1
    )
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def by_cell(blocks: Sequence[Block], frame_of: Callable[[Block, Cell], pl.DataFrame | None]) -> pl.DataFrame:
    """What `frame_of` gives for each cell below each other, with what it belongs to; an empty table without any."""
    parts = []
    for block in blocks:
        about = {
            "schedule": pl.lit(block.settings["schedule.name"]),
            "learning_rate": pl.lit(block.settings["learning_rate"], pl.Float64),
            "learning_rate_scale": pl.lit(rate_scale(block), pl.Float64),
            "setting": pl.lit(block.rest),
            "panel": pl.lit(panel_of(block, blocks)),
        }
        for cell in block.cells:
            part = frame_of(block, cell) if cell.scored else None
            if part is not None and not part.is_empty():
                named = {**about, "arm": pl.lit(cell.short)}
                parts.append(part.select(*(value.alias(key) for key, value in named.items()), pl.all()))
    return pl.concat(parts) if parts else pl.DataFrame()


def curve_frame(block: Block, cell: Cell) -> pl.DataFrame:
    """Evaluation returns: IQM over seeds with its 95% interval (seed null), then every run (without interval).

    Where a run diverged and nothing says what that is worth, there is no IQM.
    """
    n, size = cell.returns.shape
    low, high = np.full((2, size), np.nan) if n == 1 else iqm_band(cell.returns, np.random.default_rng(0))
    middle = np.where(np.isfinite(cell.returns).all(axis=0), [iqm(cell.returns, axis=0), low, high], np.nan)
    unknown = np.full(n * size, np.nan)
    frame = pl.DataFrame(
        {
            "seed": np.repeat([-1, *(run.seed for run in cell.scored)], size),
            "env_step": np.tile(block.steps, n + 1),
            "return": np.concatenate([middle[0], cell.returns.ravel()]),
            "ci_low": np.concatenate([middle[1], unknown]),
            "ci_high": np.concatenate([middle[2], unknown]),
        }
    )
    of_all = pl.int_range(pl.len()) < size
    return frame.with_columns(pl.when(~of_all).then("seed"), pl.col("ci_low", "ci_high").fill_nan(None))


def dose_frame(_: Block, cell: Cell) -> pl.DataFrame | None:
    """Learning rate read from the optimizer at the ends of each update phase, first scored seed of each cell."""
    updates = cell.scored[0].updates
    if updates is None or updates.is_empty():
        return None
    updates = updates[_spread_rows(updates.height)]
    end, first = updates["gradient_step"], updates["gradient_step"] - updates["n_steps"] + 1
    return pl.DataFrame(  # two points a phase: its first and its last gradient step, counted from 1
        {
            "seed": cell.scored[0].seed,
            "gradient_step": np.stack([first.to_numpy(), end.to_numpy()], axis=1).ravel(),
            "learning_rate_delivered": updates.select("learning_rate_first", "learning_rate_last")
            .to_numpy()
            .ravel(),
            "learning_rate_base": np.repeat(updates["base_learning_rate"].to_numpy(), 2),
        }
    )


def _spread_rows(height: int) -> NDArray[np.int64]:
    """All rows, or so many that neither a short ramp at the start nor a slow decay is lost."""
    if height <= 2 * POINTS:
        return np.arange(height)
    even, early = np.linspace(0, height - 1, POINTS), np.geomspace(1, height, POINTS) - 1
    return np.unique(np.concatenate([even, early]).astype(np.int64))


def threshold_frame(block: Block, cell: Cell) -> pl.DataFrame | None:
    """Kaplan-Meier estimate of the share of runs that have reached the threshold, at each step where it changes."""
    known = cell.timed
    if not known.any():
        return None
    times, surviving = kaplan_meier(cell.scores["time_to_threshold"][known], cell.reached[known])
    total = float(block.steps[-1])
    steps, shares = np.asarray(times) * total, 1 - np.asarray(surviving)
    return pl.DataFrame(
        {
            "n": int(np.count_nonzero(known)),
            "n_reached": int(np.count_nonzero(cell.reached[known])),
            "env_step": np.concatenate([[0.0], steps, [total]]),
            "share_reached": np.concatenate([[0.0], shares, shares[-1:]]),
        }
    )


def diagnostic_frame(block: Block, cell: Cell) -> pl.DataFrame | None:
    """Median and quartiles over seeds of what happens inside the runs, in each hundredth of the gradient steps."""
    if (small := cell.scored[0].small) is not None:
        return small.inside.get("diagnostics")
    names = (*OF_ALL, *ALGORITHMS[block.group[1]].shown)
    known = [run.updates.with_columns(seed=run.seed) for run in cell.scored if run.updates is not None]
    table = pl.concat(known) if known else pl.DataFrame()
    if table.is_empty():
        return None
    finite = [pl.when(pl.col(name).is_finite()).then(name) for name in names]
    return quartiles(_parts(table.with_columns(*finite), names), names, "part").drop("part")


def _parts(table: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The mean of each quantity in each part of each run, of largest values the largest; a row for each of them."""
    part = (pl.col("gradient_step") - 1) * BINS // pl.col("gradient_step").max()
    per_run = table.group_by("seed", part=part).agg(
        pl.col("gradient_step").max(),
        *(pl.col(name).max() if name.endswith("_max_abs") else pl.col(name).mean() for name in names),
    )
    return per_run.unpivot(names, index=["part", "gradient_step"], variable_name="quantity").drop_nulls("value")


def quartiles(values: pl.DataFrame, names: Sequence[str], by: str) -> pl.DataFrame:
    """Median and quartiles over seeds, sorted by quantity, in the order of `names`, and by the column `by`."""
    return (
        values.group_by(pl.col("quantity").cast(pl.Enum(names)), by)
        .agg(
            *([pl.col("gradient_step").max()] if by != "gradient_step" else []),
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("value").quantile(0.25, "linear").alias("quartile_low"),
            pl.col("value").median().alias("median"),
            pl.col("value").quantile(0.75, "linear").alias("quartile_high"),
        )
        .sort("quantity", by)
        .with_columns(pl.col("quantity").cast(pl.String))
    )


def comparison_frame(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    """One row per comparison that has pairs: estimate, interval and verdict."""
    rows = [_comparison(found) for found in comparisons if found.paired.n]
    return pl.DataFrame(rows, infer_schema_length=None)


def pooled_frame(pooled: Sequence[PooledComparison]) -> pl.DataFrame:
    """One row per pooled question, as of `comparison_frame`: all environments, in how many the sign is the same."""
    rows = []
    for found in pooled:
        one, asked = found.comparisons[0], found.asked
        row = _comparison(replace(one, paired=asked.pooled.paired, verdict=found.verdict))
        scaled = row["learning_rate_scale"] is not None
        rows.append(
            row
            | {"smallest_effect": asked.smallest_effect}
            | {
                "env": " ".join(asked.question.environments),
                "learning_rate": None if scaled else row["learning_rate"],
            }
            | {"total_timesteps": None, "agreeing": asked.pooled.agreeing, "environments": len(found.comparisons)}
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def pair_frame(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    """One row per pair of seeds: the metric in treatment and control, and their difference."""
    rows = []
    for found in comparisons:
        values = zip(found.pairing.seeds, *found.pairing.values(found.metric.name), strict=True)
        about = _about(found)
        rows += [
            {**about, "seed": seed, "value_treatment": one, "value_control": other, "difference": one - other}
            for seed, one, other in values
        ]
    return pl.DataFrame(rows, infer_schema_length=None)


def heat_frame(blocks: Sequence[Block], comparisons: Sequence[Comparison], metrics: Sequence[str]) -> pl.DataFrame:
    """One row per cell and metric: IQM over its runs, and its mean difference to the control with the verdict."""
    found = {
        (id(comparison.pairing.treatment), comparison.metric.name): comparison
        for comparison in comparisons
        if comparison.pairing.contrast is None
    }
    controls = {id(comparison.pairing.control) for comparison in found.values()}
    rows = [
        {
            **coordinates(block),
            "arm": cell.short,
            "is_control": id(cell) in controls,
            "metric": metric,
            "n": len(cell.scored),
            "iqm": float(iqm(values)) if values.size else None,
            "difference": None if comparison is None else comparison.paired.estimate,
            "verdict": None if comparison is None else comparison.verdict.headline,
        }
        for block in blocks
        for cell in block.cells
        for metric in metrics
        for comparison in [found.get((id(cell), metric))]
        for values in [cell.scores[metric][np.isfinite(cell.scores[metric])]]
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _about(found: Comparison) -> dict[str, Any]:
    pairing = found.pairing
    return {
        **coordinates(pairing.block),
        "setting": pairing.block.rest,
        "contrast": pairing.contrast,
        "treatment": pairing.treatment_label,
        "control": pairing.control_label,
        "metric": found.metric.name,
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    values = vars(found) | vars(found.paired) | vars(found.verdict)
    keys = ["family", "n", "estimate", "ci_low", "ci_high", "mean_ci_low", "mean_ci_high"]
    keys += ["p_adjusted", "p_mean_adjusted", "smallest_effect"]
    return _about(found) | {key: values[key] for key in keys} | {"verdict": found.verdict.headline}
