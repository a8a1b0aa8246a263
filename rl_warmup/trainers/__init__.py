"""Trainers: each turns a resolved config into the rows of a run's record files.

A trainer is a function `train(config, emit)`; `emit(table, row)` takes the rows of evaluations, episodes and
updates in the order in which they happen. It raises `Diverged` when the run has diverged.
"""

from collections.abc import Callable, Mapping
from typing import Any

Emit = Callable[[str, Mapping[str, Any]], None]


class Diverged(Exception):
    """A parameter, a loss or a return is not finite: an outcome of the run, not a failure."""
