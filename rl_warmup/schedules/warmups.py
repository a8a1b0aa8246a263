"""Warmup shapes on two clocks: delivered learning rate = base x omega, the warmup factor in [0, 1], which rises.

All of them are values: equal if their arguments are, and picklable. Each takes a number and returns a float, or
takes an array and returns a float64 array of its shape.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rl_warmup.schedules.bases import Schedule
from rl_warmup.schedules.custom import custom_ramp
from rl_warmup.schedules.numbers import Array, as_share, plain, positive

Factor = Callable[[ArrayLike], Array | float]  # share of the warmup, or optimizer step -> omega

CLOCKS = ("gradient_steps", "env_steps")
SATURATION = 5.0  # c of the saturating shape
POWER = 2.0  # of the polynomial shape where none is given
_ROUNDING = 1e-12  # share of a run; far above float64's error in it, far below one environment step


@dataclass(frozen=True)
class Shape:
    """All there is to know of a warmup shape."""

    omega: Callable[..., Array]  # of x, start and the own parameters; if by_beta2, of t = k + 1 and beta2
    start: float | None = 0.0  # omega at x = 0 where none is given; None where the shape has none
    own: Mapping[str, float] = field(default_factory=dict)  # defaults of the parameters that only this shape has
    by_beta2: bool = False  # defined by Adam's beta2 and the optimizer step: no length, gradient-step clock only
    steps: Callable[[float], int] | None = None  # by beta2: length of a shape that it defines and that is a ramp
    from_above_0: bool = False  # whether a start of 0 is refused


def _rise(g: Callable[..., Array], **fields: Any) -> Shape:
    """A shape omega = start + (1-start) g(x).

    g is exactly 0 at 0 and exactly 1 at 1 in float64, so that a run is bit for bit on its base after the warmup.
    """
    return Shape(lambda x, start, **own: start + (1 - start) * g(x, **own), **fields)


def _radam(t: Array, beta2: float) -> Array:
    rho = 2 / (1 - beta2) - 1
    scale = rho / ((rho - 4) * (rho - 2))
    rho_t = rho - 2 * t * beta2**t / -np.expm1(t * math.log(beta2))
    rho_t = np.maximum(rho_t, 4)  # makes omega 0 where the formula has no real value
    return np.minimum(1, np.sqrt((rho_t - 4) * (rho_t - 2) / rho_t * scale))


SHAPES: Mapping[str, Shape] = {
    "linear": _rise(lambda x: x),
    "exponential": Shape(lambda x, start: start ** (1 - x), start=0.01, from_above_0=True),
    "saturating": _rise(lambda x: np.expm1(-SATURATION * x) / np.expm1(-SATURATION)),
    "cosine": _rise(lambda x: np.sin(0.5 * np.pi * x) ** 2),  # = (1 - cos(pi x))/2 without the cancellation
    "polynomial": _rise(lambda x, power: x**power, own={"power": POWER}),
    "sqrt": _rise(np.sqrt),
    "one_minus_sqrt": _rise(lambda x: 1 - np.sqrt(1 - x)),
    "constant": _rise(np.floor, start=0.1),
    "untuned_linear": _rise(lambda x: x, by_beta2=True, steps=lambda beta2: round(2 / (1 - beta2))),
    "untuned_exponential": Shape(lambda t, beta2: -np.expm1(-t * (1 - beta2)), start=None, by_beta2=True),
    "radam": Shape(_radam, start=None, by_beta2=True),
}
"""Every warmup shape by name; a new one is one more entry, and a file in conf/warmup/."""

RAMPS = tuple(name for name, shape in SHAPES.items() if not shape.by_beta2)  # with a length, on either clock
ADAM_RAMPS = tuple(name for name, shape in SHAPES.items() if shape.by_beta2)  # on the gradient-step clock only


def shape_of(name: str) -> Shape:
    """The shape of this name; a name with a dot is the path of a function g(x) of the user's own.

    Raises:
        ValueError: for a name that is neither, and for a function that cannot be a shape.
    """
    if name in SHAPES:
        return SHAPES[name]
    if "." in name:
        return _rise(custom_ramp(name))
    raise ValueError(f"no warmup shape {name!r}: choose one of {', '.join(RAMPS)}")


@dataclass(frozen=True)
class Ramp:
    """Warmup factor omega(x), x in [0, 1] the share of the warmup done (clipped).

    omega(0) = start, omega(1) = 1: start^(1-x) for `exponential`, else start + (1-start) g(x), where g(x) is
    `linear` x; `cosine` (1 - cos(pi x))/2; `polynomial` x^power; `sqrt` sqrt(x);
    `one_minus_sqrt` 1 - sqrt(1-x); `saturating` (1 - e^(-5x))/(1 - e^(-5)); `constant` 0 while x < 1, then 1.

    Args:
        shape: one of `RAMPS`, or the dotted path of a function g(x).
        start: in [0, 1), in (0, 1) for `exponential`; None for the shape's default.
        power: finite and above 0, read by `polynomial` only; None for 2.

    Source: Goyal et al., arXiv 1706.02677 (linear, constant); Hugging Face
    transformers:src/transformers/optimization.py (cosine, one_minus_sqrt); the others by their formula.

    >>> [Ramp(shape)(0.0) for shape in ("linear", "exponential", "constant")]
    [0.0, 0.01, 0.1]
    >>> Ramp("linear", start=0.5)([0.0, 0.5, 1.0]).tolist()
    [0.5, 0.75, 1.0]
    """

    shape: str
    start: float | None = None
    power: float | None = None

    def __post_init__(self) -> None:
        if self.shape in ADAM_RAMPS:
            raise ValueError(f"no warmup shape {self.shape!r} by a length: choose one of {', '.join(RAMPS)}")
        _resolve_ramp(self)

    def __call__(self, x: ArrayLike) -> Array | float:
        """omega at x."""
        return plain(_omega(self, x))


@dataclass(frozen=True)
class Warmup:
    """Schedule p -> base(p) omega(min(1, p/length)), p in [0, 1]: multiplies, on the environment-step clock.

    p is the share of the environment steps done. The base's own clock runs on below the warmup, so from
    p = length on the result is the base itself.

    Args:
        base: any schedule.
        shape: one of `RAMPS`, or the dotted path of a function g(x).
        length: share of the environment steps, in (0, 1].
        start, power: as in `Ramp`.

    Source: the clocks of timm:timm/scheduler/cosine_lr.py with warmup_prefix=False.

    >>> from rl_warmup.schedules import constant
    >>> rate = Warmup(constant(1.0), shape="linear", length=0.5)
    >>> rate(0.0), rate(0.25), rate(0.5), rate(1.0)
    (0.0, 0.5, 1.0, 1.0)
    """

    base: Schedule
    shape: str
    length: float
    start: float | None = None
    power: float | None = None

    def __post_init__(self) -> None:
        if self.shape in ADAM_RAMPS:
            raise ValueError(
                f"warmup shape {self.shape!r} counts optimizer steps and has no environment-step clock: "
                f"use step_factor, or one of {', '.join(RAMPS)}"
            )
        if not 0 < self.length <= 1:
            raise ValueError(
                f"length={self.length!r}: give the share of the environment steps to warm up, in (0, 1]"
            )
        _resolve_ramp(self)

    def __call__(self, p: ArrayLike) -> Array | float:
        """Learning rate at p."""
        share = as_share(p)
        # SB3 hands over 1 - done/total; taken from 1 again it may fall just short of the end.
        done = np.where(share > self.length - _ROUNDING, 1.0, share / self.length)
        return plain(self.base(p) * _omega(self, done))


@dataclass(frozen=True)
class StepFactor:
    """Warmup factor omega_k of optimizer step k = 0, 1, ...: the gradient-step clock.

    RAMPS: omega_k = omega(min(1, (k+1)/length)) with omega of `Ramp`, so that step 0 already moves the weights
    (start = 0 or not) and step length-1 is the first one at the base.
    `untuned_linear`: `linear` with length = round(2/(1-beta2)).
    `untuned_exponential`: omega_k = 1 - exp(-(k+1)(1-beta2)), which only tends to 1.
    `radam`: t = k+1, rho = 2/(1-beta2) - 1, rho_t = rho - 2 t beta2^t/(1 - beta2^t),
    omega_k = sqrt((rho_t-4)(rho_t-2) rho / ((rho-4)(rho-2) rho_t)), 0 while rho_t <= 4; only tends to 1.

    Args:
        shape: one of `SHAPES`, or the dotted path of a function g(x).
        length: optimizer steps, an integer of at least 1; needed by RAMPS, refused by ADAM_RAMPS (but for the
            one that `untuned_linear` has anyway).
        start, power: as in `Ramp`; `untuned_exponential` and `radam` refuse a start.
        beta2: Adam's, in [0, 1), above 0.6 for `radam`; read by ADAM_RAMPS only.

    Source: Ma and Yarats, arXiv 1910.04209 (untuned); Liu et al., arXiv 1908.03265 (radam).

    >>> StepFactor("linear", length=4)([0, 1, 2, 3, 4]).tolist()
    [0.25, 0.5, 0.75, 1.0, 1.0]
    >>> untuned = StepFactor("untuned_linear", beta2=0.99)
    >>> untuned(0), untuned(198), untuned(199)
    (0.005, 0.995, 1.0)
    >>> StepFactor("radam")([0, 3, 4, 999]).round(3).tolist()
    [0.0, 0.0, 0.017, 0.645]
    """

    shape: str
    length: int | None = None
    start: float | None = None
    power: float | None = None
    beta2: float = 0.999

    def __post_init__(self) -> None:
        shape = shape_of(self.shape)
        if shape.by_beta2:
            _check_beta2(self.shape, self.beta2)
        if shape.start is None:
            if self.length is not None or self.start is not None:
                raise ValueError(
                    f"{self.shape} is defined by beta2 alone, but length={self.length!r} and start={self.start!r} "
                    "were given: leave them out, or use exponential, saturating or linear"
                )
            return
        _resolve_ramp(self)
        steps = shape.steps(self.beta2) if shape.steps else _checked_count(self.shape, self.length)
        if self.length not in (None, steps):
            raise ValueError(
                f"length={self.length!r} of {self.shape}: beta2={self.beta2!r} makes it {steps}; "
                "leave the length out, or use linear"
            )
        object.__setattr__(self, "length", steps)

    def __call__(self, k: ArrayLike) -> Array | float:
        """omega at step k."""
        steps = np.asarray(k, dtype=np.float64)
        if not (steps >= 0).all():
            raise ValueError(f"optimizer step {float(steps.min())}: steps count 0, 1, 2, ...")
        if self.length is None:
            return plain(shape_of(self.shape).omega(steps + 1, self.beta2))
        return plain(_omega(self, (steps + 1) / self.length))


# As functions are written: `warmup(constant(3e-4), "linear", 0.1)`.
ramp, warmup, step_factor = Ramp, Warmup, StepFactor


def _omega(values: Ramp | Warmup | StepFactor, x: ArrayLike) -> Array:
    shape = shape_of(values.shape)
    return shape.omega(as_share(x), values.start, **{name: getattr(values, name) for name in shape.own})


def _resolve_ramp(values: Ramp | Warmup | StepFactor) -> None:
    """Put the defaults in the place of no start and no power, and refuse those that cannot be."""
    shape, start = shape_of(values.shape), values.start
    value = shape.start if start is None else float(start)
    if value is None or not 0 <= value < 1 or (shape.from_above_0 and value == 0):
        allowed = "(0, 1), since it grows by ratios" if shape.from_above_0 else "[0, 1)"
        raise ValueError(f"start={start!r} of the {values.shape} warmup: give a factor in {allowed}")
    object.__setattr__(values, "start", value)
    object.__setattr__(values, "power", positive("power", POWER if values.power is None else values.power))


def _checked_count(shape: str, length: int | None) -> int:
    if not isinstance(length, int | np.integer) or isinstance(length, bool) or length < 1:
        raise ValueError(f"length={length!r} of the {shape} warmup: give a whole number of optimizer steps, >= 1")
    return int(length)


def _check_beta2(shape: str, beta2: float) -> None:
    if not 0 <= beta2 < 1:
        raise ValueError(f"beta2={beta2!r} of the {shape} warmup: give Adam's second beta, in [0, 1)")
    if shape == "radam" and 2 / (1 - beta2) - 1 <= 4:
        raise ValueError(
            f"beta2={beta2!r}: radam needs beta2 above 0.6, or rho_t stays at or below 4 and the learning "
            "rate at 0 for ever; use another warmup"
        )
