"""Times to the threshold, right-censored for the runs that never get there: Kaplan-Meier; scipy.

A time is a share of the budget. A run that does not reach the threshold is known only to take longer than it
was watched; it stays in the denominator until then and is never dropped.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from rl_warmup.analysis import FloatArray


def kaplan_meier(
    times: ArrayLike,  # [runs]
    reached: ArrayLike,  # [runs], bool
) -> tuple[FloatArray, FloatArray]:  # [steps] each
    """Share of runs that have not reached the threshold, S(t) = prod_{t_i <= t} (1 - d_i / n_i), and its times.

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


def restricted_mean(
    times: ArrayLike,  # [runs]
    reached: ArrayLike,  # [runs], bool
    horizon: float = 1.0,
) -> float:
    """Mean of min(time, horizon): the area under S up to the horizon, in shares of the budget.

    >>> restricted_mean([0.25, 0.5, 1.0, 1.0], [True, True, False, False])
    0.6875

    Raises:
        ValueError: for a horizon that is not positive, or beyond the time that the runs were watched.
    """
    if not (np.isfinite(horizon) and horizon > 0):
        raise ValueError(f"horizon {horizon!r}: give a finite share of the budget above 0")
    t, s = kaplan_meier(times, reached)
    if t[-1] < horizon and s[-1] > 0:
        raise ValueError(f"horizon {horizon:g}: the runs were watched up to {t[-1]:g} only; give that or less")
    ends = np.minimum(np.append(t[1:], max(horizon, t[-1])), horizon)
    return float(np.sum(s * np.maximum(ends - np.minimum(t, horizon), 0.0)))


def median(
    times: ArrayLike,  # [runs]
    reached: ArrayLike,  # [runs], bool
) -> float | None:
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
