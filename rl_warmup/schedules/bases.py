"""Base learning-rate schedules: pure functions of the share of the environment steps done; none of them rises."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


Schedule = Callable[[ArrayLike], Array | float]  # share of the environment steps done -> learning rate


Factor = Callable[[ArrayLike], Array | float]  # share of the warmup, or optimizer step -> omega


def constant(peak: float) -> Schedule:
    """Base schedule b(p) = peak, p in [0, 1].

    peak: learning rate, finite and above 0, else ValueError.

    >>> base = constant(3e-4)
    >>> base(0.0), base(1.0)
    (0.0003, 0.0003)

    Source: stable-baselines3:stable_baselines3/common/utils.py, ConstantSchedule.
    """
    peak = _positive("peak", peak)
    return lambda p: _plain(np.full_like(_share(p), peak))


def linear(peak: float) -> Schedule:
    """Base schedule b(p) = peak (1-p), p in [0, 1]: straight to 0 at the end of the run.

    peak: learning rate, finite and above 0, else ValueError.

    >>> base = linear(1.0)
    >>> base(0.0), base(0.25), base(1.0)
    (1.0, 0.75, 0.0)

    Source: optax:optax/schedules/_schedule.py, linear_schedule.
    """
    peak = _positive("peak", peak)
    return lambda p: _plain(peak * (1 - _share(p)))


def cosine(peak: float) -> Schedule:
    """Base schedule b(p) = peak (1 + cos(pi p))/2, p in [0, 1]: half a cosine, to 0 at the end of the run.

    peak: learning rate, finite and above 0, else ValueError.

    >>> base = cosine(1.0)
    >>> base(0.0), round(base(0.5), 12), base(1.0)
    (1.0, 0.5, 0.0)

    Source: Loshchilov and Hutter, arXiv 1608.03983, one period.
    """
    peak = _positive("peak", peak)
    return lambda p: _plain(peak * (0.5 * (1 + np.cos(np.pi * _share(p)))))


def inverse_sqrt(peak: float, timescale: float = 0.1) -> Schedule:
    """Base schedule b(p) = peak / sqrt(1 + p/timescale), p in [0, 1].

    peak: learning rate. timescale: share of the run after which the rate is peak/sqrt(2). Both finite and
    above 0, else ValueError.

    >>> base = inverse_sqrt(1.0, timescale=0.125)
    >>> base(0.0), base(0.375), round(base(1.0), 4)
    (1.0, 0.5, 0.3333)

    Source: the decay of Vaswani et al., arXiv 1706.03762, moved to begin at the peak.
    """
    peak, timescale = _positive("peak", peak), _positive("timescale", timescale)
    return lambda p: _plain(peak / np.sqrt(1 + _share(p) / timescale))


def exponential(peak: float, end: float = 0.01) -> Schedule:
    """Base schedule b(p) = peak end^p, p in [0, 1]: it shrinks by the same ratio everywhere.

    peak: learning rate, finite and above 0. end: share of the peak left at p = 1, in (0, 1). Else ValueError.

    >>> base = exponential(1.0, end=0.25)
    >>> base(0.0), base(0.5), base(1.0)
    (1.0, 0.5, 0.25)

    Source: optax:optax/schedules/_schedule.py, exponential_decay.
    """
    peak = _positive("peak", peak)
    if not 0 < end < 1:
        raise ValueError(f"end={end!r} of the exponential base: give a share of the peak in (0, 1)")
    return lambda p: _plain(peak * end ** _share(p))


def stable_decay(peak: float, decay: float = 0.2) -> Schedule:
    """Base schedule b(p) = peak min(1, (1-p)/decay), p in [0, 1]: constant, then straight to 0.

    peak: learning rate, finite and above 0. decay: share of the run that decays, in (0, 1]. Else ValueError.

    >>> base = stable_decay(1.0, decay=0.25)
    >>> base(0.0), base(0.75), base(0.875), base(1.0)
    (1.0, 1.0, 0.5, 0.0)

    Source: the stable and decay phases of Hu et al., arXiv 2404.06395, with a linear decay.
    """
    peak = _positive("peak", peak)
    if not 0 < decay <= 1:
        raise ValueError(f"decay={decay!r} of stable_decay: give a share of the run in (0, 1]")
    return lambda p: _plain(peak * np.minimum(1, (1 - _share(p)) / decay))


BASES: Mapping[str, Callable[[float], Schedule]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "inverse_sqrt": inverse_sqrt,
    "exponential": exponential,
    "stable_decay": stable_decay,
}
"""Base schedules by name, peak -> schedule. None of them rises, so a control arm is never warmed up."""


def _plain(values: ArrayLike) -> Array | float:
    array = np.asarray(values, dtype=np.float64)
    # A float, not a numpy scalar: optimizers put it into their state, records into JSON.
    return float(array) if array.ndim == 0 else array


def _share(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if np.isnan(array).any():
        raise ValueError("a share of the run or of the warmup is NaN: give numbers in [0, 1]")
    return np.asarray(np.clip(array, 0.0, 1.0))


def _positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r}: give a finite number above 0")
    return float(value)
