"""Agents as files that plain Stable-Baselines3 loads, whichever trainer trained them; and loaded again."""

import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

import rl_warmup
from rl_warmup.config.schema import AlgoConfig, RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.envs.spaces import spaces
from rl_warmup.records.atomic import uninterrupted
from rl_warmup.records.models import MODEL, REPLAY, STATISTICS
from rl_warmup.schedules.bases import Schedule
from rl_warmup.trainers.models import model_of
from rl_warmup.trainers.policies import policy_arguments, policy_class

POINTS = 1001
"""Of the table that stands for a schedule in a file."""
REPLAYED = ("observations", "next_observations", "actions", "rewards", "terminated")
"""Arrays of a replay buffer; an episode that a time limit cut off has not terminated."""
Moments = tuple[NDArray[np.float64], NDArray[np.float64], float]  # mean, variance, count


@dataclass(frozen=True)
class Agent:
    """What there is of an agent while it is trained."""

    policy: Mapping[str, Any]
    """The state dict of its policy in Stable-Baselines3."""
    optimizer: Mapping[str, Any]
    """That of the policy's optimizer."""
    counts: Mapping[str, Any]
    """Attributes of the Stable-Baselines3 model: num_timesteps, and of DQN the exploration_rate."""
    moments: Mapping[str, Moments] | None
    """`obs_rms` and `ret_rms` of VecNormalize, where the agent is trained with it."""
    rate: float | None = None
    """Its learning rate without warmup, where that adapts."""
    replay: Mapping[str, NDArray[Any]] | None = None
    """Its replay buffer, if that is kept: `REPLAYED` by name, [vector steps, environments, ...], oldest first."""


def files_of(config: RunConfig, agent: Agent) -> dict[str, bytes]:
    """model.zip, vecnormalize.pkl and replay.npz; nothing is drawn from the global random state.

    Args:
        config: of the agent's run, resolved.
    """
    config = config if agent.rate is None else replace(config, learning_rate=agent.rate)
    env = _spaces_of(config)
    normalizer = VecNormalize(env, gamma=config.algo.gamma) if config.algo.normalize else None
    model = _untrained(config, normalizer or env)
    model.policy.load_state_dict(agent.policy)
    model.policy.optimizer.load_state_dict(dict(agent.optimizer))
    for name, value in agent.counts.items():
        setattr(model, name, value)
    buffer = BytesIO()
    with _by_value(), uninterrupted():
        model.save(buffer)
    files = {MODEL: buffer.getvalue()}
    if normalizer is not None and agent.moments is not None:
        for name, moments in agent.moments.items():
            setattr(normalizer, name, running_moments(*moments))
        files[STATISTICS] = pickle.dumps(normalizer)
    if agent.replay is not None:
        arrays = BytesIO()
        np.savez(arrays, allow_pickle=False, **agent.replay)
        files[REPLAY] = arrays.getvalue()
    return files


def running_moments(mean: NDArray[np.float64], variance: NDArray[np.float64], count: float) -> RunningMeanStd:
    """Moments as VecNormalize has them."""
    moments = RunningMeanStd(shape=np.shape(mean))
    moments.mean, moments.var, moments.count = mean, variance, count
    return moments


def plain(schedule: Schedule) -> Any:
    """A schedule as Stable-Baselines3 takes it, of numpy only: a number, or a table over what remains."""
    remaining = np.linspace(0.0, 1.0, POINTS)
    values = np.asarray(schedule(1.0 - remaining), dtype=np.float64)
    return float(values[0]) if (values == values[0]).all() else partial(np.interp, xp=remaining, fp=values)


class Player:
    """An agent that was loaded from its files."""

    def __init__(self, folder: Path, algo: AlgoConfig) -> None:
        """`algo`: the settings that it was trained with.

        Raises:
            Exception: whatever Stable-Baselines3 makes of files that it cannot load.
        """
        # Ours in the file are for where there is no rl_warmup; another version of Python cannot load them.
        own = {"policy_class": policy_class(algo), "policy_kwargs": policy_arguments(algo), "buffer_size": 1}
        kind = PPO if algo.name == "ppo" else DQN
        self.model: PPO | DQN = kind.load(folder / MODEL, device="cpu", custom_objects=own)
        self.normalizer: VecNormalize | None = None
        if (folder / STATISTICS).exists():
            self.normalizer = pickle.loads((folder / STATISTICS).read_bytes())

    def seed(self, seed: int) -> None:
        """Seed what actions are drawn from."""
        self.model.set_random_seed(seed)
        self.model.action_space.seed(seed)
        policy = self.model.policy
        if isinstance(policy, ActorCriticPolicy) and policy.use_sde:
            policy.reset_noise()

    def act(self, observations: NDArray[Any], deterministic: bool) -> NDArray[Any]:  # [rows, ...] both
        """Actions for observations of its environment."""
        if self.normalizer is not None:
            observations = np.asarray(self.normalizer.normalize_obs(observations))
        actions, _ = self.model.predict(observations, deterministic=deterministic)
        return actions


def _untrained(config: RunConfig, env: VecEnv) -> PPO | DQN:
    """The model of a run on the CPU, without what it has only while it is trained."""
    small = {} if config.algo.name == "ppo" else {"buffer_size": config.algo.n_envs}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the minibatches, which training has said
        model = model_of(config, env, plain, device="cpu", **small)
    if isinstance(model, DQN):
        model.buffer_size = getattr(config.algo, "buffer_size")  # noqa: B009
    return model


class _Nowhere(gym.Env[Any, Any]):
    """The spaces of an environment without the environment."""

    def __init__(self, observations: gym.Space[Any], actions: gym.Space[Any]) -> None:
        self.observation_space, self.action_space = observations, actions


def _spaces_of(config: RunConfig) -> VecEnv:
    """The spaces that the agent of a run will find in Gymnasium or, if that lacks the environment, in EnvPool."""
    try:
        observations, actions = spaces(config.env)
    except ConfigError:
        observations, actions = spaces(config.env, config.trainer.envs)
    return DummyVecEnv([partial(_Nowhere, observations, actions)] * config.algo.n_envs)


@contextmanager
def _by_value() -> Iterator[None]:
    """While it is entered, classes of ours are pickled whole, so that they load where there is no rl_warmup."""
    cloudpickle.register_pickle_by_value(rl_warmup)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(rl_warmup)
