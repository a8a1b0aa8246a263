"""What a study declares: conditions that find arms, and contrasts, weighted sums of arms per seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rl_warmup.config.algorithms import recorded_phases
from rl_warmup.config.recorded import value_of
from rl_warmup.schedules.numbers import steps_of

EXAMPLE = (
    "{name: a - b, arms: [{weight: 1, where: {warmup.name: linear}}, {weight: -1, where: {warmup.name: none}}]}"
)


@dataclass(frozen=True)
class Contrast:
    """For each seed the sum of weight · metric over arms; the weights sum to 0."""

    name: str
    terms: tuple[tuple[float, Mapping[str, Any]], ...]  # weight, and by what the arm is found


def contrasts_of(declared: Any) -> tuple[Contrast, ...]:
    """The contrasts that a study declares, as its YAML holds them; None is none.

    Raises:
        ValueError: for anything but a list of a name and two or more arms, each with a weight and a `where`,
            for weights that do not sum to 0, and for a name that is there twice.
    """
    if declared is None:
        return ()
    if not isinstance(declared, list):
        raise ValueError(f"contrasts {declared!r} is not a list; give entries like {EXAMPLE}")
    found = tuple(_contrast(entry) for entry in declared)
    for contrast in found:
        if sum(other.name == contrast.name for other in found) > 1:
            raise ValueError(f"two contrasts are called {contrast.name!r}; give each its own name")
    return found


def check_conditions(control: Any, comparisons: Any) -> None:
    """Refuse conditions that cannot find arms.

    Raises:
        ValueError: unless the control is a mapping and comparisons are a list of mappings, or null.
    """
    if control is not None and not isinstance(control, dict):
        raise ValueError(f"control {control!r} is not a mapping of key to value")
    if comparisons is not None and not (
        isinstance(comparisons, list) and all(isinstance(wanted, dict) and wanted for wanted in comparisons)
    ):
        raise ValueError(f"comparisons {comparisons!r} is not a list of mappings")


def _contrast(entry: Any) -> Contrast:
    if not isinstance(entry, dict) or set(entry) != {"name", "arms"}:
        raise ValueError(f"the contrast {entry!r} is not a name and its arms; give one like {EXAMPLE}")
    name, arms = entry["name"], entry["arms"]
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"a contrast is called {name!r}; give it a name in words")
    if not isinstance(arms, list) or len(arms) < 2:
        raise ValueError(
            f"the contrast {name!r} has the arms {arms!r}; give two or more, each a weight and a where"
        )
    terms = tuple(_term(name, arm) for arm in arms)
    total = math.fsum(weight for weight, _ in terms)
    if abs(total) > 1e-9 * max(abs(weight) for weight, _ in terms):
        raise ValueError(f"the weights of the contrast {name!r} sum to {total:g}; make them sum to 0")
    return Contrast(name, terms)


def _term(name: str, arm: Any) -> tuple[float, Mapping[str, Any]]:
    if not isinstance(arm, dict) or set(arm) != {"weight", "where"}:
        raise ValueError(f"an arm of the contrast {name!r} is {arm!r}; give it a weight and a where, nothing else")
    weight, where = arm["weight"], arm["where"]
    usable = isinstance(weight, (int, float)) and not isinstance(weight, bool) and math.isfinite(weight) and weight
    if not usable:
        raise ValueError(f"an arm of the contrast {name!r} has the weight {weight!r}; give a number other than 0")
    if not isinstance(where, dict) or not where or not all(isinstance(key, str) for key in where):
        raise ValueError(
            f"an arm of the contrast {name!r} has the where {where!r}; give dotted keys and their values, "
            "like {warmup.name: linear}"
        )
    return float(weight), where


Conditions = Mapping[str, Any]  # dotted key of a resolved config -> the value it must have


def matches(conditions: Conditions, settings: Mapping[str, Any]) -> bool:
    """Whether a resolved config has all the values that are asked for.

    Args:
        conditions: a `warmup.length` below 1 is a fraction of the run, as on the command line.
        settings: by dotted keys.

    >>> matches({"warmup.name": "linear", "learning_rate": 1e-3}, {"warmup.name": "linear", "learning_rate": 0.001})
    True
    """
    return all(
        _same(value_of(settings, key), wanted) or (key == "warmup.length" and _same_length(settings, wanted))
        for key, wanted in conditions.items()
    )


def words(conditions: Conditions) -> str:
    """Conditions as they are written on the command line, e.g. `warmup.name=linear warmup.length=0.1`."""
    return " ".join(f"{key}={value}" for key, value in conditions.items())


def without_warmup(conditions: Conditions) -> dict[str, Any]:
    """The conditions on anything but the warmup: those that decide in which blocks they apply."""
    return {key: value for key, value in conditions.items() if not key.startswith("warmup.")}


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, (int, float)):
        try:
            return math.isclose(value, float(wanted), rel_tol=1e-9)  # YAML reads 1e-3 as a string
        except (TypeError, ValueError):
            return False
    return bool(value == wanted)


def _same_length(settings: Mapping[str, Any], wanted: Any) -> bool:
    """Whether a count of steps is this fraction of the run, rounded as the resolved config rounds it."""
    length, total = settings.get("warmup.length"), clock_total(settings)
    if not isinstance(wanted, float) or not 0 < wanted < 1 or length is None or total is None:
        return False
    return bool(length == steps_of(wanted, total))


def clock_total(settings: Mapping[str, Any]) -> int | None:
    """Length of the run on the clock of its warmup."""
    if settings.get("warmup.clock") == "env_steps":
        return int(settings["total_timesteps"])
    phases = recorded_phases(settings)
    return None if phases is None else phases.gradient_steps


NOT_IN_CELL = ("seed", "device")  # an arm may be trained on several devices; that is a problem, not an arm


def settings_of(info: Mapping[str, Any], dropped: Sequence[str] = NOT_IN_CELL) -> dict[str, Any]:
    """Resolved config of a run.json by dotted keys, with the warmup's name, without what is not set.

    Args:
        dropped: settings in which runs of one cell may differ.
    """
    config = {key: value for key, value in info["config"].items() if key not in dropped}
    found = flat({**config, "warmup": {**config["warmup"], **info["warmup"]}})
    return {key: value for key, value in found.items() if value is not None}


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, inner keys after a dot.

    >>> flat({"env": {"name": "cartpole"}, "seed": 0})
    {'env.name': 'cartpole', 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
