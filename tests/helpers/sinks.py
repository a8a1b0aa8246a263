"""Sinks of trainers in tests: rows and checkpoints kept in memory."""

from typing import Any

from rl_warmup.config.schema import RunConfig
from rl_warmup.records.checkpoints import Checkpoint

Rows = dict[str, list[dict[str, Any]]]


class ListSink:
    """Keeps a member's rows, and why it diverged; it wants no checkpoints."""

    restored: Checkpoint | None = None
    checkpoint_due = agent_due = False

    def __init__(self) -> None:
        self.rows: Rows = {"evaluations": [], "episodes": [], "updates": [], "source_evaluations": []}
        self.diverged: str | None = None

    def emit(self, table: str, row: Any) -> None:
        assert self.diverged is None
        self.rows[table].append(dict(row))

    def diverge(self, reason: str) -> None:
        assert self.diverged is None
        self.diverged = reason

    def resumed(self, environments: str) -> None:
        raise AssertionError(environments)

    def save(self, checkpoint: Checkpoint) -> None:
        raise AssertionError(checkpoint)


def by_sb3(config: RunConfig) -> ListSink:
    """What the reference trainer makes of a config."""
    from rl_warmup.trainers.sb3.train import train

    sink = ListSink()
    train([config], [sink])
    return sink
