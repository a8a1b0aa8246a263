"""Shapes and base schedules of the user's own package: found by their dotted path, checked like built-in ones."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from rl_warmup.schedules.numbers import Array

_GRID = np.linspace(0, 1, 1001)


@lru_cache
def custom_ramp(path: str) -> Callable[[Array], Array]:
    """The function g(x) at a dotted path, x the share of the warmup done, both in [0, 1].

    Raises:
        ValueError: unless it can be imported, takes arrays, stays in [0, 1], never falls, and is exactly 1 at 1.
    """
    ramp = _function(path, "warmup shape")
    values = ramp(_GRID)
    _refuse(path, "falls", np.diff(values) < 0, values)
    if values[-1] != 1:
        raise ValueError(f"{path} does not reach the base: it is {values[-1]!r} at x = 1; make it exactly 1 there")
    return ramp


@lru_cache
def custom_base(path: str) -> Callable[[Array], Array]:
    """The function at a dotted path that gives the share of the peak at p, the share of the run done.

    Raises:
        ValueError: unless it can be imported, takes arrays, stays in [0, 1], never rises, and is exactly 1 at 0.
    """
    base = _function(path, "base schedule")
    values = base(_GRID)
    _refuse(path, "rises", np.diff(values) > 0, values)
    if values[0] != 1:
        raise ValueError(
            f"{path} does not begin at the peak: it is {values[0]!r} at p = 0; make it exactly 1 there"
        )
    return base


def _function(path: str, what: str) -> Callable[[Array], Array]:
    """The function at `path`, for arrays of any shape, once it has been tried on [0, 1]."""
    module, _, name = path.rpartition(".")
    try:
        target: Any = getattr(import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise ValueError(
            f"no {what} {path!r} ({error}): give the dotted path of a function, like my_package.my_function, in a "
            "package that is installed or in a folder of PYTHONPATH"
        ) from error
    if not callable(target):
        raise ValueError(f"{path} is a {type(target).__name__}: give the dotted path of a function of an array")

    def function(x: Array) -> Array:
        return np.asarray(target(x.ravel()), dtype=np.float64).reshape(x.shape)

    try:
        values = function(_GRID)
    except Exception as error:
        raise ValueError(
            f"{path} does not map an array of {_GRID.size} numbers in [0, 1] to as many numbers: {error}"
        ) from error
    _refuse(path, "leaves [0, 1]", ~((values >= 0) & (values <= 1)), values)
    return function


def _refuse(path: str, what: str, wrong: Any, values: Array) -> None:
    """Refuse a function that does at some point of the grid what it must not."""
    if wrong.any():
        at = int(np.argmax(wrong))
        near = ", ".join(f"{value:g}" for value in values[at : at + 2])
        raise ValueError(f"{path} {what}: at {_GRID[at]:g} it is {near}; a built-in one never does")
