"""PPO of a stack of members: Stable-Baselines3's, with a members axis."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from gymnasium.spaces import Discrete
from numpy.typing import NDArray
from torch import Tensor

from rl_warmup.config.columns import COEFFICIENTS
from rl_warmup.config.schema import PPOConfig
from rl_warmup.trainers.functional import losses
from rl_warmup.trainers.functional.draws import Draws
from rl_warmup.trainers.probe import Probe
from rl_warmup.trainers.stacked.algorithm import Algorithm, Outcome, Step
from rl_warmup.trainers.stacked.graphs import graphed
from rl_warmup.trainers.stacked.learner import Loss
from rl_warmup.trainers.stacked.networks import Activation, Network, Parameters
from rl_warmup.trainers.stacked.stack import Stack

ROWS = 256
"""Images that go through a network at once where no gradient is taken, so that the outputs stay in the cache."""


class ActorCritic:
    """The policy's distribution and the value function of all members."""

    def __init__(self, stack: Stack, tanh: Activation = torch.tanh) -> None:
        policy = stack.policy
        self._features = Network(policy, ("features_extractor",), tanh)
        self._actor = Network(policy, ("mlp_extractor.policy_net",), tanh)
        self._head = Network(policy, ("action_net",), tanh)
        self._critic = Network(policy, ("mlp_extractor.value_net", "value_net"), tanh)
        self.discrete = isinstance(stack.action_space, Discrete)
        algo = stack.config.algo
        self.use_sde = isinstance(algo, PPOConfig) and algo.use_sde

    def values(self, parameters: Parameters, observations: Tensor) -> Tensor:  # -> [members, rows]
        """V of every observation."""
        return self._critic(parameters, self._features(parameters, observations)).squeeze(-1)

    def mode(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """The most probable action of every observation."""
        outputs = self._head(parameters, self._latent(parameters, observations))
        return outputs.argmax(-1) if self.discrete else outputs

    def sample(self, parameters: Parameters, observations: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions and their log-probabilities [members, rows].

        Discrete: argmax of p / noise, noise exponential, as torch's own multinomial does. Continuous:
        mean + std·noise, noise standard normal [members, rows, actions]; with gSDE mean + features·(std·noise),
        noise [members, rows, features, actions].
        """
        latent = self._latent(parameters, observations)
        outputs = self._head(parameters, latent)
        if self.discrete:
            log_p = losses.categorical(outputs)
            actions = (log_p.exp() / noise).argmax(-1)
            return actions, losses.log_prob_of(log_p, actions)
        scaled = parameters["log_std"].unsqueeze(1).exp() * noise
        if self.use_sde:
            scaled = (latent.unsqueeze(2) @ scaled).squeeze(2)
        actions = outputs + scaled
        return actions, losses.gaussian_log_prob(actions, outputs, self._log_std(parameters, latent))

    def log_prob(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> Tensor:
        """Log-probabilities of actions, [members, rows]."""
        return self._judged(parameters, self._latent(parameters, observations), actions)[0]

    def evaluate(
        self, parameters: Parameters, observations: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities of actions, entropies, and V of every observation, [members, rows] each."""
        features = self._features(parameters, observations)
        judged = self._judged(parameters, self._actor(parameters, features), actions)
        return *judged, self._critic(parameters, features).squeeze(-1)

    def _latent(self, parameters: Parameters, observations: Tensor) -> Tensor:
        return self._actor(parameters, self._features(parameters, observations))

    def _judged(self, parameters: Parameters, latent: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies."""
        outputs = self._head(parameters, latent)
        if self.discrete:
            log_p = losses.categorical(outputs)
            return losses.log_prob_of(log_p, actions), losses.categorical_entropy(log_p)
        log_std = self._log_std(parameters, latent)
        entropy = losses.gaussian_entropy(log_std).expand(outputs.shape[:2])
        return losses.gaussian_log_prob(actions, outputs, log_std), entropy

    def _log_std(self, parameters: Parameters, latent: Tensor) -> Tensor:  # -> [members, rows or 1, actions]
        log_std = parameters["log_std"]
        return losses.state_dependent_log_std(latent, log_std) if self.use_sde else log_std.unsqueeze(1)


class PPO(Algorithm):
    """Rollouts, advantages and updates of all members."""

    metrics = ("loss", "policy_loss", "value_loss", "entropy", "clip_fraction")
    phase_metrics = ("explained_variance", "approx_kl")

    def __init__(self, stack: Stack, draws: Draws) -> None:
        algo = stack.config.algo
        assert isinstance(algo, PPOConfig)
        stop = None if algo.target_kl is None else 1.5 * algo.target_kl
        super().__init__(stack, draws, ppo_loss(ActorCritic(stack, stack.tanh), stop is not None), stop)
        self._algo, self.network = algo, ActorCritic(stack)
        self._done = None if stop is None else np.zeros(len(stack), dtype=np.int64)  # gradient steps of each member
        named = self.learner.named
        self._sample = graphed(partial(self.network.sample, named), stack.device)
        self._values = graphed(partial(self.network.values, named), stack.device)
        self._mode = graphed(partial(self.network.mode, named), stack.device)
        self.warmed = {name: stack.coefficients(name) for name in COEFFICIENTS.values()}
        self._vf_coef = stack.of("algo.vf_coef")
        self.rollout = _Rollout(stack, algo.n_steps)
        self._phase = 0
        self._rows = ROWS if len(stack.observation_shape) == 3 else None

    def begin(self, observations: Tensor) -> None:
        """Take the first observations."""
        super().begin(observations)
        self._starts = torch.ones(observations.shape[:2], device=observations.device)
        self._observations = self._seen(observations)

    def act(self) -> Tensor:
        """Sample an action for every environment."""
        self._taken = self._sample(self._observations, self._noise())
        return self._taken[0]

    def _noise(self) -> Tensor:  # [members, envs, ...]
        """The random numbers of the next actions, see `ActorCritic.sample`."""
        algo, draws, step = self._algo, self._draws, self.rollout.filled
        if algo.use_sde:
            if step == 0 or (algo.sde_sample_freq > 0 and step % algo.sde_sample_freq == 0):
                shape = (algo.n_envs, *self.learner.named["log_std"].shape[1:])
                self._drawn = draws.matrices(self._phase, step, shape)
            return self._drawn
        if step == 0:
            kind = draws.exponentials if self.network.discrete else draws.normals
            self._drawn = kind(self._phase, (algo.n_steps, algo.n_envs, self.rollout.action_size))
        return self._drawn[:, step]

    def observe(self, step: Step) -> None:
        """Store a vector step; the value of what follows is added to the reward where a time limit cut it off."""
        dones = step.terminated + step.truncated
        rewards = self._counted(step, dones)
        if step.any_truncated:
            values = self._values(self._seen(step.final))
            rewards = rewards + self._gamma * values * step.truncated
        self.rollout.add(self._observations, *self._taken, rewards, self._starts)
        self._observations, self._starts = self._seen(step.observations), dones

    def update(self, phase: int) -> Outcome:
        """Go through the rollout `n_epochs` times, one gradient step per minibatch."""
        algo, rollout, learner, network = self._algo, self.rollout, self.learner, self.network
        observations, actions, old_log_prob = map(
            rollout.flat, (rollout.observations, rollout.actions, rollout.log_prob)
        )
        values = learner.apply(network.values, observations, rows=self._rows)
        advantages = losses.gae(
            rollout.rewards,
            values.reshape(-1, algo.n_envs, algo.n_steps).transpose(1, 2),
            rollout.starts,
            self._values(self._observations),
            self._starts,
            self._gamma.squeeze(1),
            algo.gae_lambda,
        )
        advantages = rollout.flat(advantages)
        returns = advantages + values
        data = (observations, actions, old_log_prob, advantages, returns)
        rates = self._stack.rates(phase, self._done)
        steps = learner.update(rates, self._of_loss(phase), self._minibatches(phase), data)
        log_prob = learner.apply(network.log_prob, observations, actions, rows=self._rows)
        rollout.filled, self._phase = 0, phase + 1
        metrics = (losses.explained_variance(values, returns), losses.k3(log_prob - old_log_prob))
        self._stack.adapt(metrics[1])
        if self._done is None:
            return Outcome(steps, torch.stack(metrics, dim=1))
        taken = steps[:, :, -1].sum(0).long().cpu().numpy()
        self._done = self._done + taken
        return Outcome(steps[:, :, :-1], torch.stack(metrics, dim=1), taken)

    def gradient_steps(self, phases: int) -> NDArray[np.int64]:  # [members]
        """Gradient steps that every member has taken in so many update phases, the last one taken included."""
        return super().gradient_steps(phases) if self._done is None else self._done

    @property
    def available(self) -> int:
        """Transitions of a rollout."""
        return self._algo.n_steps * self._algo.n_envs

    def transitions(self, indices: Tensor) -> Probe:
        """Transitions of the rollout before its update, in the order of `_Rollout.flat`."""
        rollout = self.rollout
        following, ends = (
            torch.cat([table[:, 1:], last.unsqueeze(1)], dim=1)
            for table, last in ((rollout.observations, self._observations), (rollout.starts, self._starts))
        )
        tables = (rollout.observations, rollout.actions, rollout.rewards, following, ends)
        observations, actions, *rest = (_rows(rollout.flat(table), indices) for table in tables)
        return Probe(observations, actions.unsqueeze(2) if self.network.discrete else actions, *rest)

    def coefficients(self, phase: int) -> Tensor:  # [members, 4]
        """Gamma, clip range, entropy and value coefficient."""
        return torch.cat([self._gamma, self._of_loss(phase)], dim=1)

    def tables(self) -> dict[str, Tensor]:
        """State to resume from after an update, when the rollout is empty."""
        own = {"observations": self._observations, "starts": self._starts}
        counted = {"done": self._done, "adaptive": self._stack.adaptive_rates}  # by every member for itself
        own |= {name: torch.from_numpy(values) for name, values in counted.items() if values is not None}
        return super().tables() | own

    def counts(self) -> dict[str, float]:
        """The rest of its state."""
        return {"phase": self._phase, **super().counts()}

    def restore(self, tables: Mapping[str, Tensor], counts: Mapping[str, float]) -> None:
        """Resume from that state."""
        super().restore(tables, counts)
        self._starts, self._phase = tables["starts"], int(counts["phase"])
        if self._done is not None:
            self._done = tables["done"].cpu().numpy()
        if self._stack.adaptive_rates is not None:
            self._stack.adaptive_rates = tables["adaptive"].cpu().numpy()

    def _of_loss(self, phase: int) -> Tensor:  # [members, 3]
        columns = (*(values[:, phase] for values in self.warmed.values()), self._vf_coef)
        return torch.stack([self._stack.tensor(column) for column in columns], dim=1)

    def _minibatches(self, phase: int) -> Sequence[Tensor]:  # [steps] of [members, batch]
        size = self._algo.n_steps * self._algo.n_envs
        orders = self._draws.permutations(phase, self._algo.n_epochs, size)
        return [batch for order in orders.unbind(1) for batch in order.split(self._algo.batch_size, dim=1)]


def ppo_loss(network: ActorCritic, with_kl: bool) -> Loss:
    """PPO's loss of minibatches; data: observations, actions, log-probabilities, advantages and returns.

    `with_kl`: whether their KL is the last of the metrics.
    """

    def loss(
        parameters: Parameters,
        coefficients: Tensor,  # [members, 3] clip range, entropy and value coefficient
        indices: Tensor,  # [members, batch]
        data: Sequence[Tensor],  # [members, transitions, ...] each
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        observations, actions, old_log_prob, advantages, returns = (_rows(x, indices) for x in data)
        log_prob, entropy, values = network.evaluate(parameters, observations, actions)
        total, *metrics = losses.ppo_loss(
            log_prob, old_log_prob, advantages, values, returns, entropy, *coefficients.unbind(1)
        )
        kl = [losses.k3(log_prob - old_log_prob)] if with_kl else []
        return total, (*metrics, *kl)

    return loss


def _rows(table: Tensor, indices: Tensor) -> Tensor:  # [members, transitions, ...] -> [members, batch, ...]
    wide = indices.reshape(*indices.shape, *[1] * (table.dim() - 2)).expand(*indices.shape, *table.shape[2:])
    return table.gather(1, wide)


class _Rollout:
    """Transitions of the members since their last update, [members, steps, envs, ...]."""

    def __init__(self, stack: Stack, steps: int) -> None:
        envs = stack.config.algo.n_envs
        space, discrete = stack.action_space, isinstance(stack.action_space, Discrete)
        self.action_size = int(space.n) if isinstance(space, Discrete) else int(space.shape[0])  # type: ignore[index]
        self.filled = 0

        def table(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(len(stack), steps, envs, *shape, dtype=dtype, device=stack.device)

        seen = torch.float32 if stack.config.algo.normalize else stack.observed
        self.observations = table(*stack.observation_shape, dtype=seen)
        self.actions = table(dtype=torch.int64) if discrete else table(self.action_size)
        self.log_prob, self.rewards, self.starts = table(), table(), table()

    def add(self, observations: Tensor, actions: Tensor, log_prob: Tensor, rewards: Tensor, starts: Tensor) -> None:
        """Store one vector step, [members, envs, ...] each."""
        at = self.filled
        self.observations[:, at], self.actions[:, at], self.log_prob[:, at] = observations, actions, log_prob
        self.rewards[:, at], self.starts[:, at] = rewards, starts
        self.filled += 1

    @staticmethod
    def flat(table: Tensor) -> Tensor:  # [members, steps, envs, ...] -> [members, envs * steps, ...]
        """Transitions in the order of Stable-Baselines3's buffer: all steps of an environment, then the next."""
        return table.transpose(1, 2).flatten(1, 2)
