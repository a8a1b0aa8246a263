"""Which runs of a sweep are trained together, decided before training and without torch."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil

from rl_warmup.config.hardware import memory_bytes, visible_gpus
from rl_warmup.config.identity import identity, run_folder
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.checkpoints import start_of
from rl_warmup.run.launch.memory import group_bytes, member_bytes
from rl_warmup.status.states import read_state
from rl_warmup.trainers.stacked.sizes import CHUNK

WIDEST = {"cpu": 64, "cuda": 4096}
"""Members beyond which a stack gains nothing."""
RunGroup = tuple[RunConfig, ...]
"""Runs that one process trains: a stack, or a single run."""


def stack_key(config: RunConfig) -> str:
    """What runs (resolved) must share to be trained in one stack: all that is not `per_member`."""
    shared = identity(config, shared=True) | {"threads": config.threads, "compile": config.trainer.compile}
    return json.dumps(shared, sort_keys=True)


def plan_stacks(
    configs: Sequence[RunConfig],
    workers: int,
    width: Callable[[RunConfig], int],
    start: Callable[[RunConfig], tuple[int, ...]] = lambda run: (),
) -> list[RunGroup]:
    """The stacks of a sweep, in its order; a pure function of its arguments.

    Each group of runs with one `stack_key` and one `start` (how far they have come) is cut into as many stacks as
    keep all workers busy alike, none of them with more members than `width` says for the group, and all but the
    last of a group whole multiples of `CHUNK` where the width allows it.
    """
    groups: dict[tuple[str, tuple[int, ...]], list[RunConfig]] = {}
    for config in configs:
        groups.setdefault((stack_key(config), start(config)), []).append(config)
    return [stack for group in groups.values() for stack in _cut(group, workers, width(group[0]))]


def _cut(group: Sequence[RunConfig], workers: int, width: int) -> list[RunGroup]:
    unit = min(CHUNK, width)
    chunks = ceil(len(group) / unit)
    rounds = ceil(chunks / (width // unit * workers))  # of all workers at once
    count = min(chunks, rounds * workers)
    ends = [min(len(group), unit * ceil(chunks * i / count)) for i in range(count + 1)]
    return [tuple(group[first:last]) for first, last in pairwise(ends)]


def group_runs(configs: Sequence[RunConfig], workers: int, width: int | None, sharing: int) -> list[RunGroup]:
    """Which runs are trained together: those of Stable-Baselines3 each apart, the others in stacks.

    A run that failed, perhaps through a neighbour, gets few neighbours the next time, and none after that.

    Args:
        workers: groups that are trained at once.
        width: runs of a stack at most; None chooses by the memory.
        sharing: groups that share the memory of a machine.
    """

    def failures(config: RunConfig) -> int:
        return read_state(run_folder(config)).failures

    def at_most(first: RunConfig) -> int:
        chosen = 1 if first.trainer.name == "sb3" else width or default_width(first, sharing)
        failed = failures(first)
        return min(chosen, CHUNK if failed == 1 else 1) if failed else chosen

    return plan_stacks(configs, workers, at_most, lambda run: (*start_of(run_folder(run)), failures(run)))


def fitting(configs: Sequence[RunConfig], workers: int) -> int:
    """`workers`, or as many fewer as the memory has room for at a time, if each trains a single run."""
    kinds = {repr((run.env.id, run.trainer.name, run.algo, run.total_timesteps)): run for run in configs}
    single = max((group_bytes([run]) for run in kinds.values()), default=0)
    return max(1, min(workers, memory_bytes(configs[0].device) // single)) if single else workers


def check_counts(workers: int | None, width: int | None) -> None:
    """Refuse impossible numbers of processes and members.

    Raises:
        ConfigError: naming the setting and the way out.
    """
    for name, value in (("workers", workers), ("width", width)):
        if value is not None and value < 1:
            raise ConfigError(
                f"hydra.launcher.{name}={value} is too small; use 1 or more, or null to have it chosen"
            )


def default_width(config: RunConfig, workers: int) -> int:
    """Members of one stack: as many as are worth it and fit into half of the device's memory, `workers` at once.

    On a CPU never fewer than `CHUNK`: a smaller stack is filled up to it, and needs the same memory.
    """
    budget = memory_bytes(config.device) / 2 / ceil(workers / max(1, len(visible_gpus(config.device))))
    widest = min(WIDEST[config.device.partition(":")[0]], int(budget // member_bytes(config)))
    return widest // CHUNK * CHUNK or max(CHUNK if config.device == "cpu" else 1, widest)
