"""A member of a stack as an agent of Stable-Baselines3."""

import math
from typing import Any

import torch
from torch.nn.utils import vector_to_parameters

from rl_warmup.trainers.agents import Agent
from rl_warmup.trainers.functional.optimizers import Moments
from rl_warmup.trainers.optimizers import optimizer_of, state_of
from rl_warmup.trainers.policies import is_critic
from rl_warmup.trainers.stacked.algorithm import Algorithm
from rl_warmup.trainers.stacked.networks import trained
from rl_warmup.trainers.stacked.stack import Stack

_TARGET = "q_net_target."


def agent_of(stack: Stack, algorithm: Algorithm, member: int, env_step: int, phases: int) -> Agent:
    """A member as it is now, on the CPU.

    Args:
        env_step: environment steps done.
        phases: update phases done.
    """
    tables = {name: table[member].detach().cpu() for name, table in algorithm.agent_tables().items()}
    policy = _state(stack, tables["parameters"])
    if "target" in tables:
        of_target = _state(stack, tables["target"])
        policy |= {name: of_target[name.replace(_TARGET, "q_net.")] for name in policy if _TARGET in name}
    counts = {"num_timesteps": env_step, **algorithm.agent_counts()}
    moments = Moments(tables["first"], tables["second"])
    optimizer = _optimizer(stack, member, moments, int(algorithm.gradient_steps(phases)[member]), phases)
    rates = stack.adaptive_rates
    rate = None if rates is None or math.isnan(rates[member]) else float(rates[member])
    replay = algorithm.replayed(member) if stack.configs[member].keep_replay else None
    return Agent(policy, optimizer, counts, algorithm.moments(member), rate, replay)


def _state(stack: Stack, flat: torch.Tensor) -> dict[str, torch.Tensor]:  # flat: [parameters]
    """The state dict of a policy with these trained parameters."""
    vector_to_parameters(flat, [parameter for _, parameter in trained(stack.policy)])
    return {name: tensor.clone() for name, tensor in stack.policy.state_dict().items()}


def _optimizer(stack: Stack, member: int, moments: Moments, done: int, phases: int) -> dict[str, Any]:
    """The state dict of a member's optimizer with these moments, [parameters] each.

    Args:
        done: gradient steps of the member in so many update phases.
    """
    state, options = stack.policy.optimizer.state_dict(), stack.configs[member].algo.optimizer
    for group in state["param_groups"]:
        group.update(optimizer_of(options)[1])
    names, shapes = zip(*((name, parameter.shape) for name, parameter in trained(stack.policy)), strict=True)
    parts = (moment.split([shape.numel() for shape in shapes]) for moment in moments)
    for index, (name, shape, m, v) in enumerate(zip(names, shapes, *parts, strict=True)):
        steps, count = stack.optimizer_steps(member, done, phases, 0 if is_critic(name) else stack.critic_only)
        if steps:
            state["state"][index] = state_of(options, Moments(m.view(shape), v.view(shape)), steps, count)
    return state
