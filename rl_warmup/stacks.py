"""Which runs of a sweep are trained together, decided before training and without torch."""

import json
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil, prod
from pathlib import Path

from rl_warmup.config import ConfigError, DQNConfig, PPOConfig, RunConfig
from rl_warmup.envs import spaces
from rl_warmup.identity import identity
from rl_warmup.resolve import plan_of

CHUNK = 4
"""Members that one program updates at once on a CPU, so that their parameters and activations stay in its cache;
stacks are filled up to multiples of it."""
GPU_SIZES = tuple(sorted({CHUNK * part * 2**k for part in (1, 3) for k in range(11)}))
"""Members that one program updates on a GPU, all of a stack; a third of them at most only fill it up."""
WIDEST = {"cpu": 64, "cuda": 4096}
"""Members beyond which a stack gains nothing."""
OF_A_GPU = 16 * 2**30
"""Bytes that a GPU is taken to have where another machine has it."""
ENVS_OF_A_THREAD = 64
"""Environments from which a further thread of EnvPool pays for itself."""
OF_A_MEMBER = (  # what the members of a stack may differ in: values in its programs, where all else is their shape
    "seed",
    "learning_rate",
    "warmup",
    "schedule",
    "algo.optimizer",
    "algo.clip_range",
    "algo.clip_range_schedule",
    "algo.max_grad_norm",
    "algo.gamma",
    "algo.ent_coef",
    "algo.vf_coef",
)

Stack = tuple[RunConfig, ...]


def stack_key(config: RunConfig) -> str:
    """What runs (resolved) must share to be trained in one stack: the identity without `OF_A_MEMBER`."""
    canonical = identity(config) | {"threads": config.threads, "compile": config.trainer.compile}
    for key in OF_A_MEMBER:
        group, _, name = key.rpartition(".")
        (canonical[group] if group else canonical).pop(name, None)
    return json.dumps(canonical, sort_keys=True)


def plan_stacks(
    configs: Sequence[RunConfig],
    workers: int,
    width: Callable[[RunConfig], int],
    start: Callable[[RunConfig], tuple[int, ...]] = lambda run: (),
) -> list[Stack]:
    """The stacks of a sweep, in its order; a pure function of its arguments.

    Each group of runs with one `stack_key` and one `start` (how far they have come) is cut into as many stacks as
    keep all workers busy alike, none of them with more members than `width` says for the group, and all but the
    last of a group whole multiples of `CHUNK` where the width allows it.
    """
    groups: dict[tuple[str, tuple[int, ...]], list[RunConfig]] = {}
    for config in configs:
        groups.setdefault((stack_key(config), start(config)), []).append(config)
    return [stack for group in groups.values() for stack in _cut(group, workers, width(group[0]))]


def _cut(group: Sequence[RunConfig], workers: int, width: int) -> list[Stack]:
    unit = min(CHUNK, width)
    chunks = ceil(len(group) / unit)
    rounds = ceil(chunks / (width // unit * workers))  # of all workers at once
    count = min(chunks, rounds * workers)
    ends = [min(len(group), unit * ceil(chunks * i / count)) for i in range(count + 1)]
    return [tuple(group[first:last]) for first, last in pairwise(ends)]


def filled_up(members: int, device: str) -> int:
    """Members that a stack of so many is filled up to, so that few programs serve all sweeps.

    >>> filled_up(5, "cpu"), filled_up(50, "cpu"), filled_up(50, "cuda:0")
    (8, 52, 64)
    """
    whole = -(-members // CHUNK) * CHUNK
    return whole if device == "cpu" else next((size for size in GPU_SIZES if size >= members), whole)


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


def default_workers(config: RunConfig) -> int:
    """Processes that train side by side: as many as the cores have room for, or one for every GPU."""
    if config.device.startswith("cuda"):
        return max(1, len(visible_gpus(config.device)))
    return max(1, cores() // config.threads)


def cores() -> int:
    """Cores that this process may use: of its affinity, and by the quota of its control group."""
    from joblib import cpu_count  # late: what only reads records does without

    return int(cpu_count())


def env_threads(device: str, envs: int) -> int:
    """Threads that step a stack's environments: beside a GPU the cores have little else to do."""
    return 1 if device == "cpu" else min(cores(), 1 + envs // ENVS_OF_A_THREAD)


def visible_gpus(device: str) -> list[str]:
    """The GPUs that processes take in turn, as CUDA_VISIBLE_DEVICES names them; none if `device` is a certain one.

    `auto` and `cuda` were resolved to cuda:0, the first that a process sees.
    """
    if device != "cuda:0":
        return []
    import torch  # only where there is a GPU to ask

    count, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return (named.split(",") if named else [str(number) for number in range(count)])[:count]


def default_width(config: RunConfig, workers: int) -> int:
    """Members of one stack: as many as are worth it and fit into half of the device's memory, `workers` at once."""
    budget = _memory(config.device) / 2 / ceil(workers / max(1, len(visible_gpus(config.device))))
    widest = min(WIDEST[config.device.partition(":")[0]], int(budget // member_bytes(config)))
    return max(1, widest // CHUNK * CHUNK or widest)


def member_bytes(config: RunConfig) -> int:
    """Roughly the memory that one member needs: its experience, parameters, and the activations of a minibatch."""
    algo, plan = config.algo, plan_of(config)
    size = prod(spaces(config.env.id, config.trainer.envs)[0].shape or (1,))
    widths = [size, *algo.net_arch]
    parameters = 2 * sum(a * b for a, b in pairwise([*widths, 1]))
    activations = 8 * algo.batch_size * sum(widths)
    if isinstance(algo, PPOConfig):
        # Observations twice, a handful of numbers, and the orders of the epochs with the words they are drawn from.
        experience = algo.n_steps * algo.n_envs * (2 * size + 16 + 6 * algo.n_epochs)
    else:
        assert isinstance(algo, DQNConfig)
        drawn = 6 * int(plan.n_steps.max()) * algo.batch_size
        experience = min(algo.buffer_size, plan.env_steps) * (2 * size + 3) + drawn
    return 4 * (experience + 8 * parameters + activations)


def _memory(device: str) -> int:
    """Bytes of the device; of this machine also no more than the control group allows."""
    if device.startswith("cuda"):
        import torch  # only where there is a GPU to ask

        if not torch.cuda.is_available():  # another machine has it
            return OF_A_GPU
        return int(torch.cuda.get_device_properties(device).total_memory)
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory/memory.limit_in_bytes")]
    allowed = [limit.read_text().strip() for limit in limits if limit.exists()]
    return min([physical, *(int(text) for text in allowed if text.isdigit())])
