"""What a mean hides: how often runs fail in either arm, who wins more pairs, how many failures undo an effect."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from rl_warmup.analysis.statistics.estimators import mcnemar_p
from rl_warmup.analysis.statistics.scopes import ALPHA
from rl_warmup.analysis.statistics.sign_flips import sample


@dataclass(frozen=True)
class Rate:
    """A share of runs that was seen, and what Clopper and Pearson do not exclude."""

    count: int
    n: int
    low: float  # two-sided 95% interval
    high: float
    upper: float  # one-sided 95% limit: "rates up to this are not excluded"


def rate(count: int, n: int) -> Rate:
    """The limits of a rate of which `count` of `n` runs were seen.

    >>> seen = rate(4, 200)
    >>> round(seen.upper, 3), round(seen.high, 3)
    (0.045, 0.05)

    Raises:
        ValueError: unless 0 <= count <= n and n >= 1.

    Source: Clopper & Pearson 1934, doi 10.1093/biomet/26.4.404.
    """
    if not 0 <= count <= n or n < 1:
        raise ValueError(f"{count} of {n} runs: give a count from 0 to the number of runs")
    low = special.betaincinv(count, n - count + 1, ALPHA / 2) if count else 0.0
    high, upper = special.betaincinv(count + 1, n - count, [1 - ALPHA / 2, 1 - ALPHA]) if count < n else (1.0, 1.0)
    return Rate(count, n, float(low), float(high), float(upper))


@dataclass(frozen=True)
class Failures:
    """The failures of two arms with the same seeds."""

    treatment: Rate
    control: Rate
    p_value: float  # exact McNemar test, two-sided
    p_mid: float  # with half the probability of the observed table: less conservative, not exact


def failures(treatment: ArrayLike, control: ArrayLike) -> Failures:
    """Compare how often the runs of two arms fail.

    Args:
        treatment: [n], 1 for a run that failed, else 0.
        control: [n], the same seeds in the same order.

    Raises:
        ValueError: without a pair, for unequal lengths, for values other than 0 and 1.

    Source: Fagerland, Lydersen & Laake 2013, doi 10.1186/1471-2288-13-91.
    """
    x, y = sample(treatment, "treatment"), sample(control, "control")
    if x.size != y.size:
        raise ValueError(f"{x.size} treatment and {y.size} control runs: give the same seeds, in the same order")
    p = mcnemar_p(x, y)
    more, fewer = int(np.count_nonzero(x > y)), int(np.count_nonzero(x < y))
    seen = float(stats.binom.pmf(min(more, fewer), more + fewer, 0.5))
    return Failures(rate(int(x.sum()), x.size), rate(int(y.sum()), y.size), p, 1.0 if more == fewer else p - seen)


@dataclass(frozen=True)
class PairsWon:
    """In how many pairs the treatment is the better one: the typical run, whatever the rare ones do."""

    won: int
    lost: int
    tied: int
    p_value: float  # sign test, two-sided
    low: float  # 95% interval of the share of pairs won among those not tied
    high: float


def pairs_won(differences: ArrayLike, better: str = "higher") -> PairsWon:
    """Count the pairs that the treatment wins; exact for the median of the differences, however skewed they are.

    Args:
        differences: [n], treatment - control, exactly 0 in a tie.
        better: Whether a `higher` or a `lower` metric wins.

    Raises:
        ValueError: for another direction.
    """
    if better not in ("higher", "lower"):
        raise ValueError(f"unknown direction {better!r}: use higher or lower")
    d = sample(differences, "differences") * (1 if better == "higher" else -1)
    won, lost = int(np.count_nonzero(d > 0)), int(np.count_nonzero(d < 0))
    tied = d.size - won - lost
    if won + lost == 0:
        return PairsWon(0, 0, tied, 1.0, 0.0, 1.0)
    share = rate(won, won + lost)
    return PairsWon(won, lost, tied, float(stats.binomtest(won, won + lost).pvalue), share.low, share.high)


@dataclass(frozen=True)
class BreakEven:
    """How many losses undo an effect, and what rate of them these runs exclude."""

    rate: float  # of the runs of the better arm that would have to lose everything for a mean difference of 0
    excluded: float  # higher rates than this one are excluded: 97.5% limit of the failures seen

    @property
    def resolved(self) -> bool:
        """Whether the runs exclude so many losses."""
        return self.excluded <= self.rate


def break_even(estimate: float, bound: float, seen: Rate) -> BreakEven | None:
    """The rate of further losses of `bound` that brings a mean difference back to 0: r = |D| / (b + |D|).

    Args:
        estimate: Mean difference; without one there is nothing to undo, and None is returned.
        bound: The most that a pair can lose, above 0.
        seen: Failures of the better arm: the treatment if the estimate speaks for it, else the control.

    >>> undone = break_even(0.1, 1.03, rate(0, 12))
    >>> round(undone.rate, 3), round(undone.excluded, 3)
    (0.088, 0.265)
    """
    if not bound > 0:
        raise ValueError(f"bound {bound!r} of the differences: give a number above 0")
    size = abs(estimate)
    return BreakEven(size / (bound + size), seen.high) if size else None
