"""Learning rate as a pure function: base schedules, warmup shapes and the two clocks of a warmup.

Delivered learning rate = base x omega. A base maps p, the share of the environment steps done, to a
learning rate. omega is the warmup factor in [0, 1]; it rises with x, the share of the warmup done:

- gradient-step clock, `step_factor`: x = min(1, (k+1)/W) at optimizer step k = 0, 1, ..., so step 0 already
  moves the weights (start = 0 or not) and step W-1 is the first one at the base;
- environment-step clock, `warmup`: x = min(1, p/length), so p = 0 is at `start` and p = length at the base.

Every closure takes a number and returns a float, or takes an array and returns a float64 array of its shape.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from rl_warmup.schedules.bases import Array, Factor, Schedule, _plain, _positive, _share

SATURATION = 5.0  # c of the saturating shape
_ROUNDING = 1e-12  # share of a run; far above float64's error in it, far below one environment step

# g(x) of the shapes omega = start + (1-start) g(x). Each is exactly 0 at 0 and exactly 1 at 1 in float64, so
# that a run is bit for bit on its base once the warmup is over.
_RISE: Mapping[str, Callable[[Array, float], Array]] = {
    "linear": lambda x, power: x,
    "saturating": lambda x, power: np.expm1(-SATURATION * x) / np.expm1(-SATURATION),
    "cosine": lambda x, power: np.sin(0.5 * np.pi * x) ** 2,  # = (1 - cos(pi x))/2 without the cancellation
    "polynomial": lambda x, power: x**power,
    "sqrt": lambda x, power: np.sqrt(x),
    "one_minus_sqrt": lambda x, power: 1 - np.sqrt(1 - x),
    "constant": lambda x, power: np.floor(x),
}
# Integral of 1 - g(x) over [0, 1].
_LOST: Mapping[str, Callable[[float], float]] = {
    "linear": lambda power: 1 / 2,
    "saturating": lambda power: 1 / SATURATION - 1 / math.expm1(SATURATION),
    "cosine": lambda power: 1 / 2,
    "polynomial": lambda power: power / (power + 1),
    "sqrt": lambda power: 1 / 3,
    "one_minus_sqrt": lambda power: 2 / 3,
    "constant": lambda power: 1.0,
}

RAMPS: tuple[str, ...] = (
    *("linear", "exponential", "saturating", "cosine"),
    *("polynomial", "sqrt", "one_minus_sqrt", "constant"),
)
"""Shapes that take a length, a start and either clock."""

ADAM_RAMPS: tuple[str, ...] = ("untuned_linear", "untuned_exponential", "radam")
"""Shapes defined by the optimizer step and Adam's beta2; gradient-step clock only."""

DEFAULT_START: Mapping[str, float] = {
    **dict.fromkeys((*RAMPS, "untuned_linear"), 0.0),
    "exponential": 0.01,
    "constant": 0.1,
}
"""omega at x = 0 where none is given, for the shapes that have a start."""


def ramp(shape: str, start: float | None = None, power: float = 2.0) -> Factor:
    """Warmup factor omega(x), x in [0, 1] the share of the warmup done (clipped).

    omega(0) = start, omega(1) = 1: start^(1-x) for `exponential`, else start + (1-start) g(x), where g(x) is
    `linear` x; `cosine` (1 - cos(pi x))/2; `polynomial` x^power; `sqrt` sqrt(x);
    `one_minus_sqrt` 1 - sqrt(1-x); `saturating` (1 - e^(-5x))/(1 - e^(-5)); `constant` 0 while x < 1, then 1.

    start: in [0, 1), in (0, 1) for `exponential`; None: DEFAULT_START. power: finite and above 0, read by
    `polynomial` only. ValueError for a shape outside RAMPS and for values outside these ranges.

    >>> [ramp(shape)(0.0) for shape in ("linear", "exponential", "constant")]
    [0.0, 0.01, 0.1]
    >>> ramp("linear", start=0.5)([0.0, 0.5, 1.0]).tolist()
    [0.5, 0.75, 1.0]

    Source: Goyal et al., arXiv 1706.02677 (linear, constant); Hugging Face
    transformers:src/transformers/optimization.py (cosine, one_minus_sqrt); the others by their formula.
    """
    start = _checked_start(shape, start)
    power = _positive("power", power)
    if shape == "exponential":
        return lambda x: _plain(start ** (1 - _share(x)))
    rise = _RISE[shape]
    return lambda x: _plain(start + (1 - start) * rise(_share(x), power))


def warmup(base: Schedule, shape: str, length: float, start: float | None = None, power: float = 2.0) -> Schedule:
    """Schedule p -> base(p) omega(min(1, p/length)), p in [0, 1]: multiplies, on the environment-step clock.

    The base's own clock runs on below the warmup, so from p = length on the result is the base itself.
    base: any schedule. length: share of the environment steps, in (0, 1]. shape, start, power: see `ramp`.
    ValueError for a length outside its range and for a shape of ADAM_RAMPS.

    >>> from rl_warmup.schedules import constant
    >>> rate = warmup(constant(1.0), shape="linear", length=0.5)
    >>> rate(0.0), rate(0.25), rate(0.5), rate(1.0)
    (0.0, 0.5, 1.0, 1.0)

    Source: the clocks of timm:timm/scheduler/cosine_lr.py with warmup_prefix=False.
    """
    if shape in ADAM_RAMPS:
        raise ValueError(
            f"warmup shape {shape!r} counts optimizer steps and has no environment-step clock: "
            f"use step_factor, or one of {', '.join(RAMPS)}"
        )
    if not 0 < length <= 1:
        raise ValueError(f"length={length!r}: give the share of the environment steps to warm up, in (0, 1]")
    omega = ramp(shape, start, power)

    def rate(p: ArrayLike) -> Array | float:
        share = _share(p)
        # SB3 hands over 1 - done/total; taken from 1 again it may fall just short of the end.
        return _plain(base(p) * np.asarray(omega(np.where(share > length - _ROUNDING, 1.0, share / length))))

    return rate


def step_factor(
    shape: str,
    length: int | None = None,
    start: float | None = None,
    power: float = 2.0,
    beta2: float = 0.999,
) -> Factor:
    """Warmup factor omega_k of optimizer step k = 0, 1, ...: the gradient-step clock.

    RAMPS: omega_k = omega(min(1, (k+1)/length)) with omega of `ramp`; omega_k = 1 from k = length-1 on.
    `untuned_linear`: `linear` with length = round(2/(1-beta2)).
    `untuned_exponential`: omega_k = 1 - exp(-(k+1)(1-beta2)), which only tends to 1.
    `radam`: t = k+1, rho = 2/(1-beta2) - 1, rho_t = rho - 2 t beta2^t/(1 - beta2^t),
    omega_k = sqrt((rho_t-4)(rho_t-2) rho / ((rho-4)(rho-2) rho_t)), 0 while rho_t <= 4; only tends to 1.

    length: optimizer steps, an integer of at least 1; needed by RAMPS, refused by ADAM_RAMPS (but for the
    one that `untuned_linear` has anyway). start, power: see `ramp`; `untuned_exponential` and `radam` refuse
    a start. beta2: Adam's, in [0, 1), above 0.6 for `radam`; read by ADAM_RAMPS only. Anything else:
    ValueError, also for k below 0.

    >>> step_factor("linear", length=4)([0, 1, 2, 3, 4]).tolist()
    [0.25, 0.5, 0.75, 1.0, 1.0]
    >>> untuned = step_factor("untuned_linear", beta2=0.99)
    >>> untuned(0), untuned(198), untuned(199)
    (0.005, 0.995, 1.0)
    >>> step_factor("radam")([0, 3, 4, 999]).round(3).tolist()
    [0.0, 0.0, 0.017, 0.645]

    Source: Ma and Yarats, arXiv 1910.04209 (untuned); Liu et al., arXiv 1908.03265 (radam).
    """
    if shape == "untuned_linear":
        untuned = round(2 / (1 - _checked_beta2(shape, beta2)))
        if length not in (None, untuned):
            raise ValueError(
                f"length={length!r} of untuned_linear: beta2={beta2!r} makes it {untuned}; "
                "leave the length out, or use linear"
            )
        shape, length = "linear", untuned
    if shape in ADAM_RAMPS:
        if length is not None or start is not None:
            raise ValueError(
                f"{shape} is defined by beta2 alone, but length={length!r} and start={start!r} were given: "
                "leave them out, or use exponential, saturating or linear"
            )
        return _adam_factor(shape, _checked_beta2(shape, beta2))
    omega = ramp(shape, start, power)
    steps = _checked_count(shape, length)
    return lambda k: omega((_step(k) + 1) / steps)


def lost_steps(shape: str, start: float | None = None, power: float = 2.0) -> float:
    """Integral of 1 - omega(x) over x in [0, 1]: the limit of sum_k (1 - omega_k) / W for a long warmup.

    In units of the warmup's length W: with a constant base a warmup takes away lost_steps x W steps' worth of
    the peak. Equals 1 - (1-start)/ln(1/start) for `exponential`, else (1-start) times the integral of 1 - g.
    shape, start, power and errors: see `ramp`. The ADAM_RAMPS have no W; sum 1 - step_factor instead.

    >>> lost_steps("linear"), lost_steps("linear", start=0.5), lost_steps("constant")
    (0.5, 0.25, 0.9)
    >>> round(lost_steps("exponential"), 3)
    0.785

    Source: Ma and Yarats, arXiv 1910.04209, effective warmup period.
    """
    start = _checked_start(shape, start)
    power = _positive("power", power)
    if shape == "exponential":
        return 1 + (1 - start) / math.log(start)
    return (1 - start) * _LOST[shape](power)


def _adam_factor(shape: str, beta2: float) -> Factor:
    if shape == "untuned_exponential":
        return lambda k: _plain(-np.expm1(-(_step(k) + 1) * (1 - beta2)))
    rho = 2 / (1 - beta2) - 1
    scale = rho / ((rho - 4) * (rho - 2))

    def radam(k: ArrayLike) -> Array | float:
        t = _step(k) + 1
        rho_t = rho - 2 * t * beta2**t / -np.expm1(t * math.log(beta2))
        rho_t = np.maximum(rho_t, 4)  # makes omega 0 where the formula has no real value
        return _plain(np.minimum(1, np.sqrt((rho_t - 4) * (rho_t - 2) / rho_t * scale)))

    return radam


def _step(values: ArrayLike) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if not (array >= 0).all():
        raise ValueError(f"optimizer step {float(array.min())}: steps count 0, 1, 2, ...")
    return array


def _checked_start(shape: str, start: float | None) -> float:
    if shape not in RAMPS:
        hint = " by a length" if shape in ADAM_RAMPS else ""
        raise ValueError(f"no warmup shape {shape!r}{hint}: choose one of {', '.join(RAMPS)}")
    value = DEFAULT_START[shape] if start is None else float(start)
    if not 0 <= value < 1 or (shape == "exponential" and value == 0):
        allowed = "(0, 1), since it grows by ratios" if shape == "exponential" else "[0, 1)"
        raise ValueError(f"start={start!r} of the {shape} warmup: give a factor in {allowed}")
    return value


def _checked_count(shape: str, length: int | None) -> int:
    whole = isinstance(length, int | np.integer) and not isinstance(length, bool)
    if length is None or not whole or length < 1:
        raise ValueError(f"length={length!r} of the {shape} warmup: give a whole number of optimizer steps, >= 1")
    return int(length)


def _checked_beta2(shape: str, beta2: float) -> float:
    if not 0 <= beta2 < 1:
        raise ValueError(f"beta2={beta2!r} of the {shape} warmup: give Adam's second beta, in [0, 1)")
    if shape == "radam" and 2 / (1 - beta2) - 1 <= 4:
        raise ValueError(
            f"beta2={beta2!r}: radam needs beta2 above 0.6, or rho_t stays at or below 4 and the learning "
            "rate at 0 for ever; use another warmup"
        )
    return float(beta2)
