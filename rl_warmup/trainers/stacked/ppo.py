"""PPO of a stack of members: Stable-Baselines3's, with a members axis."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from gymnasium.spaces import Discrete
from torch import Tensor

from rl_warmup.config.schema import PPOConfig
from rl_warmup.trainers.functional import losses
from rl_warmup.trainers.functional.draws import Draws
from rl_warmup.trainers.stacked.algorithm import Outcome, Step
from rl_warmup.trainers.stacked.graphs import graphed
from rl_warmup.trainers.stacked.learner import Loss
from rl_warmup.trainers.stacked.networks import Activation, Network, Parameters
from rl_warmup.trainers.stacked.stack import Stack


class ActorCritic:
    """The policy's distribution and the value function of all members."""

    def __init__(self, stack: Stack, tanh: Activation = torch.tanh) -> None:
        policy = stack.policy
        self._actor = Network(policy, ("features_extractor", "mlp_extractor.policy_net", "action_net"), tanh)
        self._critic = Network(policy, ("features_extractor", "mlp_extractor.value_net", "value_net"), tanh)
        self.discrete = isinstance(stack.action_space, Discrete)

    def values(self, parameters: Parameters, observations: Tensor) -> Tensor:  # -> [members, rows]
        """V of every observation."""
        return self._critic(parameters, observations).squeeze(-1)

    def mode(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """The most probable action of every observation."""
        outputs = self._actor(parameters, observations)
        return outputs.argmax(-1) if self.discrete else outputs

    def sample(self, parameters: Parameters, observations: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions and their log-probabilities [members, rows].

        Discrete: argmax of p / noise, noise exponential, as torch's own multinomial does. Continuous:
        mean + std·noise, noise standard normal.
        """
        outputs = self._actor(parameters, observations)
        if self.discrete:
            log_p = losses.categorical(outputs)
            actions = (log_p.exp() / noise).argmax(-1)
            return actions, losses.log_prob_of(log_p, actions)
        log_std = parameters["log_std"].unsqueeze(1)
        actions = outputs + log_std.exp() * noise
        return actions, losses.gaussian_log_prob(actions, outputs, log_std)

    def log_prob(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> Tensor:
        """Log-probabilities [members, rows] of actions."""
        return self.evaluate(parameters, observations, actions)[0]

    def evaluate(self, parameters: Parameters, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of actions and entropies, [members, rows] each."""
        outputs = self._actor(parameters, observations)
        if self.discrete:
            log_p = losses.categorical(outputs)
            return losses.log_prob_of(log_p, actions), losses.categorical_entropy(log_p)
        log_std = parameters["log_std"].unsqueeze(1)
        entropy = losses.gaussian_entropy(log_std).expand(outputs.shape[:2])
        return losses.gaussian_log_prob(actions, outputs, log_std), entropy


class PPO:
    """Rollouts, advantages and updates of all members."""

    metrics = ("loss", "policy_loss", "value_loss", "entropy", "clip_fraction")
    phase_metrics = ("explained_variance", "approx_kl")

    def __init__(self, stack: Stack, draws: Draws) -> None:
        algo = stack.config.algo
        assert isinstance(algo, PPOConfig)
        self._algo, self._members, self._draws = algo, stack.members, draws
        self.network = ActorCritic(stack)
        self.learner = stack.learner(ppo_loss(ActorCritic(stack, stack.tanh)))
        named = self.learner.named
        self._sample = graphed(partial(self.network.sample, named), stack.device)
        self._values = graphed(partial(self.network.values, named), stack.device)
        self._mode = graphed(partial(self.network.mode, named), stack.device)
        self._normalizer = stack.normalizer()
        self._gamma = stack.members.tensor(stack.members.of("algo.gamma"))
        self._coefficients = [stack.members.of(f"algo.{name}") for name in ("ent_coef", "vf_coef")]
        self.rollout = _Rollout(stack, algo.n_steps)
        self._phase = 0

    @property
    def parameters(self) -> Tensor:
        """The trained parameters [members, parameters]."""
        return self.learner.parameters

    def begin(self, observations: Tensor) -> None:
        """Take the first observations."""
        self._starts = torch.ones(observations.shape[:2], device=observations.device)
        if self._normalizer is not None:
            self._normalizer.end_episodes(self._starts)
            self._normalizer.observe(observations)
        self._observations = self._seen(observations)

    def act(self) -> Tensor:
        """Sample an action for every environment."""
        rollout = self.rollout
        if rollout.filled == 0:
            self._noise = self._draw_noise()
        noise = self._noise[:, rollout.filled]
        actions, log_prob = self._sample(self._observations, noise)
        self._taken = actions, log_prob
        return actions

    def _draw_noise(self) -> Tensor:  # [members, steps, envs, ...]
        shape = (self._algo.n_steps, self._algo.n_envs, self.rollout.action_size)
        kind = self._draws.exponentials if self.network.discrete else self._draws.normals
        return kind(self._phase, shape)

    def observe(self, step: Step) -> None:
        """Store a vector step; the value of what follows is added to the reward where a time limit cut it off."""
        dones = step.terminated + step.truncated
        rewards, normalizer = step.rewards, self._normalizer
        if normalizer is not None:
            normalizer.observe(step.observations)
            rewards = normalizer.reward(rewards)
            normalizer.end_episodes(dones)
        if step.any_truncated:
            values = self._values(self._seen(step.final))
            rewards = rewards + self._gamma.unsqueeze(1) * values * step.truncated
        actions, log_prob = self._taken
        self.rollout.add(self._observations, actions, log_prob, rewards, self._starts)
        self._observations, self._starts = self._seen(step.observations), dones

    def update(self, phase: int) -> Outcome:
        """Go through the rollout `n_epochs` times, one gradient step per minibatch."""
        algo, rollout = self._algo, self.rollout
        learner, network = self.learner, self.network
        observations, actions, old_log_prob = (
            rollout.flat(x) for x in (rollout.observations, rollout.actions, rollout.log_prob)
        )
        values = learner.apply(network.values, observations)
        advantages = losses.gae(
            rollout.rewards,
            values.reshape(-1, algo.n_envs, algo.n_steps).transpose(1, 2),
            rollout.starts,
            self._values(self._observations),
            self._starts,
            self._gamma,
            algo.gae_lambda,
        )
        advantages = rollout.flat(advantages)
        returns = advantages + values
        data = (observations, actions, old_log_prob, advantages, returns)
        steps = learner.update(
            self._members.rates(phase), self._clip_and_coefficients(phase), self._minibatches(phase), data
        )
        log_prob = learner.apply(network.log_prob, observations, actions)
        rollout.filled, self._phase = 0, phase + 1
        metrics = (losses.explained_variance(values, returns), losses.k3(log_prob - old_log_prob))
        return Outcome(steps, torch.stack(metrics, dim=1))

    def tables(self) -> dict[str, Tensor]:
        """State to resume from after an update."""
        normalizer = {} if self._normalizer is None else self._normalizer.tables()
        return {
            **self.learner.tables(),
            **normalizer,
            "observations": self._observations,
            "starts": self._starts,
        }

    def counts(self) -> dict[str, float]:
        """The rest of its state."""
        return {"phase": self._phase, **({} if self._normalizer is None else self._normalizer.counts())}

    def restore(self, tables: Mapping[str, Tensor], counts: Mapping[str, float]) -> None:
        """Resume from that state; the rollout is empty."""
        self.learner.restore(tables)
        if self._normalizer is not None:
            self._normalizer.restore(tables, counts)
        self._observations, self._starts = tables["observations"], tables["starts"]
        self._phase = int(counts["phase"])

    def greedy(self, observations: Tensor) -> Tensor:
        """The mode of the policy."""
        return self._mode(self._seen(observations))

    def _seen(self, observations: Tensor) -> Tensor:
        """Observations as the networks see them."""
        return observations if self._normalizer is None else self._normalizer.normalize(observations)

    def _clip_and_coefficients(self, phase: int) -> Tensor:  # [members, 3]
        members = self._members
        columns = (members.clip_range(phase), *self._coefficients)
        return torch.stack([members.tensor(column) for column in columns], dim=1)

    def _minibatches(self, phase: int) -> Sequence[Tensor]:  # [steps] of [members, batch]
        size = self._algo.n_steps * self._algo.n_envs
        orders = self._draws.permutations(phase, self._algo.n_epochs, size)
        return [batch for order in orders.unbind(1) for batch in order.split(self._algo.batch_size, dim=1)]


def ppo_loss(network: ActorCritic) -> Loss:
    """PPO's loss of minibatches; data: observations, actions, log-probabilities, advantages and returns."""

    def loss(
        parameters: Parameters,
        coefficients: Tensor,  # [members, 3] clip range, entropy and value coefficient
        indices: Tensor,  # [members, batch]
        data: Sequence[Tensor],  # [members, transitions, ...] each
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        observations, actions, old_log_prob, advantages, returns = (_rows(x, indices) for x in data)
        log_prob, entropy = network.evaluate(parameters, observations, actions)
        values = network.values(parameters, observations)
        total, *metrics = losses.ppo_loss(
            log_prob, old_log_prob, advantages, values, returns, entropy, *coefficients.unbind(1)
        )
        return total, tuple(metrics)

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
            return torch.zeros(len(stack.members), steps, envs, *shape, dtype=dtype, device=stack.device)

        self.observations = table(*stack.observation_shape)
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
