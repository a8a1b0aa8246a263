"""The interface of PPO and DQN to the training loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rl_warmup.envs.vector import Transition


@dataclass(frozen=True)
class Step:
    """A vector step of all members, on the stack's device."""

    observations: Tensor  # [members, envs, ...] what the policies act on next, not normalised
    final: Tensor  # [members, envs, ...] what the step itself returned, not normalised
    rewards: Tensor  # [members, envs]
    terminated: Tensor  # [members, envs] 0 or 1
    truncated: Tensor  # [members, envs] 0 or 1
    any_truncated: bool  # known on the host, so that the device is not read


def to_device(transition: Transition, members: int, device: torch.device) -> Step:
    """A transition on the device, in one copy."""
    envs = len(transition.rewards) // members
    shape = (members, envs, *transition.observations.shape[1:])
    columns = (transition.rewards, transition.terminated, transition.truncated)
    flat = [transition.observations.reshape(members, envs, -1), transition.final.reshape(members, envs, -1)]
    flags = [np.reshape(column, (members, envs, 1)) for column in columns]
    packed = torch.from_numpy(np.concatenate([*flat, *flags], axis=2, dtype=np.float32)).to(device)
    size = flat[0].shape[2]
    observations, final, flags_ = packed.split([size, size, 3], dim=2)
    rewards, terminated, truncated = flags_.unbind(2)
    return Step(
        observations=observations.reshape(shape),
        final=final.reshape(shape),
        rewards=rewards,
        terminated=terminated,
        truncated=truncated,
        any_truncated=bool(transition.truncated.any()),
    )


@dataclass(frozen=True)
class Outcome:
    """What an update phase did, on the stack's device."""

    steps: Tensor  # [gradient steps, members, metrics]: see `Algorithm.metrics`, then norm and learning rate
    phase: Tensor  # [members, phase metrics]: see `Algorithm.phase_metrics`


class Algorithm(Protocol):
    """PPO or DQN of all members: acts, observes, and updates."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is recorded of every gradient step."""

    @property
    def phase_metrics(self) -> tuple[str, ...]:
        """What is recorded of an update phase as a whole."""

    @property
    def parameters(self) -> Tensor:
        """The trained parameters [members, parameters], changed in place by `update`."""

    def begin(self, observations: Tensor) -> None:
        """Take the first observations [members, envs, ...]."""

    def act(self) -> Tensor:
        """Actions [members, envs, ...] for the observations taken last."""

    def observe(self, step: Step) -> None:
        """Take what the environments answered to the actions."""

    def update(self, phase: int) -> Outcome:
        """Update phase `phase` (from 0) of the run."""

    def tables(self) -> dict[str, Tensor]:
        """State to resume from after an update, [members, ...] each; views, which change with it."""

    def counts(self) -> dict[str, float]:
        """The rest of its state, equal for all members."""

    def restore(self, tables: Mapping[str, Tensor], counts: Mapping[str, float]) -> None:
        """Resume from what `tables` and `counts` returned."""

    def greedy(self, observations: Tensor) -> Tensor:
        """The mode of the policy in observations [members, rows, ...], not normalised."""
