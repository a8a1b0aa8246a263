"""Environments of EnvPool."""

import importlib.util
import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rl_warmup.config.schema import EnvConfig
from rl_warmup.envs.finite import check, finite
from rl_warmup.envs.presented import fitting, for_networks
from rl_warmup.envs.protocol import Array, Transition

NO_LIMIT = 2**31 - 1
"""EnvPool's `max_episode_steps` where episodes have no time limit."""


def refusal(env: EnvConfig) -> str | None:
    """Why EnvPool cannot make the environment, and what to do; None if it can."""
    if importlib.util.find_spec("envpool") is None:
        return "EnvPool is not installed; pip install 'rl-warmup[envpool]', or use trainer.envs=gymnasium"
    import envpool

    env_id = pool_id(env)
    if env_id not in envpool.list_all_envs():
        return f"EnvPool has no {env_id}; use trainer.envs=gymnasium"
    try:
        players = envpool.make_spec(env_id).config.max_num_players
        PoolEnvs(env, [0]).close()
    except Exception as error:  # EnvPool's own kind for a missing library, file or display
        return f"EnvPool cannot make {env_id}: {error}; use trainer.envs=gymnasium"
    return None if players == 1 else f"it has {players} players in EnvPool, and an agent plays alone"


def pool_id(env: EnvConfig) -> str:
    """The environment's id in EnvPool."""
    return str((env.envpool or {}).get("id", env.id))


class PoolEnvs:
    """Environments of EnvPool, in threads beside this one.

    `env.envpool` holds EnvPool's own options, and ours:
        id: EnvPool's name of the environment, where it has another one.
        observation: the part of a dictionary of observations that is shown.
        training: options where agents are trained.
        timed_goal: whether the one reward, at the goal, depends on the limit, which so has to be EnvPool's own.
    """

    def __init__(
        self, env: EnvConfig, seeds: Sequence[int], threads: int = 1, as_given: bool = False, training: bool = False
    ) -> None:
        """See `vector.make_envs`."""
        import envpool

        self.env_id = env.id
        own = dict(env.envpool or {})
        env_id, self._part, of_training, self._timed_goal = (
            own.pop("id", env.id),
            own.pop("observation", None),
            own.pop("training", {}),
            own.pop("timed_goal", False),
        )
        options = {**own, **(of_training if training else {})}
        limit = int(options.get("max_episode_steps", envpool.make_spec(env_id).config.max_episode_steps))
        self._limit = limit if 0 < limit < NO_LIMIT else None
        # An episode that ends of its own in the last step of EnvPool's limit is only truncated, for EnvPool. With
        # a limit one step later EnvPool reports its end, and what continues is truncated here.
        if self._limit is not None and not self._timed_goal:
            options["max_episode_steps"] = limit + 1
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*precision lowered by casting", UserWarning)  # of bounds
            self._pool = envpool.make(
                env_id, env_type="gymnasium", num_envs=len(seeds), seed=list(seeds), num_threads=threads, **options
            )
            space = self._pool.observation_space
            space = space if self._part is None else space[self._part]
            self.observation_space, self._shown = for_networks(space, as_given)
            self.action_space: gym.Space[Any] = self._pool.action_space

    def reset(self) -> Array:
        """First observations [envs, ...]."""
        return self._shown(self._of(self._pool.reset()[0]))

    def step(self, actions: Array) -> Transition:
        """Act in every environment; one whose episode ends is reset at once."""
        final, rewards, terminated, truncated = self._answers(actions)
        observations, ended = final, np.flatnonzero(terminated | truncated)
        if len(ended):
            observations = final.copy()
            observations[ended] = self._shown(self._of(self._pool.reset(ended.astype(np.int32))[0]))
        return Transition(observations, final, rewards, terminated, truncated)

    def step_some(self, actions: Array, which: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Act in the environments `which` only, without resets: observations, rewards, whether each ended."""
        observations, rewards, terminated, truncated = self._answers(actions, which.astype(np.int32))
        return observations, rewards, terminated | truncated

    def close(self) -> None:
        """Give everything back."""
        self._pool.close()

    def _answers(self, actions: Array, which: NDArray[np.int32] | None = None) -> tuple[Array, Array, Array, Array]:
        """Observations, rewards, and whether the episodes ended or were cut off by the limit."""
        acting = fitting(actions, self.action_space)
        seen, rewards, terminated, truncated, info = self._pool.step(acting, which)
        observations = self._of(seen)
        if not (finite(rewards) and finite(observations)):
            for row in zip(info["elapsed_step"], observations, rewards, acting, strict=True):
                check(self.env_id, *row)
        if self._limit is not None:
            truncated = truncated | (info["elapsed_step"] >= self._limit)
        if self._timed_goal:
            terminated = terminated | (truncated & (rewards > 0))
        return self._shown(observations), rewards.astype(np.float64), terminated, truncated & ~terminated

    def _of(self, observations: Any) -> Array:
        """The part of the observations that is asked for."""
        part: Array = observations if self._part is None else observations[self._part]
        return part
