"""What happens inside an update phase of Stable-Baselines3, observed without changing it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from gymnasium.spaces import Discrete, MultiBinary
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from rl_warmup.config.columns import COEFFICIENTS
from rl_warmup.config.learning_rate import base_schedule, coefficients, phases_of
from rl_warmup.config.schema import DQNConfig, RunConfig
from rl_warmup.delivery.meter import DoseMeter
from rl_warmup.delivery.schedule import for_sb3
from rl_warmup.schedules.bases import Schedule
from rl_warmup.trainers.functional.losses import k3
from rl_warmup.trainers.sb3.inside import Watch


class Diverged(Exception):
    """A parameter, a loss or a return is not finite: an outcome of the run, not a failure."""


@contextmanager
def observed_training(
    model: PPO | DQN,
    config: RunConfig,
    emit: Callable[[str, Mapping[str, Any]], None],
    steps: int | None = None,
    base: Schedule | None = None,
    watch: Watch | None = None,
) -> Iterator[DoseMeter]:
    """While this holds, every `model.train()` is followed by a row of the table `updates`.

    Args:
        config: of the run, resolved.
        steps: gradient steps taken before; None for the optimizer's own count.
        base: the learning rate without warmup, where it is not the planned one.
        watch: measures the columns of `diagnostics=full`.

    Returns:
        What reads the optimizer, and counts its steps.

    Raises:
        Diverged: from `model.train()`, when a parameter or a loss is not finite after it.
    """
    meter, original = DoseMeter(model, steps=steps), model.train
    unwarmed, coefficient = for_sb3(base or base_schedule(config)), COEFFICIENTS.get(config.warmup.of)
    squared = isinstance(config.algo, DQNConfig) and config.algo.loss == "mse"
    q_loss = torch.nn.functional.mse_loss if squared else None  # in the place of Stable-Baselines3's
    part = None if config.warmup.on == "all" else config.warmup.on

    def train(*args: Any, **kwargs: Any) -> None:
        before = _parameters(model)
        if coefficient is not None:
            set_coefficient(model, config, coefficient)
        if watch is not None:
            watch.begin(model)
        with (
            captured(torch.nn.utils, "clip_grad_norm_", lambda args, norm: norm) as norms,
            captured(torch.nn.functional, "smooth_l1_loss", _q_values, q_loss) as q_values,
        ):
            original(*args, **kwargs)
        after = _parameters(model)
        dose = meter.end_phase(unwarmed(model._current_progress_remaining), part)
        row: dict[str, Any] = {"env_step": model.num_timesteps, **dose, **_gradients(norms, model.max_grad_norm)}
        row["relative_update"] = float((after - before).norm() / before.norm())
        row |= _ppo(model) if isinstance(model, PPO) else _dqn(model, q_values)
        row |= {} if coefficient is None else {coefficient: _coefficient(model, coefficient)}
        row |= {} if watch is None else watch.end(model, dose)
        emit("updates", row)
        if not torch.isfinite(after).all():
            raise Diverged(f"non-finite parameters after gradient step {row['gradient_step']}")
        if not torch.isfinite(torch.tensor(row["loss"])):
            raise Diverged(f"non-finite loss before gradient step {row['gradient_step']}")

    setattr(model, "train", train)  # noqa: B010 (mypy refuses to assign to a method)
    try:
        yield meter
    finally:
        del model.train


def set_coefficient(model: PPO | DQN, config: RunConfig, name: str) -> None:
    """Give a model of PPO the clip range or the entropy coefficient of the update phase that now begins."""
    phase = phases_of(config).phases_done(model.num_timesteps) - 1
    value = float(coefficients(config, name)[phase])
    setattr(model, name, (lambda _: value) if name == "clip_range" else value)


def _coefficient(model: PPO | DQN, name: str) -> float:
    """What the last update was given."""
    return float(model.logger.name_to_value["train/clip_range"] if name == "clip_range" else getattr(model, name))


@contextmanager
def captured(
    module: Any, name: str, keep: Callable[[tuple[Any, ...], Any], Any], instead: Callable[..., Any] | None = None
) -> Iterator[list[Any]]:
    """While this holds, `keep(args, result)` of every call of `module.name`, or `instead` of it, is collected."""
    original, kept = getattr(module, name), []
    function = instead or original

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        kept.append(keep(args, result))
        return result

    setattr(module, name, wrapper)
    try:
        yield kept
    finally:
        setattr(module, name, original)


def check_finite(model: BaseAlgorithm) -> None:
    """Raise `Diverged` if a trained parameter is not finite."""
    if not torch.isfinite(_parameters(model)).all():
        raise Diverged("non-finite parameters")


def _parameters(model: BaseAlgorithm) -> Tensor:  # [parameters]
    """The trained parameters (not the target network's), as one vector."""
    groups = model.policy.optimizer.param_groups
    return parameters_to_vector([p for group in groups for p in group["params"]]).detach()


def _q_values(args: tuple[Any, ...], loss: Tensor) -> Tensor:  # [2, batch, 1]
    """Predicted and target Q values of one gradient step."""
    return torch.stack([args[0].detach(), args[1]])


def _gradients(norms: list[Tensor], limit: float) -> dict[str, float]:
    """Norm of the gradient before clipping over the steps of a phase, and the share of steps clipped."""
    norm = torch.stack(norms) if norms else torch.tensor([torch.nan])  # an update may stop before its first step
    return {
        "grad_norm_mean": float(norm.mean()),
        "grad_norm_max": float(norm.max()),
        "clipped_share": float((norm > limit).float().mean()),
    }


def _ppo(model: PPO) -> dict[str, float]:
    """PPO's diagnostics; losses and clip fraction are means over all minibatches of all epochs."""
    logged = model.logger.name_to_value
    policy, value = logged["train/policy_gradient_loss"], logged["train/value_loss"]
    entropy_loss = logged["train/entropy_loss"]
    return {
        "loss": float(policy + model.ent_coef * entropy_loss + model.vf_coef * value),
        "policy_loss": float(policy),
        "value_loss": float(value),
        "entropy": -float(entropy_loss),
        "clip_fraction": float(logged["train/clip_fraction"]),
        "explained_variance": float(logged["train/explained_variance"]),
        "approx_kl": rollout_kl(model),
    }


def rollout_kl(model: PPO) -> float:
    """KL(old || new) over the whole rollout after the update, see `k3`.

    Stable-Baselines3's `train/approx_kl` covers the last epoch only, minibatch by minibatch before each step.
    """
    buffer = model.rollout_buffer
    observations, actions, old = (
        torch.as_tensor(array, device=model.device)
        for array in (buffer.observations, buffer.actions, buffer.log_probs)
    )
    if isinstance(model.action_space, Discrete):
        actions = actions.long().flatten()
    elif isinstance(model.action_space, MultiBinary):
        actions = actions.float()  # of integers torch has no log-probability
    with torch.no_grad():
        _, log_prob, _ = model.policy.evaluate_actions(observations, actions)
        return float(k3((log_prob - old.flatten()).unsqueeze(0)))


def _dqn(model: DQN, q_values: list[Tensor]) -> dict[str, float]:
    """DQN's diagnostics over all gradient steps of a phase; Q and TD error of the sampled transitions."""
    predicted, target = torch.stack(q_values).unbind(1)  # [steps, batch, 1] each
    return {
        "loss": float(model.logger.name_to_value["train/loss"]),
        "q_mean_abs": float(predicted.abs().mean()),
        "q_max_abs": float(torch.maximum(predicted.abs().max(), target.abs().max())),
        "td_error_mean": float((target - predicted).abs().mean()),
        "exploration_rate": float(model.exploration_rate),
    }
