"""Feeding a stack with the random numbers that Stable-Baselines3 draws, so that both live through the same run."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import torch
from helpers.sinks import Rows, by_sb3
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor

from rl_warmup.config.schema import RunConfig
from rl_warmup.trainers.sb3 import train as sb3


@dataclass
class Follower:
    """A run of Stable-Baselines3: its rows, its random numbers, and its weights in the end."""

    config: RunConfig
    rows: Rows = field(default_factory=dict)
    noise: list[Tensor] = field(default_factory=list)  # a vector step each: [envs, actions]
    matrices: dict[tuple[int, int], Tensor] = field(default_factory=dict)  # by update and vector step, with gSDE
    permutations: dict[int, list[np.ndarray]] = field(default_factory=dict)  # by update, an epoch each
    coins: list[float] = field(default_factory=list)  # a vector step each
    random_actions: list[list[int]] = field(default_factory=list)
    replay: list[np.ndarray] = field(default_factory=list)  # a gradient step each
    model: Any = None


def follow(config: RunConfig) -> Follower:
    """Train `config` by the reference trainer, listening to every random draw."""
    run = Follower(config)
    build = sb3.build_model

    def kept(*args: Any) -> PPO | DQN:
        run.model = build(*args)
        return run.model

    with mock.patch.object(sb3, "build_model", kept), _listening(run):
        run.rows = by_sb3(config).rows
    return run


@contextmanager
def _listening(run: Follower) -> Iterator[None]:
    multinomial, standard_normal = torch.multinomial, torch.distributions.normal._standard_normal
    reset_noise = ActorCriticPolicy.reset_noise
    sample_action, sample = DQN._sample_action, gym.spaces.Discrete.sample
    get_samples = ReplayBuffer._get_samples
    rand, permutation, randint = np.random.rand, np.random.permutation, np.random.randint

    def rollouts() -> int:
        return int(run.model.num_timesteps // (run.model.n_steps * run.model.n_envs))

    def discrete(probabilities: Tensor, *args: Any) -> Tensor:
        state = torch.get_rng_state()
        exponential = torch.empty_like(probabilities).exponential_(1)
        torch.set_rng_state(state)
        drawn = multinomial(probabilities, *args)
        assert torch.equal((probabilities / exponential).argmax(-1, keepdim=True), drawn)
        run.noise.append(exponential)
        return drawn

    def continuous(*args: Any, **kwargs: Any) -> Tensor:
        run.noise.append(standard_normal(*args, **kwargs))
        return run.noise[-1]

    def exploration_matrices(self: ActorCriticPolicy, n_envs: int = 1) -> None:
        before = len(run.noise)
        reset_noise(self, n_envs)
        one, several = run.noise[before:]
        at = rollouts(), run.model.rollout_buffer.pos
        run.matrices[at] = several if n_envs > 1 else one.unsqueeze(0)

    def a_step(self: DQN, *args: Any, **kwargs: Any) -> Any:
        run.coins.append(1.0)
        run.random_actions.append([])
        return sample_action(self, *args, **kwargs)

    def coin() -> float:
        run.coins[-1] = rand()
        return run.coins[-1]

    def random_action(self: gym.spaces.Discrete, *args: Any, **kwargs: Any) -> Any:
        action = sample(self, *args, **kwargs)
        if run.random_actions:  # before the first step is random play that fills statistics
            run.random_actions[-1].append(int(action))
        return action

    def order(size: int) -> np.ndarray:
        drawn = run.permutations.setdefault(rollouts() - 1, [])
        drawn.append(permutation(size))
        return drawn[-1]

    def batch(self: ReplayBuffer, slots: np.ndarray, env: Any = None) -> Any:
        def environments(*args: Any, **kwargs: Any) -> np.ndarray:
            drawn = randint(*args, **kwargs)
            run.replay.append(slots * self.n_envs + drawn)
            return drawn

        with mock.patch.object(np.random, "randint", environments):
            return get_samples(self, slots, env)

    with (
        mock.patch.object(torch, "multinomial", discrete),
        mock.patch.object(torch.distributions.normal, "_standard_normal", continuous),
        mock.patch.object(ActorCriticPolicy, "reset_noise", exploration_matrices),
        mock.patch.object(DQN, "_sample_action", a_step),
        mock.patch.object(np.random, "rand", coin),
        mock.patch.object(gym.spaces.Discrete, "sample", random_action),
        mock.patch.object(np.random, "permutation", order),
        mock.patch.object(ReplayBuffer, "_get_samples", batch),
    ):
        yield


class FollowedDraws:
    """In place of `Draws`: the draws of one Stable-Baselines3 run a member."""

    def __init__(self, runs: Sequence[Follower]) -> None:
        self.runs = runs

    def exponentials(self, phase: int, shape: Sequence[int]) -> Tensor:
        steps = shape[0]
        return self._stacked(lambda run: torch.stack(run.noise[phase * steps : (phase + 1) * steps]))

    normals = exponentials

    def matrices(self, phase: int, step: int, shape: Sequence[int]) -> Tensor:
        return self._stacked(lambda run: run.matrices[phase, step])

    def permutations(self, phase: int, epochs: int, size: int) -> Tensor:
        def orders(run: Follower) -> Tensor:
            drawn = run.permutations[phase]  # of an update that stops early fewer than there are epochs
            return torch.tensor(np.stack([*drawn, *[np.arange(size)] * (epochs - len(drawn))]))

        return self._stacked(orders)

    def exploration(self, step: int, n_envs: int, n_actions: int) -> tuple[Tensor, Tensor]:
        coins = self._stacked(lambda run: torch.tensor(run.coins[step], dtype=torch.float64))
        return coins, self._stacked(lambda run: torch.tensor(run.random_actions[step] or [0] * n_envs))

    def replay(self, phase: int, steps: int, batch: int, stored: int) -> Tensor:
        return self._stacked(lambda run: torch.tensor(np.stack(run.replay[phase * steps : (phase + 1) * steps])))

    def _stacked(self, of_run: Callable[[Follower], Tensor]) -> Tensor:
        return torch.stack([of_run(run) for run in self.runs])
