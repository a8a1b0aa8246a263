"""The members of a stack that start from trained agents."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from rl_warmup.trainers.agents import Agent
from rl_warmup.trainers.optimizers import moments_of
from rl_warmup.trainers.stacked.algorithm import Algorithm, Step
from rl_warmup.trainers.stacked.dqn import DQN
from rl_warmup.trainers.stacked.networks import trained
from rl_warmup.trainers.stacked.stack import Stack


def start_from_agents(algorithm: Algorithm, stack: Stack) -> None:
    """Give every member its agent's weights, and what there is of optimizer, statistics and replay buffer."""
    if stack.sources is None:
        return
    agents = [source.agent for source in stack.sources]
    algorithm.learner.restore(_learned(stack, agents))
    algorithm.take_moments([agent.moments for agent in agents])
    if isinstance(algorithm, DQN):
        algorithm.target.copy_(_target(stack, agents))
        _refill(algorithm, stack, agents)


def _learned(stack: Stack, agents: Sequence[Agent]) -> dict[str, Tensor]:  # -> [members, parameters] each
    """Parameters, and the moments of their optimizer, 0 of a fresh one."""
    names, rows = [name for name, _ in trained(stack.policy)], []
    for agent in agents:
        parameters = [agent.policy[name] for name in names]
        states = [agent.optimizer["state"].get(index, {}) for index in range(len(names))]
        first, second = zip(*map(moments_of, states, parameters), strict=True)
        rows.append([_flat(parameters), _flat(first), _flat(second)])
    tables = (torch.stack(row) for row in zip(*rows, strict=True))
    return dict(zip(("parameters", "first", "second"), tables, strict=True))


def _target(stack: Stack, agents: Sequence[Agent]) -> Tensor:  # -> [members, parameters]
    """Parameters of the target networks."""
    names = [name.replace("q_net.", "q_net_target.", 1) for name, _ in trained(stack.policy)]
    return torch.stack([_flat(agent.policy[name] for name in names) for agent in agents])


def _refill(algorithm: DQN, stack: Stack, agents: Sequence[Agent]) -> None:
    """Store the transitions that agents have kept, the newest that there is room for.

    An episode has ended where its next observation is not the one that was acted on next.
    """
    kept = [agent.replay for agent in agents if agent.replay is not None]
    count = min(stack.kept_steps, algorithm.replay.slots)
    if not kept or not count:
        return
    tables = {
        name: torch.from_numpy(np.stack([arrays[name][-count:] for arrays in kept])).to(stack.device)
        for name in kept[0]
    }  # [members, steps, envs, ...]
    behind = tables["next_observations"]
    shown = torch.cat([tables["observations"], behind[:, -1:]], dim=1).to(stack.observed)
    algorithm.replay.begin(shown[:, 0])
    for t in range(count):
        ended = (shown[:, t + 1] != behind[:, t]).flatten(2).any(2).nonzero().cpu().numpy()
        rewards, terminated = tables["rewards"][:, t], tables["terminated"][:, t]
        step = Step(shown[:, t + 1], behind[:, t], rewards, terminated, torch.zeros_like(rewards), False, ended)
        algorithm.replay.add(shown[:, t], tables["actions"][:, t], step)


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
