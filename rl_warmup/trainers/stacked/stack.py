"""A stack: what its members share, what differs between them, and the parts that PPO and DQN are built from."""

import math
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl_warmup.config.learning_rate import (
    adaptive_base,
    base_schedule,
    coefficients,
    env_schedule,
    optimizer_counts,
    phases_of,
    skipped_steps,
    step_factors,
)
from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.config.schema import RunConfig
from rl_warmup.trainers.functional.normalization import Normalizer
from rl_warmup.trainers.functional.optimizers import RULES
from rl_warmup.trainers.functional.step_rates import Options
from rl_warmup.trainers.policies import initial_policy, is_critic
from rl_warmup.trainers.sources import Source
from rl_warmup.trainers.stacked import networks
from rl_warmup.trainers.stacked.learner import Learner, Loss
from rl_warmup.trainers.stacked.sizes import CHUNK

WIDE = 128
"""Images of a minibatch beyond which a CPU updates members one by one: of four they would not fit its cache."""


class Stack:
    """The members of one tensor program: all have the same networks, environments and lengths.

    Row i of every table is member i.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        device: torch.device,
        compiled: bool,
        sources: Sequence[Source] | None = None,
    ) -> None:
        """`sources`: the agents that the members start from; None from scratch."""
        self.sources = sources
        self.configs, self.config, self.device, self.compiled = configs, configs[0], device, compiled
        self.observation_shape, self.action_space = observation_space.shape or (), action_space
        self.observed = observed_dtype(observation_space)
        self.phases = phases_of(configs[0])
        self.base = np.stack([base_schedule(c)(self.phases.progress) for c in configs])  # [members, phases]
        self._scheduled = np.stack([env_schedule(c)(self.phases.progress) for c in configs])  # [members, phases]
        self._factors = np.stack([step_factors(c) for c in configs])  # [members, gradient steps]
        self._adaptive = {m: base for m, c in enumerate(configs) if (base := adaptive_base(c)) is not None}
        self.critic_only = configs[0].init.critic_only  # first steps in which nothing but the critic is trained
        self.part = configs[0].warmup.on  # of the parameters, to which these factors are given
        self.skipped = np.array([skipped_steps(c) for c in configs])  # [members] first steps that are not taken
        self._options = Options(*(self.of(f"algo.optimizer.{name}") for name in Options._fields))
        self._relative = OPTIMIZERS[self.config.algo.optimizer.name].relative
        decays = bool(self._options.weight_decay.any())
        self._rule = replace(RULES[self.config.algo.optimizer.name], decays=decays)
        self._ends = np.concatenate([[0], np.cumsum(self.phases.n_steps)])
        taken = [source.taken for source in sources or ()] or [(0, 0)] * len(configs)
        self.taken = np.array(taken)  # [members, 2] optimizer steps before the run, and the count of its rule
        if configs[0].algo.normalize:  # pixels too are then no longer 0 to 255
            observation_space = gym.spaces.Box(-np.inf, np.inf, self.observation_shape, np.float32)
        self.policy = initial_policy(configs[0], observation_space, action_space)
        of_seed = {config.seed: config for config in configs}  # members of one seed begin alike
        policies = (initial_policy(config, observation_space, action_space) for config in of_seed.values())
        drawn = dict(zip(of_seed, networks.stack_parameters(policies), strict=True))
        self.initial = torch.stack([drawn[config.seed] for config in configs])  # [members, parameters]

    def __len__(self) -> int:
        return len(self.configs)

    def of(self, key: str) -> NDArray[np.float64]:  # [members]
        """The value of every member's config at a dotted key."""
        return np.array([attrgetter(key)(config) for config in self.configs], dtype=np.float64)

    def tensor(self, values: NDArray[np.float64], dtype: torch.dtype = torch.float32) -> Tensor:
        """A table on the stack's device."""
        return torch.as_tensor(values, dtype=dtype).to(self.device)

    def gradient_steps(self, phases: int) -> int:
        """Gradient steps done after so many update phases."""
        return int(self._ends[phases])

    def optimizer_steps(self, member: int, done: int, phases: int, held: int = 0) -> tuple[int, int]:
        """Steps that a member's optimizer has taken, and its rule's own count of them.

        Args:
            done: gradient steps of the member in so many update phases.
            held: steps that a parameter did not take at first.
        """
        own, (before, count) = max(done - max(int(self.skipped[member]), held), 0), self.taken[member].tolist()
        if own == 0:
            return before, count
        since = min(own, int(optimizer_counts(self.configs[member])[self.gradient_steps(phases) - 1]))
        return before + own, since + (0 if self._relative else count)

    @property
    def kept_steps(self) -> int:
        """Vector steps in the replay buffers that the members' agents bring, in all alike."""
        replay = self.sources[0].agent.replay if self.sources else None
        return 0 if replay is None else len(replay["rewards"])

    @property
    def adaptive_rates(self) -> NDArray[np.float64] | None:  # [members]
        """The base rates that the members have now, nan of those that do not adapt; None if no member does."""
        rates = [self._adaptive[m].rate if m in self._adaptive else math.nan for m in range(len(self))]
        return np.array(rates) if self._adaptive else None

    @adaptive_rates.setter
    def adaptive_rates(self, rates: NDArray[np.float64]) -> None:
        for member, base in self._adaptive.items():
            base.rate = float(rates[member])

    def adapt(self, kl: Tensor) -> None:  # [members]
        """Let the rates that adapt follow an update of this KL."""
        if self._adaptive:
            found = kl.tolist()
            for member, base in self._adaptive.items():
                base.adapt(found[member])

    def rates(
        self, phase: int, done: NDArray[np.int64] | None = None
    ) -> Tensor:  # [steps, members, columns], float64
        """What the optimizer is given at every gradient step of a phase, the limit of the gradient norm last.

        Before it the learning rate of the other parameters, where the warmup is of a part of them. Where the critic
        is trained alone at first, the columns of what else there is follow the critic's, and whether it is trained.

        Args:
            done: [members] gradient steps that they have taken, where these are not as many as are planned.
        """
        for member, base in self._adaptive.items():
            self.base[member, phase] = base.rate
            scheduled = env_schedule(self.configs[member], base)(self.phases.progress[phase])
            self._scheduled[member, phase] = scheduled
        before = np.full(len(self), self._ends[phase]) if done is None else done
        steps = before[:, None] + np.arange(1, self.phases.n_steps[phase] + 1)  # [members, steps], from 1 on
        rates = self._scheduled[:, phase, None] * np.take_along_axis(self._factors, steps - 1, axis=1)
        tables = [self._rule.table(rates, self._options, self._counts(phase, steps))]
        if self.critic_only:
            count = self._counts(phase, steps, self.critic_only)
            tables += [self._rule.table(rates, self._options, count), (count > 0)[..., None].astype(np.float64)]
        further = [*([] if self.part == "all" else [self.base[:, phase]]), self.of("algo.norm_limit")]
        limits = np.broadcast_to(np.stack(further, axis=-1)[:, None], (*steps.shape, len(further)))
        return self.tensor(np.concatenate([*tables, limits], axis=-1).swapaxes(0, 1).copy(), torch.float64)

    def _counts(
        self, phase: int, steps: NDArray[np.int64], held: int = 0
    ) -> NDArray[np.int64]:  # [members, steps] both
        """The optimizers' own counts at steps of a phase, see `optimizer_counts`.

        `held`: steps that they do not take at first.
        """
        begins, before = np.zeros(len(self), dtype=np.int64), self.taken[:, 1:]
        if self._relative:
            into = self.phases.first_steps[phase] - self.phases.objective_starts[phase]
            begins, before = steps[:, 0] - 1 - into, np.zeros_like(before)
        own = np.maximum(steps - np.maximum(begins, np.maximum(self.skipped, held))[:, None], 0)
        return np.asarray(np.where(own > 0, own + before, 0))

    def coefficients(self, name: str) -> NDArray[np.float64]:  # [members, phases]
        """PPO's `clip_range` or `ent_coef` in every update phase."""
        return np.stack([coefficients(config, name) for config in self.configs])

    @property
    def tanh(self) -> networks.Activation:
        """tanh of the update programs: the vendor's on a GPU and where nothing is compiled."""
        return networks.rational_tanh if self.compiled and self.device.type == "cpu" else torch.tanh

    def learner(self, loss: Loss, stop: float | None = None) -> Learner:
        """The members' parameters, and the program that updates them by `loss`; `stop`: see `update_program`."""
        wide = len(self.observation_shape) == 3 and self.config.algo.batch_size > WIDE
        chunk = (1 if wide else CHUNK) if self.device.type == "cpu" else len(self)
        layout = networks.Layout(self.policy)
        start, part, critic = self.initial.clone().to(self.device), None, None
        if self.critic_only:
            critic = layout.mask(is_critic).to(self.device)
        if self.part != "all":
            part = layout.mask(lambda name: is_critic(name) == (self.part == "critic")).to(self.device)
        return Learner(start, layout, loss, self._rule, chunk, self.compiled, part, stop, critic)

    def normalizer(self) -> Normalizer | None:
        """VecNormalize of every member, where the settings ask for it."""
        if not self.config.algo.normalize:
            return None
        gamma = self.tensor(self.of("algo.gamma"), torch.float64)
        return Normalizer(len(self), self.config.algo.n_envs, self.observation_shape, gamma, self.device)


def observed_dtype(space: gym.Space[Any]) -> torch.dtype:
    """The type in which observations are kept: their own where that takes one byte a number, as images do."""
    of_one_byte = {"uint8": torch.uint8, "int8": torch.int8, "bool": torch.bool}
    return of_one_byte.get(str(space.dtype), torch.float32)
