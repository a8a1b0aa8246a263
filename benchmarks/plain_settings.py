"""Published settings in Stable-Baselines3's own words, for plain.py.

Every entry is written from its source, rl-baselines3-zoo 2.9.2 (hyperparams/ppo.yml and dqn.yml) where no other is
named, and never from conf/: a mistake there is then a difference between the two sides.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn


@dataclass(frozen=True)
class Plain:
    """One published setting."""

    algo: type[PPO] | type[DQN]
    env_id: str
    steps: int
    settings: dict[str, Any]
    n_envs: int = 1
    normalize: bool = False
    wrapper: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] | None = None
    registered_by: str | None = None  # module, or module:function
    network: dict[str, Any] = field(default_factory=dict)


def to_zero(value: float) -> Callable[[float], float]:
    """The zoo's lin_<value>: in proportion to what is left of the run, never below 0."""
    return lambda left: value * max(left, 0.0)


def image_alone(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """MiniGrid's view of the agent, one number after the other, as floats: of bytes, Stable-Baselines3's rollout
    buffer would cut off the decimals of what VecNormalize makes of them."""
    from minigrid.wrappers import ImgObsWrapper

    return gym.wrappers.DtypeObservation(gym.wrappers.FlattenObservation(ImgObsWrapper(env)), np.float32)


def breakout_planes(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """MinAtar's planes as torch wants them, 0 or 1, with a limit of time, which Breakout has not."""
    rows, columns, planes = env.observation_space.shape
    space = gym.spaces.Box(0.0, 1.0, (planes, rows, columns))
    env = gym.wrappers.TransformObservation(env, lambda seen: seen.transpose(2, 0, 1).astype("float32"), space)
    return gym.wrappers.TimeLimit(env, 2500)


class MinAtarNet(BaseFeaturesExtractor):
    """Young and Tian, arXiv 1903.03176: 16 filters of 3 x 3, then 128 units, ReLU."""

    def __init__(self, space: gym.spaces.Box) -> None:
        super().__init__(space, 128)
        planes, rows, columns = space.shape
        size = 16 * (rows - 2) * (columns - 2)
        self.net = nn.Sequential(nn.Conv2d(planes, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(size, 128), nn.ReLU())

    def forward(self, seen: Tensor) -> Tensor:
        return self.net(seen)


class SquaredLossDQN(DQN):
    """DQN that minimizes (Q - target)² as CleanRL does."""

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        with mock.patch.object(nn.functional, "smooth_l1_loss", nn.functional.mse_loss):
            super().train(gradient_steps, batch_size)


ACROBOT_DQN = {
    "learning_rate": 6.3e-4,
    "batch_size": 128,
    "buffer_size": 50_000,
    "learning_starts": 0,
    "gamma": 0.99,
    "target_update_interval": 250,
    "train_freq": 4,
    "gradient_steps": -1,
    "exploration_fraction": 0.12,
    "exploration_final_eps": 0.1,
}
LANDER_PPO = {
    "n_steps": 1024,
    "batch_size": 64,
    "gae_lambda": 0.98,
    "gamma": 0.999,
    "n_epochs": 4,
    "ent_coef": 0.01,
}
GRID_PPO = {
    "n_steps": 128,
    "batch_size": 64,
    "gae_lambda": 0.95,
    "gamma": 0.99,
    "n_epochs": 10,
    "ent_coef": 0.0,
    "learning_rate": 2.5e-4,
    "clip_range": 0.2,
}
GRID_DQN = {  # keraJLi/rejax, configs/navix/, with Stable-Baselines3's loss and clipping by the norm
    "learning_rate": 3e-4,
    "batch_size": 1024,
    "buffer_size": 131_072,
    "learning_starts": 8192,
    "gamma": 0.9,
    "max_grad_norm": 1.0,
    "train_freq": 1,
    "gradient_steps": 128,
    "exploration_fraction": 0.4,
    "exploration_final_eps": 0.05,
}
CLEANRL_PPO = {  # vwxyzjn/cleanrl, cleanrl/ppo.py, but for the clipped value loss
    "learning_rate": to_zero(2.5e-4),
    "n_steps": 128,
    "batch_size": 128,
    "n_epochs": 4,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "ent_coef": 0.01,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
}
CLEANRL_DQN = {  # vwxyzjn/cleanrl, cleanrl/dqn.py
    "learning_rate": 2.5e-4,
    "buffer_size": 10_000,
    "gamma": 0.99,
    "target_update_interval": 500,
    "batch_size": 128,
    "exploration_fraction": 0.5,
    "exploration_final_eps": 0.05,
    "learning_starts": 10_000,
    "train_freq": 10,
    "gradient_steps": 1,
    "max_grad_norm": math.inf,
}
WIDE_DQN = {"net_arch": [256, 256]}
CLEANRL_NET = {"net_arch": [120, 84]}
TUNED_MUJOCO = {
    "log_std_init": -2,
    "ortho_init": False,
    "activation_fn": nn.ReLU,
    "net_arch": {"pi": [256, 256], "vf": [256, 256]},
}
MINIGRID = {"wrapper": image_alone, "registered_by": "minigrid"}
FOUR_ROOMS_PPO = Plain(
    PPO, "MiniGrid-FourRooms-v0", 5_000_000, {**GRID_PPO, "n_steps": 512}, n_envs=8, normalize=True, **MINIGRID
)

PLAIN = {
    "ppo-cartpole": Plain(
        PPO,
        "CartPole-v1",
        100_000,
        {
            "n_steps": 32,
            "batch_size": 256,
            "gae_lambda": 0.8,
            "gamma": 0.98,
            "n_epochs": 20,
            "ent_coef": 0.0,
            "learning_rate": to_zero(0.001),
            "clip_range": to_zero(0.2),
        },
        n_envs=8,
    ),
    "dqn-cartpole": Plain(
        DQN,
        "CartPole-v1",
        50_000,
        {
            "learning_rate": 2.3e-3,
            "batch_size": 64,
            "buffer_size": 100_000,
            "learning_starts": 1000,
            "gamma": 0.99,
            "target_update_interval": 10,
            "train_freq": 256,
            "gradient_steps": 128,
            "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04,
        },
        network=WIDE_DQN,
    ),
    "dqn-cartpole_stable": Plain(  # not published: conf/tuned/dqn/cartpole_stable.yaml says how it was found
        DQN,
        "CartPole-v1",
        100_000,
        {
            "learning_rate": 2.5e-4,
            "batch_size": 128,
            "buffer_size": 100_000,
            "learning_starts": 1000,
            "gamma": 0.99,
            "target_update_interval": 250,
            "train_freq": 2,
            "gradient_steps": 1,
            "exploration_fraction": 0.3,
            "exploration_final_eps": 0.1,
        },
        normalize=True,
        network={"net_arch": [120, 84]},
    ),
    "ppo-acrobot": Plain(
        PPO,
        "Acrobot-v1",
        1_000_000,
        {"n_steps": 256, "gae_lambda": 0.94, "gamma": 0.99, "n_epochs": 4, "ent_coef": 0.0},
        n_envs=16,
        normalize=True,
    ),
    "dqn-acrobot": Plain(DQN, "Acrobot-v1", 100_000, ACROBOT_DQN, network=WIDE_DQN),
    "ppo-mountaincar": Plain(
        PPO,
        "MountainCar-v0",
        1_000_000,
        {"n_steps": 16, "gae_lambda": 0.98, "gamma": 0.99, "n_epochs": 4, "ent_coef": 0.0},
        n_envs=16,
        normalize=True,
    ),
    "dqn-mountaincar": Plain(
        DQN,
        "MountainCar-v0",
        120_000,
        {
            "learning_rate": 4e-3,
            "batch_size": 128,
            "buffer_size": 10_000,
            "learning_starts": 1000,
            "gamma": 0.98,
            "target_update_interval": 600,
            "train_freq": 16,
            "gradient_steps": 8,
            "exploration_fraction": 0.2,
            "exploration_final_eps": 0.07,
        },
        network=WIDE_DQN,
    ),
    "ppo-pendulum": Plain(
        PPO,
        "Pendulum-v1",
        100_000,
        {
            "n_steps": 1024,
            "gae_lambda": 0.95,
            "gamma": 0.9,
            "n_epochs": 10,
            "ent_coef": 0.0,
            "learning_rate": 1e-3,
            "clip_range": 0.2,
            "use_sde": True,
            "sde_sample_freq": 4,
        },
        n_envs=4,
    ),
    "ppo-mountaincar_continuous": Plain(
        PPO,
        "MountainCarContinuous-v0",
        20_000,
        {
            "batch_size": 256,
            "n_steps": 8,
            "gamma": 0.9999,
            "learning_rate": 7.77e-05,
            "ent_coef": 0.00429,
            "clip_range": 0.1,
            "n_epochs": 10,
            "gae_lambda": 0.9,
            "max_grad_norm": 5,
            "vf_coef": 0.19,
            "use_sde": True,
        },
        normalize=True,
        network={"log_std_init": -3.29, "ortho_init": False},
    ),
    "ppo-lunarlander": Plain(PPO, "LunarLander-v3", 1_000_000, LANDER_PPO, n_envs=16),
    "dqn-lunarlander": Plain(DQN, "LunarLander-v3", 100_000, ACROBOT_DQN, network=WIDE_DQN),
    "ppo-minigrid_empty": Plain(
        PPO, "MiniGrid-Empty-Random-6x6-v0", 100_000, GRID_PPO, n_envs=8, normalize=True, **MINIGRID
    ),
    "ppo-minigrid_doorkey": Plain(
        PPO, "MiniGrid-DoorKey-5x5-v0", 100_000, GRID_PPO, n_envs=8, normalize=True, **MINIGRID
    ),
    "ppo-minigrid_fourrooms": FOUR_ROOMS_PPO,
    "ppo-minigrid_fourrooms_1m": replace(FOUR_ROOMS_PPO, steps=1_000_000),
    "dqn-minigrid_empty": Plain(
        DQN,
        "MiniGrid-Empty-Random-6x6-v0",
        262_144,
        {**GRID_DQN, "target_update_interval": 1024},
        n_envs=128,
        normalize=True,
        network={"net_arch": [64, 64]},
        **MINIGRID,
    ),
    "dqn-minigrid_doorkey": Plain(
        DQN,
        "MiniGrid-DoorKey-5x5-v0",
        262_144,
        {**GRID_DQN, "target_update_interval": 4096},
        n_envs=128,
        normalize=True,
        network={"net_arch": [64, 64]},
        **MINIGRID,
    ),
    "dqn-minigrid_fourrooms": Plain(
        DQN,
        "MiniGrid-FourRooms-v0",
        1_048_576,
        {
            **GRID_DQN,
            "batch_size": 256,
            "max_grad_norm": 10.0,
            "target_update_interval": 2048,
            "exploration_fraction": 0.1,
            "exploration_final_eps": 0.01,
        },
        n_envs=128,
        normalize=True,
        network={"net_arch": [64, 64]},
        **MINIGRID,
    ),
    "ppo-minatar_breakout": Plain(  # gymnax-blines, agents/Breakout-MinAtar/ppo.yaml, with MinAtar's own network
        PPO,
        "MinAtar/Breakout-v1",
        10_000_000,
        {
            "learning_rate": 5e-4,
            "n_steps": 128,
            "batch_size": 1024,
            "n_epochs": 4,
            "gamma": 0.999,
            "gae_lambda": 0.95,
            "clip_range": 0.2,
            "ent_coef": 0.01,
            "vf_coef": 0.5,
            "max_grad_norm": 0.5,
        },
        n_envs=64,
        wrapper=breakout_planes,
        registered_by="minatar.gym:register_envs",
        network={"features_extractor_class": MinAtarNet, "net_arch": []},
    ),
    "ppo-halfcheetah": Plain(
        PPO,
        "HalfCheetah-v5",
        1_000_000,
        {
            "batch_size": 64,
            "n_steps": 512,
            "gamma": 0.98,
            "learning_rate": 2.0633e-05,
            "ent_coef": 0.000401762,
            "clip_range": 0.1,
            "n_epochs": 20,
            "gae_lambda": 0.92,
            "max_grad_norm": 0.8,
            "vf_coef": 0.58096,
        },
        normalize=True,
        network=TUNED_MUJOCO,
    ),
    "ppo-hopper": Plain(
        PPO,
        "Hopper-v5",
        1_000_000,
        {
            "batch_size": 32,
            "n_steps": 512,
            "gamma": 0.999,
            "learning_rate": 9.80828e-05,
            "ent_coef": 0.00229519,
            "clip_range": 0.2,
            "n_epochs": 5,
            "gae_lambda": 0.99,
            "max_grad_norm": 0.7,
            "vf_coef": 0.835671,
        },
        normalize=True,
        network=TUNED_MUJOCO,
    ),
    "cleanrl-ppo-cartpole": Plain(PPO, "CartPole-v1", 500_000, CLEANRL_PPO, n_envs=4),
    "cleanrl-ppo-acrobot": Plain(PPO, "Acrobot-v1", 500_000, CLEANRL_PPO, n_envs=4),
    "cleanrl-dqn-cartpole": Plain(SquaredLossDQN, "CartPole-v1", 500_000, CLEANRL_DQN, network=CLEANRL_NET),
    "cleanrl-dqn-acrobot": Plain(SquaredLossDQN, "Acrobot-v1", 500_000, CLEANRL_DQN, network=CLEANRL_NET),
}
