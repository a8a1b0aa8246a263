"""Plain Stable-Baselines3 at published settings, without rl_warmup: the other side of baselines.py."""

import time
from importlib import import_module
from typing import Any

import gymnasium as gym
import torch
from plain_settings import PLAIN, Plain
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecNormalize


def train(name: str, seed: int, episodes: int, steps: int | None = None) -> dict[str, Any]:
    """Train one agent: mean return of its final policy, deterministic, and of its last 100 training episodes."""
    torch.set_num_threads(1)
    began, plain = time.perf_counter(), PLAIN[name]
    env = make(plain, plain.n_envs, seed)
    if plain.normalize:
        env = VecNormalize(env, gamma=plain.settings.get("gamma", 0.99))
    model = plain.algo(
        "MlpPolicy", env, seed=seed, device="cpu", policy_kwargs=dict(plain.network), **plain.settings
    )
    model.learn(plain.steps if steps is None else steps)
    returns, _ = evaluate_policy(model, evaluation(plain, env, seed), episodes, return_episode_rewards=True)
    return {
        "seed": seed,
        "final": float(sum(returns) / len(returns)),
        "training": mean_of_last(model),
        "env_steps": model.num_timesteps,
        "seconds": round(time.perf_counter() - began, 1),
    }


def make(plain: Plain, count: int, seed: int) -> VecEnv:
    """So many environments side by side."""
    if plain.registered_by is not None:
        module, _, function = plain.registered_by.partition(":")
        found = import_module(module)
        if function and plain.env_id not in gym.registry:
            getattr(found, function)()
    return make_vec_env(plain.env_id, count, seed=seed, wrapper_class=plain.wrapper)


def evaluation(plain: Plain, env: VecEnv, seed: int) -> VecEnv:
    """An environment for evaluation, with the statistics of the training and the environment's own rewards."""
    fresh = make(plain, 1, 1_000_000 + seed)
    if isinstance(env, VecNormalize):
        fresh = VecNormalize(fresh, training=False, norm_reward=False)
        fresh.obs_rms = env.obs_rms
    return fresh


def mean_of_last(model: PPO | DQN) -> float | None:
    """Mean return of the last training episodes, of which Stable-Baselines3 keeps 100; None without any."""
    returns = [float(episode["r"]) for episode in model.ep_info_buffer or ()]
    return sum(returns) / len(returns) if returns else None
