"""Base learning-rate schedules: a peak above 0 times a function of the share of environment steps done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rl_warmup.schedules.custom import custom_base
from rl_warmup.schedules.numbers import Array, as_share, plain, positive

Schedule = Callable[[ArrayLike], Array | float]  # share of the environment steps done -> learning rate

# b(p) by the peak, p, and the own parameter of the base.
_FALL: Mapping[str, Callable[[float, Array, Any], Array]] = {
    "constant": lambda peak, p, _: np.full_like(p, peak),
    "linear": lambda peak, p, _: peak * (1 - p),
    "cosine": lambda peak, p, _: peak * (0.5 * (1 + np.cos(np.pi * p))),
    "inverse_sqrt": lambda peak, p, timescale: peak / np.sqrt(1 + p / timescale),
    "exponential": lambda peak, p, end: peak * end**p,
    "stable_decay": lambda peak, p, decay: peak * np.minimum(1, (1 - p) / decay),
}


@dataclass(frozen=True)
class Base:
    """A base schedule as a value: share p of the environment steps done, clipped to [0, 1] -> learning rate.

    Args:
        name: one of `BASES`, or the dotted path of a function p -> share of the peak, both in [0, 1].
        peak: learning rate, finite and above 0.
        own: parameter of the base: `timescale`, `end` or `decay`.
    """

    name: str
    peak: float
    own: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "peak", positive("peak", self.peak))
        if self.name not in _FALL:
            custom_base(self.name)

    def __call__(self, p: ArrayLike) -> Array | float:
        """Learning rate at p."""
        if self.name in _FALL:
            return plain(_FALL[self.name](self.peak, as_share(p), self.own))
        return plain(self.peak * custom_base(self.name)(as_share(p)))


def constant(peak: float) -> Base:
    """Base schedule b(p) = peak, p in [0, 1].

    >>> base = constant(3e-4)
    >>> base(0.0), base(1.0)
    (0.0003, 0.0003)
    """
    return Base("constant", peak)


def linear(peak: float) -> Base:
    """Base schedule b(p) = peak (1-p), p in [0, 1]: straight to 0 at the end of the run.

    >>> base = linear(1.0)
    >>> base(0.0), base(0.25), base(1.0)
    (1.0, 0.75, 0.0)
    """
    return Base("linear", peak)


def cosine(peak: float) -> Base:
    """Base schedule b(p) = peak (1 + cos(pi p))/2, p in [0, 1]: half a cosine, to 0 at the end of the run.

    Source: Loshchilov and Hutter, arXiv 1608.03983, one period.

    >>> base = cosine(1.0)
    >>> base(0.0), round(base(0.5), 12), base(1.0)
    (1.0, 0.5, 0.0)
    """
    return Base("cosine", peak)


def inverse_sqrt(peak: float, timescale: float = 0.1) -> Base:
    """Base schedule b(p) = peak / sqrt(1 + p/timescale), p in [0, 1].

    Args:
        timescale: share of the run after which the rate is peak/sqrt(2), finite and above 0.

    Source: the decay of Vaswani et al., arXiv 1706.03762, moved to begin at the peak.

    >>> base = inverse_sqrt(1.0, timescale=0.125)
    >>> base(0.0), base(0.375), round(base(1.0), 4)
    (1.0, 0.5, 0.3333)
    """
    return Base("inverse_sqrt", peak, positive("timescale", timescale))


def exponential(peak: float, end: float = 0.01) -> Base:
    """Base schedule b(p) = peak end^p, p in [0, 1]: it shrinks by the same ratio everywhere.

    Args:
        end: share of the peak left at p = 1, in (0, 1).

    Source: optax:optax/schedules/_schedule.py, exponential_decay.

    >>> base = exponential(1.0, end=0.25)
    >>> base(0.0), base(0.5), base(1.0)
    (1.0, 0.5, 0.25)
    """
    if not 0 < end < 1:
        raise ValueError(f"end={end!r} of the exponential base: give a share of the peak in (0, 1)")
    return Base("exponential", peak, end)


def stable_decay(peak: float, decay: float = 0.2) -> Base:
    """Base schedule b(p) = peak min(1, (1-p)/decay), p in [0, 1]: constant, then straight to 0.

    Args:
        decay: share of the run that decays, in (0, 1].

    Source: the stable and decay phases of Hu et al., arXiv 2404.06395, with a linear decay.

    >>> base = stable_decay(1.0, decay=0.25)
    >>> base(0.0), base(0.75), base(0.875), base(1.0)
    (1.0, 1.0, 0.5, 0.0)
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay={decay!r} of stable_decay: give a share of the run in (0, 1]")
    return Base("stable_decay", peak, decay)


BASES: Mapping[str, Callable[[float], Base]] = {
    base.__name__: base for base in (constant, linear, cosine, inverse_sqrt, exponential, stable_decay)
}
"""Base schedules by name, peak -> schedule. None of them rises, so a control arm is never warmed up."""
