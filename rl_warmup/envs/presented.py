"""Observations as networks want them, and actions as environments want them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np

from rl_warmup.envs.protocol import Array


def for_networks(space: gym.Space[Any], as_given: bool) -> tuple[gym.Space[Any], Callable[[Array], Array]]:
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


def fitting(actions: Array, space: gym.Space[Any]) -> Array:
    """Actions of the space's type; continuous ones clipped to its bounds."""
    if isinstance(space, gym.spaces.Box):
        return np.clip(actions, space.low, space.high).astype(space.dtype)
    return actions.astype(space.dtype)
