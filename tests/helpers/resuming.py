"""Runs that are interrupted and go on, in tests: their trainers never know how often."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from helpers.stacking import Rows

from rl_warmup.config.schema import RunConfig
from rl_warmup.records.checkpoints import Checkpoint
from rl_warmup.trainers.sb3.train import train as sb3
from rl_warmup.trainers.stacked.train import train as train_stack


class Memory:
    """A sink that keeps rows and checkpoints, as the record files do, and is interrupted at a row it is told."""

    def __init__(self) -> None:
        self.rows: Rows = {"evaluations": [], "episodes": [], "updates": []}
        self.kept: Checkpoint | None = None
        self.counted: dict[str, int] = {}
        self.restored: Checkpoint | None = None
        self.ways: list[str] = []
        self.interrupt_at: int | None = None
        self.diverged: str | None = None
        self.saved = 0

    @property
    def keeper(self) -> "Memory":
        return self

    due = True

    def emit(self, table: str, row: Any) -> None:
        self.rows[table].append(dict(row))
        if self.interrupt_at is not None:
            self.interrupt_at -= 1
            if self.interrupt_at == 0:
                raise KeyboardInterrupt

    def diverge(self, reason: str) -> None:
        self.diverged = reason

    def resumed(self, environments: str) -> None:
        self.ways.append(environments)

    def save(self, checkpoint: Checkpoint) -> None:
        self.kept, self.saved = copy.deepcopy(checkpoint), self.saved + 1
        self.counted = {name: len(rows) for name, rows in self.rows.items()}

    def sit_down(self) -> None:
        """Back to the last checkpoint, or to the start."""
        self.restored = self.kept
        for name, rows in self.rows.items():
            del rows[self.counted.get(name, 0) :]


def train(configs: Sequence[RunConfig], sinks: Sequence[Memory]) -> None:
    """The trainer of the configs."""
    if configs[0].trainer.name == "stacked":
        train_stack(configs, sinks)
        return
    for config, sink in zip(configs, sinks, strict=True):
        torch.manual_seed(99)  # whatever a process did before
        np.random.seed(99)  # noqa: NPY002
        sb3.train(config, sink.emit, sink)
