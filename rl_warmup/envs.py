"""Building environments, their seeds, and evaluation."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rl_warmup.config import ConfigError, RunConfig

# The independent streams that one seed is split into. Their numbers are part of every result: never renumber.
STREAMS = {"weights": 0, "environment": 1, "evaluation": 2}


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
        ConfigError: naming the environment and the reason.
    """
    try:
        env = gym.make(config.env.id)
    except (gym.error.Error, ImportError) as error:
        raise ConfigError(f"env.id={config.env.id} cannot be made: {error}") from error
    discrete = isinstance(env.action_space, gym.spaces.Discrete)
    flat = isinstance(env.observation_space, gym.spaces.Box)
    env.close()
    if not flat:
        raise ConfigError(f"env.id={config.env.id} has no Box observations, which the MLP policy needs")
    if config.algo.name == "dqn" and not discrete:
        raise ConfigError(f"env.id={config.env.id} has no discrete actions, which DQN needs; use algo=ppo")


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
