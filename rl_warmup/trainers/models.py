"""The Stable-Baselines3 models of both trainers: the reference trains one, a stack only writes it to a file."""

from collections.abc import Callable
from typing import Any

from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import VecEnv

from rl_warmup import schedules
from rl_warmup.config.learning_rate import env_schedule
from rl_warmup.config.schema import DQNConfig, PPOConfig, RunConfig
from rl_warmup.config.transfer import starts_from_agent
from rl_warmup.schedules.bases import Schedule
from rl_warmup.trainers.policies import policy_arguments, policy_class

_SETTINGS = ("gamma", "batch_size")
_SETTINGS_OF = {
    "ppo": (
        *("n_steps", "n_epochs", "gae_lambda", "clip_range", "ent_coef", "vf_coef"),
        *("use_sde", "sde_sample_freq", "target_kl"),
    ),
    "dqn": (
        *("buffer_size", "learning_starts", "train_freq", "gradient_steps", "target_update_interval"),
        *("exploration_fraction", "exploration_initial_eps", "exploration_final_eps"),
    ),
}


def first_epsilon(config: RunConfig) -> float:
    """Share of random actions that DQN begins with; a trained agent explores from the start as at the end."""
    algo = config.algo
    assert isinstance(algo, DQNConfig)
    return algo.exploration_final_eps if starts_from_agent(config) else algo.exploration_initial_eps


def model_of(config: RunConfig, env: VecEnv, as_sb3: Callable[[Schedule], Any], **arguments: Any) -> PPO | DQN:
    """The Stable-Baselines3 model with the settings of a run (resolved), without a gradient-step warmup.

    Args:
        as_sb3: makes what Stable-Baselines3 takes for `learning_rate` and `clip_range` of a schedule.
        arguments: of PPO or DQN, before those of the run.
    """
    algo, kind = config.algo, PPO if config.algo.name == "ppo" else DQN
    settings = {name: getattr(algo, name) for name in (*_SETTINGS, *_SETTINGS_OF[algo.name])}
    if isinstance(algo, PPOConfig) and algo.clip_range_schedule == "linear":
        settings["clip_range"] = as_sb3(schedules.linear(algo.clip_range))
    if isinstance(algo, DQNConfig):
        settings["exploration_initial_eps"] = first_epsilon(config)
    settings |= {"learning_rate": as_sb3(env_schedule(config)), "policy_kwargs": policy_arguments(algo)}
    settings["max_grad_norm"] = algo.norm_limit
    model: PPO | DQN = kind(policy_class(algo), env, **settings | arguments)  # type: ignore[arg-type]
    return model
