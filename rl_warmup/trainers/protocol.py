"""What a trainer is given and what it tells: sinks of rows, keepers of checkpoints, divergence."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rl_warmup.records.checkpoints import Checkpoint

Emit = Callable[[str, Mapping[str, Any]], None]


class Diverged(Exception):
    """A parameter, a loss or a return is not finite: an outcome of the run, not a failure."""


class Keeper(Protocol):
    """Keeps the checkpoints of one agent, wherever that is."""

    @property
    def restored(self) -> Checkpoint | None:
        """What the agent goes on from; None if it begins."""

    @property
    def due(self) -> bool:
        """Whether it is time for another checkpoint."""

    def resumed(self, environments: str) -> None:
        """The agent goes on from `restored`; its environments were `replayed` or `reset`."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in the place of the last."""


class Sink(Protocol):
    """Takes what one member of a stack does."""

    @property
    def keeper(self) -> Keeper | None:
        """Keeps its checkpoints; None where none are wanted."""

    def emit(self, table: str, row: Mapping[str, Any]) -> None:
        """Take a row of evaluations, episodes or updates."""

    def diverge(self, reason: str) -> None:
        """The member has diverged; nothing more is emitted for it."""
