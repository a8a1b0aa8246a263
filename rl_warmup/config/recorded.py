"""The settings of a run from its config.yaml, whichever version wrote it."""

from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, TypeVar, get_type_hints

from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.schema import AlgoConfig, RunConfig
from rl_warmup.config.settings import declared, leaves

Settings = TypeVar("Settings")


def recorded(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """A group of settings: what the record lacks has its default, and what is unknown today is left out.

    Raises:
        TypeError: if the record lacks what has no default.
    """
    types, given = get_type_hints(kind), {}
    for name, _, _ in declared(kind):
        if name in values:
            value = values[name]
            given[name] = recorded(types[name], value) if is_dataclass(types[name]) else value
    return kind(**given)


def value_of(settings: Mapping[str, Any], key: str) -> Any:
    """A setting of a canonical config (by dotted keys), which leaves out some where they have their default."""
    return settings.get(key, _unsaid(settings.get("algo.name")).get(key))


@cache
def _unsaid(algo: str | None) -> Mapping[str, Any]:
    """The defaults that a canonical config leaves out."""
    algorithm = ALGORITHMS.get(str(algo))
    config = RunConfig() if algorithm is None else RunConfig(algo=algorithm.config())
    return {key: value for key, value, how in leaves(config) if how.identity == "changed"}


def recorded_algo(values: Mapping[str, Any]) -> AlgoConfig:
    """The settings of the algorithm, which `algo.name` says."""
    return recorded(ALGORITHMS[values["name"]].config, values)
