"""The folder conf/, and whether a run's environment is one that it describes."""

from functools import cache
from pathlib import Path

import yaml


def conf_dir() -> Path:
    """Folder of the YAML files: inside the package where it was installed as a wheel, else beside it."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


@cache
def borrowed_env(name: str, env_id: str) -> str | None:
    """The environment whose name and constants another `env.id` was given; None where they are its own."""
    path = conf_dir() / "env" / f"{name}.yaml"
    known = str(yaml.safe_load(path.read_text())["id"]) if path.is_file() else env_id
    return None if known == env_id else known


def borrowed_words(name: str, env_id: str, known: str, verb: str = "was") -> str:
    """That `env_id` is scored by the constants of `known`, and what to give it instead."""
    return (
        f"{env_id} {verb} trained as env={name}, which is {known}: give it an env.name, env.return_floor, "
        "env.return_low, env.return_high, env.threshold, env.reward_max and learning_rate of its own"
    )
