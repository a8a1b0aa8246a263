"""Optimizers and gradient clipping for all members at once: every number is a value per member.

A rule has two parts: on the device, a pure function of parameters, moments, gradient and a row of columns, which
changes nothing in place; on the host, what makes the columns (step_rates.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rl_warmup.schedules.numbers import Array
from rl_warmup.trainers.functional import step_rates
from rl_warmup.trainers.functional.step_rates import (
    Count,
    Options,
    RAdamRates,
    RMSpropRates,
    SGDRates,
    StepRates,
)


class Moments(NamedTuple):
    """Moving averages of the gradient and of its square, [members, parameters] each; a rule may leave one alone."""

    first: Tensor
    second: Tensor


def adam(
    parameters: Tensor,  # [members, parameters]
    moments: Moments,
    gradient: Tensor,  # [members, parameters]
    rates: StepRates,
) -> tuple[Tensor, Moments]:
    """m <- m + (1-b1)(g-m), v <- b2 v + (1-b2) g², p <- p - lr/c1 · m / (sqrt(v)/sqrt(c2) + eps), c_i = 1 - b_i^t.

    Rates are combined in float64 and rounded once, as torch does with Python's numbers.

    Source: Kingma and Ba, arXiv 1412.6980; the order is that of torch.optim.Adam.
    """
    first, second = _averages(moments, gradient, rates)
    root = second.sqrt() / _column(rates.correction2.sqrt(), gradient) + _column(rates.eps, gradient)
    changed = parameters - _column(rates.learning_rate / rates.correction1, gradient) * (first / root)
    return changed, Moments(first, second)


def radam(parameters: Tensor, moments: Moments, gradient: Tensor, rates: RAdamRates) -> tuple[Tensor, Moments]:
    """m and v as Adam's, p <- p - lr/c1 · m · (r_t sqrt(c2) / (sqrt(v) + eps)), and p - lr/c1 · m while rho_t <= 5.

    Source: Liu et al., arXiv 1908.03265, with the threshold, and the place of eps, of torch.optim.RAdam.
    """
    first, second = _averages(moments, gradient, rates)
    root = second.sqrt() + _column(rates.eps, gradient)
    scale = _column(rates.adaptive, gradient) / root + _column(rates.plain, gradient)
    changed = parameters - _column(rates.learning_rate / rates.correction1, gradient) * (first * scale)
    return changed, Moments(first, second)


def rmsprop(parameters: Tensor, moments: Moments, gradient: Tensor, rates: RMSpropRates) -> tuple[Tensor, Moments]:
    """v <- b2 v + (1-b2) g², m <- b1 m + g / (sqrt(v) + eps), p <- p - lr m; b1 is the momentum, usually 0.

    Source: torch.optim.RMSprop, which calls b2 alpha.
    """
    second = (
        moments.second * _column(rates.beta2, gradient) + _column(1 - rates.beta2, gradient) * gradient * gradient
    )
    scaled = gradient / (second.sqrt() + _column(rates.eps, gradient))
    first = _column(rates.beta1, gradient) * moments.first + _column(rates.taken, gradient) * scaled
    return parameters - _column(rates.learning_rate, gradient) * first, Moments(first, second)


def sgd(parameters: Tensor, moments: Moments, gradient: Tensor, rates: SGDRates) -> tuple[Tensor, Moments]:
    """m <- b1 m + g, p <- p - lr m; b1 is the momentum.

    Source: torch.optim.SGD, without dampening.
    """
    first = _column(rates.beta1, gradient) * moments.first + _column(rates.taken, gradient) * gradient
    return parameters - _column(rates.learning_rate, gradient) * first, Moments(first, moments.second)


def _averages(moments: Moments, gradient: Tensor, rates: StepRates | RAdamRates) -> Moments:
    first = moments.first + _column(1 - rates.beta1, gradient) * (gradient - moments.first)
    new = _column(1 - rates.beta2, gradient) * gradient * gradient
    return Moments(first, moments.second * _column(rates.beta2, gradient) + new)


def _column(value: Tensor, like: Tensor) -> Tensor:  # [members] -> [members, 1]
    return value.to(like.dtype).unsqueeze(1)


@dataclass(frozen=True)
class Rule:
    """How an optimizer changes parameters."""

    step: Callable[[Tensor, Moments, Tensor, Any], tuple[Tensor, Moments]]
    rates: Callable[[Array, Options, Count], Any]
    columns: type[Any]  # what `rates` makes and `step` takes; the first is the learning rate
    decoupled: bool = False  # whether weight decay is subtracted from the parameters, not added to the gradient
    decays: bool = False  # whether any member has weight decay

    def table(
        self,
        rates: Array,  # [members, steps]
        options: Options,
        count: Count,  # [members, steps]
    ) -> Array:  # [members, steps, columns]
        """What `update` is given at every step, the learning rate first."""
        columns = [*self.rates(rates, options, count)]
        if self.decays:
            columns.append(np.broadcast_to(options.weight_decay[:, None], rates.shape))
        return np.stack(columns, axis=-1)

    def update(
        self,
        parameters: Tensor,  # [members, parameters]
        moments: Moments,
        gradient: Tensor,  # [members, parameters]
        row: Sequence[Tensor],  # [columns] of [members] float64
    ) -> tuple[Tensor, Moments]:
        """One step, with weight decay: p <- (1 - lr·decay) p if decoupled, else g <- g + decay·p.

        Source: Loshchilov and Hutter, arXiv 1711.05101; torch.optim.
        """
        *columns, decay = row if self.decays else (*row, None)
        rates = self.columns(*columns)
        if decay is not None and self.decoupled:
            parameters = parameters * _column(1 - rates.learning_rate * decay, parameters)
        elif decay is not None:
            gradient = gradient + _column(decay, parameters) * parameters
        return self.step(parameters, moments, gradient, rates)


_ADAM = Rule(adam, step_rates.adam, StepRates)
RULES: Mapping[str, Rule] = {
    "adam": _ADAM,
    "adamw": Rule(adam, step_rates.adam, StepRates, decoupled=True),
    "radam": Rule(radam, step_rates.radam, RAdamRates),
    "sgd": Rule(sgd, step_rates.sgd, SGDRates),
    "rmsprop": Rule(rmsprop, step_rates.rmsprop, RMSpropRates),
    "adam_uncorrected": Rule(adam, step_rates.uncorrected, StepRates),
    "gi_adam": Rule(adam, step_rates.gi_adam, StepRates),
    "adam_rel": _ADAM,  # with counts that restart
    "adam_rel_mean": _ADAM,  # at a lower rate
}
"""The rule of every optimizer by name, without weight decay."""


def clip_by_norm(
    gradient: Tensor,  # [members, parameters]
    limit: Tensor,  # [members]
) -> tuple[Tensor, Tensor]:
    """g · min(1, limit / (|g| + 1e-6)) of each member, and the norms |g| before, [members].

    Source: torch.nn.utils.clip_grad_norm_, of each member by itself.
    """
    norm = torch.linalg.vector_norm(gradient, dim=1)
    return gradient * (limit / (norm + 1e-6)).clamp(max=1).unsqueeze(1), norm
