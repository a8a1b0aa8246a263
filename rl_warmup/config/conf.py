"""The folder conf/, and the environments that it describes."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rl_warmup.config.schema import RunConfig

DEFAULTS = "Stable-Baselines3's defaults"
"""What run.json says of hyperparameters that were neither published nor given."""


def conf_dir() -> Path:
    """Folder of the YAML files: inside the package where it was installed as a wheel, else beside it."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


@cache
def known_envs() -> dict[str, dict[str, Any]]:
    """The environments of conf/env/ by name; a file that leaves the id open describes none."""
    files = sorted((conf_dir() / "env").glob("*.yaml"))
    found = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    return {name: env for name, env in found.items() if env.get("id") not in (None, "???")}


def hyperparameters(config: RunConfig) -> str:
    """Where the hyperparameters of a run come from that were not given."""
    return DEFAULTS if config.tuned_learning_rate is None else "published"


def untuned_words(name: str, algo: str) -> str:
    """That an algorithm has no published hyperparameters for an environment."""
    return (
        f"{name} has no published hyperparameters for {algo}: what is not given is Stable-Baselines3's default; "
        f"for better ones write tuned/{algo}/<env>.yaml (docs/environments.md)"
    )
