"""Environments by their id, stepped at once and reset in the same step, as Stable-Baselines3 does."""

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

from rl_warmup.envs.declared import AsDeclared
from rl_warmup.envs.finite import check, finite

Array = NDArray[Any]

NO_LIMIT = 2**31 - 1
"""EnvPool's `max_episode_steps` where episodes have no time limit."""


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

    env_id: str
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


def make(env_id: str, checked: bool = False) -> gym.Env[Any, Any]:
    """The environment of a Gymnasium id, or of `module:id` from a package of the user's own, which is imported.

    What it gives has to be finite, see `finite.check`.

    Args:
        env_id: as in `env.id`.
        checked: with Gymnasium's warnings of what an environment does against its interface.

    Raises:
        gym.error.Error: if there is no such environment.
        ImportError: if its package is not installed.
    """
    return AsDeclared(gym.make(env_id, disable_env_checker=None if checked else True), env_id)


def make_envs(
    backend: str, env_id: str, seeds: Sequence[int], threads: int = 1, as_given: bool = False
) -> VectorEnvs:
    """One environment a seed; its stream depends on its own seed only.

    Args:
        backend: `envpool` or `gymnasium`.
        threads: of EnvPool, beside this one; Gymnasium steps one environment after the other.
        as_given: whether observations are those of the environments, or as networks want them.
    """
    if backend == "envpool":
        return _EnvPoolEnvs(env_id, seeds, threads, as_given)
    return GymnasiumEnvs(env_id, seeds, as_given)


@cache
def refusal(backend: str, env_id: str) -> str | None:
    """Why `backend` cannot make the environment, and what to do; None if it can."""
    if backend == "gymnasium":
        return None
    if importlib.util.find_spec("envpool") is None:
        return "EnvPool is not installed; pip install 'rl-warmup[envpool]', or use trainer.envs=gymnasium"
    import envpool

    if env_id not in envpool.list_all_envs():
        return f"EnvPool has no {env_id}; use trainer.envs=gymnasium"
    try:
        players = envpool.make_spec(env_id).config.max_num_players
        make_envs(backend, env_id, [0]).close()
    except Exception as error:  # EnvPool's own kind for a missing library, file or display
        return f"EnvPool cannot make {env_id}: {error}; use trainer.envs=gymnasium"
    return None if players == 1 else f"it has {players} players in EnvPool, and an agent plays alone"


class _EnvPoolEnvs:
    """Environments of EnvPool, in threads beside this one."""

    def __init__(self, env_id: str, seeds: Sequence[int], threads: int, as_given: bool) -> None:
        import envpool

        self.env_id = env_id
        limit = int(envpool.make_spec(env_id).config.max_episode_steps)
        self._limit = limit if 0 < limit < NO_LIMIT else None
        # An episode that ends of its own in the last step of EnvPool's limit is only truncated, for EnvPool. With
        # a limit one step later EnvPool reports its end, and what continues is truncated here.
        options = {} if self._limit is None else {"max_episode_steps": limit + 1}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*precision lowered by casting", UserWarning)  # of bounds
            self._pool = envpool.make(
                env_id, env_type="gymnasium", num_envs=len(seeds), seed=list(seeds), num_threads=threads, **options
            )
            self.observation_space, self._shown = _for_networks(self._pool.observation_space, as_given)
            self.action_space: gym.Space[Any] = self._pool.action_space

    def reset(self) -> Array:
        return self._shown(self._pool.reset()[0])

    def step(self, actions: Array) -> Transition:
        final, rewards, terminated, truncated = self._answers(actions)
        observations, ended = final, np.flatnonzero(terminated | truncated)
        if len(ended):
            observations = final.copy()
            observations[ended] = self._shown(self._pool.reset(ended.astype(np.int32))[0])
        return Transition(observations, final, rewards, terminated, truncated)

    def step_some(self, actions: Array, which: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        observations, rewards, terminated, truncated = self._answers(actions, which.astype(np.int32))
        return observations, rewards, terminated | truncated

    def close(self) -> None:
        self._pool.close()

    def _answers(self, actions: Array, which: NDArray[np.int32] | None = None) -> tuple[Array, Array, Array, Array]:
        """Observations, rewards, and whether the episodes ended or were cut off by the limit."""
        acting = _fitting(actions, self.action_space)
        observations, rewards, terminated, truncated, info = self._pool.step(acting, which)
        if not (finite(rewards) and finite(observations)):
            for row in zip(info["elapsed_step"], observations, rewards, acting, strict=True):
                check(self.env_id, *row)
        if self._limit is not None:
            truncated = truncated | (info["elapsed_step"] >= self._limit)
        return self._shown(observations), rewards.astype(np.float64), terminated, truncated & ~terminated


class GymnasiumEnvs:
    """Environments of Gymnasium, one after the other."""

    def __init__(self, env_id: str, seeds: Sequence[int], as_given: bool = False) -> None:
        """`as_given`: see `make_envs`."""
        makers = [partial(make, env_id)] * len(seeds)
        self._envs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        self.env_id, self.seeds = env_id, seeds
        self.observation_space, self._shown = _for_networks(self._envs.single_observation_space, as_given)
        self.action_space: gym.Space[Any] = self._envs.single_action_space

    def reset(self) -> Array:
        """First observations [envs, ...]."""
        return self._shown(self._envs.reset(seed=list(self.seeds))[0])

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


class EndlessEpisode(Exception):
    """An evaluation episode that does not end."""


def evaluate(
    envs: VectorEnvs, act: Callable[[Array, NDArray[np.int64]], Array], max_steps: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Play one episode in every environment, side by side.

    Args:
        envs: environments, which are reset first.
        act: maps observations [envs, ...] and the indices [active] of the episodes that have not ended to their
            actions [active, ...], and draws nothing from the run's streams. What an ended episode showed last stays
            among the observations.
        max_steps: after which an episode is taken for one that never ends.

    Returns:
        Undiscounted sums of the environment's own rewards, and lengths, [envs] each.

    Raises:
        EndlessEpisode: naming the environment and the way out.
    """
    observations = envs.reset()
    returns, lengths = np.zeros(len(observations)), np.zeros(len(observations), dtype=np.int64)
    active = np.arange(len(observations))
    for _ in range(max_steps):
        observations[active], rewards, ended = envs.step_some(act(observations, active), active)
        returns[active] += rewards
        lengths[active] += 1
        active = active[~ended]
        if not len(active):
            return returns, lengths
    raise EndlessEpisode(
        f"an evaluation episode of env.id={envs.env_id} has not ended after {max_steps} steps; give it a "
        "time limit (max_episode_steps of gymnasium.register), or use more evaluation.max_steps"
    )


def _for_networks(space: gym.Space[Any], as_given: bool) -> tuple[gym.Space[Any], Callable[[Array], Array]]:
    """The space as networks want it, unless it is to stay, and what brings observations [envs, ...] into it.

    As in Stable-Baselines3 images come channels first, and Discrete and MultiDiscrete numbers one-hot.
    """
    if as_given:
        return space, lambda observations: observations
    if isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete):
        sizes = np.atleast_1d(space.n if isinstance(space, gym.spaces.Discrete) else space.nvec)
        return gym.spaces.Box(0, 1, (int(sizes.sum()),), np.float32), partial(_one_hot, sizes)
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 3:
        # Here, because they import torch, which whoever plans a sweep can do without.
        from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
        from stable_baselines3.common.vec_env import VecTransposeImage

        if is_image_space(space) and not is_image_space_channels_first(space):
            return VecTransposeImage.transpose_space(space), lambda images: np.moveaxis(images, -1, 1).copy()
    return space, lambda observations: observations


def _one_hot(sizes: Array, observations: Array) -> Array:  # [parts], [envs, ...] -> [envs, sum of sizes]
    """A one in every part of a row: at `observations[i, part]` of its `sizes[part]` columns."""
    columns = observations.reshape(len(observations), -1) + np.cumsum(sizes) - sizes
    encoded = np.zeros((len(observations), sizes.sum()), np.float32)
    np.put_along_axis(encoded, columns, 1, axis=1)
    return encoded


def _fitting(actions: Array, space: gym.Space[Any]) -> Array:
    """Actions of the space's type; continuous ones clipped to its bounds."""
    if isinstance(space, gym.spaces.Box):
        return np.clip(actions, space.low, space.high).astype(space.dtype)
    return actions.astype(space.dtype)
