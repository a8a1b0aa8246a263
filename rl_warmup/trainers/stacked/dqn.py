"""DQN of a stack of members: Stable-Baselines3's, with a members axis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from gymnasium.spaces import Discrete
from numpy.typing import NDArray
from torch import Tensor

from rl_warmup.config.schema import DQNConfig
from rl_warmup.config.transfer import starts_from_agent
from rl_warmup.trainers.agents import REPLAYED
from rl_warmup.trainers.functional import losses
from rl_warmup.trainers.functional.draws import Draws
from rl_warmup.trainers.functional.normalization import normalized
from rl_warmup.trainers.models import first_epsilon
from rl_warmup.trainers.probe import Probe
from rl_warmup.trainers.stacked.algorithm import Algorithm, Outcome, Step
from rl_warmup.trainers.stacked.graphs import graphed
from rl_warmup.trainers.stacked.learner import Loss
from rl_warmup.trainers.stacked.networks import Layout, Network, Parameters
from rl_warmup.trainers.stacked.replay import Replay, Transitions, make_replay
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
        self.replay = make_replay(stack, algo.buffer_size // algo.n_envs)
        super().__init__(
            stack, draws, dqn_loss(trained, Layout(stack.policy), self.replay, losses.Q_LOSSES[algo.loss])
        )
        self._algo, self._actions = algo, int(space.n)
        self._first_epsilon = first_epsilon(stack.config)
        # steps of random actions; a trained agent has its policy to act by
        self._random_steps = 0 if starts_from_agent(stack.config) else algo.learning_starts
        self.network = Network(stack.policy, Q_NETWORK, torch.tanh)
        self._mode = graphed(lambda seen: self.network(self.learner.named, seen).argmax(-1), stack.device)
        self.target = self.learner.parameters.clone()
        self._target_due = False
        self._step = 0  # vector steps done

    def begin(self, observations: Tensor) -> None:
        """Take the first observations."""
        super().begin(observations)
        self.replay.begin(observations)

    def act(self) -> Tensor:
        """A random action with probability epsilon, one coin for all environments of a member, else argmax Q."""
        coins, random = self._draws.exploration(self._step, self._algo.n_envs, self._actions)
        if self._step * self._algo.n_envs < self._random_steps:
            self._taken = random
        else:
            explores = (coins < self.exploration_rate(self._step)).unsqueeze(1)
            self._taken = torch.where(explores, random, self.greedy(self._observations))
        return self._taken

    def exploration_rate(self, step: int) -> float:
        """Epsilon after `step` vector steps: linear in the share of the budget done, then constant.

        0 before the first step, as in Stable-Baselines3, unless a trained agent acts.
        """
        algo, total = self._algo, self._stack.phases.total_timesteps
        if step == 0:
            return algo.exploration_final_eps if starts_from_agent(self._stack.config) else 0.0
        done = 1 - (1.0 - step * algo.n_envs / total)
        if done > algo.exploration_fraction:
            return algo.exploration_final_eps
        span = algo.exploration_final_eps - self._first_epsilon
        return self._first_epsilon + done * span / algo.exploration_fraction

    def observe(self, step: Step) -> None:
        """Store a vector step; an episode that a time limit cut off is not stored as ended."""
        self._counted(step, step.terminated + step.truncated)
        if self._normalizer is not None and step.any_truncated:  # Stable-Baselines3 stores these as normalised once
            cut = step.truncated.reshape(*step.truncated.shape, *[1] * (step.final.dim() - 2)).bool()
            final = torch.where(cut, self._normalizer.clip(step.final), step.final)
            step = replace(step, final=final)
        self.replay.add(self._observations, self._taken, step)
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
        data = [*self.replay.whole, self.target]
        if self._normalizer is not None:
            data += self._normalizer.statistics()
        rates, batches = self._stack.rates(phase), indices.unbind(1)
        steps = self.learner.update(rates, self._gamma, batches, data, self.replay.gather)
        rate = torch.full((len(self._stack), 1), self.exploration_rate(self._step), device=steps.device)
        return Outcome(steps, rate)

    @property
    def available(self) -> int:
        """Transitions in the replay buffer."""
        return self.replay.stored * self._algo.n_envs

    def transitions(self, indices: Tensor) -> Probe:
        """Transitions of the replay buffer."""
        data = [*self.replay.gather(slice(None), indices), *self.replay.whole]
        statistics = [] if self._normalizer is None else self._normalizer.statistics()
        observations, following, actions, *rest = _sampled(self.replay, indices, data, statistics)
        return Probe(observations, actions.unsqueeze(2), rest[0], following, rest[1])

    def coefficients(self, phase: int) -> Tensor:  # [members, 1]
        """Gamma."""
        return self._gamma

    def agent_tables(self) -> dict[str, Tensor]:
        """Parameters, the optimizer's moments, and the target, which is to be copied before the next update."""
        target = self.learner.parameters if self._target_due else self.target
        return super().agent_tables() | {"target": target}

    def agent_counts(self) -> dict[str, float]:
        """The exploration rate."""
        return {"exploration_rate": self.exploration_rate(self._step)}

    def replayed(self, member: int) -> dict[str, NDArray[Any]]:
        """A member's replay buffer."""
        replay, envs, part = self.replay, self._algo.n_envs, slice(member, member + 1)
        slots = (
            torch.arange(replay.stored, device=self._observations.device) - replay.stored + replay.added
        ) % replay.slots
        indices = (slots.unsqueeze(1) * envs + torch.arange(envs, device=slots.device)).reshape(1, -1)
        data = [*replay.gather(part, indices), *(whole[part] for whole in replay.whole)]
        rows = [x.reshape(replay.stored, envs, *x.shape[2:]) for x in replay.sample(indices, data)]
        return {name: row.cpu().numpy() for name, row in zip(REPLAYED, rows, strict=True)}

    def tables(self) -> dict[str, Tensor]:
        """State to resume from after an update."""
        own = {"target": self.target, "observations": self._observations}
        return super().tables() | own | self.replay.tables()

    def counts(self) -> dict[str, float]:
        """The rest of its state."""
        own = {"step": self._step, "added": self.replay.added, "target_due": self._target_due}
        return own | super().counts()

    def restore(self, tables: Mapping[str, Tensor], counts: Mapping[str, float]) -> None:
        """Resume from that state."""
        super().restore(tables, counts)
        self.target.copy_(tables["target"])
        self._step, self._target_due = int(counts["step"]), bool(counts["target_due"])
        self.replay.restore(tables, int(counts["added"]))


Q_NETWORK = ("q_net.features_extractor", "q_net.q_net")


def _sampled(replay: Replay, indices: Tensor, data: Sequence[Tensor], statistics: Sequence[Tensor]) -> Transitions:
    """Transitions as they are learned from, normalized where there are statistics."""
    observations, following, actions, rewards, dones = replay.sample(indices, data)
    if statistics:
        mean, scale, reward_scale = statistics
        observations, following = (normalized(x, mean, scale) for x in (observations, following))
        rewards = normalized(rewards, torch.zeros_like(reward_scale), reward_scale)
    return observations, following, actions, rewards, dones


def dqn_loss(network: Network, layout: Layout, replay: Replay, q_loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """DQN's loss of batches; data: what the replay buffer samples from, target parameters, perhaps statistics."""

    def loss(
        parameters: Parameters,
        coefficients: Tensor,  # [members, 1] gamma
        indices: Tensor,  # [members, batch]
        data: Sequence[Tensor],
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        target, *statistics = data[replay.sampled :]
        sampled = _sampled(replay, indices, data[: replay.sampled], statistics)
        observations, following, actions, rewards, dones = sampled
        next_q = network(layout.named(target), following)
        targets = losses.q_targets(rewards, dones, next_q, coefficients.squeeze(1))
        q = losses.log_prob_of(network(parameters, observations), actions)
        error = (targets - q).abs()
        largest = torch.maximum(q.abs().amax(1), targets.abs().amax(1))
        return q_loss(q, targets), (q.abs().mean(1), largest, error.mean(1))

    return loss
