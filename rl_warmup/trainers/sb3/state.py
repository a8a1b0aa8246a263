"""The state of a Stable-Baselines3 model between two rollouts, as numbers, arrays and tensors; nothing pickled."""

import random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from rl_warmup.config.schema import RunConfig
from rl_warmup.envs import replay
from rl_warmup.envs.seeds import environment_seed
from rl_warmup.records.checkpoints import Checkpoint
from rl_warmup.trainers.agents import Agent
from rl_warmup.trainers.sb3.groups import whole_state
from rl_warmup.trainers.sb3.start import replay_of

_COUNTS = ("num_timesteps", "_n_updates", "_episode_num", "_current_progress_remaining")
_COUNTS_OF_DQN = ("_n_calls", "exploration_rate")
_LAST = ("_last_obs", "_last_original_obs", "_last_episode_starts")
_REPLAY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def checkpoint_of(model: PPO | DQN, actions: NDArray[Any], origin: int, more: dict[str, Any]) -> Checkpoint:
    """The state of `model` where a rollout starts.

    Args:
        actions: [vector steps, environments, ...] since environment step `origin`.
        more: counts to keep with it.
    """
    values = {name: getattr(model, name) for name in _counts(model)} | more | _generators(model)
    arrays = {name: getattr(model, name) for name in _LAST if getattr(model, name) is not None}
    arrays |= {"actions": actions, "shown": shown(model), "numpy_random": _numpy_random()["state"]["key"]}
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        arrays |= {
            f"{name}_{part}": np.asarray(v) for name, m in _moments(normalizer) for part, v in vars(m).items()
        }
        arrays["discounted"] = normalizer.returns
    if isinstance(model, DQN):
        buffer = model.replay_buffer
        assert buffer is not None
        values |= {"pos": int(buffer.pos), "full": bool(buffer.full)}
        arrays |= {f"replay_{name}": getattr(buffer, name)[: buffer.size()] for name in _REPLAY}
    tensors = {
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "torch_random": torch.get_rng_state(),
    }
    if model.device.type == "cuda":
        tensors["cuda_random"] = torch.cuda.get_rng_state(model.device)
    tensors |= {name: getattr(model.policy.action_dist, name).detach() for name in _noise(model)}
    return Checkpoint(model.num_timesteps, origin, values, arrays, tensors)


def agent_of(model: PPO | DQN, with_replay: bool = False) -> Agent:
    """The agent as it is now, whatever the run needs beside it to be resumed."""
    normalizer, names = model.get_vec_normalize_env(), ["num_timesteps", "_n_updates"]
    names += ["exploration_rate"] if isinstance(model, DQN) else []
    moments = None
    if normalizer is not None:
        kept = {"obs_rms": normalizer.obs_rms, "ret_rms": normalizer.ret_rms}
        moments = {name: (m.mean, m.var, m.count) for name, m in kept.items() if isinstance(m, RunningMeanStd)}
    counts = {name: getattr(model, name) for name in names}
    replay = replay_of(model) if with_replay and isinstance(model, DQN) else None
    return Agent(model.policy.state_dict(), whole_state(model.policy), counts, moments, replay=replay)


def restore(model: PPO | DQN, config: RunConfig, found: Checkpoint) -> bool:
    """Bring a fresh model and its environments to where the checkpoint was.

    Returns:
        Whether the environments could be replayed; if not, they are restarted with other seeds.
    """
    values, arrays = found.values, found.arrays
    model.policy.load_state_dict(found.tensors["policy"])
    model.policy.optimizer.load_state_dict(found.tensors["optimizer"])
    as_before = _replay(model, config, found)
    for name in _counts(model):
        setattr(model, name, values[name])
    for name in _LAST:
        setattr(model, name, arrays.get(name))
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        for name, moments in _moments(normalizer):
            for part in vars(moments):
                stored = arrays[f"{name}_{part}"]
                setattr(moments, part, stored if stored.ndim else stored[()])
        normalizer.returns = arrays["discounted"]
        normalizer.old_obs = arrays["shown"]
    if isinstance(model, DQN):
        buffer = model.replay_buffer
        assert buffer is not None
        buffer.pos, buffer.full = values["pos"], values["full"]
        for name in _REPLAY:
            getattr(buffer, name)[: buffer.size()] = arrays[f"replay_{name}"]
    if not as_before:
        _restart(model, config, values["resets"] + 1)
    return as_before


def restore_draws(model: PPO | DQN, found: Checkpoint) -> None:
    """Bring the random numbers to where they were: once the rollout has started, for which gSDE draws its noise."""
    _restore_generators(model, found)
    for name in _noise(model):
        setattr(model.policy.action_dist, name, found.tensors[name])


def shown(model: PPO | DQN) -> NDArray[Any]:
    """What the environments showed last, not normalised."""
    normalizer = model.get_vec_normalize_env()
    return np.array(model._last_obs if normalizer is None else normalizer.old_obs)


def _counts(model: PPO | DQN) -> tuple[str, ...]:
    return _COUNTS + _COUNTS_OF_DQN if isinstance(model, DQN) else _COUNTS


def _noise(model: PPO | DQN) -> tuple[str, ...]:
    """What gSDE has of its noise."""
    return ("exploration_mat", "exploration_matrices") if model.use_sde else ()


def _moments(normalizer: VecNormalize) -> list[tuple[str, RunningMeanStd]]:
    assert isinstance(normalizer.obs_rms, RunningMeanStd)
    return [("observation", normalizer.obs_rms), ("return", normalizer.ret_rms)]


def _below(model: PPO | DQN) -> VecEnv:
    """The environments below their normalisation, whose statistics a replay must not see."""
    env, normalizer = model.get_env(), model.get_vec_normalize_env()
    assert env is not None
    return env if normalizer is None else normalizer.venv


def _replay(model: PPO | DQN, config: RunConfig, found: Checkpoint) -> bool:
    actions, env = found.arrays["actions"], _below(model)
    steps = found.env_step - found.origin
    if len(actions) * env.num_envs != steps or steps > replay.REPLAYED["gymnasium"]:
        return False
    env.seed(environment_seed(config.seed, found.values["resets"]))
    observations = env.reset()
    for row in actions:
        observations, _, _, _ = env.step(row.astype(env.action_space.dtype))
    return np.array_equal(np.asarray(observations), found.arrays["shown"])


def _restart(model: PPO | DQN, config: RunConfig, resets: int) -> None:
    """As Stable-Baselines3 does where a training starts."""
    env, normalizer = model.get_env(), model.get_vec_normalize_env()
    assert env is not None
    env.seed(environment_seed(config.seed, resets))
    model._last_obs = env.reset()  # type: ignore[assignment]
    model._last_episode_starts = np.ones(env.num_envs, dtype=bool)
    if normalizer is not None:
        model._last_original_obs = normalizer.get_original_obs()


def _numpy_random() -> dict[str, Any]:
    return np.random.get_state(legacy=False)  # noqa: NPY002


def _generators(model: PPO | DQN) -> dict[str, Any]:
    """The random states that fit into JSON; Stable-Baselines3 draws from the global ones."""
    numpy = _numpy_random()
    return {
        "python_random": random.getstate(),
        "numpy_random": [numpy["state"]["pos"], numpy["has_gauss"], numpy["gauss"]],
        "actions_random": model.action_space.np_random.bit_generator.state,
    }


def _restore_generators(model: PPO | DQN, found: Checkpoint) -> None:
    version, words, gauss = found.values["python_random"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(("MT19937", found.arrays["numpy_random"], *found.values["numpy_random"]))  # noqa: NPY002
    model.action_space.np_random.bit_generator.state = found.values["actions_random"]
    torch.set_rng_state(found.tensors["torch_random"])
    if model.device.type == "cuda":
        torch.cuda.set_rng_state(found.tensors["cuda_random"], model.device)
