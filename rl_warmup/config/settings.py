"""How a setting is declared: its bound, its part in the identity, and who may differ in it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import MISSING as UNSET
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal


class ConfigError(ValueError):
    """A setting that cannot be used; the message says what, which value, and what to do."""


@dataclass(frozen=True)
class Bound:
    """A condition on the value of a setting, and what is wrong with a value that does not meet it."""

    holds: Callable[[Any], Any]
    refusal: str


def least(value: int) -> Bound:
    """From `value` on."""
    return Bound(lambda given: given >= value, f"is too small; use {value} or more")


def one_of(*choices: str) -> Bound:
    """Any of `choices`."""
    return Bound(choices.__contains__, f"is not known; use one of: {', '.join(choices)}")


FINITE = Bound(math.isfinite, "is not usable; use a finite number")
POSITIVE = Bound(lambda given: math.isfinite(given) and given > 0, "is not usable; use a finite number above 0")
NOT_NEGATIVE = Bound(
    lambda given: math.isfinite(given) and given >= 0, "is not usable; use a finite number from 0 on"
)
SHARE = Bound(lambda given: 0 <= given <= 1, "is not a share; use a value from 0 to 1")
BELOW_ONE = Bound(lambda given: 0 <= given < 1, "is not usable; use a value from 0 to below 1")
NAME_BYTES = 255  # of the name of a file or folder at most


@dataclass(frozen=True)
class Setting:
    """What is declared of a setting, beside its name, type and default."""

    bound: Bound | None = None  # on a value other than None
    identity: Literal["always", "changed", "never"] = "always"  # changed: where it does not have its default
    per_member: bool = False  # members of one stack may differ in it: a value in its programs, not their shape
    sweepable: bool = True  # runs of one sweep may differ in it


def is_short(name: str) -> bool:
    """Whether file systems take a name of this length."""
    return len(name.encode(errors="replace")) <= NAME_BYTES


def setting(default: Any, bound: Bound | None = None, **how: Any) -> Any:
    """A field of a config.

    Args:
        default: a value, or a class or function that makes it.
        how: the other fields of `Setting`.
    """
    metadata = {"setting": Setting(bound, **how)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


declared: Callable[[type], tuple[tuple[str, Any, Setting], ...]] = cache(
    lambda kind: tuple(
        (
            one.name,
            one.default if one.default_factory is UNSET else one.default_factory(),
            one.metadata.get("setting", Setting()),
        )
        for one in fields(kind)
    )
)
"""Name, default and declaration of each setting of a class of settings, in their order."""


def leaves(group: object, path: str = "") -> Iterator[tuple[str, Any, Setting]]:
    """Dotted key, value and declaration of every setting of a config and of its groups."""
    for name, _, how in declared(type(group)):
        value = getattr(group, name)
        if is_dataclass(value):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value, how
