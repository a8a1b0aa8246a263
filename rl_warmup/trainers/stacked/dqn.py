"""DQN of a stack of members: Stable-Baselines3's, with a members axis."""

from collections.abc import Mapping, Sequence

import torch
from gymnasium.spaces import Discrete
from torch import Tensor

from rl_warmup.config.schema import DQNConfig
from rl_warmup.trainers.functional import losses
from rl_warmup.trainers.functional.draws import Draws
from rl_warmup.trainers.functional.normalization import normalized
from rl_warmup.trainers.stacked.algorithm import Algorithm, Outcome, Step
from rl_warmup.trainers.stacked.graphs import graphed
from rl_warmup.trainers.stacked.learner import Loss
from rl_warmup.trainers.stacked.networks import Layout, Network, Parameters
from rl_warmup.trainers.stacked.stack import Stack


class DQN(Algorithm):
    """Replay, exploration, targets and updates of all members."""

    metrics = ("loss", "q_mean_abs", "q_max_abs", "td_error_mean")
    phase_metrics = ("exploration_rate",)

    def __init__(self, stack: Stack, draws: Draws) -> None:
        algo, space = stack.config.algo, stack.action_space
        assert isinstance(algo, DQNConfig)
        assert isinstance(space, Discrete)
        trained = Network(stack.policy, Q_NETWORK, stack.tanh)
        super().__init__(stack, draws, dqn_loss(trained, Layout(stack.policy), stack.observation_shape))
        self._algo, self._actions = algo, int(space.n)
        self.network = Network(stack.policy, Q_NETWORK, torch.tanh)
        self._mode = graphed(lambda seen: self.network(self.learner.named, seen).argmax(-1), stack.device)
        self.target = self.learner.parameters.clone()
        self._target_due = False
        self.replay = _Replay(stack, algo.buffer_size // algo.n_envs)
        self._step = 0  # vector steps done

    def act(self) -> Tensor:
        """A random action with probability epsilon, one coin for all environments of a member, else argmax Q."""
        coins, random = self._draws.exploration(self._step, self._algo.n_envs, self._actions)
        if self._step * self._algo.n_envs < self._algo.learning_starts:
            self._taken = random
        else:
            explores = (coins < self.exploration_rate(self._step)).unsqueeze(1)
            self._taken = torch.where(explores, random, self.greedy(self._observations))
        return self._taken

    def exploration_rate(self, step: int) -> float:
        """Epsilon after `step` vector steps: linear in the share of the budget done, then constant.

        0 before the first step, as in Stable-Baselines3.
        """
        algo, total = self._algo, self._stack.phases.total_timesteps
        if step == 0:
            return 0.0
        done = 1 - (1.0 - step * algo.n_envs / total)
        if done > algo.exploration_fraction:
            return algo.exploration_final_eps
        span = algo.exploration_final_eps - algo.exploration_initial_eps
        return algo.exploration_initial_eps + done * span / algo.exploration_fraction

    def observe(self, step: Step) -> None:
        """Store a vector step; an episode that a time limit cut off is not stored as ended."""
        self._counted(step, step.terminated + step.truncated)
        self.replay.add(self._observations, step.final, self._taken, step.rewards, step.terminated)
        self._observations = step.observations
        self._step += 1
        # The online network is constant during a rollout, so that the copy can wait for the next update.
        self._target_due |= self._step % max(self._algo.target_update_interval // self._algo.n_envs, 1) == 0

    def update(self, phase: int) -> Outcome:
        """Take the phase's gradient steps, each on a batch from the replay buffer."""
        if self._target_due:
            self.target.copy_(self.learner.parameters)
            self._target_due = False
        n_steps = int(self._stack.phases.n_steps[phase])
        stored = self.replay.stored * self._algo.n_envs
        indices = self._draws.replay(phase, n_steps, self._algo.batch_size, stored)
        data = [self.replay.rows, self.target]
        if self._normalizer is not None:
            data += self._normalizer.statistics()
        steps = self.learner.update(self._stack.rates(phase), self._gamma, indices.unbind(1), data)
        rate = torch.full((len(self._stack), 1), self.exploration_rate(self._step), device=steps.device)
        return Outcome(steps, rate)

    def tables(self) -> dict[str, Tensor]:
        """State to resume from after an update."""
        own = {"target": self.target, "replay": self.replay.filled, "observations": self._observations}
        return super().tables() | own

    def counts(self) -> dict[str, float]:
        """The rest of its state."""
        own = {"step": self._step, "added": self.replay.added, "target_due": self._target_due}
        return own | super().counts()

    def restore(self, tables: Mapping[str, Tensor], counts: Mapping[str, float]) -> None:
        """Resume from that state."""
        super().restore(tables, counts)
        self.target.copy_(tables["target"])
        self._step, self.replay.added = int(counts["step"]), int(counts["added"])
        self._target_due = bool(counts["target_due"])
        self.replay.filled.copy_(tables["replay"])


Q_NETWORK = ("q_net.features_extractor", "q_net.q_net")


def dqn_loss(network: Network, layout: Layout, shape: Sequence[int]) -> Loss:
    """DQN's loss of batches; data: the replay buffer's rows, the target parameters, perhaps statistics."""

    def loss(
        parameters: Parameters,
        coefficients: Tensor,  # [members, 1] gamma
        indices: Tensor,  # [members, batch]
        data: Sequence[Tensor],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        rows, target, *statistics = data
        batch = rows.gather(1, indices.unsqueeze(2).expand(-1, -1, rows.shape[2]))
        observations, following, actions, rewards, dones = _unpacked(batch, shape)
        if statistics:
            mean, scale, reward_scale = statistics
            observations, following = (normalized(x, mean, scale) for x in (observations, following))
            rewards = normalized(rewards, torch.zeros_like(reward_scale), reward_scale)
        next_q = network(layout.named(target), following)
        targets = losses.q_targets(rewards, dones, next_q, coefficients.squeeze(1))
        q = losses.log_prob_of(network(parameters, observations), actions)
        error = (targets - q).abs()
        largest = torch.maximum(q.abs().amax(1), targets.abs().amax(1))
        return losses.huber(q, targets), (q.abs().mean(1), largest, error.mean(1))

    return loss


class _Replay:
    """A ring of transitions [members, slots * envs, row], a row being (s, s', a, r, terminated)."""

    def __init__(self, stack: Stack, slots: int) -> None:
        envs, phases = stack.config.algo.n_envs, stack.phases
        self._slots = max(1, min(slots, phases.env_steps // envs))  # no more than the run fills
        size = 2 * torch.Size(stack.observation_shape).numel() + 3
        self._table = torch.zeros(len(stack), self._slots, envs, size, device=stack.device)
        self.rows = self._table.flatten(1, 2)
        self.added = 0  # vector steps ever stored

    @property
    def stored(self) -> int:
        """Vector steps in the buffer."""
        return min(self.added, self._slots)

    @property
    def filled(self) -> Tensor:
        """The table up to where it is filled, [members, vector steps, envs, row]."""
        return self._table[:, : self.stored]

    def add(self, observations: Tensor, following: Tensor, actions: Tensor, rewards: Tensor, ends: Tensor) -> None:
        """Store one vector step, [members, envs, ...] each, in place of the oldest where the buffer is full."""
        columns = (actions.float().unsqueeze(2), rewards.unsqueeze(2), ends.unsqueeze(2))
        row = torch.cat([observations.flatten(2), following.flatten(2), *columns], dim=2)
        self._table[:, self.added % self._slots] = row
        self.added += 1


def _unpacked(batch: Tensor, shape: Sequence[int]) -> tuple[Tensor, ...]:  # [members, batch, row]
    size = torch.Size(shape).numel()
    observations, following, rest = batch.split([size, size, 3], dim=2)
    actions, rewards, ends = rest.unbind(2)
    observations, following = (x.unflatten(2, tuple(shape)) for x in (observations, following))
    return observations, following, actions.long(), rewards, ends
