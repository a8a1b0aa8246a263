"""With what, where and from which source a run was made."""

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("rl-warmup", "stable-baselines3", "gymnasium", "torch", "numpy", "hydra-core", "wandb", "polars")
OPTIONAL = ("envpool", "box2d", "minigrid", "minatar", "mujoco", "ale-py")
"""Packages of environments."""


@cache
def versions() -> dict[str, str]:
    """Version of Python and of every package that can change a result."""
    installed = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    for name in OPTIONAL:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed


@cache
def git_commit() -> str | None:
    """Commit of the checkout that the package runs from, `-dirty` behind it if it was changed; None elsewhere."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    # `git describe --dirty` would write the index, and leave it locked where the disk is full
    asked = (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    command = ["git", "--no-optional-locks", "-C", str(root)]
    try:
        commit, changes = (
            subprocess.run([*command, *what], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
            for what in asked
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-dirty" if changes else commit


@cache
def hardware(device: str) -> str:
    """What the run was trained on, e.g. `2 x AMD EPYC, 23 GiB`; on a GPU its name comes first."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{os.cpu_count()} x {_processor()}, {memory:.0f} GiB"
    if not device.startswith("cuda"):
        return machine
    import torch  # planning and analysis do without it

    if not torch.cuda.is_available():  # for a run that another machine was to train
        return machine
    return f"{torch.cuda.get_device_name(device)}; {machine}"


def command(hydra: Sequence[str], task: Sequence[str], flags: Sequence[str] = ()) -> str:
    """The command line that Hydra's overrides and `flags` came from, in one line.

    >>> command(["hydra.mode=MULTIRUN"], ["warmup=none,linear"], ["--config-dir", "my conf"])
    "python -m rl_warmup.run -m --config-dir 'my conf' warmup=none,linear"
    """
    modes = {"hydra.mode=MULTIRUN": ["-m"]}
    if "hydra.mode=RUN" not in sys.argv:  # Hydra adds it to every single run
        modes["hydra.mode=RUN"] = []
    switches = [flag for override in hydra for flag in modes.get(override, [])]  # argparse takes them first only
    words = [override for override in (*hydra, *task) if override not in modes]
    return " ".join(map(_quoted, ["python", "-m", "rl_warmup.run", *switches, *flags, *words]))


def _quoted(word: str) -> str:
    """A word of a command in a shell; with line breaks as in bash and zsh, since a command is a line."""
    if not re.search(r"[\n\r]", word):
        return shlex.quote(word)
    escaped = re.sub(r"[\\']", r"\\\g<0>", word).replace("\n", r"\n").replace("\r", r"\r")
    return f"$'{escaped}'"


def _processor() -> str:
    """Name of the processor; Linux keeps it from `platform`."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
