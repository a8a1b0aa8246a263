"""The one place where a Gymnasium environment is made."""

from typing import Any

import gymnasium as gym


def make(env_id: str, checked: bool = False) -> gym.Env[Any, Any]:
    """The environment of a Gymnasium id, or of `module:id` from a package of the user's own, which is imported.

    Args:
        env_id: as in `env.id`.
        checked: with Gymnasium's warnings of what an environment does against its interface.

    Raises:
        gym.error.Error: if there is no such environment.
        ImportError: if its package is not installed.
    """
    return gym.make(env_id, disable_env_checker=None if checked else True)
