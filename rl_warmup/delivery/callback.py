"""The gradient-step clock as a callback of Stable-Baselines3."""

import warnings
from collections.abc import Sequence

from stable_baselines3.common.callbacks import BaseCallback

from rl_warmup.delivery.hook import Attached, StepWarmup, factor_of, optimizers_of, steps_taken, warmup_steps
from rl_warmup.schedules.warmups import shape_of


class WarmupCallback(BaseCallback):
    """Warms up the learning rate before every gradient step of `model.learn(..., callback=WarmupCallback(...))`.

    Step k of an optimizer is given base·omega(k), where base is what the model's own `learning_rate` gives and k
    counts its steps in this run. A run begins with `learn(..., reset_num_timesteps=True)`; `learn` with False is
    the next piece of it, also after `load`. The logger's `train/learning_rate` becomes the rate of the last step,
    and `train/warmup_factor` its omega; with several optimizers each has its own, e.g.
    `train/learning_rate_actor`.

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

    def _on_training_start(self) -> None:
        warmups = {}
        for name, optimizer in optimizers_of(self.model, self.optimizers).items():
            origin, steps = self._plan(name, 0 if self._by_beta2 else steps_taken(optimizer))
            factor = factor_of(optimizer, self.shape, steps, self.start, self.power)
            warmups[name] = StepWarmup(optimizer, factor, origin)
            if self.model.num_timesteps == 0 and factor(steps_taken(optimizer) - origin) == 1:
                warnings.warn(
                    f"the warmup {self.shape} is inert: length={self.length} is {factor.length} gradient steps of "
                    f"the optimizer {name} in {self.model._total_timesteps} environment steps, and "
                    f"{steps_taken(optimizer) - origin} were taken before; use a longer one",
                    stacklevel=2,
                )
        self._attached = Attached(warmups)

    def _plan(self, name: str, taken: int) -> tuple[int, int | None]:
        """Step at which the run of an optimizer began, and its warmup's length then: saved with the model."""
        plans: dict[str, tuple[int, int | None]] = vars(self.model).setdefault("warmup_plans", {})
        key, begins = f"{name} {self.shape} {self.length}", self.model.num_timesteps == 0
        if begins or key not in plans:
            steps = warmup_steps(self.model, name, self.shape, self.length, self.model._total_timesteps)
            plans[key] = (taken if begins else 0, steps)
        return plans[key]

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:  # before the logger is written
        delivered = {name: one for name, one in self._attached.warmups.items() if one.factor is not None}
        for index, (name, warmup) in enumerate(delivered.items()):
            rate = float(optimizers_of(self.model)[name].param_groups[0]["lr"])
            for suffix in [""] * (index == 0) + [f"_{name}"] * (len(self._attached.warmups) > 1):
                self.logger.record(f"train/learning_rate{suffix}", rate)
                self.logger.record(f"train/warmup_factor{suffix}", warmup.factor)

    def _on_training_end(self) -> None:
        self._on_rollout_start()
        self._attached.remove()
