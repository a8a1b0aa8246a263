"""What a warmup is held against: functions of its factors omega_k at all planned gradient steps k = 0..T-1.

Each takes omega and the learning rates of the base, [gradient steps] both, and returns the factors of the control.
They compose: the control of a repeated warmup is `CONTROLS[name](repeated(omega, starts), base)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rl_warmup.schedules.numbers import Array, plain


def reversed_ramp(omega: Array, base: Array) -> Array:
    """omega_{T-1-k}: the ramp at the end of the run, downwards, which is an annealing.

    >>> reversed_ramp(np.array([0.5, 1.0, 1.0]), np.ones(3)).tolist()
    [1.0, 1.0, 0.5]
    """
    return omega[::-1].copy()


def dip(omega: Array, base: Array) -> Array:
    """omega_{k-M} from the middle M = floor(T/2) on, 1 before: the same ramp once the agent has learned.

    >>> dip(np.array([0.5, 1.0, 1.0, 1.0]), np.ones(4)).tolist()
    [1.0, 1.0, 0.5, 1.0]
    """
    middle = len(omega) // 2
    return np.concatenate([np.ones(middle), omega[: len(omega) - middle]])


def delayed(omega: Array, base: Array) -> Array:
    """0 for the first round(sum(1 - omega)) steps, then 1; in those no optimizer step is taken at all.

    >>> delayed(np.array([0.25, 0.75, 1.0, 1.0]), np.ones(4)).tolist()
    [0.0, 1.0, 1.0, 1.0]
    """
    return np.where(np.arange(len(omega)) < delay(omega), 0.0, 1.0)


def delay(omega: Array) -> int:
    """Gradient steps that a delayed start leaves out: round(sum(1 - omega))."""
    return round(float(np.sum(1 - omega)))


def matched(omega: Array, base: Array) -> Array:
    """1 - B throughout, B the budget that the warmup takes away: the same summed learning rate without a ramp.

    >>> matched(np.array([0.5, 1.0, 1.0, 1.0]), np.ones(4)).tolist()
    [0.875, 0.875, 0.875, 0.875]
    """
    return np.full_like(omega, 1 - budget(omega, base))


def moment_only(omega: Array, base: Array) -> Array:
    """0 while omega < 1, then 1: the optimizer is stepped and its moments move, the parameters do not.

    >>> moment_only(np.array([0.5, 1.0, 1.0]), np.ones(3)).tolist()
    [0.0, 1.0, 1.0]
    """
    return np.where(omega < 1, 0.0, 1.0)


CONTROLS: Mapping[str, Callable[[Array, Array], Array]] = {
    "reversed": reversed_ramp,
    "dip": dip,
    "delayed": delayed,
    "matched": matched,
    "moment_only": moment_only,
}
"""Controls of a warmup by name; a new one is one more entry."""


def repeated(omega: Array, starts: NDArray[np.int64]) -> Array:
    """omega_{k-s}, s the last of `starts` up to k: the same ramp again at each of them.

    Args:
        starts: rising gradient steps, the first one 0.

    >>> repeated(np.array([0.25, 0.5, 1.0, 1.0, 1.0]), np.array([0, 3])).tolist()
    [0.25, 0.5, 1.0, 0.25, 0.5]
    """
    steps = np.arange(len(omega))
    return np.asarray(omega[steps - starts[np.searchsorted(starts, steps, side="right") - 1]])


def budget(omega: Array, base: Array) -> float:
    """B = 1 - sum(omega base) / sum(base): the share of the summed learning rate that the factors take away.

    >>> budget(np.array([0.5, 1.0]), np.array([1.0, 3.0]))
    0.125
    """
    return float(1 - (omega * base).sum() / base.sum())


@dataclass(frozen=True, eq=False)
class Planned:
    """Factors planned for every gradient step k, as a function of k; beyond the plan the last one holds."""

    omega: Array  # [gradient steps]

    def __call__(self, k: ArrayLike) -> Array | float:
        """omega at step k."""
        return plain(self.omega[np.minimum(np.asarray(k, dtype=np.int64), len(self.omega) - 1)])
