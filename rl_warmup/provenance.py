"""With what, where and from which source a run was made."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("rl-warmup", "stable-baselines3", "gymnasium", "torch", "numpy", "hydra-core", "wandb", "polars")


def versions() -> dict[str, str]:
    """Version of Python and of every package that can change a result."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


@cache
def git_commit() -> str | None:
    """Commit of the checkout that the package runs from, `-dirty` behind it if it was changed; None elsewhere."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
