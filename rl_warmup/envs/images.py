"""Which networks for images go with which observations."""

from typing import Any

import gymnasium as gym
import numpy as np

from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError

SMALLEST_NATURE_IMAGE = 36  # pixels on a side that its three convolutions need


def check_extractor(config: RunConfig, observations: gym.Space[Any]) -> None:
    """Refuse a convolutional network where there are no images for it.

    Raises:
        ConfigError: naming the network that fits.
    """
    extractor, shape = config.algo.extractor, observations.shape or ()
    fitting = extractor_for(observations)
    what = f"algo.extractor={extractor} does not go with env.id={config.env.id}, whose observations have"
    if extractor == "flatten":
        return
    if len(shape) > 3:
        raise ConfigError(
            f"{what} the shape {shape}: it needs images with one axis of channels; stack frames that "
            "gymnasium.wrappers.GrayscaleObservation made gray, or use algo.extractor=flatten"
        )
    if fitting is None:
        raise ConfigError(f"{what} the shape {shape}: it needs images; use algo.extractor=flatten")
    if (not _pixels(observations) or config.algo.normalize) and shape[2] < shape[0]:
        raise ConfigError(  # Stable-Baselines3 reorders pixels alone
            f"{what} the shape {shape}: it needs the channels first; "
            "env.wrappers=[rl_warmup.envs.wrappers.ChannelsFirst] puts them there"
        )
    if extractor == "nature_cnn" and fitting != extractor:
        raise ConfigError(
            f"{what} the shape {shape} and the type {observations.dtype}: it needs 36 by 36 pixels or more, "
            "from 0 to 255 each; use algo.extractor=small_cnn"
        )


def extractor_for(observations: gym.Space[Any]) -> str | None:
    """The largest network for images that takes the observations; None if they are none."""
    if not isinstance(observations, gym.spaces.Box) or len(observations.shape) != 3:
        return None
    large = sorted(observations.shape)[1] >= SMALLEST_NATURE_IMAGE
    return "nature_cnn" if large and _pixels(observations) else "small_cnn"


def _pixels(space: gym.Space[Any]) -> bool:
    """Whether all numbers are bytes."""
    if not isinstance(space, gym.spaces.Box) or space.dtype != np.uint8:
        return False
    return bool((space.low == 0).all() and (space.high == 255).all())
