"""Adam and gradient clipping for all members at once: every rate is a value per member."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Moments(NamedTuple):
    """Adam's moving averages, [members, parameters] each."""

    first: Tensor
    second: Tensor


class StepRates(NamedTuple):
    """What Adam is given at one step, [members] float64 each; correction_i is 1 - beta_i^t, t = 1, 2, ..."""

    learning_rate: Tensor
    beta1: Tensor
    beta2: Tensor
    eps: Tensor
    correction1: Tensor
    correction2: Tensor


def adam(
    parameters: Tensor,  # [members, parameters]
    moments: Moments,
    gradient: Tensor,  # [members, parameters]
    rates: StepRates,
) -> tuple[Tensor, Moments]:
    """One step of Adam; nothing is changed in place.

    m <- m + (1-b1)(g-m), v <- b2 v + (1-b2) g², p <- p - lr/c1 · m / (sqrt(v)/sqrt(c2) + eps), c_i = 1 - b_i^t.
    Rates are combined in float64 and rounded once, as torch does with Python's numbers.

    Source: Kingma and Ba, arXiv 1412.6980; the order is that of torch.optim.Adam.
    """

    def column(value: Tensor) -> Tensor:
        return value.to(parameters.dtype).unsqueeze(1)

    first = moments.first + column(1 - rates.beta1) * (gradient - moments.first)
    second = moments.second * column(rates.beta2) + column(1 - rates.beta2) * gradient * gradient
    root = second.sqrt() / column(rates.correction2.sqrt()) + column(rates.eps)
    changed = parameters - column(rates.learning_rate / rates.correction1) * (first / root)
    return changed, Moments(first, second)


def bias_correction(
    beta: NDArray[np.float64],  # [members]
    steps: NDArray[np.int64],  # [steps] or [members, steps]
) -> NDArray[np.float64]:
    """1 - beta^t for every member and step t = 1, 2, ...: [members, steps].

    >>> bias_correction(np.array([0.9]), np.array([1, 2])).round(2).tolist()
    [[0.1, 0.19]]
    """
    with np.errstate(divide="ignore"):  # beta 0: log 0 is -inf, and the correction 1
        return np.asarray(-np.expm1(np.log(beta)[:, None] * steps))


def clip_by_norm(
    gradient: Tensor,  # [members, parameters]
    limit: Tensor,  # [members]
) -> tuple[Tensor, Tensor]:
    """g · min(1, limit / (|g| + 1e-6)) of each member, and the norms |g| before, [members].

    Source: torch.nn.utils.clip_grad_norm_, of each member by itself.
    """
    norm = torch.linalg.vector_norm(gradient, dim=1)
    return gradient * (limit / (norm + 1e-6)).clamp(max=1).unsqueeze(1), norm
