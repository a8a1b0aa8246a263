"""The spaces of environments, and whether an algorithm can act in them."""

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np

from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.schema import ConfigError, RunConfig
from rl_warmup.envs import vector

SMALLEST_NATURE_IMAGE = 36  # pixels on a side that its three convolutions need


def check_env(config: RunConfig) -> None:
    """Refuse an environment that cannot be made, or that the algorithm cannot act in.

    Raises:
        ConfigError: naming the environment, the reason and the way out.
    """
    env_id, backend = config.env.id, config.trainer.envs
    observations, actions = spaces(env_id, backend)
    if not isinstance(observations, gym.spaces.Box):
        raise ConfigError(f"env.id={env_id} has no Box observations, which the MLP policy needs")
    if ALGORITHMS[config.algo.name].discrete and not isinstance(actions, gym.spaces.Discrete):
        others = " or ".join(f"algo={name}" for name, algorithm in ALGORITHMS.items() if not algorithm.discrete)
        needs = f"which {config.algo.name.upper()} needs"
        raise ConfigError(f"env.id={env_id} has no discrete actions, {needs}; use {others}")
    stackable = isinstance(actions, gym.spaces.Discrete) or (
        isinstance(actions, gym.spaces.Box) and len(actions.shape) == 1
    )
    if config.trainer.name == "stacked" and not stackable:
        raise ConfigError(
            f"env.id={env_id} has the actions {actions}, and a stack knows only Discrete ones and vectors; "
            "use trainer=sb3"
        )
    _check_extractor(config, observations)


@cache
def spaces(env_id: str, backend: str | None = None) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Spaces of the observations and actions of one environment.

    Args:
        backend: who makes it, see `trainer.envs`.

    Raises:
        ConfigError: if it cannot be made.
    """
    if backend == "envpool":
        reason = vector.refusal(backend, env_id)
        if reason is not None:
            raise ConfigError(f"env.id={env_id} cannot be made by trainer.envs={backend}: {reason}")
        envs: Any = vector.make_envs(backend, env_id, [0])
    else:
        try:
            envs = vector.make(env_id, checked=True)
        except (gym.error.Error, ImportError) as error:
            raise ConfigError(f"env.id={env_id} cannot be made: {error}") from error
    envs.close()
    return envs.observation_space, envs.action_space


def _check_extractor(config: RunConfig, observations: gym.spaces.Box) -> None:
    """Refuse a convolutional network where there are no images for it."""
    extractor, shape = config.algo.extractor, observations.shape
    what = f"algo.extractor={extractor} does not go with env.id={config.env.id}, whose observations have"
    if extractor != "flatten" and len(shape) != 3:
        raise ConfigError(f"{what} the shape {shape}: it needs images; use algo.extractor=flatten")
    pixels = observations.dtype == np.uint8 and (observations.low == 0).all() and (observations.high == 255).all()
    if extractor == "nature_cnn" and not (pixels and sorted(shape)[1] >= SMALLEST_NATURE_IMAGE):
        raise ConfigError(
            f"{what} the shape {shape} and the type {observations.dtype}: it needs 36 by 36 pixels or more, "
            "from 0 to 255 each; use algo.extractor=small_cnn"
        )
