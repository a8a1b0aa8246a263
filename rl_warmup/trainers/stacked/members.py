"""What differs between the members of a stack, as tables with a members axis."""

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_warmup import schedules
from rl_warmup.config.learning_rate import base_schedule, phases_of, planned_dose
from rl_warmup.config.schema import RunConfig
from rl_warmup.trainers.functional.optimizers import StepRates, bias_correction


class Members:
    """The configs of a stack and every value that a member has to itself; row i of each table is member i."""

    def __init__(self, configs: Sequence[RunConfig], device: torch.device) -> None:
        self.configs, self.device = tuple(configs), device
        self.phases = phases_of(configs[0])
        self.base = np.stack([base_schedule(c)(self.phases.progress) for c in configs])  # [members, phases]
        self._dose = np.stack([planned_dose(c) for c in configs])  # [members, gradient steps]
        self._ends = np.concatenate([[0], np.cumsum(self.phases.n_steps)])

    def __len__(self) -> int:
        return len(self.configs)

    def of(self, key: str) -> NDArray[np.float64]:  # [members]
        """The value of every member's config at a dotted key."""
        return np.array([attrgetter(key)(config) for config in self.configs], dtype=np.float64)

    def tensor(self, values: NDArray[np.float64], dtype: torch.dtype = torch.float32) -> Tensor:
        """A table on the stack's device."""
        return torch.as_tensor(values, dtype=dtype).to(self.device)

    def rates(self, phase: int) -> Tensor:  # [steps, members, len(StepRates._fields) + 1], float64
        """What Adam is given at every gradient step of a phase, the limit of the gradient norm last."""
        first, last = self._ends[phase], self._ends[phase + 1]
        steps = np.arange(first + 1, last + 1)
        options = {name: self.of(f"algo.optimizer.{name}") for name in ("beta1", "beta2", "eps")}
        options["max_grad_norm"] = self.of("algo.max_grad_norm")
        table = {name: np.repeat(values[:, None], len(steps), axis=1) for name, values in options.items()}
        table["learning_rate"] = self._dose[:, first:last]
        table["correction1"] = bias_correction(options["beta1"], steps)
        table["correction2"] = bias_correction(options["beta2"], steps)
        columns = [table[name] for name in (*StepRates._fields, "max_grad_norm")]
        return self.tensor(np.stack(columns, axis=-1).swapaxes(0, 1).copy(), torch.float64)

    def clip_range(self, phase: int) -> NDArray[np.float64]:  # [members]
        """PPO's clip range in a phase."""
        progress = float(self.phases.progress[phase])
        linear = [c == "linear" for c in map(attrgetter("algo.clip_range_schedule"), self.configs)]
        left = np.where(linear, schedules.linear(1.0)(progress), 1.0)
        return self.of("algo.clip_range") * left
