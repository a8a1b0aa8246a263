"""Environments of one config, stepped at once and reset in the same step, as Stable-Baselines3 does."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from rl_warmup.config.schema import EnvConfig
from rl_warmup.envs.make import make
from rl_warmup.envs.pool import PoolEnvs
from rl_warmup.envs.presented import fitting, for_networks
from rl_warmup.envs.protocol import Array, Transition, VectorEnvs


def make_envs(
    backend: str,
    env: EnvConfig,
    seeds: Sequence[int],
    threads: int = 1,
    as_given: bool = False,
    training: bool = False,
) -> VectorEnvs:
    """One environment a seed; its stream depends on its own seed only.

    Args:
        backend: `envpool` or `gymnasium`.
        threads: of EnvPool, beside this one; Gymnasium steps one environment after the other.
        as_given: whether observations are those of the environments, or as networks want them.
        training: whether they are as agents are trained in them, see `env.training_wrappers`.
    """
    if backend == "envpool":
        return PoolEnvs(env, seeds, threads, as_given, training)
    return GymnasiumEnvs(env, seeds, as_given, training)


class GymnasiumEnvs:
    """Environments of Gymnasium, one after the other."""

    def __init__(
        self, env: EnvConfig, seeds: Sequence[int], as_given: bool = False, training: bool = False
    ) -> None:
        """See `make_envs`."""
        makers = [partial(make, env, training=training)] * len(seeds)
        self._envs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        self.env_id, self.seeds = env.id, seeds
        self.observation_space, self._shown = for_networks(self._envs.single_observation_space, as_given)
        self.action_space: gym.Space[Any] = self._envs.single_action_space

    def reset(self) -> Array:
        """First observations [envs, ...]."""
        return self._shown(self._envs.reset(seed=list(self.seeds))[0])

    def step(self, actions: Array) -> Transition:
        """Act in every environment; one whose episode ends is reset at once."""
        acting = fitting(actions, self.action_space)
        observations, rewards, terminated, truncated, infos = self._envs.step(acting)
        final = np.array(observations)
        for index in np.flatnonzero(terminated | truncated):
            final[index] = infos["final_obs"][index]
        rewards = np.array(rewards, np.float64)
        return Transition(
            self._shown(observations), self._shown(final), rewards, terminated, truncated & ~terminated
        )

    def step_some(self, actions: Array, which: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Act in the environments `which` only, without resets: observations, rewards, whether each ended."""
        acting = fitting(actions, self.action_space)
        answers = [self._envs.envs[i].step(action) for i, action in zip(which, acting, strict=True)]
        observations, rewards, terminated, truncated, _ = zip(*answers, strict=True)
        ended = np.array(terminated) | np.array(truncated)
        return self._shown(np.stack(observations)), np.array(rewards, np.float64), ended

    def close(self) -> None:
        """Give everything back."""
        self._envs.close()
