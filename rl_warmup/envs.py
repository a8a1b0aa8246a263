"""Building environments, their seeds, and evaluation."""

from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rl_warmup.config.schema import ConfigError, RunConfig

# The independent streams that one seed is split into. Their numbers are part of every result: never renumber.
STREAMS = {"weights": 0, "environment": 1, "evaluation": 2, "exploration": 3, "minibatches": 4}

SMALLEST_NATURE_IMAGE = 36  # pixels on a side that its three convolutions need


def stream_seed(seed: int, stream: str, *counter: int) -> int:
    """Seed of one named stream of a run, in [0, 2^31).

    The first word of numpy's SeedSequence over (seed, stream, *counter); arms that share `seed` share it. Within
    a stream, always give the same number of counters: SeedSequence takes missing ones for zeros.

    >>> stream_seed(0, "evaluation", 3, 1) == stream_seed(0, "evaluation", 1, 3)
    False
    """
    words = np.random.SeedSequence([seed, STREAMS[stream], *counter]).generate_state(1)
    return int(words[0] >> 1)


def check_env(config: RunConfig) -> None:
    """Refuse an environment that cannot be made, or that the algorithm cannot act in.

    Raises:
        ConfigError: naming the environment, the reason and the way out.
    """
    env_id, backend = config.env.id, config.trainer.envs
    observations, actions = spaces(env_id, backend)
    if not isinstance(observations, gym.spaces.Box):
        raise ConfigError(f"env.id={env_id} has no Box observations, which the MLP policy needs")
    if config.algo.name == "dqn" and not isinstance(actions, gym.spaces.Discrete):
        raise ConfigError(f"env.id={env_id} has no discrete actions, which DQN needs; use algo=ppo")
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
    """Spaces of the observations and actions of one environment; `backend` is who makes it, see `trainer.envs`.

    Raises:
        ConfigError: if it cannot be made.
    """
    if backend == "envpool":
        from rl_warmup.trainers.stacked import vector_envs

        reason = vector_envs.refusal(backend, env_id)
        if reason is not None:
            raise ConfigError(f"env.id={env_id} cannot be made by trainer.envs={backend}: {reason}")
        envs: Any = vector_envs.make_envs(backend, env_id, [0])
    else:
        try:
            envs = gym.make(env_id)
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


class Evaluator:
    """Evaluates a policy on fresh environments whose seeds are the same in all arms.

    The return of an episode is the sum of the rewards that the environment itself gave, undiscounted.
    """

    def __init__(self, env_id: str, seed: int, episodes: int) -> None:
        self._seed = seed
        self._envs: list[gym.Env[Any, Any]] = [gym.make(env_id, disable_env_checker=True) for _ in range(episodes)]

    def __call__(self, index: int, act: Callable[[NDArray[Any]], NDArray[Any]]) -> tuple[list[float], list[int]]:
        """Returns and lengths of one episode an environment, in evaluation number `index`, played side by side.

        `act` maps observations [active, ...] to actions [active, ...] and must not draw from the run's streams.
        """
        observations = [
            env.reset(seed=stream_seed(self._seed, "evaluation", index, episode))[0]
            for episode, env in enumerate(self._envs)
        ]
        returns, lengths = [0.0] * len(self._envs), [0] * len(self._envs)
        active = list(range(len(self._envs)))
        while active:
            actions = act(np.stack([observations[i] for i in active]))
            still = []
            for i, action in zip(active, actions, strict=True):
                observations[i], reward, terminated, truncated, _ = self._envs[i].step(action)
                returns[i] += float(reward)
                lengths[i] += 1
                if not (terminated or truncated):
                    still.append(i)
            active = still
        return returns, lengths

    def close(self) -> None:
        """Close the environments."""
        for env in self._envs:
            env.close()
