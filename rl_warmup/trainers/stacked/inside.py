"""What `diagnostics=full` is given of a stack: its transitions, parameters and moments."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_warmup.trainers.inside import Inside
from rl_warmup.trainers.probe import State
from rl_warmup.trainers.stacked.algorithm import Algorithm, Outcome
from rl_warmup.trainers.stacked.sizes import measured_at_once
from rl_warmup.trainers.stacked.stack import Stack


class Watch:
    """Asked before and after every update phase of a stack."""

    def __init__(self, stack: Stack, algorithm: Algorithm) -> None:
        self.inside = Inside(stack.configs, stack.policy, measured_at_once(str(stack.device)))
        self._stack, self._algorithm = stack, algorithm

    def begin(self) -> None:
        """Draw the probe batches if it is time."""
        drawn = self.inside.drawn(self._algorithm.available)
        if drawn is not None:
            self.inside.take(self._algorithm.transitions(drawn.to(self._stack.device)))

    def end(
        self,
        phase: int,
        outcome: Outcome,
        before: Tensor,  # [members, parameters]
    ) -> dict[str, Sequence[float | None]]:
        """The columns of a phase, [members] each, null if it is not to be measured."""
        if not self.inside.due(phase):
            return dict.fromkeys(self.inside.names, [None] * len(self._stack))
        measured = self.inside.measure(self._state(phase, outcome, before))
        return dict(zip(measured, torch.stack(list(measured.values())).tolist(), strict=True))

    def _state(self, phase: int, outcome: Outcome, before: Tensor) -> State:
        stack, algorithm = self._stack, self._algorithm
        tables, members = algorithm.agent_tables(), torch.arange(len(stack), device=stack.device)
        taken = np.full(len(stack), len(outcome.steps)) if outcome.taken is None else outcome.taken
        last = outcome.steps[torch.from_numpy(taken - 1).to(stack.device), members]  # [members, metrics]
        return State(
            before,
            tables["parameters"],
            tables["second"],
            stack.tensor(self._counts(phase), torch.float64),
            last[:, len(algorithm.metrics) + 1],
            stack.tensor(stack.base[:, phase], torch.float64),
            algorithm.coefficients(phase),
            tables.get("target", tables["parameters"]),
        )

    def _counts(self, phase: int) -> NDArray[np.float64]:  # [members, 2]
        """The optimizers' own counts after a phase, of the critic's parameters and of the others."""
        stack, done = self._stack, self._algorithm.gradient_steps(phase + 1)
        counted = [
            [stack.optimizer_steps(member, int(steps), phase + 1, held)[1] for held in (0, stack.critic_only)]
            for member, steps in enumerate(done)
        ]
        return np.array(counted, dtype=np.float64)
