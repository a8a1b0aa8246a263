"""What no other package has of wrappers that the built-in environments need."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


class ChannelsFirst(gym.ObservationWrapper[Any, Any, Any]):
    """Shows images [height, width, channels] as the networks want them, [channels, height, width].

    Stable-Baselines3 itself does so with pixels only, of numbers from 0 to 255.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, gym.spaces.Box) or len(space.shape) != 3:
            raise ValueError(f"ChannelsFirst needs observations [height, width, channels], not {space}")
        low, high = (np.moveaxis(bound, -1, 0) for bound in (space.low, space.high))
        self.observation_space = gym.spaces.Box(low, high, dtype=space.dtype.type)

    def observation(self, observation: NDArray[Any]) -> NDArray[Any]:
        """The same image with its channels first."""
        return np.moveaxis(observation, -1, 0)
