"""Optimizers and gradient clipping for all members at once: every number is a value per member.

A rule has two parts. On the device, a pure function of parameters, moments, gradient and a row of columns; on the
host, what makes the columns of many steps from the learning rates, the options and the optimizer's own count of
steps t = 1, 2, ... Where t is 0 no step is taken: the columns leave parameters and moments as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_warmup.schedules.corrections import bias_correction
from rl_warmup.schedules.numbers import Array

Count = NDArray[np.int64]


class Moments(NamedTuple):
    """Moving averages of the gradient and of its square, [members, parameters] each; a rule may leave one alone."""

    first: Tensor
    second: Tensor


class Options(NamedTuple):
    """The numbers of an optimizer, [members] each; NaN where its rule has no such thing."""

    beta1: Array
    beta2: Array
    eps: Array
    weight_decay: Array


class StepRates(NamedTuple):
    """Columns of Adam: [members, steps] on the host, [members] on the device; correction_i is 1 - beta_i^t."""

    learning_rate: Any
    beta1: Any
    beta2: Any
    eps: Any
    correction1: Any
    correction2: Any


class RAdamRates(NamedTuple):
    """Columns of RAdam: as Adam's, but for what m is multiplied by, adaptive / (sqrt(v) + eps) + plain."""

    learning_rate: Any
    beta1: Any
    beta2: Any
    eps: Any
    correction1: Any
    adaptive: Any
    plain: Any


class RMSpropRates(NamedTuple):
    """Columns of RMSprop; taken is 1, or 0 where no step is taken."""

    learning_rate: Any
    beta1: Any
    beta2: Any
    eps: Any
    taken: Any


class SGDRates(NamedTuple):
    """Columns of SGD; taken is 1, or 0 where no step is taken."""

    learning_rate: Any
    beta1: Any
    taken: Any


# ---- on the device: nothing is changed in place ----


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


# ---- on the host ----


def adam_rates(rates: Array, options: Options, count: Count) -> StepRates:
    """Those of Adam, and of Adam-Rel: its count restarts."""
    beta1, beta2, eps, _ = (values[:, None] for values in options)
    corrections = (bias_correction(beta, np.maximum(count, 1)) for beta in options[:2])
    columns = (_or(rates, 0.0, count), _or(beta1, 1.0, count), _or(beta2, 1.0, count), _or(eps, eps, count))
    return StepRates(*columns, *(_or(correction, 1.0, count) for correction in corrections))


def uncorrected_rates(rates: Array, options: Options, count: Count) -> StepRates:
    """Adam without bias correction."""
    columns = adam_rates(rates, options, count)
    ones = np.ones_like(columns.eps)
    return columns._replace(correction1=ones, correction2=ones)


def gi_adam_rates(rates: Array, options: Options, count: Count) -> StepRates:
    """GI-Adam: v_0 = g², the first step's, corrected as Adam's v: a warmup by sqrt(1 - b2^t).

    Source: Kalra and Barkeshli, arXiv 2406.09405, sections 6.2 and I.2.
    """
    columns = adam_rates(rates, options, count)
    return columns._replace(beta2=np.where(count == 1, 0.0, columns.beta2))


def radam_rates(rates: Array, options: Options, count: Count) -> RAdamRates:
    """r_t² = (rho_t-4)(rho_t-2) rho / ((rho-4)(rho-2) rho_t), rho_t = rho - 2 t b2^t / c2, rho = 2/(1-b2) - 1."""
    at, columns = np.maximum(count, 1), adam_rates(rates, options, count)
    beta2 = options.beta2[:, None]
    correction2, rho = bias_correction(options.beta2, at), 2 / (1 - beta2) - 1
    rho_t = rho - 2 * at * beta2**at / correction2
    adaptive = (rho_t > 5) & (count > 0)
    squared = np.ones_like(rho_t)
    np.divide((rho_t - 4) * (rho_t - 2) * rho, (rho - 4) * (rho - 2) * rho_t, out=squared, where=adaptive)
    factor = np.where(adaptive, np.sqrt(squared * correction2), 0.0)
    return RAdamRates(*columns[:5], factor, np.where(adaptive | (count == 0), 0.0, 1.0))


def rmsprop_rates(rates: Array, options: Options, count: Count) -> RMSpropRates:
    """Those of RMSprop."""
    return RMSpropRates(*adam_rates(rates, options, count)[:4], _or(np.ones_like(rates), 0.0, count))


def sgd_rates(rates: Array, options: Options, count: Count) -> SGDRates:
    """Those of SGD."""
    beta1 = _or(options.beta1[:, None], 1.0, count)
    return SGDRates(_or(rates, 0.0, count), beta1, _or(np.ones_like(rates), 0.0, count))


def _or(values: Array, otherwise: Any, count: Count) -> Array:
    """`values` where a step is taken."""
    return np.where(count > 0, values, otherwise)


# ---- both ----


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


_ADAM = Rule(adam, adam_rates, StepRates)
RULES: Mapping[str, Rule] = {
    "adam": _ADAM,
    "adamw": Rule(adam, adam_rates, StepRates, decoupled=True),
    "radam": Rule(radam, radam_rates, RAdamRates),
    "sgd": Rule(sgd, sgd_rates, SGDRates),
    "rmsprop": Rule(rmsprop, rmsprop_rates, RMSpropRates),
    "adam_uncorrected": Rule(adam, uncorrected_rates, StepRates),
    "gi_adam": Rule(adam, gi_adam_rates, StepRates),
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
