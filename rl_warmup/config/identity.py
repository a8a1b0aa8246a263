"""What a run is called: its canonical config, the label of its arm, and its id."""

import hashlib
import json
import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from rl_warmup.config.arm import Arm, begin_words
from rl_warmup.config.checks import require
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import NAME_BYTES, ConfigError, declared, is_short


def identity(config: object, shared: bool = False) -> dict[str, Any]:
    """The canonical resolved config: everything that decides what happens in the run, and nothing else.

    Args:
        config: a resolved `RunConfig`, or one of its groups.
        shared: whether to leave out what the members of one stack may differ in.
    """
    kept = {}  # `dataclasses.asdict` is five times slower, and a sweep has many runs
    for name, default, how in declared(type(config)):
        value = getattr(config, name)
        unsaid = how.identity == "never" or (how.identity == "changed" and value == default)
        if not unsaid and not (shared and how.per_member):
            plain = list(value) if isinstance(value, list) else value
            kept[name] = identity(value, shared) if is_dataclass(value) else plain
    return kept


def digest(canonical: dict[str, Any]) -> str:
    """Ten hexadecimal digits of the SHA-256 of a canonical config."""
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def arm_of(config: RunConfig) -> Arm:
    """The arm of a resolved config."""
    on_gradient_steps = config.warmup.clock == "gradient_steps"
    total = phases_of(config).gradient_steps if on_gradient_steps else config.total_timesteps
    rate, begin = require(config.learning_rate, "learning_rate"), begin_words(vars(config.init), config.env.physics)
    return Arm.of(vars(config.warmup), total, rate, config.schedule.name, begin)


def cell_label(config: RunConfig) -> str:
    """Arm, environment and algorithm: what all seeds of a cell share."""
    return f"{config.env.name} {config.algo.name} {arm_of(config).label}"


def run_id(config: RunConfig) -> str:
    """Folder name of a run: readable first, then a hash of its identity."""
    return file_name(f"{cell_label(config)} s{config.seed} {digest(identity(config))}")


def file_name(label: str) -> str:
    """A label as the name of a file.

    Raises:
        ConfigError: where it is too long for one.

    >>> file_name("linear-10% lr=0.001")
    'linear-10pct-lr0.001'
    """
    name = re.sub(r"[^\w.-]+", "-", label.replace("%", "pct").replace("=", ""))
    if not is_short(name):
        raise ConfigError(
            f"{name} is longer than the {NAME_BYTES} bytes of a file's name; use a shorter env.name or warmup.name"
        )
    return name


def study_folder(config: RunConfig) -> Path:
    """Where the runs of a study are."""
    return Path(config.runs_dir) / require(config.study.name, "study.name")


def run_folder(config: RunConfig) -> Path:
    """Where the record files of a run are."""
    return study_folder(config) / run_id(config)
