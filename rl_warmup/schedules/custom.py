"""Shapes and base schedules of the user's own package: found by their dotted path, checked like built-in ones."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

from rl_warmup.schedules.numbers import Array

Function = Callable[[Array], Array]
_GRID = np.linspace(0, 1, 1001)


def custom_ramp(path: str) -> Function:
    """The function g(x) at a dotted path, x the share of the warmup done, both in [0, 1].

    Raises:
        ValueError: unless it can be imported, takes arrays, stays in [0, 1], never falls, and is exactly 1 at 1.
    """
    return _tried(path, "warmup shape", "falls", -1, "reach the base: it is {!r} at x = 1")


def custom_base(path: str) -> Function:
    """The function at a dotted path that gives the share of the peak at p, the share of the run done.

    Raises:
        ValueError: unless it can be imported, takes arrays, stays in [0, 1], never rises, and is exactly 1 at 0.
    """
    return _tried(path, "base schedule", "rises", 0, "begin at the peak: it is {!r} at p = 0")


@lru_cache
def _tried(path: str, what: str, wrong_way: str, end: int, misses: str) -> Function:
    """The function at `path`, for arrays of any shape; it is 1 at the `end` of [0, 1], first (0) or last (-1)."""
    target = _imported(path, what)

    def function(x: Array) -> Array:
        return np.asarray(target(x.ravel()), dtype=np.float64).reshape(x.shape)

    try:
        values = function(_GRID)
    except Exception as error:
        raise ValueError(
            f"{path} does not map an array of {_GRID.size} numbers in [0, 1] to as many numbers: {error}"
        ) from error
    steps = np.diff(values)
    outside = ~((values >= 0) & (values <= 1))
    for fault, wrong in (("leaves [0, 1]", outside), (wrong_way, steps < 0 if end else steps > 0)):
        if wrong.any():
            at = int(np.argmax(wrong))
            near = ", ".join(f"{value:g}" for value in values[at : at + 2])
            raise ValueError(f"{path} {fault}: at {_GRID[at]:g} it is {near}; a built-in one never does")
    if values[end] != 1:
        raise ValueError(f"{path} does not {misses.format(values[end])}; make it exactly 1 there")
    return function


def _imported(path: str, what: str) -> Callable[..., Any]:
    module, _, name = path.rpartition(".")
    try:
        target: Callable[..., Any] = getattr(import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        raise ValueError(
            f"no {what} {path!r} ({error}): give the dotted path of a function, like my_package.my_function, in a "
            "package that is installed or in a folder of PYTHONPATH"
        ) from error
    if not callable(target):
        raise ValueError(f"{path} is a {type(target).__name__}: give the dotted path of a function of an array")
    return target
