"""All metrics of a report: the built-in ones, then those that installed packages bring as entry points.

A package brings a metric by an entry point of the group `rl_warmup.metrics`: a `Metric`, or a function without
arguments that returns one. It is exploratory or descriptive: what decides a verdict is declared here only.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import get_args

from rl_warmup.analysis.metrics.table import METRICS, Metric, Role, Source
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.words import first_line

GROUP = "rl_warmup.metrics"
_CHOICES = {
    "role": ("exploratory", "descriptive"),
    "source": get_args(Source),
    "better": ("higher", "lower"),
    "binary": (True, False),
    "noise_floor": (True, False),
}


@cache
def metrics() -> Mapping[str, Metric]:
    """Every metric by its name, the built-in ones first.

    Raises:
        ConfigError: if an installed entry point is no usable metric.
    """
    found = dict(METRICS)
    for entry in sorted(set(entry_points(group=GROUP))):
        metric = _load(entry)
        if metric.name in found:
            raise _error(entry, f"there is a metric {metric.name} already; give it another name")
        found[metric.name] = metric
    return MappingProxyType(found)


def with_role(*roles: Role) -> list[Metric]:
    """The metrics that have one of these roles, in the order of the table."""
    return [metric for metric in metrics().values() if metric.role in roles]


def _load(entry: EntryPoint) -> Metric:
    """The metric of an entry point, its description with its dotted path."""
    try:
        found = entry.load()
        metric = found if isinstance(found, Metric) or not callable(found) else found()
    except Exception as error:  # whatever the package's own code raises
        raise _error(entry, f"{type(error).__name__}: {first_line(error)}") from error
    if not isinstance(metric, Metric):
        raise _error(entry, f"it gives {metric!r}; give a Metric, or a function that returns one")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", str(metric.name)):
        raise _error(entry, f"its name is {metric.name!r}; give small letters, digits and _")
    for field, choices in _CHOICES.items():
        value = getattr(metric, field)
        if value not in choices:
            raise _error(entry, f"its {field} is {value!r}; give {' or '.join(map(str, choices))}")
    if not callable(metric.function):
        raise _error(entry, f"its function {metric.function!r} cannot be called")
    if metric.within is not None and not callable(metric.within):
        raise _error(
            entry, f"its within {metric.within!r} cannot be called; give a function of both bounds, or None"
        )
    if metric.noise_floor and metric.source != "curve":
        raise _error(entry, f"it has a noise floor and the source {metric.source}; only curve has one")
    effect = metric.smallest_effect
    if effect is not None and not (isinstance(effect, (int, float)) and 0 < effect < float("inf")):
        raise _error(entry, f"its smallest_effect is {effect!r}; give a positive number, or None")
    return replace(metric, description=f"{metric.description} ({entry.module}.{entry.attr})")


def _error(entry: EntryPoint, why: str) -> ConfigError:
    return ConfigError(f"entry point {entry.name} = {entry.value} of {GROUP}: {why}")
