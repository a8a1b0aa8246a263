"""How unstable a learning curve is within a run: drawdowns, differences, tails, collapses; no threshold.

Differences detrend a curve; their time is measured in shares of the budget, t_k / t_K.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import iqr, median_abs_deviation

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.metrics.curve import checked
from rl_warmup.analysis.statistics.estimators import lower_cvar, upper_cvar

COLLAPSE = 0.5  # normalized return that a run must lose,
COLLAPSE_LENGTH = 3  # in so many evaluations in a row
RECOVERED = 0.1  # normalized return below the best so far from which a collapse is over


def drawdown(y: ArrayLike) -> FloatArray:  # [..., evaluations] -> [..., evaluations]
    """Distance below the best return so far, d_k = max_{j<=k} y_j - y_k, in the unit of y.

    >>> drawdown([1.0, 3.0, 2.0]).tolist()
    [0.0, 0.0, 1.0]

    Source: Chan et al., arXiv 1912.05663.
    """
    y = np.asarray(y, dtype=np.float64)
    return np.asarray(np.maximum.accumulate(y, axis=-1) - y)


def differences(t: ArrayLike, y: ArrayLike) -> FloatArray:  # y: [..., evaluations] -> [..., evaluations - 1]
    """Slope between neighbors, d_k = (y_{k+1} - y_k) / (t_{k+1} - t_k), k = 1..K-1, per unit of t.

    d_k belongs to the time t_{k+1}.

    Raises:
        ValueError: unless t is strictly increasing.

    Source: Chan et al., arXiv 1912.05663.
    """
    gaps = np.diff(np.asarray(t, dtype=np.float64))
    if not np.all(gaps > 0):
        raise ValueError(f"steps {np.asarray(t).tolist()}: give them strictly increasing")
    return np.asarray(np.diff(np.asarray(y, dtype=np.float64), axis=-1) / gaps)


def _slopes(t: ArrayLike, z: ArrayLike) -> FloatArray:
    """Differences per budget, [runs, evaluations - 1]."""
    t, z = checked(t, z)
    return differences(t / t[-1], z)


def drawdown_cvar(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Upper CVaR of the drawdown at 5%, in normalized return: what the worst moments cost."""
    return upper_cvar(drawdown(checked(t, z)[1]))


def drawdown_max(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Largest drawdown, in normalized return."""
    return np.asarray(drawdown(checked(t, z)[1]).max(axis=1))


def difference_iqr(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Percentiles 75 - 25 of the differences, in normalized return per budget."""
    return np.asarray(iqr(_slopes(t, z), axis=-1))


def difference_mad(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Median distance of the differences from their median (not rescaled), in normalized return per budget."""
    return np.asarray(median_abs_deviation(_slopes(t, z), axis=-1))


def difference_std(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Standard deviation (n - 1) of the differences, in normalized return per budget; nan for one difference."""
    d = _slopes(t, z)
    return np.asarray(np.std(d, axis=-1, ddof=1) if d.shape[-1] > 1 else np.full(len(d), np.nan))


def difference_cvar(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Lower CVaR of the differences at 5%, in normalized return per budget: how fast return is lost."""
    return lower_cvar(_slopes(t, z))


def _collapsing(z: FloatArray) -> NDArray[np.bool_]:  # [runs, evaluations] -> [runs, evaluations]
    """Where a collapse becomes one: its third evaluation in a row that is too far below the best so far."""
    low = drawdown(z) > COLLAPSE
    lows = np.pad(low, ((0, 0), (COLLAPSE_LENGTH, 0)))
    count = z.shape[1]
    in_a_row = np.all([lows[:, k : k + count] for k in range(1, COLLAPSE_LENGTH + 1)], axis=0)
    return np.asarray(in_a_row & ~lows[:, :count])


def collapses(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Number of collapses: stretches of three or more evaluations with a drawdown above one half.

    No definition is canonical; a stretch ends with the first evaluation that is no longer that low.
    """
    return np.asarray(_collapsing(checked(t, z)[1]).sum(axis=1), dtype=np.float64)


def recovered(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Share of a run's collapses after which the drawdown is 0.1 or less again, be it later; nan without any."""
    _, z = checked(t, z)
    collapsing, back = _collapsing(z), drawdown(z) <= RECOVERED
    later = np.logical_or.accumulate(back[:, ::-1], axis=1)[:, ::-1]
    number = collapsing.sum(axis=1)
    share = (collapsing & later).sum(axis=1) / np.maximum(number, 1)
    return np.asarray(np.where(number > 0, share, np.nan))
