"""The device, cores and memory that a run may use; found without torch where that is possible."""

import os
import re
from pathlib import Path

from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError

ASSUMED_GPU_BYTES = 16 * 2**30  # that a GPU is taken to have where another machine has it


def resolved_device(device: str, elsewhere: bool) -> str:
    """The device that `auto` or `cuda` stands for.

    Args:
        elsewhere: whether another machine trains; a CUDA device need not be here then.

    Raises:
        ConfigError: for what is no device, and for a CUDA device that is not here.
    """
    if device == "cpu":
        return device
    if device != "auto" and not re.fullmatch(r"cuda(:\d+)?", device):
        raise ConfigError(f"device={device} is not a device; use auto, cpu, cuda or cuda:N")
    index = int(device.partition(":")[2] or 0)
    if elsewhere and device != "auto":
        return f"cuda:{index}"
    import torch  # takes a second to import: only where the answer depends on it

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda:0" if found else "cpu"
    if index >= found:
        raise ConfigError(f"device={device}: torch finds {found} CUDA devices here; use device=auto or device=cpu")
    return f"cuda:{index}"


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
    return 1 if device == "cpu" else min(cores(), 1 + envs // 64)  # from 64 on another one pays for itself


def visible_gpus(device: str) -> list[str]:
    """The GPUs for processes, as CUDA_VISIBLE_DEVICES names them; none if `device` is a certain one."""
    if device != "cuda:0":  # what `auto` and `cuda` are resolved to, the first that a process sees
        return []
    import torch  # only where there is a GPU to ask

    count, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return (named.split(",") if named else [str(number) for number in range(count)])[:count]


def memory_bytes(device: str) -> int:
    """Bytes of the device; of this machine also no more than the control group allows."""
    if device.startswith("cuda"):
        import torch  # only where there is a GPU to ask

        if not torch.cuda.is_available():  # another machine has it
            return ASSUMED_GPU_BYTES
        return int(torch.cuda.get_device_properties(device).total_memory)
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory/memory.limit_in_bytes")]
    allowed = [limit.read_text(encoding="utf-8").strip() for limit in limits if limit.exists()]
    return min([physical, *(int(text) for text in allowed if text.isdigit())])
