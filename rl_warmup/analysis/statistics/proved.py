"""Two tests of a bounded mean whose level is proved for every distribution: wider than `dirichlet`, beside it.

Both allow differences D_i in [-b, b] and nothing else, and hold their level at every n.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, isotonic_regression

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.scopes import ALPHA

DRAWS = 10_000  # of Phan's quantile; they depend on the number of pairs alone
STAKES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.95)


@dataclass(frozen=True)
class Proved:
    """The mean of bounded differences by one of these tests."""

    p_value: float  # two-sided, against mean = 0
    ci_low: float  # 95%
    ci_high: float


def _both_sides(up: tuple[float, float], down: tuple[float, float]) -> Proved:
    """From p against mean <= 0 and the lower limit, of the differences and of minus the differences."""
    return Proved(min(1.0, 2 * min(up[0], down[0])), up[1] + 0.0, 0.0 - down[1])


def betting(differences: ArrayLike, bound: float) -> Proved:
    """Bet on the mean with fixed stakes, and call the wealth the evidence.

    E(c) = mean over stakes s of prod_i (1 + s (D_i - c) / (b + c)) has mean at most 1 where D has mean at most c:
    p = 1 / E holds its level (Markov), and does so whenever a study stops.

    Args:
        differences: [n], one for each pair.
        bound: They cannot leave [-bound, bound].

    Raises:
        ValueError: as `Dirichlet.of`.

    Source: Waudby-Smith & Ramdas, arXiv 2010.09686; Orabona & Jun, arXiv 2110.14099.
    """
    test = Dirichlet.of(differences, bound)
    return _both_sides(*(_bet(side.differences, bound) for side in (test.up, test.down)))


def _bet(d: FloatArray, bound: float) -> tuple[float, float]:
    """p against mean <= 0, and the 97.5% lower limit."""

    def log_wealth(c: float) -> float:
        gains = np.outer(STAKES, (d - c) / (bound + c))  # [stakes, n]
        return float(np.logaddexp.reduce(np.log1p(gains).sum(axis=1))) - math.log(len(STAKES))

    p, wanted = math.exp(min(0.0, -log_wealth(0.0))), math.log(2 / ALPHA)
    lowest = -bound * (1 - 1e-9)
    if d.mean() <= lowest or log_wealth(lowest) <= wanted:
        return p, -bound
    return p, float(brentq(lambda c: log_wealth(c) - wanted, lowest, float(d.mean()), xtol=1e-9 * bound))


def phan(differences: ArrayLike, bound: float) -> Proved:
    """The bound of Phan and others, ordered by Anderson's: never wider than Anderson's own.

    For uniform order statistics u the mean of a sample z is at most b - sum_i u_(i) (z_(i+1) - z_(i)), z_(n+1) = b.
    Gaffke takes that of the sample itself, here it is the largest of all samples that Anderson's bound ranks no
    higher; the limit is its quantile over u. As both are linear in the gaps of z, the largest lies on the convex
    minorant of the points (a_i, u_(i)), a_i = max(0, i/n - sqrt(log(1/.025) / 2n)).

    Args:
        differences: [n], one for each pair.
        bound: They cannot leave [-bound, bound].

    Raises:
        ValueError: as `Dirichlet.of`.

    Source: Phan, Thomas & Learned-Miller, arXiv 2106.03163.
    """
    test = Dirichlet.of(differences, bound)
    return _both_sides(*(_phan(side.differences, bound) for side in (test.up, test.down)))


def _phan(d: FloatArray, bound: float) -> tuple[float, float]:
    """p against mean <= 0, and the 97.5% lower limit: minus the upper one of minus the differences."""
    gaps = np.diff(-d[::-1], append=bound)
    worst = np.sort(bound - 2 * bound * minorants(d.size, float(anderson(d.size) @ gaps) / (2 * bound)))
    p = (1 + np.count_nonzero(worst >= 0)) / (1 + DRAWS)
    return float(p), -float(worst[math.ceil((1 - ALPHA / 2) * (DRAWS + 1)) - 1])


def anderson(n: int) -> FloatArray:  # [n]
    """What at least lies below each of n order statistics, at 97.5% (Dvoretzky, Kiefer, Wolfowitz and Massart)."""
    return np.maximum(0.0, np.arange(1, n + 1) / n - math.sqrt(math.log(2 / ALPHA) / (2 * n)))


@lru_cache(maxsize=4)
def _convex(n: int) -> tuple[FloatArray, FloatArray]:
    """The abscissas above 0 and before them 0, [k], and the minorant there for every draw, [draws, k]."""
    levels = anderson(n)
    above = levels > 0
    at = np.concatenate([[0.0], levels[above]])
    steps = np.diff(at)
    ranks = np.sort(np.random.default_rng(n).random((DRAWS, n)), axis=1)[:, above]
    slopes = np.diff(ranks, axis=1, prepend=0.0) / steps
    rising = np.array([isotonic_regression(one, weights=steps).x for one in slopes]) if steps.size else slopes
    return at, np.concatenate([np.zeros((DRAWS, 1)), np.cumsum(rising * steps, axis=1)], axis=1)


def minorants(n: int, at: float) -> FloatArray:  # [draws]
    """The convex minorants of the drawn order statistics over Anderson's levels, at one abscissa."""
    abscissas, values = _convex(n)
    if abscissas.size == 1:
        return values[:, 0]
    right = int(np.clip(np.searchsorted(abscissas, at), 1, abscissas.size - 1))
    share = (at - abscissas[right - 1]) / (abscissas[right] - abscissas[right - 1])
    return np.asarray((1 - share) * values[:, right - 1] + share * values[:, right])
