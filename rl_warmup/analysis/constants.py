"""The constants by which a study is scored: its records', or what the report is given for them; what is lacking."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.metrics.curve import normalise
from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.config import constants
from rl_warmup.config.conf import known_envs
from rl_warmup.config.constants import BOUNDS, CONSTANTS, Env
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.words import first_line

DEEPEST = -1.0  # normalized return below which a floor that nobody declared would let single runs decide a mean


@dataclass(frozen=True)
class Given:
    """Constants of an environment from elsewhere than the records."""

    env: Env
    source: str  # as a person would give it


def given(text: str) -> Given:
    """The constants of an environment's YAML file, or of one of conf/env/ by its name.

    Raises:
        ConfigError: if there is no such file, or what it holds cannot be used.
    """
    path, known = Path(text), known_envs()
    if not path.is_file():
        if text not in known:
            raise ConfigError(f"--env {text} is no file, and none of {', '.join(known)}")
        return Given(known[text], text)
    try:
        env = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"--env {text} cannot be read: {first_line(error)}") from error
    if not isinstance(env, dict) or not isinstance(env.get("id"), str):
        raise ConfigError(f"--env {text} does not describe an environment: it has no `id`")
    for key in CONSTANTS:
        value = env.get(key)
        if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value)):
            raise ConfigError(f"--env {text}: {key} is {value!r}; give a finite number, or null")
    try:
        constants.check_constants(env)
    except ConfigError as error:
        raise ConfigError(f"--env {text}: {error}") from error
    return Given(env, text)


def rescored(info: Mapping[str, Any], sources: Sequence[Given]) -> dict[str, Any]:
    """A run.json with the constants by which the run is to be scored.

    Those that `sources` have for its environment take the place of its own, which stay where they leave one null.
    Of constants that are another environment's none stays. Bounds that it lacks are those of conf/env/, where the
    environment is the same (`bounds_added`).

    `bounds` is what returns are clipped at. `floor` and `ceiling` of its `env` are the bounds that verdicts may
    rely on: the same, but no floor where only a return_floor below z = -1 is known.
    """
    env = dict(info["config"]["env"])
    known = info["borrowed_env"] if "borrowed_env" in info else constants.borrowed_env(env)
    if known:
        env |= dict.fromkeys(CONSTANTS)
    else:
        env |= _recorded_bounds(info)
    source = None
    for one in sources:
        if constants.same_env(env, one.env):
            env |= {key: one.env[key] for key in CONSTANTS if one.env.get(key) is not None}
            source = one.source
    added = {} if known else _bounds_of_conf(env)
    bounds = constants.bounds_of(env | added)
    env |= bounds if _deep(env | added) is None else bounds | {"floor": None}
    new = {"borrowed_env": known, "bounds": bounds, "bounds_added": added, "constants_from": source}
    return {**info, "config": {**info["config"], "env": env}, **new}


def _recorded_bounds(info: Mapping[str, Any]) -> dict[str, float | None]:
    """The bounds that a run was declared with; a floor that is no more than its return_floor was not."""
    found = dict(info.get("bounds") or {})
    declared = found.pop("floor_declared", found.get("floor") != info["config"]["env"].get("return_floor"))
    return {"floor": found.get("floor") if declared else None, "ceiling": found.get("ceiling")}


def _bounds_of_conf(env: dict[str, Any]) -> dict[str, float]:
    """The bounds of conf/env/ that a record of the same environment lacks, unless they contradict it."""
    known = known_envs().get(constants.known_as(env) or "", {})
    added = {key: float(known[key]) for key in BOUNDS if env.get(key) is None and known.get(key) is not None}
    try:
        constants.check_constants(env | added)
    except ConfigError:
        return {}
    return added


def _deep(env: Env) -> float | None:
    """The worst attainable return where it lies below z = -1 and no floor is declared above it."""
    floor, low, high = (env.get(key) for key in ("return_floor", "return_low", "return_high"))
    if env.get("floor") is not None or floor is None or low is None or high is None or low >= high:
        return None
    return float(floor) if normalise(floor, low, high) < DEEPEST else None


@dataclass(frozen=True)
class Scale:
    """How returns are normalized: by constants, or not at all where one for it is not known."""

    low: float
    high: float
    threshold: float  # in the unit of the scaled returns; the reference where none is given; nan: not known either
    normalized: bool
    z_min: float | None = None  # bounds of the scaled returns; None: not known
    z_max: float | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Scale":
        """That of runs with these settings, by dotted keys."""
        low, high = (settings.get(f"env.{key}") for key in ("return_low", "return_high"))
        normalized = low is not None and high is not None
        scale = (float(low or 0), float(high or 0)) if normalized else (0.0, 1.0)
        ends = (settings.get(f"env.{key}") for key in ("threshold", *BOUNDS))
        level, z_min, z_max = (None if end is None else float(normalise(end, *scale)) for end in ends)
        if level is None:
            level = 1.0 if normalized else math.nan
        return cls(*scale, level, normalized, z_min, z_max)

    def serves(self, metric: Metric) -> bool:
        """Whether a metric can be computed: whether what it needs is known."""
        lacking = {"reference": not self.normalized, "threshold": math.isnan(self.threshold)}
        return not any(lacking[need] for need in metric.needed)


def bounded(returns: FloatArray, bounds: Mapping[str, Any] | None) -> FloatArray:
    """Returns within the bounds of an environment, where it has some."""
    low, high = ((bounds or {}).get(end) for end in BOUNDS)
    return np.clip(returns, low, high) if low is not None or high is not None else returns
