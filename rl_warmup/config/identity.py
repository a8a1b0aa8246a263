"""What a run is called: its canonical config, the label of its arm, and its id."""

import hashlib
import json
import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from rl_warmup.config.arm import Arm
from rl_warmup.config.checks import require
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig, declared
from rl_warmup.schedules.warmups import shape_of


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


def warmup_label(config: RunConfig) -> str:
    """The warmup in words, e.g. `linear-10%-gradient_steps`; only what differs from its shape's defaults."""
    warmup = config.warmup
    if warmup.shape == "none":
        return warmup.name
    shape, word = shape_of(warmup.target or warmup.shape), (warmup.target or warmup.shape).rpartition(".")[2]
    parts = [warmup.name] if word in warmup.name else [warmup.name, word]
    own = {key: getattr(warmup, key) for key in shape.own}
    parts += [f"{key}{value:g}" for key, value in own.items() if value not in (None, shape.own[key])]
    if warmup.length is not None and not shape.by_beta2:
        gradient_clock = warmup.clock == "gradient_steps"
        total = phases_of(config).gradient_steps if gradient_clock else config.total_timesteps
        parts += [_share(int(warmup.length), total or 1), str(warmup.clock)]
    if warmup.start not in (None, shape.start):
        parts.append(f"start{warmup.start:g}")
    return "-".join(parts)


def arm_label(config: RunConfig) -> str:
    """The canonical readable label of a run's arm, e.g. `linear-10%-gradient_steps lr=0.001 constant`."""
    return Arm(warmup_label(config), require(config.learning_rate, "learning_rate"), config.schedule.name).label


def cell_label(config: RunConfig) -> str:
    """Arm, environment and algorithm: what all seeds of a cell share."""
    return f"{config.env.name} {config.algo.name} {arm_label(config)}"


def run_id(config: RunConfig) -> str:
    """Folder name of a run: readable first, then a hash of its identity."""
    return file_name(f"{cell_label(config)} s{config.seed} {digest(identity(config))}")


def file_name(label: str) -> str:
    """A label as the name of a file.

    >>> file_name("linear-10% lr=0.001")
    'linear-10pct-lr0.001'
    """
    return re.sub(r"[^\w.-]+", "-", label.replace("%", "pct").replace("=", ""))


def _share(count: int, total: int) -> str:
    """`count` of `total` as the roundest percentage that rounds back to it, else as a count."""
    for step in (10, 5, 1, 0.5, 0.1, 0.05, 0.01):
        percent = step * round(100 * count / total / step)
        if percent and round(percent / 100 * total) == count:
            return f"{percent:g}%"
    return str(count)


def study_folder(config: RunConfig) -> Path:
    """Where the runs of a study are."""
    return Path(config.runs_dir) / require(config.study.name, "study.name")


def run_folder(config: RunConfig) -> Path:
    """Where the record files of a run are."""
    return study_folder(config) / run_id(config)
