"""Numbers in and out of schedules: a number gives a float, an array a float64 array of its shape."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def plain(values: ArrayLike) -> Array | float:
    """A float for a single value, not a numpy scalar: optimizers put it into their state, records into JSON."""
    array = np.asarray(values, dtype=np.float64)
    return float(array) if array.ndim == 0 else array


def as_share(values: ArrayLike) -> Array:
    """Values clipped to [0, 1]; ValueError for NaN."""
    array = np.asarray(values, dtype=np.float64)
    if np.isnan(array).any():
        raise ValueError("a share of the run or of the warmup is NaN: give numbers in [0, 1]")
    return np.asarray(np.clip(array, 0.0, 1.0))


def positive(name: str, value: float) -> float:
    """`value`, which must be finite and above 0, else ValueError."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r}: give a finite number above 0")
    return float(value)


def steps_of(length: float, total: int) -> int:
    """A length of warmup as a count of steps: below 1 it is a fraction of `total`, of which at least 1 is left.

    >>> steps_of(0.1, 2000), steps_of(0.001, 20), steps_of(300, 2000)
    (200, 1, 300)
    """
    return max(1, round(length * total)) if length < 1 else int(length)
