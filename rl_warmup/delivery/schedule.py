"""Schedules as Stable-Baselines3 takes them: callables of the progress that remains. They need numpy only."""

from dataclasses import dataclass

from rl_warmup.schedules.bases import Schedule, constant
from rl_warmup.schedules.warmups import Warmup


@dataclass(frozen=True)
class ProgressSchedule:
    """A schedule as the callable that Stable-Baselines3 takes for `learning_rate` or `clip_range`.

    Stable-Baselines3 passes progress_remaining = 1 - num_timesteps / total, once an update phase, and lets it
    become negative in the last one; the share of steps done is clipped to [0, 1] here.

    >>> from rl_warmup.schedules import constant, warmup
    >>> learning_rate = for_sb3(warmup(constant(3e-4), shape="linear", length=0.1))
    >>> [round(learning_rate(remaining), 6) for remaining in (1.0, 0.95, 0.9, -0.01)]
    [0.0, 0.00015, 0.0003, 0.0003]
    """

    schedule: Schedule

    def __call__(self, progress_remaining: float) -> float:
        """The value at progress_remaining."""
        return float(self.schedule(min(max(1.0 - progress_remaining, 0.0), 1.0)))


for_sb3 = ProgressSchedule


@dataclass(frozen=True)
class WarmupSchedule:
    """A learning rate with a warmup, as the `learning_rate` of a Stable-Baselines3 model.

    The clock is that of environment steps: the rate is set once an update phase, first after a whole rollout.

    Args:
        base: learning rate after the warmup; a number, or a schedule of the share of environment steps done.
        shape: one of `rl_warmup.schedules.RAMPS`, or the dotted path of a function g(x).
        length: share of the environment steps of `learn`, in (0, 1].
        start: factor at which the warmup begins; None for the shape's default.
        power: of the polynomial shape.

    Raises:
        ValueError: for an unknown shape, and for numbers outside these ranges.

    >>> learning_rate = WarmupSchedule(3e-4, "linear", 0.1)
    >>> [round(learning_rate(remaining), 6) for remaining in (1.0, 0.95, 0.9, -0.01)]
    [0.0, 0.00015, 0.0003, 0.0003]
    """

    base: float | Schedule
    shape: str = "linear"
    length: float = 0.1
    start: float | None = None
    power: float = 2.0

    def __post_init__(self) -> None:
        if isinstance(self.base, ProgressSchedule | WarmupSchedule):
            raise ValueError(f"base={self.base!r} is a schedule of the progress that remains: give its own base")
        self._rate()

    def __call__(self, progress_remaining: float) -> float:
        """Learning rate at progress_remaining = 1 - num_timesteps / total."""
        return ProgressSchedule(self._rate())(progress_remaining)

    def _rate(self) -> Warmup:
        base = self.base if callable(self.base) else constant(self.base)
        return Warmup(base, self.shape, self.length, self.start, self.power)
