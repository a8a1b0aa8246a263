"""The dose: the learning rates that an optimizer really received, read from it after every step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rl_warmup.delivery.hook import adam_steps
from rl_warmup.records.dose import dose_columns

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch.optim import Optimizer


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
        dose = {name: column.item() for name, column in dose_columns(rates or [math.nan], base).items()}
        return {"gradient_step": self._steps, "n_steps": len(rates), **dose}
