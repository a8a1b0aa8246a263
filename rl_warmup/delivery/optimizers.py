"""The optimizers of a Stable-Baselines3 model: which there are, what they have done, and what they will do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rl_warmup.schedules.numbers import steps_of
from rl_warmup.schedules.phases import Phases, dqn_phases, ppo_phases
from rl_warmup.schedules.warmups import shape_of

if TYPE_CHECKING:
    from torch.optim import Optimizer


def optimizers_of(model: Any, names: Sequence[str] | None = None) -> dict[str, Optimizer]:
    """The optimizers of a model by name: `policy`, or `actor`, `critic` and `ent_coef`.

    Args:
        names: of those that are wanted; None for all.

    Raises:
        ValueError: for a model without any, and for a name that is not there.
    """
    found = {name: getattr(getattr(model, name, None), "optimizer", None) for name in ("policy", "actor", "critic")}
    found["ent_coef"] = getattr(model, "ent_coef_optimizer", None)
    optimizers = {name: optimizer for name, optimizer in found.items() if optimizer is not None}
    if not optimizers:
        raise ValueError(f"{type(model).__name__} has no torch optimizer, so there is no learning rate to warm up")
    for name in names or ():
        if name not in optimizers:
            known = ", ".join(optimizers)
            raise ValueError(f"{type(model).__name__} has no optimizer {name!r}: choose from {known}")
    return {name: optimizers[name] for name in names or optimizers}


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
            raise ValueError(
                f"{name} trains after episodes, whose steps are not known before: give a count of steps"
            )
        return dqn_phases(
            total_timesteps,
            n_envs=model.n_envs,
            train_freq=model.train_freq.frequency,
            gradient_steps=model.gradient_steps,
            learning_starts=model.learning_starts,
        )
    if not hasattr(model, "n_steps"):
        raise ValueError(
            f"the gradient steps of {name} cannot be counted before the training: give a count of steps"
        )
    epochs = getattr(model, "n_epochs", None)
    if epochs is not None and model.target_kl is not None:
        raise ValueError(f"target_kl={model.target_kl} may stop an update of {name} early: give a count of steps")
    return ppo_phases(
        total_timesteps,
        n_envs=model.n_envs,
        n_steps=model.n_steps,
        batch_size=getattr(model, "batch_size", model.n_steps * model.n_envs),  # A2C: the whole rollout at once
        n_epochs=getattr(model, "n_critic_updates", 1) if epochs is None else epochs,
    )


def planned_steps(model: Any, name: str, total_timesteps: int) -> int:
    """Steps that the optimizer `name` will take in `model.learn(total_timesteps)`; ValueError if uncountable."""
    delay = 1 if name in ("policy", "critic") else getattr(model, "policy_delay", 1)  # of TD3, DDPG and CrossQ
    return phases_of_model(model, total_timesteps).gradient_steps // int(delay)


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
    if length >= 1 and length != int(length):
        raise ValueError(f"length={length:g} gradient steps: a warmup needs a whole number from 2 on")
    if length >= 1:
        return int(length)
    if total_timesteps is None:
        raise ValueError(f"length={length:g} is a fraction: give total_timesteps, as you will give it to learn()")
    return steps_of(length, planned_steps(model, name, total_timesteps))
