"""Small statistics of one or two samples of runs; numpy and scipy.

x: [n] and y: [m] hold one finite number for each run; in pairs m = n. Other samples raise a ValueError. What is
drawn depends on n and m alone: the same runs have the same numbers in every study.
"""

import math
import warnings
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics.sign_flips import ROUNDING, sample

DRAWS = 10_000  # of resamples and of permutations, from a generator seeded by the number of runs alone


def constant(x: FloatArray) -> bool:
    """Whether all x are the same number up to rounding."""
    return bool(np.ptp(x) <= ROUNDING * np.max(np.abs(x)))


def mcnemar_p(x: ArrayLike, y: ArrayLike) -> float:
    """Exact McNemar test of pairs of 0 or 1: two-sided binomial(1/2) p of the discordant ones; 1 without any."""
    x, y = sample(x, "x"), sample(y, "y")
    strange = np.setdiff1d(np.concatenate([x, y]), [0.0, 1.0])
    if strange.size:
        raise ValueError(f"McNemar's test met {strange[0]}: give 0 or 1 for each run")
    up, down = int(np.count_nonzero(x > y)), int(np.count_nonzero(x < y))
    return float(stats.binomtest(up, up + down, 0.5).pvalue) if up + down else 1.0


def iqm(x: ArrayLike, axis: int | None = None) -> FloatArray:
    """Mean without the lowest and the highest floor(n/4) values, over `axis` (None: all values).

    Source: Agarwal et al., arXiv 2108.13264.
    """
    return np.asarray(stats.trim_mean(x, 0.25, axis=axis))


def iqm_interval(x: ArrayLike) -> tuple[float, float] | None:
    """95% BCa bootstrap interval (10 000 draws) of the IQM: descriptive, too narrow for small n.

    (v, v) where all x are v; None for n < 2 and where BCa is undefined (too many ties).

    Source: Efron 1987.
    """
    x = np.sort(sample(x, "x"))
    if x.size < 2:
        return None
    if constant(x):
        return float(iqm(x)), float(iqm(x))
    rng = np.random.default_rng(x.size)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns where BCa is undefined; the answer there is None
        result = stats.bootstrap((x,), iqm, n_resamples=DRAWS, method="BCa", vectorized=True, rng=rng)
    low, high = (float(end) for end in result.confidence_interval)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def unpaired_p(x: ArrayLike, y: ArrayLike) -> float:
    """Permutation p of the difference of means as if the runs were not paired, twice that of the nearer tail."""
    samples = np.sort(sample(x, "x")), np.sort(sample(y, "y"))
    size = float(np.abs(np.concatenate(samples)).max(initial=0.0))
    tails = _tails(*samples, lambda one, other: one.mean(axis=-1) - other.mean(axis=-1), ROUNDING * size)
    return min(1.0, 2 * min(tails))


def _tails(
    x: FloatArray,  # [n]
    y: FloatArray,  # [m]
    statistic: Callable[[FloatArray, FloatArray], FloatArray],  # [..., n], [..., m] -> [...]
    rounding: float,  # statistics this close are ties
) -> tuple[float, float]:
    """Shares of the permutations between two samples whose statistic is at least, and at most, the observed one.

    All of them where there are no more than 10 000 (scipy); else 10 000 random ones with the +1 rule, which
    scipy draws too, but ten times slower.
    """
    exact = math.comb(x.size + y.size, x.size) <= DRAWS
    if exact:
        test = stats.permutation_test(
            (x, y), lambda one, other, axis: statistic(one, other), vectorized=True, n_resamples=np.inf
        )
        drawn = np.asarray(test.null_distribution)
    else:
        pooled = np.concatenate([x, y])[_permutations(x.size, y.size)]
        drawn = statistic(pooled[:, : x.size], pooled[:, x.size :])
    observed, one = float(statistic(x, y)), int(not exact)
    above, below = (np.count_nonzero(sign * drawn >= sign * observed - rounding) for sign in (1, -1))
    return (one + int(above)) / (one + drawn.size), (one + int(below)) / (one + drawn.size)


@lru_cache(maxsize=4)
def _permutations(n: int, m: int) -> NDArray[np.intp]:  # [draws, n + m]
    rng = np.random.default_rng([n, m])
    return rng.permuted(np.tile(np.arange(n + m), (DRAWS, 1)), axis=1)


def welch_p(x: ArrayLike, y: ArrayLike) -> float | None:
    """Two-sided p of Welch's t test; None where it is undefined (fewer than two runs, or both constant)."""
    x, y = sample(x, "x"), sample(y, "y")
    if min(x.size, y.size) < 2 or (constant(x) and constant(y)):
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss")  # one constant side is no loss to Welch
        return float(stats.ttest_ind(x, y, equal_var=False).pvalue)


def correlation(x: ArrayLike, y: ArrayLike) -> float | None:
    """Pearson correlation over the pairs; None with fewer than two or where one side is constant."""
    x, y = sample(x, "x"), sample(y, "y")
    if x.size < 2 or constant(x) or constant(y):
        return None
    return float(np.corrcoef(x, y)[0, 1])


def brown_forsythe_p(x: ArrayLike, y: ArrayLike) -> float | None:
    """Whether x and y differ in spread: permutation p of Levene's statistic around the medians.

    The statistic is F of the |x - median x|. The values are permuted between the samples after each has its
    median taken away, so that a difference in location is none in spread; 10 000 draws with the +1 rule, all
    permutations where there are fewer. None with fewer than three runs on a side, or without any spread.

    Source: Brown & Forsythe 1974, doi 10.1080/01621459.1974.10482955.
    """
    samples = [np.sort(sample(x, "x")), np.sort(sample(y, "y"))]
    if min(one.size for one in samples) < 3 or all(constant(one) for one in samples):
        return None
    aligned = []
    for one in samples:
        centered = one - np.median(one)
        aligned.append(np.where(np.abs(centered) <= ROUNDING * np.max(np.abs(one)), 0.0, centered))
    observed = float(_levene(aligned[0], aligned[1]))
    return _tails(aligned[0], aligned[1], _levene, ROUNDING * observed)[0]


def _levene(x: FloatArray, y: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):  # no spread around a spread is infinitely different
        statistic = stats.levene(x, y, center="median", axis=-1).statistic
    return np.asarray(np.nan_to_num(statistic, nan=0.0, posinf=1e300))


TAIL = 0.05  # share of the values in a conditional value at risk


def lower_cvar(x: ArrayLike, alpha: float = TAIL) -> FloatArray:  # [..., n] -> [...]
    """Mean of the x <= percentile(x, 100 alpha), linear interpolation; the unit is that of x.

    Raises:
        ValueError: unless alpha is in (0, 1].

    Source: Chan et al., arXiv 1912.05663.
    """
    return _tail_mean(x, alpha, 100 * alpha, np.less_equal)


def upper_cvar(x: ArrayLike, alpha: float = TAIL) -> FloatArray:  # [..., n] -> [...]
    """`lower_cvar` of the other tail: the mean of the x >= percentile(x, 100 (1 - alpha))."""
    return _tail_mean(x, alpha, 100 * (1 - alpha), np.greater_equal)


def _tail_mean(x: ArrayLike, alpha: float, percentile: float, within: np.ufunc) -> FloatArray:
    if not 0 < alpha <= 1:
        raise ValueError(f"tail share alpha={alpha!r}: give a number in (0, 1]")
    x = np.asarray(x, dtype=np.float64)
    tail = within(x, np.percentile(x, percentile, axis=-1, keepdims=True))
    return np.asarray(np.mean(x, axis=-1, where=tail))
