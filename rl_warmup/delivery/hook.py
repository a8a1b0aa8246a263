"""From schedule to optimizer: the two clocks of a warmup on a Stable-Baselines3 model, and the dose delivered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_warmup import schedules
from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.schedules.phases import Phases
from rl_warmup.schedules.warmups import Factor

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle


def attach_warmup(
    model: BaseAlgorithm,
    shape: str = "linear",
    length: float | None = None,
    *,
    start: float | None = None,
    power: float = 2.0,
    total_timesteps: int | None = None,
) -> RemovableHandle:
    """Warm up the learning rate of a PPO or DQN model on the gradient-step clock.

    Before every optimizer step k = 0, 1, ... the rate is set to base·omega(k), where base is what the model's own
    `learning_rate` gives. k goes on from Adam's step count: call this again after `load`, which drops hooks. The
    warmup attached last holds.

    Args:
        model: a Stable-Baselines3 PPO or DQN.
        shape: one of `schedules.RAMPS` or `schedules.ADAM_RAMPS`.
        length: gradient steps, or below 1 a fraction of those in `learn(total_timesteps)`; the shapes defined by
            beta2 take none.
        start: factor at which the ramp begins; None for the shape's default.
        power: of the polynomial shape.
        total_timesteps: the budget that will be passed to `learn`, needed where `length` is a fraction.

    Raises:
        ValueError: for an unknown shape, a length that is none, does not fit or makes the warmup inert.
    """
    beta2 = model.policy.optimizer.param_groups[0]["betas"][1]
    if shape in schedules.ADAM_RAMPS:
        if length is not None:
            raise ValueError(f"length={length} has no meaning for {shape}, which is defined by beta2={beta2:g}")
        return attach_factor(model, schedules.step_factor(shape, beta2=beta2))
    steps = _whole_steps(model, length, total_timesteps)
    return attach_factor(model, schedules.step_factor(shape, steps, start, power))


def attach_factor(model: BaseAlgorithm, factor: Factor) -> RemovableHandle:
    """Before every optimizer step k of `model`, set its learning rate to base·factor(k); k goes on from Adam's.

    `factor` maps an array of k to an array of factors.
    """
    optimizer = model.policy.optimizer
    factors = _in_turn(factor, adam_steps(optimizer))
    base = lru_cache(maxsize=1)(model.lr_schedule)  # it changes between update phases only

    def set_rate(stepped: Optimizer, args: Any, kwargs: Any) -> None:
        rate = base(model._current_progress_remaining) * next(factors)
        for group in stepped.param_groups:
            group["lr"] = rate

    return optimizer.register_step_pre_hook(set_rate)


def _in_turn(factor: Factor, first: int, block: int = 1024) -> Iterator[float]:
    """factor(first), factor(first + 1), ...: computed a block at a time, since numpy is slow one by one."""
    for start in itertools.count(first, block):
        yield from np.asarray(factor(np.arange(start, start + block))).tolist()


def adam_steps(optimizer: Optimizer) -> int:
    """Steps that Adam has taken, by its own count; 0 before the first."""
    return max((int(state["step"]) for state in optimizer.state.values()), default=0)


def phases_of_model(model: Any, total_timesteps: int) -> Phases:
    """Update phases that `model.learn(total_timesteps)` will have."""

    def setting(name: str) -> int:
        value = getattr(model, name)
        return int(getattr(value, "frequency", value))  # train_freq is a count with its unit

    known = ALGORITHMS.values()
    algorithm = next(one for one in known if all(hasattr(model, name) for name in one.sizes))
    return algorithm.phases(total_timesteps, setting)


def _whole_steps(model: BaseAlgorithm, length: float | None, total_timesteps: int | None) -> int:
    if length is None or not math.isfinite(length) or length <= 0:
        raise ValueError(f"length={length} is not a length; use gradient steps, or a fraction below 1")
    total = None if total_timesteps is None else phases_of_model(model, total_timesteps).gradient_steps
    if length < 1 and total is None:
        raise ValueError(f"length={length:g} is a fraction: give total_timesteps, as you will give it to learn()")
    steps = round(length * total) if length < 1 and total else round(length)
    if steps < 2 or (length >= 1 and length != steps):
        raise ValueError(f"length={length:g} is {steps} gradient steps: a warmup needs a whole number from 2 on")
    if total is not None and steps > total:
        raise ValueError(f"a warmup of {steps} gradient steps does not fit into the run's {total}")
    return steps
