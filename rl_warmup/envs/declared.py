"""What goes in and out of an environment, as its spaces declare it."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from rl_warmup.envs.finite import check


class AsDeclared(gym.Wrapper[Any, Any, Any, Any]):
    """Casts actions and observations to the environment's spaces, so that training and evaluation see the same.

    Observations are cast as in Stable-Baselines3's vector environments, which cast all but the last of an episode.
    What the environment gives has to be finite, see `finite.check`. What it raises names it.
    """

    def __init__(self, env: gym.Env[Any, Any], env_id: str) -> None:
        super().__init__(env)
        self._env_id, self._step = env_id, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """The first observation, and info."""
        self._step = 0
        try:
            observation, info = self.env.reset(seed=seed, options=options)
        except MemoryError:  # that memory is lacking is no error of the environment's own
            raise
        except Exception as error:
            raise self._named(error) from error
        check(self._env_id, 0, observation)
        return self._cast(observation), info

    def step(self, action: NDArray[Any]) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Act; Gymnasium's five answers."""
        self._step += 1
        action = action.astype(self.action_space.dtype, copy=False)
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except MemoryError:  # that memory is lacking is no error of the environment's own
            raise
        except Exception as error:
            raise self._named(error) from error
        check(self._env_id, self._step, observation, reward, action)
        return self._cast(observation), reward, terminated, truncated, info

    def close(self) -> None:
        """Close it; one that raises there has done its work, so that it is only reported."""
        try:
            super().close()
        except Exception as error:
            warnings.warn(f"{self._env_id} was not closed: {type(error).__name__}: {error}", stacklevel=2)

    def _named(self, error: Exception) -> RuntimeError:
        """An error of the environment as one that says so."""
        when = f"step {self._step} of an episode" if self._step else "its reset"
        return RuntimeError(f"env.id={self._env_id} raised in {when}: {type(error).__name__}: {error}")

    def _cast(self, observation: Any) -> NDArray[Any]:
        """A copy: an environment may go on writing into its own.

        Raises:
            ValueError: if it does not have the shape of the space, or is none of its numbers.
        """
        space = self.observation_space
        cast = np.empty(space.shape or (), space.dtype)
        try:
            cast[...] = observation
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"env.id={self._env_id} gives an observation that does not fit {space}: {error}"
            ) from error
        if isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete) and not space.contains(cast):
            raise ValueError(f"env.id={self._env_id} gives the observation {cast}, which is not in {space}")
        return cast
