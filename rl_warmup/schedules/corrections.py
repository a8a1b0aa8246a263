"""Adam's corrections of its moments by its count of steps, and the factor on the rate that they amount to."""

import numpy as np
from numpy.typing import NDArray

from rl_warmup.schedules.numbers import Array


def bias_correction(
    beta: Array,  # [members]
    count: NDArray[np.int64],  # [steps] or [members, steps]
) -> Array:
    """1 - beta^t for every member and step t = 1, 2, ...: [members, steps].

    >>> bias_correction(np.array([0.9]), np.array([1, 2])).round(2).tolist()
    [[0.1, 0.19]]
    """
    with np.errstate(divide="ignore"):  # beta 0: log 0 is -inf, and the correction 1
        return np.asarray(-np.expm1(np.log(beta)[:, None] * count))


def restarted_factor(beta1: float, beta2: float, count: NDArray[np.int64]) -> Array:  # count: [steps]
    """sqrt(1 - beta2^t) / (1 - beta1^t): Adam's update, long after its begin, if its count were t instead.

    >>> restarted_factor(0.9, 0.999, np.array([1, 10, 10**6])).round(3).tolist()
    [0.316, 0.153, 1.0]

    Source: Ellis et al., arXiv 2412.17113, equation 4.
    """
    first, second = (bias_correction(np.array([beta]), count)[0] for beta in (beta1, beta2))
    return np.asarray(np.sqrt(second) / first)
