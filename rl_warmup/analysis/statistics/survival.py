"""Times to the threshold, right-censored for the runs that never get there: Kaplan-Meier; scipy.

times: [runs] are shares of the budget, reached: [runs] is bool. A run that does not reach the threshold is known
only to take longer than it was watched; it stays in the denominator until then and is never dropped.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from rl_warmup.analysis import FloatArray


def kaplan_meier(times: ArrayLike, reached: ArrayLike) -> tuple[FloatArray, FloatArray]:  # [steps] each
    """t, and the share of runs that have not reached the threshold, S(t) = prod_{t_i <= t} (1 - d_i / n_i).

    t starts at 0, and S holds from each t up to the next: d_i runs get there at t_i, n_i are watched until then.

    >>> [part.tolist() for part in kaplan_meier([0.25, 0.5, 1.0, 1.0], [True, True, False, False])]
    [[0.0, 0.25, 0.5, 1.0], [1.0, 0.75, 0.5, 0.5]]

    Raises:
        ValueError: without runs, for unequal lengths, and for times that are negative or not finite.

    Source: Kaplan & Meier 1958, doi 10.1080/01621459.1958.10501452.
    """
    times, reached = _checked(times, reached)
    curve = stats.ecdf(stats.CensoredData(uncensored=times[reached], right=times[~reached])).sf
    t, s = np.asarray(curve.quantiles, dtype=np.float64), np.asarray(curve.probabilities, dtype=np.float64)
    if t[0] > 0:
        t, s = np.concatenate([[0.0], t]), np.concatenate([[1.0], s])
    return t, s


def restricted_mean(times: ArrayLike, reached: ArrayLike) -> float:
    """Mean of min(time, 1), the area under S up to the budget, as a share of it.

    >>> restricted_mean([0.25, 0.5, 1.0, 1.0], [True, True, False, False])
    0.6875

    Raises:
        ValueError: where no run was watched to the end of its budget.
    """
    t, s = kaplan_meier(times, reached)
    if t[-1] < 1 and s[-1] > 0:
        raise ValueError(f"the runs were watched up to {t[-1]:g} of the budget only; watch them to its end")
    return float(np.sum(s * np.diff(np.minimum(t, 1.0), append=1.0)))


def median(times: ArrayLike, reached: ArrayLike) -> float | None:
    """First time at which half of the runs have got there, S(t) <= 1/2; None where they never do."""
    t, s = kaplan_meier(times, reached)
    there = np.flatnonzero(s <= 0.5 + 1e-12)
    return float(t[there[0]]) if there.size else None


def _checked(times: ArrayLike, reached: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    t, got = np.asarray(times, dtype=np.float64), np.asarray(reached, dtype=np.bool_)
    if t.ndim != 1 or t.shape != got.shape or t.size == 0:
        raise ValueError(f"times {t.shape} and reached {got.shape}: give one of each a run, and a run at least")
    if not np.all(np.isfinite(t) & (t >= 0)):
        raise ValueError(f"times {t.tolist()}: give finite shares of the budget, 0 or more")
    return t, got
