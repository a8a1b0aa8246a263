"""What a run is called: its canonical config, the label of its arm, and its id."""

import hashlib
import json
import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.schedules.warmups import DEFAULT_START

# What does not decide what happens in a run, or only repeats what another field says.
NOT_IDENTITY = (
    "runs_dir",
    "tracking",
    "study",
    "threads",
    "tuned_learning_rate",
    "learning_rate_scale",
    "retries",
    "plan_only",
)


def identity(config: RunConfig) -> dict[str, Any]:
    """The canonical resolved config: everything that decides what happens in the run, and nothing else."""
    canonical = {key: _plain(value) for key, value in vars(config).items() if key not in NOT_IDENTITY}
    for group, ignored in (("warmup", "name"), ("trainer", "compile")):
        canonical[group] = {
            key: value for key, value in canonical[group].items() if key != ignored and value is not None
        }
    if canonical["algo"]["extractor"] == "flatten":  # the only one there was when the first ids were given
        del canonical["algo"]["extractor"]
    return canonical


def digest(canonical: dict[str, Any]) -> str:
    """Ten hexadecimal digits of the SHA-256 of a canonical config."""
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def warmup_label(config: RunConfig) -> str:
    """The warmup in words, e.g. `linear-10%-gradient_steps`; only what differs from its shape's defaults."""
    warmup = config.warmup
    parts = [warmup.name]
    if warmup.shape not in warmup.name:
        parts.append(warmup.shape)
    if warmup.power not in (None, 2.0):
        parts.append(f"power{warmup.power:g}")
    if warmup.length is not None and warmup.shape != "untuned_linear":
        gradient_clock = warmup.clock == "gradient_steps"
        total = phases_of(config).gradient_steps if gradient_clock else config.total_timesteps
        parts.append(_share(int(warmup.length), total or 1))
        parts.append(str(warmup.clock))
    if warmup.start is not None and warmup.start != DEFAULT_START[warmup.shape]:
        parts.append(f"start{warmup.start:g}")
    return "-".join(parts)


def arm_label(config: RunConfig) -> str:
    """The canonical readable label of a run's arm, e.g. `linear-10%-gradient_steps lr=0.001 constant`."""
    return f"{warmup_label(config)} lr={config.learning_rate:.4g} {config.schedule.name}"


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


def _plain(value: Any) -> Any:
    """A config as dictionaries; `dataclasses.asdict` is five times slower, and a sweep has many runs."""
    if is_dataclass(value):
        return {key: _plain(inner) for key, inner in vars(value).items()}
    return list(value) if isinstance(value, list) else value


def _share(count: int, total: int) -> str:
    """`count` of `total` as the roundest percentage that rounds back to it, else as a count."""
    for step in (10, 5, 1, 0.5, 0.1, 0.05, 0.01):
        percent = step * round(100 * count / total / step)
        if percent and round(percent / 100 * total) == count:
            return f"{percent:g}%"
    return str(count)


def study_folder(config: RunConfig) -> Path:
    """Where the runs of a study are."""
    assert config.study.name is not None
    return Path(config.runs_dir) / config.study.name


def run_folder(config: RunConfig) -> Path:
    """Where the record files of a run are."""
    return study_folder(config) / run_id(config)
