"""What the rules of optimizers are given at every step, made on the host for many members and steps at once.

Columns [members, steps] of learning rates, options, and the optimizer's own count t = 1, 2, ... of its steps. Where
t is 0 no step is taken: the columns leave parameters and moments as they are.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rl_warmup.schedules.corrections import bias_correction
from rl_warmup.schedules.numbers import Array

Count = NDArray[np.int64]


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


def adam(rates: Array, options: Options, count: Count) -> StepRates:
    """Those of Adam, and of Adam-Rel: its count restarts."""
    beta1, beta2, eps, _ = (values[:, None] for values in options)
    corrections = (bias_correction(beta, np.maximum(count, 1)) for beta in options[:2])
    columns = (_or(rates, 0.0, count), _or(beta1, 1.0, count), _or(beta2, 1.0, count), _or(eps, eps, count))
    return StepRates(*columns, *(_or(correction, 1.0, count) for correction in corrections))


def uncorrected(rates: Array, options: Options, count: Count) -> StepRates:
    """Adam without bias correction."""
    columns = adam(rates, options, count)
    ones = np.ones_like(columns.eps)
    return columns._replace(correction1=ones, correction2=ones)


def gi_adam(rates: Array, options: Options, count: Count) -> StepRates:
    """GI-Adam: v_0 = g², the first step's, corrected as Adam's v: a warmup by sqrt(1 - b2^t).

    Source: Kalra and Barkeshli, arXiv 2406.09405, sections 6.2 and I.2.
    """
    columns = adam(rates, options, count)
    return columns._replace(beta2=np.where(count == 1, 0.0, columns.beta2))


def radam(rates: Array, options: Options, count: Count) -> RAdamRates:
    """r_t² = (rho_t-4)(rho_t-2) rho / ((rho-4)(rho-2) rho_t), rho_t = rho - 2 t b2^t / c2, rho = 2/(1-b2) - 1."""
    at, columns = np.maximum(count, 1), adam(rates, options, count)
    beta2 = options.beta2[:, None]
    correction2, rho = bias_correction(options.beta2, at), 2 / (1 - beta2) - 1
    rho_t = rho - 2 * at * beta2**at / correction2
    adaptive = (rho_t > 5) & (count > 0)
    squared = np.ones_like(rho_t)
    np.divide((rho_t - 4) * (rho_t - 2) * rho, (rho - 4) * (rho - 2) * rho_t, out=squared, where=adaptive)
    factor = np.where(adaptive, np.sqrt(squared * correction2), 0.0)
    return RAdamRates(*columns[:5], factor, np.where(adaptive | (count == 0), 0.0, 1.0))


def rmsprop(rates: Array, options: Options, count: Count) -> RMSpropRates:
    """Those of RMSprop."""
    return RMSpropRates(*adam(rates, options, count)[:4], _or(np.ones_like(rates), 0.0, count))


def sgd(rates: Array, options: Options, count: Count) -> SGDRates:
    """Those of SGD."""
    beta1 = _or(options.beta1[:, None], 1.0, count)
    return SGDRates(_or(rates, 0.0, count), beta1, _or(np.ones_like(rates), 0.0, count))


def _or(values: Array, otherwise: Any, count: Count) -> Array:
    """`values` where a step is taken."""
    return np.where(count > 0, values, otherwise)
