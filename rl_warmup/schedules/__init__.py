"""Learning rate as pure functions: base schedules, warmup shapes and the phases of a run; numpy only."""

from rl_warmup.schedules.bases import (
    BASES,
    Array,
    Factor,
    Schedule,
    constant,
    cosine,
    exponential,
    inverse_sqrt,
    linear,
    stable_decay,
)
from rl_warmup.schedules.warmups import ADAM_RAMPS, DEFAULT_START, RAMPS, lost_steps, ramp, step_factor, warmup

__all__ = [
    "ADAM_RAMPS",
    "BASES",
    "DEFAULT_START",
    "RAMPS",
    "Array",
    "Factor",
    "Schedule",
    "constant",
    "cosine",
    "exponential",
    "inverse_sqrt",
    "linear",
    "lost_steps",
    "ramp",
    "stable_decay",
    "step_factor",
    "warmup",
]
