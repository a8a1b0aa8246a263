"""Which environments an algorithm can be trained in, by their spaces."""

import json
from contextlib import closing
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np

from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.identity import identity
from rl_warmup.config.schema import AlgoConfig, EnvConfig, PPOConfig, RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.envs import pool
from rl_warmup.envs.images import check_extractor
from rl_warmup.envs.make import make
from rl_warmup.envs.packages import way_out

PLAYABLE = (gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)
FLAT = "env.wrappers=[gymnasium.wrappers.FlattenObservation] makes one of it"
OWN_WRAPPER = "a wrapper that changes them is given in env.wrappers (docs/plugins.md), e.g. a gymnasium.wrappers."


def check_env(config: RunConfig) -> None:
    """Refuse an environment that cannot be made, or that the algorithm cannot act in.

    Raises:
        ConfigError: naming the environment, the reason and the way out.
    """
    env_id = config.env.id
    observations, actions = spaces(config.env, config.trainer.envs)
    for what, space, reason in (
        ("observations", observations, _unseen(observations, config.algo.normalize)),
        ("actions", actions, _unplayable(actions, config) or _unexplored(actions, config.algo)),
    ):
        if reason is not None:
            raise ConfigError(f"env.id={env_id} has the {what} {' '.join(str(space).split())}: {reason}")
    check_extractor(config, observations)
    *_, broken = _tried(json.dumps(identity(config.env)), config.trainer.envs)
    if broken is not None:
        raise ConfigError(broken)


def _unseen(space: gym.Space[Any], normalize: bool) -> str | None:
    """Why the networks cannot take observations of a space, and what to do; None if they can."""
    match space:
        case gym.spaces.Box() | gym.spaces.MultiBinary() if space.shape and 0 not in space.shape:
            pass
        case gym.spaces.Discrete() | gym.spaces.MultiDiscrete() if np.ndim(space.start) < 2 and not np.any(
            space.start
        ):
            pass
        case gym.spaces.Discrete() | gym.spaces.MultiDiscrete() if np.any(space.start):
            return f"the networks count from 0; {FLAT}"
        case _ if _flattenable(space):
            return f"the networks take one array; {FLAT}"
        case gym.spaces.Dict():
            part = "a wrapper that keeps one part is given in env.wrappers"
            return f"the networks take one array; {part}, e.g. minigrid.wrappers.ImgObsWrapper (docs/plugins.md)"
        case _:
            return f"the networks take arrays of one size above 0; {OWN_WRAPPER}TransformObservation"
    if normalize and not isinstance(space, gym.spaces.Box):
        return "only those of a Box can be normalized; use algo.normalize=false"
    return None


def _flattenable(space: gym.Space[Any]) -> bool:
    try:
        return space.is_np_flattenable and gym.spaces.flatdim(space) > 0
    except NotImplementedError:  # of a space that is not Gymnasium's
        return False


def _unplayable(space: gym.Space[Any], config: RunConfig) -> str | None:
    """Why the algorithm cannot act in a space, and what to do; None if it can."""
    wrapped = f"{OWN_WRAPPER}TransformAction"
    match space:
        case gym.spaces.Discrete() | gym.spaces.MultiDiscrete() if np.any(space.start):
            return f"the policies count from 0; {wrapped}"
        case gym.spaces.MultiDiscrete() | gym.spaces.MultiBinary() if len(space.shape) != 1:
            return f"the policies choose from a list, no table; {wrapped}"
        case gym.spaces.Box() if not np.issubdtype(space.dtype, np.floating):
            return f"the policies draw real numbers, no whole ones; {wrapped}"
        case gym.spaces.Box() if not (np.isfinite(space.low) & np.isfinite(space.high)).all():
            return f"their bounds must be finite; {wrapped}"
        case _ if not (isinstance(space, PLAYABLE) and gym.spaces.flatdim(space)):
            return f"the policies cannot draw them; {wrapped}"
    if ALGORITHMS[config.algo.name].discrete and not isinstance(space, gym.spaces.Discrete):
        others = " or ".join(f"algo={name}" for name, algorithm in ALGORITHMS.items() if not algorithm.discrete)
        return f"{config.algo.name.upper()} needs Discrete ones; use {others}"
    stackable = isinstance(space, gym.spaces.Discrete) or (
        isinstance(space, gym.spaces.Box) and len(space.shape) == 1
    )
    if config.trainer.name == "stacked" and not stackable:
        return "a stack knows only Discrete ones and vectors; use trainer=sb3"
    return None


def _unexplored(space: gym.Space[Any], algo: AlgoConfig) -> str | None:
    """Why PPO cannot explore a space as it is to, and what to do; None if it can."""
    if isinstance(space, gym.spaces.Box) or not isinstance(algo, PPOConfig):
        return None
    if algo.use_sde:
        return "algo.use_sde=true draws noise for those of a Box only; use algo.use_sde=false"
    if algo.log_std_init != PPOConfig.log_std_init:
        return f"algo.log_std_init={algo.log_std_init:g} has a meaning for those of a Box only; leave it out"
    return None


def spaces(env: EnvConfig, backend: str | None = None) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Spaces of the observations and actions of one environment.

    Args:
        backend: who makes it, see `trainer.envs`.

    Raises:
        ConfigError: if it cannot be made.
    """
    observations, actions, _ = _tried(json.dumps(identity(env)), backend)
    return observations, actions


@cache
def _tried(described: str, backend: str | None) -> tuple[gym.Space[Any], gym.Space[Any], str | None]:
    """Spaces of an environment that is made and reset once, and what its reset raised."""
    env = EnvConfig(**json.loads(described))
    what = f"env.id={env.id} cannot be made"
    if backend == "envpool":
        reason = pool.refusal(env)
        if reason is not None:
            raise ConfigError(f"{what} by trainer.envs={backend}: {reason}")
        with closing(pool.PoolEnvs(env, [0], as_given=True)) as envs:
            return envs.observation_space, envs.action_space, None
    try:
        with closing(make(env, checked=True, training=True)) as made:
            _refuse_latest(env, made)
            return made.observation_space, made.action_space, _reset_error(made)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # a constructor may raise anything
        plain = isinstance(error, gym.error.Error | ImportError)
        reason = " ".join((str(error) if plain else f"{type(error).__name__}: {error}").split())
        raise ConfigError(f"{what}: {reason.removesuffix('.')}{way_out(env, error)}") from error


def _refuse_latest(env: EnvConfig, made: gym.Env[Any, Any]) -> None:
    """Refuse an id without the version that its environment has: Gymnasium makes the latest."""
    spec = made.unwrapped.spec
    if spec is not None and spec.id != env.id.rpartition(":")[2]:
        raise ConfigError(f"env.id={env.id} has no version, and the latest may change: use env.id={spec.id}")


def _reset_error(made: gym.Env[Any, Any]) -> str | None:
    """What an environment raises when it is reset, or what is wrong with its first observation."""
    try:
        made.reset(seed=0)
    except (Exception, SystemExit) as error:
        return " ".join(str(error).split())
    return None
