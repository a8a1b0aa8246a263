"""Refusal of settings that cannot be trained, before anything is."""

import math
import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from rl_warmup import schedules
from rl_warmup.config.schema import ConfigError, PPOConfig, RunConfig
from rl_warmup.config.study import check_conditions, contrasts_of, keys_of

T = TypeVar("T")
SHAPES = ("none", *schedules.RAMPS, *schedules.ADAM_RAMPS)
CHOICES = {
    "algo.name": ("ppo", "dqn"),
    "algo.clip_range_schedule": ("constant", "linear"),
    "schedule.name": tuple(schedules.BASES),
    "tracking.name": ("wandb", "disabled"),
    "tracking.mode": ("auto", "online", "offline"),
    "trainer.name": ("sb3", "stacked"),
    "trainer.envs": ("envpool", "gymnasium"),
    "algo.extractor": ("flatten", "small_cnn", "nature_cnn"),
    "warmup.shape": SHAPES,
}
LEAST = {
    "total_timesteps": 1,
    "threads": 1,
    "retries": 0,
    "evaluation.count": 2,  # step 0 and the end
    "evaluation.episodes": 1,
    "algo.n_envs": 1,
    "algo.batch_size": 1,
    "algo.n_steps": 1,
    "algo.n_epochs": 1,
    "algo.train_freq": 1,
    "algo.buffer_size": 1,
    "algo.learning_starts": 0,
    "algo.target_update_interval": 1,
}
SHARES = (
    "algo.gamma",
    "algo.gae_lambda",
    "algo.exploration_fraction",
    "algo.exploration_initial_eps",
    "algo.exploration_final_eps",
)
POSITIVE = (
    "env.reward_max",
    "algo.optimizer.eps",
    "algo.max_grad_norm",
    "algo.clip_range",
    "study.smallest_effect",
    "tuned_learning_rate",
)
NOT_OF_AN_ARM = (  # identity.NOT_IDENTITY, and what an arm has several of
    "runs_dir",
    "tracking",
    "study",
    "threads",
    "tuned_learning_rate",
    "learning_rate_scale",
    "retries",
    "plan_only",
    "seed",
)
MAX_SEED = 2**32 - 1


def check_values(config: RunConfig) -> None:
    """Refuse a value that is out of range by itself; what depends on the length of the run is `resolve`'s.

    Raises:
        ConfigError: naming the setting, its value, and what to use instead.
    """
    settings = {key: value for key, value in _settings(config) if value is not None}
    require(config.total_timesteps, "total_timesteps")
    for key, value in settings.items():
        if key in CHOICES and value not in CHOICES[key]:
            raise ConfigError(f"{key}={value} is not known; use one of: {', '.join(CHOICES[key])}")
        if key in LEAST and value < LEAST[key]:
            raise ConfigError(f"{key}={value} is too small; use {LEAST[key]} or more")
        if key in SHARES and not 0 <= value <= 1:
            raise ConfigError(f"{key}={value} is not a share; use a value from 0 to 1")
        if key in POSITIVE:
            positive(key, value)
        # The learning rate's and the warmup's own checks come later and say more.
        if isinstance(value, float) and not math.isfinite(value) and key.startswith(("env.", "algo.")):
            raise ConfigError(f"{key}={value} is not usable; use a finite number")
    check_seed(config.seed)
    _check_names(config)
    _check_declared(config)
    _check_algo(config, settings)


def check_seed(seed: int) -> None:
    """Refuse what no generator takes for a seed.

    Raises:
        ConfigError: with the range.
    """
    if not 0 <= seed <= MAX_SEED:
        raise ConfigError(f"seed={seed} is not a seed; use a whole number from 0 to {MAX_SEED}")


def _settings(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a config by its dotted key."""
    for field in fields(node):
        value = getattr(node, field.name)
        if is_dataclass(value):
            yield from _settings(value, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}", value


def _check_names(config: RunConfig) -> None:
    env, study = config.env, config.study.name
    if not env.return_floor <= env.return_low < env.return_high:
        raise ConfigError(
            f"env.return_floor={env.return_floor:g}, env.return_low={env.return_low:g} and "
            f"env.return_high={env.return_high:g} must satisfy floor <= low < high"
        )
    if study is not None and not re.fullmatch(r"\w[\w.-]*", study):
        raise ConfigError(f"study.name={study} is not the name of a folder; use letters, digits, '_', '.' and '-'")


def _check_declared(config: RunConfig) -> None:
    study = config.study
    try:
        check_conditions(study.control, study.comparisons)
    except ValueError as error:
        raise ConfigError(f"study.{error}") from error
    try:
        contrasts = contrasts_of(study.contrasts)
    except ValueError as error:
        raise ConfigError(f"study.contrasts: {error}") from error
    known = {key for key, _ in _settings(config)}
    _check_keys("study.control", study.control or (), known)
    for wanted in study.comparisons or ():
        _check_keys("study.comparisons", wanted, known)
    for contrast in contrasts:
        _check_keys(f"study.contrasts: {contrast.name!r}", keys_of(contrast), known)


def _check_keys(what: str, keys: Iterable[str], known: Set[str]) -> None:
    for key in sorted(keys):
        group = key.partition(".")[0]
        if group in NOT_OF_AN_ARM:
            raise ConfigError(
                f"{what} looks for {key}, and it does not tell arms apart; "
                "use learning_rate, warmup.name or another setting of an arm"
            )
        if key not in known and group != "algo":  # the algorithms have their own
            raise ConfigError(f"{what} looks for {key}, and there is no such setting")


def _check_algo(config: RunConfig, settings: dict[str, Any]) -> None:
    if isinstance(config.algo, PPOConfig) != (config.algo.name == "ppo"):
        raise ConfigError(f"algo.name={config.algo.name} has the settings of another; use algo={config.algo.name}")
    for beta in ("algo.optimizer.beta1", "algo.optimizer.beta2"):
        if not 0 <= settings[beta] < 1:
            raise ConfigError(f"{beta}={settings[beta]} is not usable; use a value from 0 to below 1")
    if min(settings["algo.net_arch"], default=1) < 1:
        raise ConfigError(f"algo.net_arch={settings['algo.net_arch']} has an empty layer; use widths of 1 or more")
    if settings["algo.name"] == "ppo":
        for size in ("batch_size", "n_steps"):
            transitions = settings[f"algo.{size}"] * (settings["algo.n_envs"] if size == "n_steps" else 1)
            if transitions < 2:
                raise ConfigError(f"algo.{size}={transitions}: PPO normalises advantages and needs 2 transitions")
    steps = settings.get("algo.gradient_steps", 1)
    if steps == 0 or steps < -1:
        raise ConfigError(f"algo.gradient_steps={steps} trains nothing; use 1 or more, or -1 for one a step")


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
