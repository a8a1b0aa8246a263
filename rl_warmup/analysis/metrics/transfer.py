"""What runs that start from trained agents gain and lose; one number per run.

z: normalized returns of the runs [runs, evaluations], t: their environment steps, scratch: returns of the runs from
scratch with the same seeds and settings.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.metrics.curve import area, checked, final

EARLY = 0.1  # of the budget


def jump_start(t: ArrayLike, z: ArrayLike, scratch: ArrayLike) -> FloatArray:
    """z_1 - s_1: first evaluation, before any update, minus that of the run from scratch.

    >>> jump_start([0, 10], [[0.8, 0.9]], [[0.1, 0.5]]).round(3).tolist()
    [0.7]

    Source: Taylor and Stone, Transfer Learning for Reinforcement Learning Domains, JMLR 10, 2009, section 2.
    """
    return np.asarray(checked(t, z)[1][:, 0] - checked(t, scratch)[1][:, 0])


def area_gain(t: ArrayLike, z: ArrayLike, scratch: ArrayLike) -> FloatArray:
    """Area under the curve minus that of the run from scratch at the same budget, see `curve.area`."""
    return area(t, z, math.nan) - area(t, scratch, math.nan)


def final_gain(t: ArrayLike, z: ArrayLike, scratch: ArrayLike) -> FloatArray:
    """Final return minus that of the run from scratch at the same budget, see `curve.final`."""
    return final(t, z, math.nan) - final(t, scratch, math.nan)


def early_fall(t: ArrayLike, z: ArrayLike) -> FloatArray:
    """z_1 - min z_k over the evaluations with t_k <= t_K / 10: the worst fall below the jump start; 0 without one.

    >>> early_fall([0, 5, 10, 100], [[0.8, 0.3, 0.9, 0.1]]).round(3).tolist()
    [0.5]
    """
    t, z = checked(t, z)
    return np.asarray(z[:, 0] - z[:, t <= EARLY * t[-1]].min(axis=1))


def recovery(t: ArrayLike, z: ArrayLike) -> FloatArray:
    """First t_k / t_K from that worst evaluation on with z_k >= z_1; 0 without a fall, 1 for a run that never does.

    >>> recovery([0, 5, 10, 100], [[0.8, 0.3, 0.9, 0.1], [0.8, 0.8, 0.8, 0.2]]).tolist()
    [0.1, 0.0]
    """
    t, z = checked(t, z)
    early = t <= EARLY * t[-1]
    worst = np.where(early, z, np.inf).argmin(axis=1)
    back = (z >= z[:, :1]) & (np.arange(z.shape[1]) >= worst[:, np.newaxis])
    return np.where(back.any(axis=1), t[back.argmax(axis=1)] / t[-1], 1.0)


def forgetting(at_home: ArrayLike) -> FloatArray:  # [runs, 2] -> [runs]
    """y_after - y_before in the environment that the agent was trained in; below 0 what was forgotten.

    >>> forgetting([[1.0, 0.25]]).tolist()
    [-0.75]
    """
    before, after = np.asarray(at_home, dtype=np.float64).T
    return np.asarray(after - before)
