"""The memory that runs need, known before they are trained; found without torch."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from gymnasium.spaces import Space, flatdim

from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.hardware import memory_bytes
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import DQNConfig, PPOConfig, RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.envs.spaces import spaces
from rl_warmup.records.words import counted, megabytes
from rl_warmup.schedules.phases import Phases
from rl_warmup.trainers.stacked.sizes import CHUNK, measured_at_once, padded_size

Group = Sequence[RunConfig]
"""Runs that one process trains: a stack, or a single run."""
PROCESS = {"sb3": 400 * 2**20, "stacked": 450 * 2**20}
"""Bytes of a process before its first step: Python, torch and what else is imported."""
COMPILING = 250 * 2**20
"""Bytes that a process takes for compiling its programs, at most."""
PASSES = 6
"""Copies of a network's outputs in one gradient step: before and behind activations, gradients, targets."""
PROBE, VECTORS = 256, 12
"""Rows of the probe batch, and float64 vectors as long as the parameters, that `diagnostics=full` has at once."""


def member_bytes(config: RunConfig) -> int:
    """Roughly the memory that one member of a stack needs in all."""
    return kept_bytes(config) + passing_bytes(config)


def kept_bytes(config: RunConfig) -> int:
    """What one agent keeps: its experience, and its parameters, Adam's moments, copies of them."""
    algo, space = config.algo, spaces(config.env, config.trainer.envs)[0]
    stacked, size = config.trainer.name == "stacked", flatdim(space)
    experience = ALGORITHMS[algo.name].experience(algo, _filled(config), size, number_bytes(config), stacked)
    return experience + 4 * 8 * _network(config, space)[1]


def _filled(config: RunConfig) -> Phases:
    """Phases as long as all experience that a run may hold: with what its agent has kept, if that is asked for."""
    phases, algo = phases_of(config), config.algo
    if config.init.replay == "empty" or not isinstance(algo, DQNConfig):
        return phases
    return replace(phases, env_steps=phases.env_steps + (config.init.timesteps or algo.buffer_size))


def passing_bytes(config: RunConfig) -> int:
    """What one agent's program needs for a moment: the outputs of its layers in a gradient step or a rollout."""
    algo, space = config.algo, spaces(config.env, config.trainer.envs)[0]
    rows = PASSES * algo.batch_size
    if isinstance(algo, PPOConfig) and (config.trainer.name == "sb3" or len(space.shape or ()) < 3):
        rows = max(rows, 2 * algo.n_steps * algo.n_envs)  # of two layers at a time; stacks take images in parts
    return 4 * rows * _network(config, space)[0]


def measuring_bytes(config: RunConfig) -> int:
    """What `diagnostics=full` needs for a moment to measure one agent; 0 of basic."""
    if config.diagnostics == "basic":
        return 0
    outputs, parameters = _network(config, spaces(config.env, config.trainer.envs)[0])
    return 8 * VECTORS * parameters + 4 * PASSES * PROBE * outputs


def number_bytes(config: RunConfig) -> int:
    """Bytes in which experience holds a number of an observation: their own where they take one, else four."""
    dtype = spaces(config.env, config.trainer.envs)[0].dtype
    seen = config.algo.normalize and config.algo.name == "ppo"
    return 1 if dtype is not None and dtype.itemsize == 1 and not seen else 4


def group_bytes(group: Group) -> int:
    """What the process of a group needs at most, on the device of its runs."""
    first = group[0]
    members = padded_size(len(group), first.device) if first.trainer.name == "stacked" else 1
    at_once = min(members, CHUNK) if first.device == "cpu" else members
    process = PROCESS[first.trainer.name] if first.device == "cpu" else 0
    passing = max(
        at_once * passing_bytes(first), min(members, measured_at_once(first.device)) * measuring_bytes(first)
    )
    compiling = COMPILING if first.trainer.name == "stacked" and first.trainer.compile is not False else 0
    return process + max(compiling, passing) + members * kept_bytes(first)


def checkpoint_bytes(config: RunConfig) -> int:
    """What the checkpoint of a run takes on disk at most: a replay buffer, three times the parameters, actions."""
    kept = kept_bytes(config) if config.algo.name == "dqn" else 0
    parameters = _network(config, spaces(config.env, config.trainer.envs)[0])[1]
    return kept + 4 * 3 * parameters + phases_of(config).env_steps


def memory_words(groups: Sequence[Group], processes: int) -> list[str]:
    """What a plan says of the memory and the disk that groups need while `processes` of them train."""
    if not groups:
        return []
    largest, first = _largest(groups, processes), groups[0][0]
    needed, disk = sum(map(group_bytes, largest)), sum(checkpoint_bytes(run) for group in largest for run in group)
    folder = Path(first.runs_dir).absolute()
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    sizes = " and ".join([*(f"{len(group)}" for group in largest[:3]), *(["more"] if len(largest) > 3 else [])])
    lines = [
        f"memory: up to {megabytes(needed)} of {megabytes(memory_bytes(first.device))} ({len(largest)} at a time, "
        f"of {sizes} {'run' if sizes == '1' else 'runs'}), and {megabytes(disk)} of disk for checkpoints"
    ]
    if disk > free:
        lines.append(f"the disk of {folder} has {megabytes(free)} left: make room, or use another runs_dir")
    return lines


def check_fits(groups: Sequence[Group], processes: int, asked: str) -> None:
    """Refuse groups that need more than there is while `processes` of them train.

    Args:
        asked: the settings that decide how many runs are trained at once, as a person may change them.

    Raises:
        ConfigError: with the numbers and the way out.
    """
    largest = _largest(groups, processes)
    needed = sum(map(group_bytes, largest))
    if not largest or needed <= (there := memory_bytes(largest[0][0].device)):
        return
    first, runs = largest[0][0], sum(map(len, largest))
    buffer = getattr(first.algo, "buffer_size", None)
    fewer = f", or a smaller replay buffer than algo.buffer_size={buffer}" if buffer is not None else ""
    single = [replace(first, trainer=replace(first.trainer, name="sb3", envs=None))]
    if first.trainer.name == "stacked" and group_bytes(single) < group_bytes([first]):
        fewer += f", or trainer=sb3, of which a run needs {megabytes(group_bytes(single))}"
    raise ConfigError(
        f"{counted(runs, 'run')} of {first.algo.name} on {first.env.name} at a time need {megabytes(needed)} of "
        f"memory, {megabytes(member_bytes(first))} each, and there are {megabytes(there)}; use {asked}{fewer}"
    )


def _largest(groups: Sequence[Group], processes: int) -> list[Group]:
    """The groups that need most, as many as are trained at a time."""
    return sorted(groups, key=group_bytes, reverse=True)[:processes]


def _network(config: RunConfig, space: Space[Any]) -> tuple[int, int]:
    """Outputs of all layers for one observation, itself included, and parameters; PPO has two towers."""
    algo, size = config.algo, flatdim(space)
    outputs, parameters, features = _extractor(algo.extractor, space.shape or (), size)
    towers = 2 if algo.name == "ppo" else 1
    widths = [features, *algo.net_arch]
    parameters += towers * sum(a * b for a, b in pairwise([*widths, 1]))
    return size + outputs + towers * sum(algo.net_arch) * (2 if algo.layer_norm else 1), parameters


def _extractor(name: str, shape: tuple[int, ...], size: int) -> tuple[int, int, int]:
    """Outputs of all layers in front of `net_arch`, their parameters, and how many features they give."""
    if name == "flatten":
        return 0, 0, size
    channels, side = min(shape), max(shape)
    small = ((16, 3, 1),)
    outputs = parameters = 0
    for filters, kernel, stride in small if name == "small_cnn" else ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
        parameters += filters * channels * kernel**2
        side, channels = (side - kernel) // stride + 1, filters
        outputs += channels * side**2
    features = 128 if name == "small_cnn" else 512
    return outputs + features, parameters + channels * side**2 * features, features
