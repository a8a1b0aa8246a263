"""A base learning rate that follows the KL of PPO's updates; it cannot be planned."""

from dataclasses import dataclass

from numpy.typing import ArrayLike

KL_ADAPTIVE = "kl_adaptive"
STEP = 1.5
LEAST, MOST = 1e-6, 1e-2


def kl_adapted(rate: float, kl: float, target: float) -> float:
    """The rate after an update: rate / 1.5, at least 1e-6, if its KL is above 2 target; 1.5 rate, at most 1e-2, if
    it is below target / 2; else the rate.

    >>> [round(kl_adapted(6e-4, kl, target=0.008), 6) for kl in (0.017, 0.016, 0.004, 0.003)]
    [0.0004, 0.0006, 0.0006, 0.0009]
    >>> kl_adapted(1.2e-6, 1.0, 0.008), kl_adapted(9e-3, 0.0, 0.008)
    (1e-06, 0.01)

    Source: Denys88/rl_games, rl_games/common/schedulers.py, AdaptiveScheduler.
    """
    if kl > 2 * target:
        return max(rate / STEP, LEAST)
    if kl < target / 2:
        return min(rate * STEP, MOST)
    return rate


@dataclass
class KLAdaptive:
    """A schedule whose rate, whatever the share of the run, is what the updates until now have made of it."""

    rate: float
    target: float

    def __call__(self, p: ArrayLike) -> float:
        """The rate now."""
        return self.rate

    def adapt(self, kl: float) -> None:
        """Follow an update of this KL."""
        self.rate = kl_adapted(self.rate, kl, self.target)
