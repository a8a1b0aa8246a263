"""How many pairs a study takes: for each verdict, at a power of 80%, and what stays open even so; numpy and scipy.

The differences are taken for normal with a standard deviation that a pilot gave, clipped at their bound. What is
asked of the Dirichlet test is answered without simulation: at n pairs its p is that of the quantiles of the normal
distribution, each n / 40 times, around the mean of the sample, and that mean is normal with sd / sqrt(n). In the
runs seen the sign-flip test has the power of a t test, once there are enough pairs for its smallest p.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from rl_warmup.analysis.statistics.scopes import ALPHA
from rl_warmup.analysis.statistics.sign_flips import ROUNDING, positive_effect, sample

POWER = 0.8
FEWEST = 6  # pairs of a pilot that says anything of the standard deviation
LUCK = 0.2  # a pilot's standard deviation is smaller than planned with in one of five pilots only
ONE_PAIR = 0.5  # a standard deviation that falls below this part of itself without one pair is made by that one
MOST_PAIRS = 100_000  # more seeds than this are no plan
NODES = 40
CERTAIN = 30.0  # standard errors

_QUANTILES = ndtri((np.arange(NODES) + 0.5) / NODES)
_NORMAL = _QUANTILES / np.sqrt((_QUANTILES**2).mean())  # [nodes], mean 0, variance 1


@dataclass(frozen=True)
class Plan:
    """Pairs that decide in 80% of the studies; None: there is no such number, or no bound is known."""

    sd: float  # of the differences, with which it was planned: the pilot's, inflated
    in_runs_seen: int | None  # better or worse in the runs seen, where the true difference is the smallest effect
    mean: int | None  # better or worse, whatever rare runs do
    equivalent: int | None  # equivalent, where the true difference is 0
    pairs: int | None  # all three: the largest that is known
    open_at_zero: float | None  # probability that with so many pairs nothing is decided, where the truth is 0
    open_at_half: float | None  # and where it is half the smallest effect


def plan(
    differences: ArrayLike,
    smallest_effect: float,
    bound: float | None,
    tests: int = 1,
    *,
    power: float = POWER,
    alpha: float = ALPHA,
) -> Plan | None:
    """Plan the next study from the differences of a pilot.

    Args:
        differences: [n], one for each pair.
        smallest_effect: above 0, in the unit of the differences.
        bound: Largest |difference| that is possible; None: not known, so that no verdict holds for the mean.
        tests: in the family; Holm asks its first one for alpha / tests.
        power: of each verdict.

    Returns:
        None where nothing can be planned with, see `no_plan`.
    """
    d = sample(differences, "differences")
    if no_plan(d):
        return None
    sd = inflated(float(d.std(ddof=1)), d.size)
    return plan_with(sd, smallest_effect, bound, tests, power=power, alpha=alpha)


def no_plan(differences: ArrayLike) -> str:
    """Why nothing can be planned with the differences of a pilot; empty where something can.

    >>> no_plan([0.1, -0.2, 0.3]), no_plan([0.0] * 20)
    ('3 pairs say too little of the standard deviation, and 6 are needed', 'all differences are the same')
    """
    d = sample(differences, "differences")
    if d.size < FEWEST:
        return f"{d.size} pairs say too little of the standard deviation, and {FEWEST} are needed"
    if np.ptp(d) <= ROUNDING * np.abs(d).max():
        return "all differences are the same"
    return "one pair makes most of the standard deviation" if one_pair_decides(d) else ""


def inflated(sd: float, n: int) -> float:
    """The standard deviation to plan with after n pairs, sd sqrt((n - 1) / chi2_{.2, n-1}).

    Its true value is above that in one of five pilots.

    >>> round(inflated(1.0, 20), 3)
    1.177
    """
    return sd * math.sqrt((n - 1) / float(stats.chi2.ppf(LUCK, n - 1)))


def one_pair_decides(differences: ArrayLike) -> bool:
    """Whether the standard deviation falls below half of itself without one of the pairs."""
    d = sample(differences, "differences")
    if d.size < 3 or not d.std():
        return False
    without = np.delete(d, np.argmax(np.abs(d - d.mean())))
    return bool(without.std(ddof=1) < ONE_PAIR * d.std(ddof=1))


@cache
def plan_with(
    sd: float,
    smallest_effect: float,
    bound: float | None,
    tests: int = 1,
    *,
    power: float = POWER,
    alpha: float = ALPHA,
) -> Plan:
    """The plan for differences of this standard deviation; arguments as those of `plan`."""
    delta = positive_effect(smallest_effect)
    mean, equal, seen = None, None, pairs_in_runs_seen(delta, sd, tests, power=power, alpha=alpha)
    if bound is not None:
        mean = pairs_for_mean(delta, sd, bound, tests, power=power, alpha=alpha)
        equal = pairs_for_equivalence(delta, sd, bound, tests, power=power, alpha=alpha)
    pairs = max((n for n in (seen, mean, equal) if n is not None), default=None)
    still = [
        None if pairs is None else undecided(pairs, truth, delta, sd, bound, tests, alpha=alpha)
        for truth in (0.0, delta / 2)
    ]
    return Plan(sd, seen, mean, equal, pairs, *still)


def pairs_in_runs_seen(
    effect: float, sd: float, tests: int = 1, *, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """Pairs for better or worse in the runs seen, by the sign-flip test at level alpha / tests.

    >>> pairs_in_runs_seen(effect=0.5, sd=1.0)
    34
    """
    return _fewest(lambda n: _power_in_runs_seen(n, effect, sd, alpha / tests) >= power)


def pairs_for_mean(
    effect: float, sd: float, bound: float, tests: int = 1, *, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """Pairs for better or worse whatever rare runs do, by the Dirichlet test at level alpha / tests.

    >>> pairs_for_mean(effect=0.05, sd=0.0, bound=1.03)  # ln(1 / .025) / ln(1 + .05 / 1.03), the law
    78
    """
    luck = float(ndtri(power))
    return _fewest(lambda n: _p_up(n, effect - luck * sd / math.sqrt(n), sd, bound) <= alpha / tests / 2)


def pairs_for_equivalence(
    delta: float, sd: float, bound: float, tests: int = 1, *, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """Pairs for equivalent where the true difference is 0, by the Dirichlet test at level alpha / tests.

    >>> pairs_for_equivalence(delta=0.05, sd=0.0, bound=1.0)  # without any event
    59
    """
    if delta >= bound:
        return 1
    luck = float(ndtri((1 + power) / 2))  # on both sides
    return _fewest(lambda n: _p_up(n, delta - luck * sd / math.sqrt(n), sd, bound - delta) <= alpha / tests)


def undecided(
    n: int, truth: float, delta: float, sd: float, bound: float | None, tests: int = 1, *, alpha: float = ALPHA
) -> float:
    """Probability that n pairs show neither better or worse, of either kind, nor equivalent."""
    level, error = alpha / tests, sd / math.sqrt(n)
    differs = -float(ndtri(level / 2)) * error if 2.0 ** (1 - n) <= level else math.inf
    equals = -math.inf
    if bound is not None:
        differs = min(differs, _critical_mean(n, sd, bound, level / 2))
        equals = math.inf if delta >= bound else delta - _critical_mean(n, sd, bound - delta, level)
    differs = max(differs, delta + float(ndtri(ALPHA)) * error)  # nothing that is too small to matter
    return max(0.0, _within(differs, truth, error) - (_within(equals, truth, error) if equals >= 0 else 0.0))


def _power_in_runs_seen(n: int, effect: float, sd: float, level: float) -> float:
    """Power of the t test; 0 where the smallest p that n sign vectors give is above the level."""
    if n < 2 or 2.0 ** (1 - n) > level:
        return 0.0
    shift = effect / sd * math.sqrt(n) if sd else math.inf
    return 1.0 if shift > CERTAIN else float(stats.nct.sf(stats.t.ppf(1 - level / 2, n - 1), n - 1, shift))


def _within(limit: float, truth: float, error: float) -> float:
    """Probability that a mean with this standard error lies in [-limit, limit]."""
    if not error or math.isinf(limit):
        return float(abs(truth) <= limit)
    return float(ndtr((limit - truth) / error) - ndtr((-limit - truth) / error))


def _critical_mean(n: int, sd: float, bound: float, level: float) -> float:
    """The smallest mean of n differences of this standard deviation whose p against mean <= 0 is at the level."""
    if _p_up(n, bound, sd, bound) > level:
        return math.inf
    low = bound * math.expm1(-math.log(level) / n)  # the law: without any spread
    if _p_up(n, low, sd, bound) <= level:
        return low
    return float(brentq(lambda mean: math.log(_p_up(n, mean, sd, bound) / level), low, bound, xtol=1e-5 * bound))


def _p_up(n: int, mean: float, sd: float, bound: float) -> float:
    """The Dirichlet p against mean <= 0 of n differences with these quantiles, at least -bound each.

    P(sum_i D_i g_i - bound g_0 <= 0) for standard exponential g by the saddlepoint of
    K(t) = log E exp(t sum) = -n mean_i log(1 - t D_i) - log(1 + t bound); exactly where no D_i is below 0.

    Source: Lugannani & Rice 1980, doi 10.2307/1426607.
    """
    if mean <= 0:
        return 1.0
    d = np.clip(mean + sd * _NORMAL, -bound, None)  # [nodes]
    if d[0] >= 0:
        return max(1e-300, math.exp(-n * float(np.log1p(d / bound).sum()) / NODES))
    if n * float(d.sum()) / NODES <= bound:
        return 1.0

    def slope(t: float) -> float:  # K'(t)
        return n * float((d / (1 - t * d)).sum()) / NODES - bound / (1 + t * bound)

    t = float(brentq(slope, -(1 - 1e-9) / bound, 0.0, rtol=1e-6))
    ratio = d / (1 - t * d)
    k = -n * float(np.log1p(-t * d).sum()) / NODES - math.log1p(t * bound)
    curved = n * float(ratio @ ratio) / NODES + (bound / (1 + t * bound)) ** 2
    r, u = -math.sqrt(max(-2 * k, 1e-12)), t * math.sqrt(curved)
    return min(1.0, max(1e-300, float(ndtr(r)) + math.exp(-(r**2) / 2) / math.sqrt(2 * math.pi) * (1 / r - 1 / u)))


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The smallest number of pairs that is enough; None where it is no plan."""
    high = 8
    while not enough(high):
        if high > MOST_PAIRS:
            return None
        high *= 2
    return bisect_left(range(high), True, lo=2, key=enough)
