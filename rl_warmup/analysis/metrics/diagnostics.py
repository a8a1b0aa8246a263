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
from rl_warmup.records.dose import dose_of

SPIKE = 6.0  # median absolute deviations above the median
SPIKE_WINDOW = 20  # phases before the one that is judged,
SPIKE_LEAST = 5  # or, at the beginning of the run, as many as there are, from this number on
EARLY = 0.01  # of the gradient steps of the run


def fill_episodes(episodes: pl.DataFrame, config: Mapping[str, Any]) -> pl.DataFrame:
    """Training episodes of a diverged run, with one more that is worth the floor for all steps that are missing.

    Missing are the environment steps up to `total_timesteps` that no episode with a finite return has. The last
    row is then as long as they are many.
    """
    seen = episodes.filter(pl.col("return").is_finite())
    total = int(config["total_timesteps"])
    missing = max(0, total - int(seen["length"].sum()))
    floor = {"env_step": total, "return": float(config["env"]["return_floor"]), "length": missing}
    return pl.concat([seen, pl.DataFrame([floor], schema=seen.schema)])


def online_return(episodes: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Return while learning, sum(return * length) / sum(length) over the training episodes, normalized.

    Weighing by length makes it a mean over environment steps. nan without an episode. Of a diverged run give
    the episodes as `fill_episodes` completes them.
    """
    steps = episodes["length"].sum()
    if not steps:
        return math.nan
    mean = float((episodes["return"] * episodes["length"]).sum()) / float(steps)
    return float(normalise(mean, config["env"]["return_low"], config["env"]["return_high"]))


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


def grad_norm(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Mean L2 norm of the gradient before clipping, over the gradient steps."""
    return _step_mean(updates, "grad_norm_mean")


def clipped_share(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Share of the gradient steps whose gradient was clipped."""
    return _step_mean(updates, "clipped_share")


def early_relative_update(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Mean |change of the parameters| / |parameters| of the phases that begin in the first 1% of the steps.

    The steps are the gradient steps that the run took; the first phase always counts.
    """
    if updates.is_empty():
        return math.nan
    begins = updates["gradient_step"] - updates["n_steps"]
    early = begins < max(1.0, EARLY * updates["gradient_step"][-1])
    return _mean(_finite(updates.filter(early), "relative_update"))


def approx_kl(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Mean over PPO's update phases of the approximate KL divergence from old to new policy, in nats."""
    return _mean(_finite(updates, "approx_kl"))


def clip_fraction(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Mean over PPO's update phases of the share of samples whose probability ratio was clipped."""
    return _mean(_finite(updates, "clip_fraction"))


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


def n_below_99(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Gradient steps whose delivered learning rate was below 99% of the base schedule."""
    return _dose(updates, "n_below_99")


def budget_lost(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """B = 1 - sum(rate) / sum(base rate) over the gradient steps: the share that the warmup took away."""
    return _dose(updates, "budget")


def learning_rate_mean(updates: pl.DataFrame, config: Mapping[str, Any]) -> float:
    """Mean delivered learning rate over the gradient steps."""
    return _dose(updates, "learning_rate_mean")


def _dose(updates: pl.DataFrame, key: str) -> float:
    dose = dose_of(updates)
    return math.nan if dose is None else dose[key]


def _finite(updates: pl.DataFrame, column: str) -> FloatArray:  # [phases that have a finite value]
    if column not in updates.columns:
        return np.empty(0)
    values = updates[column].to_numpy()
    return np.asarray(values[np.isfinite(values)])


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if values.size else math.nan


def _step_mean(updates: pl.DataFrame, column: str) -> float:
    """Mean over the gradient steps of what the table has as means over phases."""
    if column not in updates.columns:
        return math.nan
    values, steps = updates[column].to_numpy(), updates["n_steps"].to_numpy()
    seen = np.isfinite(values)
    return float(np.average(values[seen], weights=steps[seen])) if seen.any() else math.nan
