"""What happened inside a run, from its tables of update phases and training episodes: one number a run.

A table of updates holds the phases that took gradient steps, of one run, in order. What its algorithm does not
record is nan, and phases whose value is not finite (the last of a diverged run) are left out.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.metrics.curve import normalise
from rl_warmup.records.read import dose_of

SPIKE = 6.0  # median absolute deviations above the median
SPIKE_WINDOW = 20  # phases before the one that is judged,
SPIKE_LEAST = 5  # or, at the beginning of the run, as many as there are, from this number on
EARLY = 0.01  # of the gradient steps of the run


def fill_episodes(episodes: pl.DataFrame, config: Mapping[str, Any], worst: float | None) -> pl.DataFrame:
    """Finite training episodes of a diverged run, then one of the `worst` return for the steps that are missing."""
    seen = episodes.filter(pl.col("return").is_finite())
    total = int(config["total_timesteps"])
    missing = max(0, total - int(seen["length"].sum()))
    floor = {"env_step": total, "return": math.nan if worst is None else float(worst), "length": missing}
    return pl.concat([seen, pl.DataFrame([floor], schema=seen.schema)])


def online_return(episodes: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Return while learning, sum(return * length) / sum(length) over the training episodes, normalized.

    Weighing by length makes it a mean over environment steps. nan without an episode. Of a diverged run give
    the episodes as `fill_episodes` completes them. Without `return_low` and `return_high` it is not normalized.
    """
    steps = episodes["length"].sum()
    if not steps:
        return math.nan
    mean = float((episodes["return"] * episodes["length"]).sum()) / float(steps)
    low, high = (config["env"].get(key) for key in ("return_low", "return_high"))
    return mean if low is None or high is None else float(normalise(mean, low, high))


def loss_spikes(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Share of the phases whose loss is above median + 6 MAD of the up to 20 phases before.

    The first five phases are not judged; nan if there are no more. MAD: median |x - median|, not rescaled.
    """
    loss = _finite(updates, "loss")
    if loss.size <= SPIKE_LEAST:
        return math.nan
    padded = np.concatenate([np.full(SPIKE_WINDOW, np.nan), loss])
    before = np.lib.stride_tricks.sliding_window_view(padded, SPIKE_WINDOW)[SPIKE_LEAST:-1]
    median = np.nanmedian(before, axis=1)
    mad = np.nanmedian(np.abs(before - median[:, np.newaxis]), axis=1)
    return float(np.mean(loss[SPIKE_LEAST:] > median + SPIKE * mad))


def step_mean(updates: pl.DataFrame, config: Mapping[str, Any], column: str) -> float:
    """Mean over the gradient steps of a column that holds means over phases."""
    if column not in updates.columns:
        return math.nan
    values, steps = updates[column].to_numpy(), updates["n_steps"].to_numpy()
    seen = np.isfinite(values)
    return float(np.average(values[seen], weights=steps[seen])) if seen.any() else math.nan


def phase_mean(updates: pl.DataFrame, config: Mapping[str, Any], column: str) -> float:
    """Mean of a column over the phases."""
    values = _finite(updates, column)
    return float(values.mean()) if values.size else math.nan


def dose(updates: pl.DataFrame, config: Mapping[str, Any], column: str) -> float:
    """One of the numbers of `dose_of`."""
    return (dose_of(updates) or {}).get(column, math.nan)


def early_relative_update(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Mean |change of the parameters| / |parameters| of the phases that begin in the first 1% of the steps.

    The steps are the gradient steps that the run took; the first phase always counts.
    """
    if updates.is_empty():
        return math.nan
    begins = updates["gradient_step"] - updates["n_steps"]
    early = begins < max(1.0, EARLY * updates["gradient_step"][-1])
    return phase_mean(updates.filter(early), config, "relative_update")


def q_max_abs(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Largest |Q| of DQN's predictions and targets, in (discounted) return."""
    values = _finite(updates, "q_max_abs")
    return float(values.max()) if values.size else math.nan


def soft_divergence(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """1.0 if DQN's max |Q| > reward_max / (1 - gamma), more than any policy can be worth; else 0.0.

    nan where that bound is not known: without `env.reward_max`, with gamma = 1, with normalized rewards.
    Source: van Hasselt et al., arXiv 1812.02648.
    """
    reward, gamma = config["env"].get("reward_max"), config["algo"].get("gamma")
    largest = q_max_abs(updates, config)
    if reward is None or gamma is None or gamma >= 1 or config["algo"].get("normalize") or math.isnan(largest):
        return math.nan
    return float(largest > reward / (1 - gamma))


def _finite(updates: pl.DataFrame, column: str) -> FloatArray:  # [phases that have a finite value]
    if column not in updates.columns:
        return np.empty(0)
    values = updates[column].to_numpy()
    return np.asarray(values[np.isfinite(values)])
