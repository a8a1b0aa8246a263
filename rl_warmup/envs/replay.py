"""The actions of a run, kept so that its environments can be replayed to where they were."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

REPLAYED = {"envpool": 20_000_000, "gymnasium": 1_000_000}
"""Environment steps up to which a replay is worth it: less than a minute each."""


class ActionLog:
    """Actions [vector steps, environments, ...] since the environments were made, in the fewest bytes."""

    def __init__(self, space: gym.Space[Any], steps: int, environments: int, backend: str) -> None:
        """Room for `steps` vector steps, or as many as are ever replayed; memory is taken as it is filled."""
        steps = min(steps, REPLAYED[backend] // environments)
        dtype = space.dtype
        if isinstance(space, gym.spaces.Discrete):
            dtype = np.result_type(*map(np.min_scalar_type, (int(space.start), int(space.start + space.n - 1))))
        self._table = np.empty((steps, environments, *(space.shape or ())), dtype)
        self._filled = 0

    def add(self, actions: NDArray[Any]) -> None:  # [environments, ...]
        """Keep the actions of a vector step, if there is room."""
        if self._filled < len(self._table):
            self._table[self._filled] = actions
            self._filled += 1

    def extend(self, actions: NDArray[Any]) -> None:  # [vector steps, environments, ...]
        """Keep those of a checkpoint."""
        self._filled = min(len(actions), len(self._table))
        self._table[: self._filled] = actions[: self._filled]

    @property
    def actions(self) -> NDArray[Any]:
        """[vector steps, environments, ...]"""
        return self._table[: self._filled]
