"""What environments side by side are, whoever makes them, and what one step of them brings."""

from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
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
