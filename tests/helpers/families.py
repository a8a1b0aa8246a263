"""Small runs of every kind of observation and action, on which the stacked trainer is held against SB3's train().

The environments are cut off early, so that values are bootstrapped at time limits.
"""

from importlib.util import find_spec
from typing import Any

import gymnasium as gym
import minatar.gym
import numpy as np
from gymnasium.wrappers import TransformObservation
from minigrid.wrappers import ImgObsWrapper


class Pixels(gym.Env[Any, Any]):
    """Four frames of noise; the reward is 1 for the number of a frame that is brighter than the mean."""

    observation_space = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    action_space = gym.spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return self._frames(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        reward = float(self.frames[int(action)].mean() > 127.5)
        return self._frames(), reward, bool(self.np_random.random() < 0.1), False, {}

    def _frames(self) -> Any:
        self.frames = self.np_random.integers(0, 256, (4, 84, 84)).astype(np.uint8)
        return self.frames


def minatar_breakout() -> gym.Env[Any, Any]:
    """Truth values, [channels, 10, 10]."""
    if "MinAtar/Breakout-v1" not in gym.registry:
        minatar.gym.register_envs()
    env = gym.make("MinAtar/Breakout-v1").unwrapped
    space = gym.spaces.Box(0, 1, (4, 10, 10), np.bool_)
    return TransformObservation(env, lambda image: np.moveaxis(image, -1, 0), space)


def minigrid_empty() -> gym.Env[Any, Any]:
    """Bytes, [7, 7, channels]."""
    return ImgObsWrapper(gym.make("MiniGrid-Empty-Random-6x6-v0").unwrapped)


MADE: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "pendulum": ("gymnasium.envs.classic_control:PendulumEnv", 30, {}),
    "lander": ("gymnasium.envs.box2d:LunarLander", 30, {"continuous": True}),
    "pixels": (Pixels, 8, {}),
    "minatar": (minatar_breakout, 7, {}),
    "minigrid": (minigrid_empty, 20, {}),
}
if find_spec("mujoco") is not None:
    MADE["cheetah"] = ("gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv", 30, {})
for name, (entry_point, limit, given) in MADE.items():
    if f"family/{name}-v0" not in gym.registry:  # pytest imports this file twice, for its doctests
        gym.register(f"family/{name}-v0", entry_point=entry_point, max_episode_steps=limit, kwargs=given)

PPO = [
    *("algo=ppo", "algo.n_envs=2", "algo.n_steps=48", "algo.batch_size=40", "algo.n_epochs=2"),
    *("total_timesteps=192", "algo.ent_coef=0.01", "algo.clip_range_schedule=constant"),
]
DQN = [
    *("algo=dqn", "algo.n_envs=2", "algo.train_freq=16", "algo.gradient_steps=6", "algo.learning_starts=60"),
    *("algo.target_update_interval=40", "algo.buffer_size=120", "algo.batch_size=32", "total_timesteps=112"),
]
SMALL, NATURE = ["algo.extractor=small_cnn"], ["algo.extractor=nature_cnn", "algo.net_arch=[]"]
FEW = ["algo.batch_size=12", "total_timesteps=64", "evaluation.episodes=1"]  # it takes its time
STOPS = ["algo.target_kl=0.0003", "learning_rate=1e-3", "algo.n_epochs=4", "total_timesteps=288"]
NORMED = ["algo.layer_norm=true"]
NORMALIZED, SDE = ["algo.normalize=true"], ["algo.use_sde=true", "algo.log_std_init=-1"]
DELAYED = ["warmup.control=delayed"]
STACKED = ["trainer=stacked", "trainer.envs=gymnasium"]
RUNS = {
    "ppo pendulum": ("pendulum", PPO),
    "ppo pendulum, normalized": ("pendulum", PPO + NORMALIZED),
    "ppo pendulum, prefilled": ("pendulum", [*PPO, *NORMALIZED, "algo.prefill=91"]),
    "ppo pendulum, early stops": ("pendulum", [*PPO, *STOPS]),
    "ppo pendulum, early stops, adam_rel": ("pendulum", [*PPO, *STOPS, "optimizer=adam_rel"]),
    "ppo pendulum, gSDE": ("pendulum", [*PPO, *SDE, "algo.sde_sample_freq=4"]),
    "ppo pendulum, gSDE, one environment": (
        *("pendulum", [*PPO, *SDE, *NORMALIZED, "algo.n_envs=1", "algo.n_steps=96", "algo.ortho_init=false"]),
    ),
    "ppo pendulum, layer norm": (
        "pendulum",
        [*PPO, *NORMED, "algo.net_arch=[32,32,32]", "algo.max_grad_norm=null"],
    ),
    "ppo lander": ("lander", [*PPO, "algo.activation=relu", "algo.log_std_init=0.5"]),
    "ppo lander, deep, one batch": (
        *("lander", [*PPO, "algo.net_arch=[24,24,24,24]", "algo.batch_size=96", "algo.optimizer.eps=1e-2"]),
    ),
    "ppo cheetah": ("cheetah", [*PPO, *NORMALIZED, "algo.activation=relu", "algo.log_std_init=-2"]),
    "ppo lander, gSDE": ("lander", PPO + SDE),
    "ppo lander, gSDE, layer norm": ("lander", [*PPO, *SDE, *NORMED]),
    "ppo minatar": ("minatar", PPO + SMALL),
    "dqn minatar": ("minatar", DQN + SMALL),
    "dqn minatar, layer norm": ("minatar", [*DQN, *SMALL, *NORMED]),
    "ppo minatar, normalized": ("minatar", PPO + NORMALIZED),
    "ppo minigrid": ("minigrid", PPO),
    "dqn minigrid": ("minigrid", DQN),
    "dqn minigrid, one step each": (
        *("minigrid", [*DQN, "algo.gradient_steps=-1", "algo.train_freq=8", "algo.target_update_interval=24"]),
    ),
    "dqn minigrid, squared loss": ("minigrid", [*DQN, "algo.loss=mse"]),
    "dqn minigrid, unclipped": (
        "minigrid",
        [*DQN, "algo.loss=mse", "algo.max_grad_norm=null", "algo.net_arch=[48]"],
    ),
    "ppo minigrid, normalized": ("minigrid", PPO + NORMALIZED),
    "dqn minigrid, normalized": ("minigrid", DQN + NORMALIZED),
    "dqn minigrid, prefilled": ("minigrid", [*DQN, *NORMALIZED, "algo.prefill=90"]),
    "ppo minigrid, CNN": ("minigrid", PPO + SMALL),
    "dqn minigrid, CNN": ("minigrid", [*DQN, *SMALL, "algo.activation=tanh"]),
    "ppo minigrid, L2": ("minigrid", [*PPO, "algo.optimizer.weight_decay=0.1"]),
    "ppo minigrid, adamw": ("minigrid", [*PPO, "optimizer=adamw", "algo.optimizer.weight_decay=10"]),
    "dqn minigrid, radam": (
        "minigrid",
        [*DQN, "optimizer=radam", "algo.optimizer.weight_decay=0.1", "learning_rate=0.01"],
    ),
    "ppo minigrid, sgd": ("minigrid", [*PPO, "optimizer=sgd", "algo.optimizer.beta1=0.9", "learning_rate=0.03"]),
    "dqn minigrid, sgd": ("minigrid", [*DQN, "optimizer=sgd", "learning_rate=0.1"]),
    "ppo minigrid, rmsprop": ("minigrid", [*PPO, "optimizer=rmsprop"]),
    "dqn minigrid, rmsprop": ("minigrid", [*DQN, "optimizer=rmsprop", "algo.optimizer.beta1=0.5"]),
    "ppo minigrid, uncorrected": ("minigrid", [*PPO, "optimizer=adam_uncorrected"]),
    "dqn minigrid, gi_adam": ("minigrid", [*DQN, "optimizer=gi_adam"]),
    "ppo minigrid, adam_rel": ("minigrid", [*PPO, "optimizer=adam_rel", "algo.optimizer.weight_decay=0.1"]),
    "dqn minigrid, adam_rel": ("minigrid", [*DQN, "optimizer=adam_rel"]),
    "dqn minigrid, adam_rel_mean": ("minigrid", [*DQN, "optimizer=adam_rel_mean"]),
    "ppo minigrid, adam_rel delayed": ("minigrid", [*PPO, "optimizer=adam_rel", *DELAYED]),
    "dqn minigrid, rmsprop delayed": ("minigrid", [*DQN, "optimizer=rmsprop", *DELAYED]),
    "dqn minigrid, moments first": (
        "minigrid",
        [*DQN, "optimizer=adamw", "warmup.control=moment_only", "warmup.length=0.25"],
    ),
    "ppo pixels": ("pixels", [*PPO, *NATURE, *FEW, "algo.n_steps=16", "algo.n_epochs=1"]),
    "dqn pixels": ("pixels", [*DQN, *NATURE, *FEW, "algo.gradient_steps=2", "algo.learning_starts=20"]),
}
FAMILIES: dict[str, list[str]] = {
    name: [
        *(f"env.id=family/{env}-v0", f"env.name={env}"),
        *(
            "env.floor=null",
            "env.ceiling=null",
            "env.return_floor=-2000",
            "env.return_low=-1500",
            "env.return_high=200",
            "env.threshold=0",
        ),
        *(
            "learning_rate=3e-4",
            "warmup=linear",
            "warmup.length=0.5",
            "evaluation.count=2",
            "evaluation.episodes=2",
        ),
        *run,
    ]
    for name, (env, run) in RUNS.items()
    if env in MADE
}
"""Overrides of runs of two update phases or more, by the name of the case."""
