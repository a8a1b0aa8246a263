"""The gradient-step clock: the optimizers of a model, and a warmup that is set before every step of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary, ref

import numpy as np

from rl_warmup.schedules.numbers import steps_of
from rl_warmup.schedules.phases import Phases, dqn_phases, ppo_phases
from rl_warmup.schedules.warmups import RAMPS, Factor, StepFactor, shape_of

if TYPE_CHECKING:
    from torch.optim import Optimizer


_COUNT = "give a count of steps, or use a WarmupSchedule, whose length is a share of the environment steps"


def optimizers_of(model: Any, names: Sequence[str] | None = None) -> dict[str, Optimizer]:
    """The optimizers of a model by name: `policy`, or `actor`, `critic` and `ent_coef`.

    `optimizer` of the policy or of a network in it is called as they are; another attribute of them, or of the
    model, without its ending `_optimizer`, e.g. `value` for `policy.value_optimizer`.

    Args:
        names: of those that are wanted; None for all.

    Raises:
        ValueError: for a model without any, for a name that is not there, and for an `optimizer` that is not
            one of torch.
    """
    networks = {name: part for name, part in vars(model).items() if hasattr(type(part), "named_children")}
    if "policy" in networks:
        networks |= dict(networks["policy"].named_children())
    optimizers: dict[str, Optimizer] = {}
    for owner, part in {**networks, "model": model}.items():
        held = {attribute: value for attribute, value in vars(part).items() if _has_hooks(value)}
        other = vars(part).get("optimizer")
        if other is not None and not held:
            raise ValueError(
                f"{owner}.optimizer of {type(model).__name__} is a {type(other).__name__}, before whose steps no "
                f"learning rate can be set: keep the torch optimizers in it as attributes of the {owner} too, e.g. "
                f"{owner}.actor_optimizer"
            )
        for attribute, optimizer in held.items():
            name = owner if attribute == "optimizer" else attribute.removesuffix("_optimizer")
            if optimizer not in optimizers.values():
                optimizers[name if name not in optimizers else f"{owner}.{attribute}"] = optimizer
    if not optimizers:
        raise ValueError(f"{type(model).__name__} has no torch optimizer, so there is no learning rate to warm up")
    for name in names or ():
        if name not in optimizers:
            known = ", ".join(optimizers)
            raise ValueError(f"{type(model).__name__} has no optimizer {name!r}: choose from {known}")
    return {name: optimizers[name] for name in names or optimizers}


def _has_hooks(value: Any) -> bool:
    """Whether it is an optimizer of torch; a class that is derived from it without its `__init__` is none."""
    return "_optimizer_step_pre_hooks" in getattr(value, "__dict__", ())


def steps_taken(optimizer: Optimizer) -> int:
    """Steps that an optimizer has taken, by its own count; 0 before the first, and where it keeps none (SGD)."""
    return max((int(state.get("step", 0)) for state in optimizer.state.values()), default=0)


def phases_of_model(model: Any, total_timesteps: int) -> Phases:
    """Update phases that `model.learn(total_timesteps)` will have.

    Raises:
        ValueError: where they cannot be counted before the training.
    """
    name = type(model).__name__
    if hasattr(model, "train_freq"):
        if model.train_freq.unit.value != "step":
            raise ValueError(f"{name} trains after episodes, whose steps are not known before: {_COUNT}")
        return dqn_phases(
            total_timesteps,
            n_envs=model.n_envs,
            train_freq=model.train_freq.frequency,
            gradient_steps=model.gradient_steps,
            learning_starts=model.learning_starts,
        )
    if not hasattr(model, "n_steps"):
        raise ValueError(f"the gradient steps of {name} cannot be counted before the training: {_COUNT}")
    epochs, target_kl = getattr(model, "n_epochs", None), getattr(model, "target_kl", None)
    if epochs is not None and target_kl is not None:
        raise ValueError(f"target_kl={target_kl} may stop an update of {name} early: {_COUNT}")
    return ppo_phases(
        total_timesteps,
        n_envs=model.n_envs,
        n_steps=model.n_steps,
        batch_size=getattr(model, "batch_size", model.n_steps * model.n_envs),  # A2C: the whole rollout at once
        n_epochs=getattr(model, "n_critic_updates", 1) if epochs is None else epochs,
    )


def planned_steps(model: Any, name: str, total_timesteps: int) -> int:
    """Steps that the optimizer `name` will take in `model.learn(total_timesteps)`; ValueError if uncountable."""
    if name not in ("policy", "actor", "critic", "ent_coef"):
        raise ValueError(
            f"the steps of the optimizer {name} of {type(model).__name__} cannot be counted before the training: "
            f"{_COUNT}"
        )
    delay = 1 if name in ("policy", "critic") else getattr(model, "policy_delay", 1)  # of TD3, DDPG and CrossQ
    return phases_of_model(model, total_timesteps).gradient_steps // int(delay)


def countable_steps(model: Any, name: str, total_timesteps: int | None) -> int | None:
    """`planned_steps`, or None where they cannot be counted."""
    with suppress(ValueError):
        return None if total_timesteps is None else planned_steps(model, name, total_timesteps)
    return None


def warmup_steps(
    model: Any, name: str, shape: str, length: float | None, total_timesteps: int | None
) -> int | None:
    """The length of a warmup as steps of the optimizer `name`; None for the shapes defined by beta2.

    Raises:
        ValueError: for a length that is none, is not needed, or is a fraction of what cannot be counted.
    """
    if shape_of(shape).by_beta2:
        if length is not None:
            raise ValueError(f"length={length} has no meaning for {shape}, which is defined by Adam's beta2")
        return None
    if length is None or not math.isfinite(length) or length <= 0:
        raise ValueError(f"length={length} is not a length; use gradient steps, or a fraction below 1")
    if length >= 1:
        if length != int(length):
            raise ValueError(f"length={length:g} gradient steps: a warmup needs a whole number from 2 on")
        return int(length)
    if total_timesteps is None:
        raise ValueError(f"length={length:g} is a fraction: give total_timesteps, as you will give it to learn()")
    return steps_of(length, planned_steps(model, name, total_timesteps))


class StepWarmup:
    """A hook of one optimizer: before its step k the rate becomes base·factor(k).

    The base is what was last written into the optimizer by others, by Stable-Baselines3 at the beginning of every
    update phase. The warmup attached last to an optimizer holds.

    Args:
        factor: maps an array of k to an array of factors.
        step: k of the next step; None for the optimizer's own count of steps.
        skipped: first steps k that are not taken: without gradients, an optimizer of torch changes nothing.
        group: index of the parameter group whose rate is multiplied; None for all.
    """

    _attached: ClassVar[WeakKeyDictionary[Optimizer, StepWarmup]] = WeakKeyDictionary()

    def __init__(
        self,
        optimizer: Optimizer,
        factor: Factor,
        step: int | None = None,
        skipped: int = 0,
        group: int | None = None,
    ) -> None:
        self.factor: float | None = None  # of the last step; None before the first
        self.step = steps_taken(optimizer) if step is None else step  # k of the next one
        self._skipped, self._group = skipped, group
        self._factors, self.optimizer = _in_turn(factor, self.step), ref(optimizer)
        self._base: dict[int, Any] = {}  # by the index of the parameter group
        self._written: dict[int, Any] = {}
        if optimizer in self._attached:
            self._attached[optimizer].remove()
        self._attached[optimizer] = self
        self._handle = optimizer.register_step_pre_hook(self._set_rate)

    def remove(self) -> None:
        """Take the warmup off; the rate is the base again."""
        self._handle.remove()
        optimizer = self.optimizer()
        for index, group in enumerate(optimizer.param_groups if optimizer else ()):
            if group["lr"] is self._written.get(index):
                group["lr"] = self._base[index]

    def _set_rate(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.factor = next(self._factors)
        if self.step < self._skipped:
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        for index, group in enumerate(optimizer.param_groups):
            if group["lr"] is not self._written.get(index):  # another object: written since the last step
                self._base[index] = group["lr"]
            if self._group in (None, index):
                group["lr"] = self._written[index] = self._base[index] * self.factor


@dataclass(frozen=True)
class Attached:
    """The warmups on the optimizers of a model, by name; `remove` takes them off."""

    warmups: Mapping[str, StepWarmup]

    def remove(self) -> None:
        """Take the warmups off the optimizers; their rates are the base again."""
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
        total = countable_steps(model, name, total_timesteps)
        if steps is not None and total is not None and steps > total:
            raise ValueError(f"a warmup of {steps} gradient steps does not fit into the run's {total}")
        factors[name] = factor_of(optimizer, shape, steps, start, power)
    return Attached({name: StepWarmup(found[name], factor) for name, factor in factors.items()})


def attach_factor(model: Any, factor: Factor, *arguments: Any, **named: Any) -> Attached:
    """Before every step k of the optimizers of `model`, set the rate to base·factor(k).

    Args:
        factor: maps an array of k to an array of factors.
        arguments, named: the other ones of `StepWarmup`.
    """
    found = optimizers_of(model).items()
    return Attached({name: StepWarmup(optimizer, factor, *arguments, **named) for name, optimizer in found})


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
