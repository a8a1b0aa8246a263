"""Environments of a whole stack, stepped at once and reset in the same step, as Stable-Baselines3 does."""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Transition:
    """What one vector step brought, on the host."""

    observations: Array  # [envs, ...] what the policy acts on next: after the reset where an episode ended
    final: Array  # [envs, ...] what the step itself returned
    rewards: NDArray[np.float64]  # [envs]
    terminated: NDArray[np.bool_]  # [envs]
    truncated: NDArray[np.bool_]  # [envs] and not terminated


class VectorEnvs(Protocol):
    """Environments side by side, each with a random stream of its own."""

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]

    def reset(self) -> Array:
        """First observations [envs, ...]."""

    def step(self, actions: Array) -> Transition:
        """Act in every environment; one whose episode ends is reset at once."""

    def step_some(self, actions: Array, which: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Act in the environments `which` only, without resets: observations, rewards, whether each ended."""

    def close(self) -> None:
        """Give everything back."""


def make_envs(backend: str, env_id: str, seeds: Sequence[int]) -> VectorEnvs:
    """One environment a seed, made by `envpool` or `gymnasium`; its stream depends on its own seed only."""
    return EnvPoolEnvs(env_id, seeds) if backend == "envpool" else GymnasiumEnvs(env_id, seeds)


@cache
def refusal(backend: str, env_id: str) -> str | None:
    """Why `backend` cannot make the environment, and what to do; None if it can."""
    if backend == "gymnasium":
        return None
    if importlib.util.find_spec("envpool") is None:
        return "EnvPool is not installed; pip install 'rl-warmup[envpool]', or use trainer.envs=gymnasium"
    if env_id not in _envpool().list_all_envs():
        return f"EnvPool has no {env_id}; use trainer.envs=gymnasium"
    return None


def _envpool() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium warns of the precision of EnvPool's bounds
        import envpool

    return envpool


class EnvPoolEnvs:
    """Environments of EnvPool, in one thread beside this one."""

    def __init__(self, env_id: str, seeds: Sequence[int]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._pool = _envpool().make(
                env_id, env_type="gymnasium", num_envs=len(seeds), seed=list(seeds), num_threads=1
            )
            self.observation_space: gym.Space[Any] = self._pool.observation_space
            self.action_space: gym.Space[Any] = self._pool.action_space

    def reset(self) -> Array:
        """First observations [envs, ...]."""
        observations: Array = self._pool.reset()[0]
        return observations

    def step(self, actions: Array) -> Transition:
        """Act in every environment; one whose episode ends is reset at once."""
        final, rewards, terminated, truncated, _ = self._pool.step(_fitting(actions, self.action_space))
        observations, ended = final, np.flatnonzero(terminated | truncated)
        if len(ended):
            observations = final.copy()
            observations[ended] = self._pool.reset(ended.astype(np.int32))[0]
        return Transition(observations, final, rewards.astype(np.float64), terminated, truncated & ~terminated)

    def step_some(self, actions: Array, which: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Act in the environments `which` only, without resets: observations, rewards, whether each ended."""
        acting = _fitting(actions, self.action_space)
        observations, rewards, terminated, truncated, _ = self._pool.step(acting, which.astype(np.int32))
        return observations, rewards, terminated | truncated

    def close(self) -> None:
        """Give everything back."""
        self._pool.close()


class GymnasiumEnvs:
    """Environments of Gymnasium, one after the other; images come channels first, as in Stable-Baselines3."""

    def __init__(self, env_id: str, seeds: Sequence[int]) -> None:
        # Here, because they import torch, and whoever plans a sweep imports this module.
        from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
        from stable_baselines3.common.vec_env import VecTransposeImage

        makers = [partial(gym.make, env_id, disable_env_checker=True)] * len(seeds)
        self._envs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        self._seeds: list[int | None] = list(seeds)
        space = self._envs.single_observation_space
        self._transposed = is_image_space(space) and not is_image_space_channels_first(space)
        self.observation_space = VecTransposeImage.transpose_space(space) if self._transposed else space
        self.action_space: gym.Space[Any] = self._envs.single_action_space

    def reset(self) -> Array:
        """First observations [envs, ...]."""
        return self._shown(self._envs.reset(seed=self._seeds)[0])

    def step(self, actions: Array) -> Transition:
        """Act in every environment; one whose episode ends is reset at once."""
        acting = _fitting(actions, self.action_space)
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
        acting = _fitting(actions, self.action_space)
        answers = [self._envs.envs[i].step(action) for i, action in zip(which, acting, strict=True)]
        observations, rewards, terminated, truncated, _ = zip(*answers, strict=True)
        ended = np.array(terminated) | np.array(truncated)
        return self._shown(np.stack(observations)), np.array(rewards, np.float64), ended

    def close(self) -> None:
        """Give everything back."""
        self._envs.close()

    def _shown(self, observations: Array) -> Array:  # a copy: Gymnasium goes on writing into its own
        return np.array(np.moveaxis(observations, -1, 1) if self._transposed else observations)


def _fitting(actions: Array, space: gym.Space[Any]) -> Array:
    """Actions of the space's type; continuous ones clipped to its bounds."""
    if isinstance(space, gym.spaces.Box):
        return np.clip(actions, space.low, space.high).astype(space.dtype)
    return actions.astype(space.dtype)


def evaluate(
    backend: str,
    env_id: str,
    seeds: Sequence[Sequence[int]],  # [members][episodes]
    act: Callable[[Array], Array],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Returns and lengths [members, episodes] of one episode a seed, played side by side on fresh environments.

    `act` maps observations [members, episodes, ...] to actions [members, episodes, ...]. An episode that has ended
    is not stepped any more; what it showed last stays among the observations.
    """
    shape = (len(seeds), len(seeds[0]))
    envs = make_envs(backend, env_id, [seed for row in seeds for seed in row])
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
