"""The folder conf/, and whether a run's environment is one that it describes."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rl_warmup.config.schema import RunConfig

CONSTANTS = ("return_floor", "return_low", "return_high", "threshold", "reward_max")
"""What conf/env/ says of an environment's returns."""


def conf_dir() -> Path:
    """Folder of the YAML files: inside the package where it was installed as a wheel, else beside it."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


@cache
def _known_envs() -> dict[str, dict[str, Any]]:
    """The environments of conf/env/ by name."""
    return {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((conf_dir() / "env").glob("*.yaml"))
    }


def borrowed_env(name: str, env_id: str) -> str | None:
    """The environment whose name and constants another `env.id` was given; None where they are its own."""
    known = str(_known_envs().get(name, {"id": env_id})["id"])
    return None if known == env_id else known


def borrowed(configs: Iterable[RunConfig]) -> list[str]:
    """Which environments are to be scored by the constants of another, each once."""
    return list(dict.fromkeys(line for config in configs for line in _borrowed(config)))


def _borrowed(config: RunConfig) -> list[str]:
    env = config.env
    if known := borrowed_env(env.name, env.id):
        return [borrowed_words(env.name, env.id, known, "is")]
    lines = []
    for other in _known_envs().values():
        kept = [f"env.{key}={other[key]}" for key in CONSTANTS if getattr(env, key) == other.get(key)]
        # the return of a random policy is measured: no two environments share it by chance
        if other["id"] != env.id and env.return_low == other["return_low"]:
            lines.append(f"{env.id} is trained with {', '.join(kept)} of {other['id']}: give it its own")
    return lines


def borrowed_words(name: str, env_id: str, known: str, verb: str = "was") -> str:
    """That `env_id` is scored by the constants of `known`, and what to give it instead."""
    return (
        f"{env_id} {verb} trained as env={name}, which is {known}: give it an env.name, env.return_floor, "
        "env.return_low, env.return_high, env.threshold, env.reward_max and learning_rate of its own"
    )
