"""Small statistics of one or two samples of runs, one number for each run: numpy, scipy; no torch."""

import math
import warnings

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy import stats

from rl_warmup.sign_flips import DRAWS, ROUNDING, FloatArray, sample


def constant(x: FloatArray) -> bool:
    """Whether all x are the same number up to rounding."""
    return bool(np.ptp(x) <= ROUNDING * np.max(np.abs(x)))


def mcnemar_p(
    treatment: ArrayLike,  # [n], 0 or 1
    control: ArrayLike,  # [n], 0 or 1
) -> float:
    """Exact McNemar test: two-sided binomial(1/2) p of the discordant pairs; 1 where there are none.

    Raises ValueError for anything but 0 and 1.
    """
    x, y = sample(treatment, "treatment"), sample(control, "control")
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


def iqm_interval(
    x: ArrayLike,  # [n]
    rng: Generator,
    alpha: float = 0.05,
) -> tuple[float, float] | None:
    """BCa bootstrap interval (10 000 draws) of the IQM: descriptive, too narrow for small n.

    (v, v) where all x are v; None for n < 2 and where BCa is undefined (too many ties). Source: Efron 1987.
    """
    x = np.sort(sample(x, "x"))
    if x.size < 2:
        return None
    if constant(x):
        return float(iqm(x)), float(iqm(x))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # scipy warns where BCa is undefined; the answer there is None
        result = stats.bootstrap(
            (x,), iqm, n_resamples=DRAWS, confidence_level=1 - alpha, method="BCa", vectorized=True, rng=rng
        )
    low, high = (float(end) for end in result.confidence_interval)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def probability_of_improvement(
    x: ArrayLike,  # [n]
    y: ArrayLike,  # [m]
) -> float:
    """P(X > Y) + P(X = Y)/2 over all pairs of runs, U/(nm); 1/2 means no tendency.

    >>> probability_of_improvement([2.0, 3.0], [1.0, 2.0])
    0.875

    Raises ValueError for an empty sample. Source: Agarwal et al., arXiv 2108.13264.
    """
    x, y = sample(x, "x"), sample(y, "y")
    if not (x.size and y.size):
        raise ValueError(f"{x.size} and {y.size} runs: give at least one on each side")
    return float(np.mean(0.5 * (x[:, None] > y) + 0.5 * (x[:, None] >= y)))


def _mean_difference(x: FloatArray, y: FloatArray, axis: int = -1) -> FloatArray:
    return np.asarray(np.mean(x, axis=axis) - np.mean(y, axis=axis))


def unpaired_p(
    x: ArrayLike,  # [n]
    y: ArrayLike,  # [m]
    rng: Generator,
) -> float:
    """Permutation p of the difference of means as if the runs were not paired; exact for small samples."""
    samples = np.sort(sample(x, "x")), np.sort(sample(y, "y"))
    result = stats.permutation_test(samples, _mean_difference, vectorized=True, n_resamples=DRAWS, rng=rng)
    return float(result.pvalue)


def welch_p(
    x: ArrayLike,  # [n]
    y: ArrayLike,  # [m]
) -> float | None:
    """Two-sided p of Welch's t test; None where it is undefined (fewer than two runs, or both constant)."""
    x, y = sample(x, "x"), sample(y, "y")
    if min(x.size, y.size) < 2 or (constant(x) and constant(y)):
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss")  # one constant side is no loss to Welch
        return float(stats.ttest_ind(x, y, equal_var=False).pvalue)


def correlation(
    x: ArrayLike,  # [n]
    y: ArrayLike,  # [n]
) -> float | None:
    """Pearson correlation over the pairs; None with fewer than two or where one side is constant."""
    x, y = sample(x, "x"), sample(y, "y")
    if x.size < 2 or constant(x) or constant(y):
        return None
    return float(np.corrcoef(x, y)[0, 1])
