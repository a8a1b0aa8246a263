"""Refusal of settings that cannot be trained, before anything is."""

import math
from typing import TypeVar

from rl_warmup import schedules
from rl_warmup.config import AlgoConfig, ConfigError, DQNConfig, PPOConfig, RunConfig

T = TypeVar("T")
SHAPES = ("none", *schedules.RAMPS, *schedules.ADAM_RAMPS)
MAX_SEED = 2**32 - 1


def check_values(config: RunConfig) -> None:
    """Refuse a value that is out of range by itself; what depends on the length of the run is `resolve`'s.

    Raises:
        ConfigError: naming the setting, its value, and what to use instead.
    """
    algo, evaluation = config.algo, config.evaluation
    for choice, value, known in (
        ("schedule.name", config.schedule.name, tuple(schedules.BASES)),
        ("warmup.shape", config.warmup.shape, SHAPES),
        ("tracking.name", config.tracking.name, ("wandb", "disabled")),
        ("tracking.mode", config.tracking.mode, ("auto", "online", "offline")),
    ):
        if value not in known:
            raise ConfigError(f"{choice}={value} is not known; use one of: {', '.join(known)}")
    if not 0 <= config.seed <= MAX_SEED:
        raise ConfigError(f"seed={config.seed} is not a seed; use a whole number from 0 to {MAX_SEED}")
    for name, count, least in (
        ("total_timesteps", require(config.total_timesteps, "total_timesteps"), 1),
        ("threads", config.threads, 1),
        ("evaluation.count", evaluation.count, 2),
        ("evaluation.episodes", evaluation.episodes, 1),
        ("algo.n_envs", algo.n_envs, 1),
        ("algo.batch_size", algo.batch_size, 1),
    ):
        if count < least:
            hint = " (step 0 and the end)" if name == "evaluation.count" else ""
            raise ConfigError(f"{name}={count} is too small; use {least} or more{hint}")
    _check_returns(config)
    _check_algo(algo)


def _check_returns(config: RunConfig) -> None:
    env, effect = config.env, config.study.smallest_effect
    if not env.return_floor <= env.return_low < env.return_high:
        raise ConfigError(
            f"env.return_floor={env.return_floor:g}, env.return_low={env.return_low:g} and "
            f"env.return_high={env.return_high:g} must satisfy floor <= low < high"
        )
    if effect is not None:
        positive("study.smallest_effect", effect)


def _check_algo(algo: AlgoConfig) -> None:
    optimizer = algo.optimizer
    for name in ("beta1", "beta2"):
        if not 0 <= getattr(optimizer, name) < 1:
            raise ConfigError(f"algo.optimizer.{name}={getattr(optimizer, name)} is not in [0, 1)")
    positive("algo.optimizer.eps", optimizer.eps)
    positive("algo.max_grad_norm", algo.max_grad_norm)
    if not 0 <= algo.gamma <= 1:
        raise ConfigError(f"algo.gamma={algo.gamma} is not a discount; use a value in [0, 1]")
    if isinstance(algo, PPOConfig):
        _at_least_one(algo, "n_steps", "n_epochs")
        if algo.n_steps * algo.n_envs < 2:
            raise ConfigError("algo.n_steps=1 with algo.n_envs=1 leaves PPO one transition; use more of either")
        if algo.clip_range_schedule not in ("constant", "linear"):
            raise ConfigError(
                f"algo.clip_range_schedule={algo.clip_range_schedule} is not known; use constant or linear"
            )
        positive("algo.clip_range", algo.clip_range)
    if isinstance(algo, DQNConfig):
        _at_least_one(algo, "train_freq", "buffer_size", "target_update_interval")
        if algo.gradient_steps == 0 or algo.gradient_steps < -1:
            raise ConfigError(
                f"algo.gradient_steps={algo.gradient_steps} trains nothing; use 1 or more, or -1 for one a step"
            )


def _at_least_one(algo: AlgoConfig, *names: str) -> None:
    for name in names:
        if getattr(algo, name) < 1:
            raise ConfigError(f"algo.{name}={getattr(algo, name)} is too small; use 1 or more")


def positive(name: str, value: float) -> float:
    """`value`, if it is finite and above 0."""
    if not math.isfinite(value) or value <= 0:
        raise ConfigError(f"{name}={value} is not usable; use a finite number above 0")
    return value


def require(value: T | None, name: str) -> T:
    """`value`, if it is set."""
    if value is None:
        raise ConfigError(f"{name} is not set; give {name}=")
    return value
