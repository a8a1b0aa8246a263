"""Learning rate as pure functions: base schedules, warmup shapes and the phases of a run; numpy only."""

from rl_warmup.schedules.bases import BASES, Base, constant, cosine, exponential, inverse_sqrt, linear, stable_decay
from rl_warmup.schedules.warmups import ADAM_RAMPS, RAMPS, SHAPES, ramp, step_factor, warmup

__all__ = [
    "ADAM_RAMPS",
    "BASES",
    "RAMPS",
    "SHAPES",
    "Base",
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
