"""The gradient-step clock: a warmup that is set before every step of the optimizers of a model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np

from rl_warmup.delivery.optimizers import optimizers_of, planned_steps, steps_taken, warmup_steps
from rl_warmup.schedules.warmups import RAMPS, Factor, StepFactor, shape_of

if TYPE_CHECKING:
    from torch.optim import Optimizer


class StepWarmup:
    """A hook of one optimizer: before its step k the rate becomes base·factor(k).

    The base of an update phase is what Stable-Baselines3 has written into the optimizer at its beginning. The
    warmup attached last to an optimizer holds.

    Args:
        factor: maps an array of k to an array of factors.
        origin: the step of the optimizer at which k is 0.
    """

    _attached: ClassVar[WeakKeyDictionary[Optimizer, StepWarmup]] = WeakKeyDictionary()

    def __init__(self, optimizer: Optimizer, factor: Factor, origin: int = 0) -> None:
        self.factor: float | None = None  # of the last step; None before the first
        self._factors = _in_turn(factor, steps_taken(optimizer) - origin)
        self._base: dict[int, Any] = {}  # by the index of the parameter group
        self._written: dict[int, Any] = {}
        if optimizer in self._attached:
            self._attached[optimizer].remove()
        self._attached[optimizer] = self
        self._handle = optimizer.register_step_pre_hook(self._set_rate)

    def remove(self) -> None:
        """Take the warmup off; the rate stays as it is until Stable-Baselines3 writes the next base."""
        self._handle.remove()

    def _set_rate(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.factor = next(self._factors)
        for index, group in enumerate(optimizer.param_groups):
            if group["lr"] is not self._written.get(index):  # another object: written since the last step
                self._base[index] = group["lr"]
            group["lr"] = self._written[index] = self._base[index] * self.factor


class Attached:
    """The warmups on the optimizers of a model, by name; `remove` takes them off."""

    def __init__(self, warmups: Mapping[str, StepWarmup]) -> None:
        self.warmups = warmups

    def remove(self) -> None:
        """Take the warmups off the optimizers; the next update phase is at the base."""
        for warmup in self.warmups.values():
            warmup.remove()


def attach_warmup(
    model: Any,
    shape: str = "linear",
    length: float | None = None,
    *,
    start: float | None = None,
    power: float = 2.0,
    total_timesteps: int | None = None,
    optimizers: Sequence[str] | None = None,
) -> Attached:
    """Warm up the learning rate of a Stable-Baselines3 model on the gradient-step clock.

    Before every step k = 0, 1, ... of an optimizer the rate is set to base·omega(k), where base is what the
    model's own `learning_rate` gives. k is the optimizer's own count of steps: call this again after `load`,
    which drops hooks. The warmup attached last holds. `WarmupCallback` does all of this by itself.

    Args:
        model: of Stable-Baselines3 or sb3-contrib.
        shape: one of `schedules.SHAPES`, or the dotted path of a function g(x).
        length: gradient steps, or below 1 a fraction of those in `learn(total_timesteps)`; the shapes defined by
            beta2 take none.
        start: factor at which the ramp begins; None for the shape's default.
        power: of the polynomial shape.
        total_timesteps: the budget that will be passed to `learn`, needed where `length` is a fraction.
        optimizers: names of those to warm up, e.g. ("actor", "critic"); None for all.

    Raises:
        ValueError: for an unknown shape, a length that is none, does not fit or makes the warmup inert, and for
            an optimizer that is not there or lacks the beta2 that the shape needs.
    """
    found, factors = optimizers_of(model, optimizers), {}
    for name, optimizer in found.items():
        steps = warmup_steps(model, name, shape, length, total_timesteps)
        if steps is not None and steps < 2:
            raise ValueError(f"a warmup of {steps} gradient steps is inert: it needs a whole number from 2 on")
        if steps is not None and total_timesteps is not None:
            total = planned_steps(model, name, total_timesteps)
            if steps > total:
                raise ValueError(f"a warmup of {steps} gradient steps does not fit into the run's {total}")
        factors[name] = factor_of(optimizer, shape, steps, start, power)
    return Attached({name: StepWarmup(found[name], factor) for name, factor in factors.items()})


def attach_factor(model: Any, factor: Factor) -> Attached:
    """Before every step k of the optimizers of `model`, set the rate to base·factor(k); k is their own count.

    Args:
        factor: maps an array of k to an array of factors.
    """
    return Attached({name: StepWarmup(optimizer, factor) for name, optimizer in optimizers_of(model).items()})


def factor_of(optimizer: Optimizer, shape: str, steps: int | None, start: float | None, power: float) -> StepFactor:
    """The warmup factor of a shape for an optimizer, whose beta2 the shape may need."""
    betas = optimizer.param_groups[0].get("betas")
    if not shape_of(shape).by_beta2:
        return StepFactor(shape, steps, start, power)
    if betas is None:
        raise ValueError(
            f"the warmup {shape} follows from Adam's beta2, and {type(optimizer).__name__} has none: "
            f"use one of {', '.join(RAMPS)}"
        )
    return StepFactor(shape, start=start, beta2=betas[1])


def _in_turn(factor: Factor, first: int, block: int = 1024) -> Iterator[float]:
    """factor(first), factor(first + 1), ...: computed a block at a time, since numpy is slow one by one."""
    for start in itertools.count(first, block):
        yield from np.asarray(factor(np.arange(start, start + block))).tolist()
