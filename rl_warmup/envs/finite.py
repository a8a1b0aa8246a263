"""Rewards and observations that are not finite: a failure of the environment, not of the agent."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = np.float64(np.finfo(np.float32).max)
"""Networks take what environments give as float32: what is beyond it is infinite for them."""


def check(env_id: str, step: int, observation: Any, reward: Any = 0.0, action: Any = 0.0) -> None:
    """Refuse what is not finite, unless it follows from an action that is not: that is the agent's divergence.

    Args:
        step: of the episode; 0 is its reset.

    Raises:
        FloatingPointError: naming the environment, the step and the value.
    """
    if (finite(reward) and finite(observation)) or not finite(action):
        return
    what, values = ("observation", observation) if finite(reward) else ("reward", reward)
    values = np.asarray(values)
    index = tuple(np.argwhere(~_usable(values))[0].tolist())
    where = f" at {list(index)}" if index else ""
    raise FloatingPointError(
        f"env.id={env_id} gave the {what} {values[index]}{where} in step {step} of an episode; no agent can learn "
        "from what is not finite, so the environment has to be mended"
    )


def finite(values: Any) -> bool:
    """Whether all of an array are finite numbers of float32; what is no float always is."""
    values = np.asarray(values)
    if values.dtype.kind != "f" or np.vdot(values, values) <= LARGEST:  # of most, in a quarter of the time
        return True
    return bool(_usable(values).all())


def _usable(values: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.abs(values) <= LARGEST)  # not so of NaN
