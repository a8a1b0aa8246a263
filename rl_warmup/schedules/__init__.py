"""Learning rate as pure functions: base schedules, warmup shapes and the phases of a run; numpy only."""

from rl_warmup.schedules.bases import (
    BASES,
    Base,
    Schedule,
    constant,
    cosine,
    exponential,
    inverse_sqrt,
    linear,
    stable_decay,
)
from rl_warmup.schedules.numbers import Array
from rl_warmup.schedules.warmups import ADAM_RAMPS, DEFAULT_START, RAMPS, SHAPES, Factor, ramp, step_factor, warmup

__all__ = [
    "ADAM_RAMPS",
    "BASES",
    "DEFAULT_START",
    "RAMPS",
    "SHAPES",
    "Array",
    "Base",
    "Factor",
    "Schedule",
    "constant",
    "cosine",
    "exponential",
    "inverse_sqrt",
    "linear",
    "ramp",
    "stable_decay",
    "step_factor",
    "warmup",
]
