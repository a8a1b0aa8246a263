"""The fixed transitions on which `diagnostics=full` looks at agents, and the loss of agents on them."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from rl_warmup.trainers.flat import FlatPolicy, Outputs
from rl_warmup.trainers.functional import losses

Losses = Callable[[Tensor, Tensor], Tensor]  # [members, rows] twice -> [members]
ProbeLoss = Callable[..., Tensor]  # of parameters [members, parameters] and a slice of rows -> [members]


class Probe(NamedTuple):
    """Transitions of every member, [members, rows, ...] each."""

    observations: Tensor
    actions: Tensor  # [members, rows, components]
    rewards: Tensor
    following: Tensor  # the next observations
    ends: Tensor  # 1 where the episode ended


@dataclass(frozen=True)
class State:
    """What an update phase found and left, [members, ...] each."""

    before: Tensor  # [members, parameters]
    after: Tensor  # [members, parameters]
    second: Tensor  # [members, parameters] the optimizer's moving average of squared gradients, or 0
    count: Tensor  # [members, 2] steps by the optimizer's own counts, of the critic's parameters and of the others
    learning_rate: Tensor  # [members] of the last gradient step
    base_learning_rate: Tensor  # [members] without warmup
    coefficients: Tensor  # [members, ...] gamma; of PPO also clip range, entropy and value coefficient
    target: Tensor  # [members, parameters] of DQN's target network; of PPO its own

    def part(self, members: slice) -> "State":
        """That of some members, in float64."""
        return State(*(getattr(self, field.name)[members].double() for field in fields(self)))


def ppo_probe_loss(policy: FlatPolicy, state: State, probe: Probe, after: Outputs) -> ProbeLoss:
    """PPO's loss as the next update would begin with it: the old policy and the values are those of `after`.

    Advantages are of one step, A = r + gamma·V(s') - V(s), and returns A + V(s).

    Args:
        after: outputs of the parameters `state.after` for the probe's observations.
    """
    gamma, *coefficients = state.coefficients.unbind(1)
    seen = policy.seen(probe.observations)
    with torch.no_grad():
        following = policy(state.after, policy.seen(probe.following)).values.unsqueeze(-1)
        returns = losses.q_targets(probe.rewards.double(), probe.ends.double(), following, gamma)
        advantages = returns - after.values
        old, _ = policy.judged(after, probe.actions)

    def loss(parameters: Tensor, rows: slice = slice(None)) -> Tensor:
        outputs = policy(parameters, seen[:, rows])
        log_prob, entropy = policy.judged(outputs, probe.actions[:, rows])
        data = (log_prob, old[:, rows], advantages[:, rows], outputs.values, returns[:, rows], entropy)
        return losses.ppo_loss(*data, *coefficients).loss

    return loss


def dqn_probe_loss(policy: FlatPolicy, state: State, probe: Probe, q_loss: Losses) -> ProbeLoss:
    """DQN's loss `q_loss` of Q values and the targets of the target network."""
    seen = policy.seen(probe.observations)
    actions = probe.actions.squeeze(2).long()
    with torch.no_grad():
        next_q = policy(state.target, policy.seen(probe.following)).head
        gamma = state.coefficients[:, 0]
        targets = losses.q_targets(probe.rewards.double(), probe.ends.double(), next_q, gamma)

    def loss(parameters: Tensor, rows: slice = slice(None)) -> Tensor:
        q = losses.log_prob_of(policy(parameters, seen[:, rows]).head, actions[:, rows])
        return q_loss(q, targets[:, rows])

    return loss
