"""From schedule to optimizer: the two clocks of a warmup on a Stable-Baselines3 model, and the dose delivered."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_warmup import schedules
from rl_warmup.plan import Plan, plan_run
from rl_warmup.schedules import Factor, Schedule

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch.optim import Optimizer
    from torch.utils.hooks import RemovableHandle


def for_sb3(schedule: Schedule) -> Callable[[float], float]:
    """A schedule as the callable that Stable-Baselines3 takes for `learning_rate` or `clip_range`.

    Stable-Baselines3 passes progress_remaining = 1 - num_timesteps / total, once an update phase, and lets it
    become negative in the last one; the share of steps done is clamped to [0, 1] here.

    >>> from rl_warmup.schedules import constant, warmup
    >>> learning_rate = for_sb3(warmup(constant(3e-4), shape="linear", length=0.1))
    >>> [round(learning_rate(remaining), 6) for remaining in (1.0, 0.95, 0.9, -0.01)]
    [0.0, 0.00015, 0.0003, 0.0003]
    """

    def of_remaining(progress_remaining: float) -> float:
        return float(schedule(min(max(1.0 - progress_remaining, 0.0), 1.0)))

    return of_remaining


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


def plan_of_model(model: Any, total_timesteps: int) -> Plan:
    """Update phases that `model.learn(total_timesteps)` will have."""

    def setting(name: str) -> int:
        value = getattr(model, name)
        return int(getattr(value, "frequency", value))  # train_freq is a count with its unit

    return plan_run("ppo" if hasattr(model, "n_epochs") else "dqn", total_timesteps, setting)


class DoseMeter:
    """Reads the learning rate from the optimizer after every step: what was delivered, not what was planned."""

    def __init__(self, model: BaseAlgorithm, base: Callable[[float], float]) -> None:
        """`base`: the learning rate without warmup, of Stable-Baselines3's progress_remaining."""
        self._model, self._base = model, base
        self._rates: list[float] = []
        self._steps = adam_steps(model.policy.optimizer)  # not 0 where a training goes on
        self._handle = model.policy.optimizer.register_step_post_hook(self._read)

    def _read(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._rates.append(float(optimizer.param_groups[0]["lr"]))

    def end_phase(self) -> dict[str, float]:
        """The dose columns of updates.parquet for the phase that just ended.

        omega = rate / base at each step, taken as 1 where the base itself is 0.
        """
        rates, base = self._rates, self._base(self._model._current_progress_remaining)
        self._rates = []
        self._steps += len(rates)
        return {
            "gradient_step": self._steps,
            "n_steps": len(rates),
            "learning_rate_first": rates[0] if rates else math.nan,
            "learning_rate_last": rates[-1] if rates else math.nan,
            "learning_rate_mean": sum(rates) / len(rates) if rates else math.nan,
            "base_learning_rate": base,
            "n_below_99": sum(rate < 0.99 * base for rate in rates),
            "omega_sum": sum(rate / base for rate in rates) if base else float(len(rates)),
        }


def _whole_steps(model: BaseAlgorithm, length: float | None, total_timesteps: int | None) -> int:
    if length is None or not math.isfinite(length) or length <= 0:
        raise ValueError(f"length={length} is not a length; use gradient steps, or a fraction below 1")
    total = None if total_timesteps is None else plan_of_model(model, total_timesteps).gradient_steps
    if length < 1 and total is None:
        raise ValueError(f"length={length:g} is a fraction: give total_timesteps, as you will give it to learn()")
    steps = round(length * total) if length < 1 and total else round(length)
    if steps < 2 or (length >= 1 and length != steps):
        raise ValueError(f"length={length:g} is {steps} gradient steps: a warmup needs a whole number from 2 on")
    if total is not None and steps > total:
        raise ValueError(f"a warmup of {steps} gradient steps does not fit into the run's {total}")
    return steps
