"""The gradient-step clock as a callback of Stable-Baselines3."""

import warnings
from collections.abc import Sequence

from stable_baselines3.common.callbacks import BaseCallback
from torch.optim import Optimizer

from rl_warmup.delivery.hook import (
    Attached,
    StepWarmup,
    countable_steps,
    factor_of,
    optimizers_of,
    steps_taken,
    warmup_steps,
)
from rl_warmup.schedules.warmups import shape_of


class WarmupCallback(BaseCallback):
    """Warms up the learning rate before every gradient step of `model.learn(..., callback=WarmupCallback(...))`.

    Step k of an optimizer is given base·omega(k), where base is what the model's own `learning_rate` gives and k
    counts its steps in this run. A run begins with `learn(..., reset_num_timesteps=True)`; `learn` with False is
    the next piece of it, also after `load`. The logger's `train/learning_rate` becomes the rate of the last step,
    and `train/warmup_factor` its omega; with several optimizers each has its own, e.g.
    `train/learning_rate_actor`. After `learn`, `steps` says of each optimizer how many gradient steps of the run
    were planned (None where they cannot be counted), were taken, and were the warmup's length.

    Args:
        shape, start, power, optimizers: as in `attach_warmup`.
        length: as there; a fraction is of the gradient steps in the first `learn` of the run.

    Raises:
        ValueError: at once for an unknown shape; at the beginning of `learn` as `attach_warmup` does.
    """

    def __init__(
        self,
        shape: str = "linear",
        length: float | None = None,
        *,
        start: float | None = None,
        power: float = 2.0,
        optimizers: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.length, self.start, self.power, self.optimizers = shape, length, start, power, optimizers
        self._by_beta2 = shape_of(shape).by_beta2
        self._attached = Attached({})
        self.steps: dict[str, dict[str, int | None]] = {}

    def _on_training_start(self) -> None:
        found = optimizers_of(self.model, self.optimizers)
        self._attached = Attached({name: self._attach(name, optimizer) for name, optimizer in found.items()})

    def _attach(self, name: str, optimizer: Optimizer) -> StepWarmup:
        """The warmup of an optimizer, which warns where it changes nothing in a run that it is new to."""
        begins, taken = self.model.num_timesteps == 0, 0 if self._by_beta2 else steps_taken(optimizer)
        new = begins or self._key(name) not in self._plans
        if new:
            steps = warmup_steps(self.model, name, self.shape, self.length, self.model._total_timesteps)
            self._plans[self._key(name)] = (taken if begins else 0, steps)
        origin, steps = self._plans[self._key(name)]
        factor = factor_of(optimizer, self.shape, steps, self.start, self.power)
        warmup = StepWarmup(optimizer, factor, steps_taken(optimizer) - origin)
        if new and factor(warmup.step) == 1:
            warnings.warn(
                f"the warmup {self.shape} is inert: length={self.length} is {factor.length} gradient steps of "
                f"the optimizer {name} in {self.model._total_timesteps} environment steps, and "
                f"{warmup.step} were taken before; use a longer one",
                stacklevel=2,
            )
        return warmup

    def _key(self, name: str) -> str:
        return f"{name} {self.shape} {self.length}"

    @property
    def _plans(self) -> dict[str, tuple[int, int | None]]:
        """Step at which the run of an optimizer began, and its warmup's length then: saved with the model."""
        plans: dict[str, tuple[int, int | None]] = vars(self.model).setdefault("warmup_plans", {})
        return plans

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:  # before the logger is written
        for index, (name, warmup) in enumerate(self._delivered().items()):
            optimizer = warmup.optimizer()
            assert optimizer is not None
            self._count_on(name, optimizer)
            rate = float(optimizer.param_groups[0]["lr"])
            for suffix in [""] * (index == 0) + [f"_{name}"] * (len(self._attached.warmups) > 1):
                self.logger.record(f"train/learning_rate{suffix}", rate)
                self.logger.record(f"train/warmup_factor{suffix}", warmup.factor)

    def _delivered(self) -> dict[str, StepWarmup]:
        """Those of the warmups that have set a rate: not before the first step, nor where another one holds."""
        return {name: warmup for name, warmup in self._attached.warmups.items() if warmup.factor is not None}

    def _on_rollout_end(self) -> None:  # before the update, whose optimizer may be another by now
        found = optimizers_of(self.model)
        for name, warmup in self._attached.warmups.items():
            if warmup.optimizer() is not found[name]:
                self._count_on(name, found[name])
                self._attached = Attached({**self._attached.warmups, name: self._attach(name, found[name])})

    def _count_on(self, name: str, optimizer: Optimizer) -> None:
        """Let k go on from here in the plan, also for an optimizer that keeps no count or is a new one."""
        if not self._by_beta2:
            _, steps = self._plans[self._key(name)]
            self._plans[self._key(name)] = (steps_taken(optimizer) - self._attached.warmups[name].step, steps)

    def _on_training_end(self) -> None:
        self._on_rollout_start()
        for name, warmup in self._delivered().items():
            planned = countable_steps(self.model, name, self.model._total_timesteps)
            _, length = self._plans[self._key(name)]
            self.steps[name] = {"warmup": length, "planned": planned, "taken": warmup.step}
        self._attached.remove()
        self._check_fraction()

    def _check_fraction(self) -> None:
        """Warn where a whole `learn` took other than the steps of which the length is a fraction."""
        if self.length is None or self.length >= 1 or self.model.num_timesteps < self.model._total_timesteps:
            return
        for name, steps in self.steps.items():
            if steps["planned"] not in (None, steps["taken"]):
                warnings.warn(
                    f"length={self.length} of the warmup {self.shape} was {steps['warmup']} of {steps['planned']} "
                    f"planned gradient steps of the optimizer {name}, which took {steps['taken']}: give a count",
                    stacklevel=2,
                )
