"""The folder conf/, and whether a run's environment is one that it describes."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rl_warmup.config.schema import EnvConfig, RunConfig, declared

_MADE_BY = ("module", "kwargs", "wrappers", "training_wrappers")
CONSTANTS = ("return_floor", "return_low", "return_high", "threshold", "reward_max")
"""What conf/env/ says of an environment's returns."""


def conf_dir() -> Path:
    """Folder of the YAML files: inside the package where it was installed as a wheel, else beside it."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


@cache
def known_envs() -> dict[str, dict[str, Any]]:
    """The environments of conf/env/ by name."""
    return {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((conf_dir() / "env").glob("*.yaml"))
    }


def borrowed_env(name: str, env_id: str) -> str | None:
    """The environment whose name and constants another `env.id` was given; None where they are its own."""
    known = str(known_envs().get(name, {"id": env_id})["id"])
    return None if known == env_id else known


def changed_env(env: EnvConfig) -> str | None:
    """What Gymnasium alone is told of an environment, as on the command line; None if EnvPool is told its like."""
    known = known_envs().get(env.name)
    if known is None and env.envpool:
        return None
    for name, default, _ in declared(EnvConfig):
        value = getattr(env, name)
        if name in _MADE_BY and value != (known or {}).get(name, default):
            return f"env.{name}={value}"
    return None


def hyperparameters(config: RunConfig) -> str:
    """Where the hyperparameters of a run come from that were not given."""
    return "Stable-Baselines3's defaults" if config.tuned_learning_rate is None else "published"


def notes_on(configs: Iterable[RunConfig]) -> list[str]:
    """What a plan says of its environments: which borrow constants, which lack hyperparameters; each once."""
    lines = (line for config in configs for line in (*_borrowed(config), *_untuned(config)))
    return list(dict.fromkeys(lines))


def _untuned(config: RunConfig) -> list[str]:
    if config.tuned_learning_rate is not None:
        return []
    return [untuned_words(config.env.name, config.algo.name)]


def untuned_words(name: str, algo: str) -> str:
    """That an algorithm has no published hyperparameters for an environment."""
    return (
        f"{name} has no published hyperparameters for {algo}: what is not given is Stable-Baselines3's default; "
        f"for better ones write tuned/{algo}/<env>.yaml (docs/environments.md)"
    )


def _borrowed(config: RunConfig) -> list[str]:
    env = config.env
    if known := borrowed_env(env.name, env.id):
        return [borrowed_words(env.name, env.id, known, "is")]
    lines = []
    for other in known_envs().values():
        kept = [f"env.{key}={other[key]}" for key in CONSTANTS if getattr(env, key) == other.get(key) is not None]
        # the return of a random policy is measured: no two environments share it by chance
        if other["id"] != env.id and env.return_low == other.get("return_low") is not None:
            lines.append(f"{env.id} is trained with {', '.join(kept)} of {other['id']}: give it its own")
    return lines


def borrowed_words(name: str, env_id: str, known: str, verb: str = "was") -> str:
    """That `env_id` is scored by the constants of `known`, and what to give it instead."""
    return (
        f"{env_id} {verb} trained as env={name}, which is {known}: give it an env.name, env.return_floor, "
        "env.return_low, env.return_high, env.threshold, env.reward_max and learning_rate of its own"
    )
