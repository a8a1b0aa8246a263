"""Runs that are interrupted and resumed, in tests: their trainers never know how often."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from helpers.sinks import ListSink

from rl_warmup.config.schema import RunConfig
from rl_warmup.records.checkpoints import Checkpoint
from rl_warmup.trainers.sb3 import train as sb3
from rl_warmup.trainers.stacked import train as stacked


class Memory(ListSink):
    """Keeps rows and checkpoints, as the record files do, and is interrupted at a given row."""

    checkpoint_due = True

    def __init__(self) -> None:
        super().__init__()
        self.kept: Checkpoint | None = None
        self.counted: dict[str, int] = {}
        self.ways: list[str] = []
        self.interrupt_at: int | None = None
        self.saved = 0

    def emit(self, table: str, row: Any) -> None:
        super().emit(table, row)
        if self.interrupt_at is not None:
            self.interrupt_at -= 1
            if self.interrupt_at == 0:
                raise KeyboardInterrupt

    def resumed(self, environments: str) -> None:
        self.ways.append(environments)

    def save(self, checkpoint: Checkpoint) -> None:
        self.kept, self.saved = copy.deepcopy(checkpoint), self.saved + 1
        self.counted = {name: len(rows) for name, rows in self.rows.items()}

    def restart(self) -> None:
        """Back to the last checkpoint, or to the start."""
        self.restored = self.kept
        for name, rows in self.rows.items():
            del rows[self.counted.get(name, 0) :]


def train(configs: Sequence[RunConfig], sinks: Sequence[Memory]) -> None:
    """The trainer of the configs."""
    torch.manual_seed(99)  # whatever a process did before
    np.random.seed(99)  # noqa: NPY002
    trainer = stacked.train if configs[0].trainer.name == "stacked" else sb3.train
    trainer(configs, sinks)
