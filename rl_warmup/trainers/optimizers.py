"""The optimizers of Stable-Baselines3 models: torch's own where it has the rule, else one that is made of ours."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from stable_baselines3 import DQN, PPO
from torch import Tensor
from torch.optim import Optimizer

from rl_warmup.config.schema import OptimizerConfig
from rl_warmup.schedules.phases import Phases
from rl_warmup.trainers.functional.optimizers import RULES, Moments
from rl_warmup.trainers.functional.step_rates import Options

_OF_TORCH: Mapping[str, type[Optimizer]] = {
    "adam": torch.optim.Adam,
    "adam_rel_mean": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "radam": torch.optim.RAdam,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}


class RuleOptimizer(Optimizer):
    """An optimizer made of one of our rules.

    It keeps two counts of its steps: `step`, all of them, and `count`, the t of its rule, which may restart.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        rule: str,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """`rule`: a name in `RULES`."""
        super().__init__(params, {"lr": lr, "rule": rule, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step for every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_count: dict[int, list[tuple[Tensor, ...]]] = defaultdict(list)  # of most parameters it is the same
            for parameter in (one for one in group["params"] if one.grad is not None):
                state = self._counted(parameter)
                tensors = (parameter, state["exp_avg"], state["exp_avg_sq"], parameter.grad)
                by_count[state["count"]].append(tensors)
            for count, of_count in by_count.items():
                _update(group, count, of_count)
        return loss

    def restart(self) -> None:
        """Let the next step be the first one by the rule's count; the moments stay."""
        for state in self.state.values():
            state["count"] = 0

    def _counted(self, parameter: Tensor) -> dict[str, Any]:
        """The state of a parameter, with one more step."""
        state: dict[str, Any] = self.state[parameter]
        if not state:
            moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
            state.update({"step": torch.tensor(0.0), "count": 0, **moments})
        state["step"] += 1
        state["count"] += 1
        return state


def _update(group: Mapping[str, Any], count: int, tensors: Sequence[tuple[Tensor, ...]]) -> None:
    """Take step `count` of a group's rule for some parameters, as for one long one, which is faster.

    Args:
        tensors: of each parameter itself, its moments and its gradient.
    """
    columns = list(zip(*tensors, strict=True))
    flat, first, second, gradient = (torch.cat([x.reshape(-1) for x in column]).unsqueeze(0) for column in columns)
    rule = replace(RULES[group["rule"]], decays=group["weight_decay"] != 0)
    options = Options(*(np.array([x]) for x in (*group["betas"], group["eps"], group["weight_decay"])))
    table = rule.table(np.array([[float(group["lr"])]]), options, np.array([[count]]))
    row = torch.from_numpy(table[:, 0]).to(flat.device).unbind(1)
    changed, moments = rule.update(flat, Moments(first, second), gradient, row)
    for column, new in zip(columns, (changed, *moments), strict=False):
        for tensor, piece in zip(column, new[0].split([x.numel() for x in column]), strict=True):
            tensor.copy_(piece.view_as(tensor))


def optimizer_of(options: OptimizerConfig) -> tuple[type[Optimizer], dict[str, Any]]:
    """What Stable-Baselines3 takes as `optimizer_class` and `optimizer_kwargs`."""
    kind, decay = _OF_TORCH.get(options.name, RuleOptimizer), {"weight_decay": options.weight_decay}
    if kind is torch.optim.SGD:
        return kind, {"momentum": options.beta1, **decay}
    if kind is torch.optim.RMSprop:
        return kind, {"alpha": options.beta2, "momentum": options.beta1, "eps": options.eps, **decay}
    own = {"rule": options.name} if kind is RuleOptimizer else {}
    return kind, {**own, "betas": (options.beta1, options.beta2), "eps": options.eps, **decay}


def state_of(options: OptimizerConfig, moments: Moments, steps: int, count: int) -> dict[str, Any]:
    """What the optimizer keeps of one parameter.

    Args:
        moments: in the parameter's shape.
        steps: that were taken, at least one; `count` of them since the count restarted.
    """
    kind, step = _OF_TORCH.get(options.name, RuleOptimizer), {"step": torch.tensor(float(steps))}
    buffer = {"momentum_buffer": moments.first} if options.beta1 else {}
    if kind is torch.optim.SGD:
        return buffer
    if kind is torch.optim.RMSprop:
        return {**step, "square_avg": moments.second, **buffer}
    own = {"count": count} if kind is RuleOptimizer else {}
    return {**step, **own, "exp_avg": moments.first, "exp_avg_sq": moments.second}


def moments_of(state: Mapping[str, Any], parameter: Tensor) -> Moments:
    """The moments in what an optimizer keeps of a parameter, `state_of` backwards; zeros where it keeps none."""
    zeros = torch.zeros_like(parameter)
    first = state.get("exp_avg", state.get("momentum_buffer", zeros))
    return Moments(first, state.get("exp_avg_sq", state.get("square_avg", zeros)))


def restart_counts(model: PPO | DQN, phases: Phases) -> None:
    """Before the model's first gradient step after every new objective, restart its optimizer's count."""
    optimizer, due = model.policy.optimizer, set(phases.env_step[phases.new_objective].tolist())
    assert isinstance(optimizer, RuleOptimizer)

    def restart(stepped: Optimizer, args: Any, kwargs: Any) -> None:
        if model.num_timesteps in due:
            due.remove(model.num_timesteps)
            optimizer.restart()

    optimizer.register_step_pre_hook(restart)
