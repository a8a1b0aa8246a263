"""Schedules as Stable-Baselines3 takes them: callables of the progress that remains."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rl_warmup.schedules.bases import Schedule

if TYPE_CHECKING:
    pass


def for_sb3(schedule: Schedule) -> Callable[[float], float]:
    """A schedule as the callable that Stable-Baselines3 takes for `learning_rate` or `clip_range`.

    Stable-Baselines3 passes progress_remaining = 1 - num_timesteps / total, once an update phase, and lets it
    become negative in the last one; the share of steps done is clamped to [0, 1] here.

    >>> from rl_warmup.schedules import constant, warmup
    >>> learning_rate = for_sb3(warmup(constant(3e-4), shape="linear", length=0.1))
    >>> [round(learning_rate(remaining), 6) for remaining in (1.0, 0.95, 0.9, -0.01)]
    [0.0, 0.00015, 0.0003, 0.0003]
    """

    def of_remaining(progress_remaining: float) -> float:
        return float(schedule(min(max(1.0 - progress_remaining, 0.0), 1.0)))

    return of_remaining
