"""The scores of a cell's runs on every metric of the table, and the noise floors of those that have one."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.constants import Scale, bounded
from rl_warmup.analysis.metrics.curve import normalise, reached
from rl_warmup.analysis.metrics.noise_floor import RESAMPLES, beyond, floor_draws, floor_of
from rl_warmup.analysis.metrics.registry import metrics
from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.analysis.runs import Run
from rl_warmup.analysis.statistics.sign_flips import ROUNDING
from rl_warmup.config.settings import ConfigError


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What is known of the scored runs of a cell, by metric."""

    scores: Mapping[str, FloatArray]  # metric -> [scored]; nan: undefined for the run
    reached: NDArray[np.bool_]  # [scored], whether the threshold was reached
    floors: Mapping[str, FloatArray]  # metric with a noise floor -> [scored], its mean; nan: not known
    above_floor: Mapping[str, NDArray[np.bool_]]  # -> [scored], worse than 95% of its draws; False: also not known


def score(
    runs: Sequence[Run],
    grid: NDArray[np.int64],
    returns: FloatArray,  # [runs, grid], as `Cell.returns`
    settings: Mapping[str, Any],
    entropy: int,
) -> Scores:
    """Score runs that share their settings; `entropy` decides the draws of the noise floors, run by run."""
    scale, curves = Scale.of(settings), curves_of(runs, returns, settings)
    values = {name: _values(metric, runs, grid, curves, scale) for name, metric in metrics().items()}
    noise = [_noise(run, grid, scale.high - scale.low, entropy) for run in runs]
    together = np.stack(noise, axis=1) if noise else np.empty((RESAMPLES, 0, grid.size))
    noisy = [metric for metric in metrics().values() if metric.noise_floor]
    draws = {metric.name: _floors(metric, grid, together, scale) for metric in noisy}
    return Scores(
        scores=values,
        reached=reached(curves, scale.threshold),
        floors={name: drawn.mean(axis=0) for name, drawn in draws.items()},
        above_floor={one.name: beyond(values[one.name], draws[one.name], one.better) for one in noisy},
    )


def curves_of(
    runs: Sequence[Run],
    returns: FloatArray,  # [runs, grid], as `Cell.returns`
    settings: Mapping[str, Any],
) -> FloatArray:  # [runs, grid]
    """Returns within the bounds of the environment, and normalized where its constants are known."""
    scale = Scale.of(settings)
    within = [bounded(row, run.info.get("bounds")) for run, row in zip(runs, returns, strict=True)]
    return normalise(np.array(within).reshape(returns.shape), scale.low, scale.high)


def _values(
    metric: Metric, runs: Sequence[Run], grid: NDArray[np.int64], curves: FloatArray, scale: Scale
) -> FloatArray:  # [runs]
    """A metric of the runs' curves, or of each run's table; nan where there is none, or a constant is not known."""
    if not scale.serves(metric):
        return np.full(len(runs), np.nan)
    if metric.source != "curve":
        return _within(metric, np.array([_of_table(metric, run) for run in runs], dtype=np.float64), scale)
    known = np.isfinite(curves).all(axis=1)  # not so of a diverged run, where nothing says what that is worth
    values = np.full(len(curves), np.nan)
    found = np.asarray(metric.function(grid, curves[known], scale.threshold), dtype=np.float64)
    if found.shape != (known.sum(),):
        raise ConfigError(
            f"metric {metric.name}: it gives {found.shape} for {known.sum()} runs; give one number each"
        )
    values[known] = _within(metric, found, scale)
    return values


def _within(metric: Metric, values: FloatArray, scale: Scale) -> FloatArray:  # [runs]
    """A metric's values; rounding must not leave them outside its bounds."""
    bounds = metric.bounds(scale)
    if bounds is None:
        return values
    within = np.clip(values, *bounds)
    far = np.abs(within - values) > ROUNDING * (1 + np.abs(values))
    if far.any():
        low, high = bounds
        raise ConfigError(
            f"metric {metric.name}: it gives {values[far][0]:g}, and says that it lies in [{low:g}, {high:g}]"
        )
    return within


def _of_table(metric: Metric, run: Run) -> float:
    """A metric of a run's table; nan where there is none."""
    if run.small is not None:
        score = run.small.scores.get(metric.name)
        return math.nan if score is None else score
    table = getattr(run, metric.source)
    return math.nan if table is None else float(metric.function(table, run.info["config"]))


def _floors(
    metric: Metric, grid: NDArray[np.int64], noise: FloatArray, scale: Scale
) -> FloatArray:  # [resamples, runs]
    """A metric's values for runs that are nothing but noise; nan where what it needs is not known."""
    if not scale.serves(metric):
        return np.full(noise.shape[:2], np.nan)
    return floor_of(metric.function, grid, noise, float(np.nan_to_num(scale.threshold)))


def _noise(run: Run, grid: NDArray[np.int64], span: float, entropy: int) -> FloatArray:  # [resamples, grid]
    """Evaluation noise of a run in normalized return; none where a diverged run was not evaluated."""
    assert run.steps is not None
    rng = np.random.default_rng([entropy, zlib.crc32(run.run_id.encode())])
    if run.episode_returns is None:
        return np.full((RESAMPLES, grid.size), np.nan)
    noise = np.zeros((RESAMPLES, grid.size))
    noise[:, np.searchsorted(grid, run.steps)] = floor_draws(rng, run.episode_returns[np.newaxis] / span)[:, 0]
    return noise
