"""Evaluation of a policy on fresh environments whose seeds are the same in all arms."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rl_warmup.envs.seeds import stream_seed
from rl_warmup.envs.vector import Array, make_envs


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


def evaluate(
    backend: str,
    env_id: str,
    seeds: Sequence[Sequence[int]],  # [members][episodes]
    act: Callable[[Array], Array],
    threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns and lengths [members, episodes] of one episode a seed, played side by side on fresh environments.

    `act` maps observations [members, episodes, ...] to actions [members, episodes, ...]. An episode that has ended
    is not stepped any more; what it showed last stays among the observations.
    """
    shape = (len(seeds), len(seeds[0]))
    envs = make_envs(backend, env_id, [seed for row in seeds for seed in row], threads)
    try:
        observations = envs.reset()
        returns, lengths = np.zeros(len(observations)), np.zeros(len(observations), dtype=np.int64)
        active = np.arange(len(observations))
        while len(active):
            actions = act(observations.reshape(*shape, *observations.shape[1:]))
            observations[active], rewards, ended = envs.step_some(
                actions.reshape(-1, *actions.shape[2:])[active], active
            )
            returns[active] += rewards
            lengths[active] += 1
            active = active[~ended]
    finally:
        envs.close()
    return returns.reshape(shape), lengths.reshape(shape)
