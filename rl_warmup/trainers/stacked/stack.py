"""A stack: its members, spaces, device, and the parts that PPO and DQN build themselves from."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from rl_warmup.config.schema import RunConfig
from rl_warmup.trainers.functional.normalization import Normalizer
from rl_warmup.trainers.policies import initial_policy
from rl_warmup.trainers.stacked.learner import Learner, Loss
from rl_warmup.trainers.stacked.members import Members
from rl_warmup.trainers.stacked.networks import Activation, Layout, rational_tanh, stack_parameters
from rl_warmup.trainers.stacked.sizes import CHUNK


class Stack:
    """The members of one tensor program; all have the same networks, environments and lengths."""

    def __init__(
        self,
        configs: Sequence[RunConfig],
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        device: torch.device,
        compiled: bool,
    ) -> None:
        self.config, self.device, self.compiled = configs[0], device, compiled
        self.members = Members(configs, device)
        self.observation_shape, self.action_space = observation_space.shape or (), action_space
        if configs[0].algo.normalize:  # pixels too are then no longer 0 to 255
            observation_space = gym.spaces.Box(-np.inf, np.inf, self.observation_shape, np.float32)
        self.policy = initial_policy(configs[0], observation_space, action_space)
        of_seed = {config.seed: config for config in configs}  # members of one seed begin alike
        policies = (initial_policy(config, observation_space, action_space) for config in of_seed.values())
        drawn = dict(zip(of_seed, stack_parameters(policies), strict=True))
        self.initial = torch.stack([drawn[config.seed] for config in configs])

    @property
    def tanh(self) -> Activation:
        """tanh of the update programs: the vendor's on a GPU and where nothing is compiled."""
        return rational_tanh if self.compiled and self.device.type == "cpu" else torch.tanh

    def learner(self, loss: Loss) -> Learner:
        """The members' parameters, and the program that updates them by `loss`."""
        chunk = CHUNK if self.device.type == "cpu" else len(self.members)
        return Learner(self.initial.clone().to(self.device), Layout(self.policy), loss, chunk, self.compiled)

    def normalizer(self) -> Normalizer | None:
        """VecNormalize of every member, where the settings ask for it."""
        if not self.config.algo.normalize:
            return None
        gamma = self.members.tensor(self.members.of("algo.gamma"), torch.float64)
        return Normalizer(len(self.members), self.config.algo.n_envs, self.observation_shape, gamma, self.device)
