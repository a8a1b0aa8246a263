"""What PPO and DQN of a stack have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_warmup.envs.protocol import Transition, VectorEnvs
from rl_warmup.trainers.agents import Moments
from rl_warmup.trainers.functional.draws import Draws
from rl_warmup.trainers.prefill import prefill
from rl_warmup.trainers.probe import Probe
from rl_warmup.trainers.stacked.learner import Loss
from rl_warmup.trainers.stacked.stack import Stack


@dataclass(frozen=True)
class Step:
    """A vector step of all members, on the stack's device."""

    observations: Tensor  # [members, envs, ...] what the policies act on next, not normalised
    final: Tensor  # [members, envs, ...] what the step itself returned, not normalised
    rewards: Tensor  # [members, envs]
    terminated: Tensor  # [members, envs] 0 or 1
    truncated: Tensor  # [members, envs] 0 or 1
    any_truncated: bool  # known on the host, so that the device is not read
    ended: NDArray[np.int64]  # [ends, (member, env)] of the episodes that ended, on the host


def to_device(transition: Transition, stack: Stack) -> Step:
    """A transition on the device, in one copy; what observations have as bytes comes apart."""
    shape = (len(stack), len(transition.rewards) // len(stack))
    ended = np.argwhere((transition.terminated | transition.truncated).reshape(shape))
    columns = (transition.rewards, transition.terminated, transition.truncated)
    flags = [column.reshape(*shape, 1) for column in columns]
    images = [transition.observations, transition.final if len(ended) else transition.observations]
    if stack.observed.itemsize > 1:
        packed = torch.from_numpy(
            np.concatenate([*(x.reshape(*shape, -1) for x in images), *flags], axis=2, dtype=np.float32)
        ).to(stack.device)
        size = (packed.shape[2] - len(flags)) // 2
        *shown, rest = packed.split([size, size, len(flags)], dim=2)
    else:
        rest = torch.from_numpy(np.concatenate(flags, axis=2, dtype=np.float32)).to(stack.device)
        shown = [torch.from_numpy(x).to(stack.device) for x in (images if len(ended) else images[:1])]
    # Matrix products round by how rows lie in memory: alike for all members, and for those that are resumed.
    observations, final = (x.reshape(*shape, *stack.observation_shape).contiguous() for x in (shown[0], shown[-1]))
    rewards, terminated, truncated = rest.unbind(2)
    return Step(observations, final, rewards, terminated, truncated, bool(transition.truncated.any()), ended)


@dataclass(frozen=True)
class Outcome:
    """What an update phase did, on the stack's device."""

    steps: Tensor  # [gradient steps, members, metrics]: see `Algorithm.metrics`, then norm and learning rate
    phase: Tensor  # [members, phase metrics]: see `Algorithm.phase_metrics`
    taken: NDArray[np.int64] | None = None  # [members] how many of the steps each took; None: all of them


class Algorithm(ABC):
    """PPO or DQN of all members: acts, observes, and updates."""

    metrics: ClassVar[tuple[str, ...]]
    """What is recorded of every gradient step."""
    phase_metrics: ClassVar[tuple[str, ...]]
    """What is recorded of an update phase as a whole."""
    warmed: Mapping[str, NDArray[np.float64]] = MappingProxyType({})
    """What else than the learning rate may be warmed up, by its column of `updates`, [members, phases] each."""
    _mode: Callable[[Tensor], Tensor]
    """Actions of the greedy policy for observations as the networks see them."""
    _observations: Tensor
    """What is acted on next."""

    def __init__(self, stack: Stack, draws: Draws, loss: Loss, stop: float | None = None) -> None:
        """`stop`: see `update_program`."""
        self._stack, self._draws = stack, draws
        self.learner, self._normalizer = stack.learner(loss, stop), stack.normalizer()
        self._gamma = stack.tensor(stack.of("algo.gamma")).unsqueeze(1)

    @property
    def parameters(self) -> Tensor:
        """The trained parameters [members, parameters], changed in place by `update`."""
        return self.learner.parameters

    def prefill(self, make: Callable[[Sequence[int]], VectorEnvs]) -> None:
        """Begin with the statistics of random play, see `prefill`."""
        assert self._normalizer is not None
        prefill(self._normalizer, self._stack.configs, make, self._stack.device)

    def begin(self, observations: Tensor) -> None:
        """Take the first observations [members, envs, ...]."""
        if self._normalizer is not None:
            self._normalizer.begin(observations)
        self._observations = observations

    @abstractmethod
    def act(self) -> Tensor:
        """Actions [members, envs, ...] for the observations taken last."""

    @abstractmethod
    def observe(self, step: Step) -> None:
        """Take what the environments answered to the actions."""

    @abstractmethod
    def update(self, phase: int) -> Outcome:
        """Update phase `phase` (from 0) of the run."""

    @property
    @abstractmethod
    def available(self) -> int:
        """Transitions that each member can look at."""

    @abstractmethod
    def transitions(self, indices: Tensor) -> Probe:  # [members, rows]
        """Those of the available transitions, as the networks see them, before the update."""

    @abstractmethod
    def coefficients(self, phase: int) -> Tensor:  # [members, ...]
        """Gamma, and what else the loss of a phase depends on; of PPO clip range, entropy and value coefficient."""

    def greedy(self, observations: Tensor) -> Tensor:
        """The mode of the policy in observations [members, rows, ...], not normalised."""
        return self._mode(self._seen(observations))

    def gradient_steps(self, phases: int) -> NDArray[np.int64]:  # [members]
        """Gradient steps that every member has taken in so many update phases, the last one taken included."""
        return np.full(len(self._stack), self._stack.gradient_steps(phases))

    def agent_tables(self) -> dict[str, Tensor]:
        """What agents consist of, [members, parameters] each: `parameters`, their moments, DQN's `target`."""
        return self.learner.tables()

    def agent_counts(self) -> dict[str, float]:
        """Attributes of a Stable-Baselines3 model, of every member alike."""
        return {}

    def moments(self, member: int) -> dict[str, Moments] | None:
        """Those of a member's VecNormalize, see `agents.Agent`."""
        return None if self._normalizer is None else self._normalizer.moments(member)

    def take_moments(self, moments: Sequence[Mapping[str, Moments] | None]) -> None:
        """Continue the statistics of normalization that trained agents bring, see `moments`."""
        if self._normalizer is not None:
            self._normalizer.take([own for own in moments if own is not None])

    def replayed(self, member: int) -> dict[str, NDArray[Any]] | None:
        """A member's replay buffer, see `agents.Agent`; None without one."""
        return None

    def tables(self) -> dict[str, Tensor]:
        """State to resume from after an update, [members, ...] each; views, which change with it."""
        return self.learner.tables() | ({} if self._normalizer is None else self._normalizer.tables())

    def counts(self) -> dict[str, float]:
        """The rest of its state, equal for all members."""
        return {} if self._normalizer is None else self._normalizer.counts()

    def restore(self, tables: Mapping[str, Tensor], counts: Mapping[str, float]) -> None:
        """Resume from what `tables` and `counts` returned."""
        self.learner.restore(tables)
        if self._normalizer is not None:
            self._normalizer.restore(tables, counts)
        self._observations = tables["observations"]

    def _seen(self, observations: Tensor) -> Tensor:
        """Observations as the networks see them."""
        return observations if self._normalizer is None else self._normalizer.normalize(observations)

    def _counted(self, step: Step, dones: Tensor) -> Tensor:
        """Take a vector step into the statistics of normalisation; its rewards, normalised."""
        if self._normalizer is None:
            return step.rewards
        return self._normalizer.step(step.observations, step.rewards, dones)
