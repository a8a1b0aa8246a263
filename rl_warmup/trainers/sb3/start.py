"""A Stable-Baselines3 model that starts from a trained agent."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO

from rl_warmup.trainers.agents import Agent, running_moments
from rl_warmup.trainers.policies import is_critic
from rl_warmup.trainers.sb3.groups import load_whole_state


def start_from(model: PPO | DQN, agent: Agent) -> None:
    """Give a fresh model the weights of an agent, and what there is of its optimizer, statistics and replay buffer.

    The settings of the optimizer stay the model's own.
    """
    model.policy.load_state_dict(agent.policy)
    if agent.optimizer["state"]:
        load_whole_state(model.policy, agent.optimizer)
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None and agent.moments is not None:
        for name, moments in agent.moments.items():
            setattr(normalizer, name, running_moments(*moments))
    if agent.replay is not None:
        assert isinstance(model, DQN)
        _refill(model, agent.replay)


def act_by_policy(model: DQN) -> None:
    """Have a model explore by epsilon alone, also in the steps before it learns, whose actions would be random."""
    sample, model.exploration_rate = type(model)._sample_action, model.exploration_final_eps

    def sampled(learning_starts: int, *arguments: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        return sample(model, 0, *arguments)

    setattr(model, "_sample_action", sampled)  # noqa: B010 (mypy refuses to assign to a method)


def train_critic_first(model: PPO, steps: int) -> None:
    """In the next `steps` gradient steps train the critic alone: nothing else has a gradient, or takes a step."""
    if steps <= 0:
        return
    others, left = [p for name, p in model.policy.named_parameters() if not is_critic(name)], steps

    def count(*stepped: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            for parameter in others:
                parameter.requires_grad_(True)

    for parameter in others:
        parameter.requires_grad_(False)
    model.policy.optimizer.register_step_post_hook(count)


def replay_of(model: DQN) -> dict[str, NDArray[Any]]:
    """The replay buffer of a model, see `Agent.replay`."""
    buffer = model.replay_buffer
    assert buffer is not None
    order = np.roll(np.arange(buffer.size()), -buffer.pos if buffer.full else 0)
    return {
        "observations": buffer.observations[order],
        "next_observations": buffer.next_observations[order],
        "actions": buffer.actions[order, :, 0],
        "rewards": buffer.rewards[order],
        "terminated": (buffer.dones * (1 - buffer.timeouts))[order],
    }


def _refill(model: DQN, kept: Any) -> None:
    """Fill the empty replay buffer of a model with the newest transitions that it has room for."""
    buffer = model.replay_buffer
    assert buffer is not None
    count = min(len(kept["rewards"]), buffer.buffer_size)
    filled = {"actions": kept["actions"][..., None], "dones": kept["terminated"]}
    for name in ("observations", "next_observations", "rewards"):
        filled[name] = kept[name]
    for name, rows in filled.items():
        getattr(buffer, name)[:count] = rows[-count:]
    buffer.pos, buffer.full = count % buffer.buffer_size, count == buffer.buffer_size
