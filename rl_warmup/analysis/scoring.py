"""The scores of a cell's runs on every metric of the table, and the noise floors of those that have one."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.dose import phases
from rl_warmup.analysis.metrics.curve import normalise, reached
from rl_warmup.analysis.metrics.diagnostics import fill_episodes
from rl_warmup.analysis.metrics.noise_floor import RESAMPLES, beyond, floor_draws, floor_of
from rl_warmup.analysis.metrics.registry import metrics
from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.analysis.runs import Run
from rl_warmup.config.schema import ConfigError


@dataclass(frozen=True)
class Scores:
    """What is known of the scored runs of a cell, by metric."""

    scores: Mapping[str, FloatArray]  # metric -> [scored]; nan: undefined for the run
    floors: Mapping[str, FloatArray]  # metric with a noise floor -> [scored], mean of the floor; nan: not known
    above_floor: Mapping[str, NDArray[np.bool_]]  # metric with a noise floor -> [scored]; False: also not known
    reached: NDArray[np.bool_]  # [scored], whether the threshold was reached


def score(
    runs: Sequence[Run],
    grid: NDArray[np.int64],
    returns: FloatArray,  # [runs, grid], diverged runs at the floor
    settings: Mapping[str, Any],
    entropy: int,
) -> Scores:
    """Score runs that share their settings; `entropy` decides the draws of the noise floors, run by run."""
    low, high = settings["env.return_low"], settings["env.return_high"]
    threshold = float(normalise(settings["env.threshold"], low, high))
    curves = normalise(returns, low, high)
    tables = {"updates": [phases(run) for run in runs], "episodes": [_episodes(run) for run in runs]}
    values = {
        name: _of_curves(metric, grid, curves, threshold)
        if metric.source == "curve"
        else _of_tables(metric, tables[metric.source], runs)
        for name, metric in metrics().items()
    }
    floors, above = _floors(runs, grid, values, settings, threshold, entropy)
    return Scores(values, floors, above, reached(curves, threshold))


def _episodes(run: Run) -> pl.DataFrame | None:
    """Training episodes, those of a diverged run completed at the floor; None if they cannot be read."""
    if run.episodes is None or run.status != "diverged":
        return run.episodes
    return fill_episodes(run.episodes, run.info["config"])


def _of_curves(metric: Metric, grid: NDArray[np.int64], curves: FloatArray, threshold: float) -> FloatArray:
    """A metric of the curves, [runs, evaluations] -> [runs]."""
    values = np.asarray(metric.function(grid, curves, threshold), dtype=np.float64)
    if values.shape != curves.shape[:1]:
        raise ConfigError(
            f"metric {metric.name}: it gives {values.shape} for {len(curves)} runs; give one number each"
        )
    return values


def _of_tables(metric: Metric, tables: Sequence[pl.DataFrame | None], runs: Sequence[Run]) -> FloatArray:  # [runs]
    """A metric of each run's table; nan where there is none."""
    values = [
        math.nan if table is None else float(metric.function(table, run.info["config"]))
        for table, run in zip(tables, runs, strict=True)
    ]
    return np.array(values, dtype=np.float64)


def _floors(
    runs: Sequence[Run],
    grid: NDArray[np.int64],
    values: Mapping[str, FloatArray],
    settings: Mapping[str, Any],
    threshold: float,
    entropy: int,
) -> tuple[dict[str, FloatArray], dict[str, NDArray[np.bool_]]]:
    """Mean noise floor of each run, and whether its score lies beyond; every run has draws of its own."""
    span = settings["env.return_high"] - settings["env.return_low"]
    noise = [_noise(run, grid, span, entropy) for run in runs]
    together = np.stack(noise, axis=1) if noise else np.empty((RESAMPLES, 0, grid.size))
    floors, above = {}, {}
    for metric in metrics().values():
        if metric.noise_floor:
            draws = floor_of(metric.function, grid, together, threshold)
            floors[metric.name] = draws.mean(axis=0)
            above[metric.name] = beyond(values[metric.name], draws, metric.better)
    return floors, above


def _noise(run: Run, grid: NDArray[np.int64], span: float, entropy: int) -> FloatArray:  # [resamples, grid]
    """Evaluation noise of a run in normalized return; none where a diverged run was not evaluated."""
    assert run.steps is not None
    rng = np.random.default_rng([entropy, zlib.crc32(run.run_id.encode())])
    if run.episode_returns is None:
        return np.full((RESAMPLES, grid.size), np.nan)
    noise = np.zeros((RESAMPLES, grid.size))
    noise[:, np.searchsorted(grid, run.steps)] = floor_draws(rng, run.episode_returns[np.newaxis] / span)[:, 0]
    return noise
