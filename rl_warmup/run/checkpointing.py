"""When the checkpoints of a run are taken: after an evaluation, and rarely enough to cost next to nothing."""

import time

from rl_warmup.records.checkpoints import Checkpoint
from rl_warmup.records.write import RunWriter

CHECKPOINT_SECONDS = 30.0
"""Least time between two checkpoints of a run."""
CHECKPOINT_SHARE = 0.01
"""Share of the time that checkpoints may take."""


class RunKeeper:
    """The checkpoints of a run, kept in its folder."""

    def __init__(self, writer: RunWriter, members: int) -> None:
        """`members`: how many share a process, each with checkpoints of its own."""
        self.evaluated = False
        self._writer, self._members = writer, members
        self._saved, self._pause = time.monotonic(), CHECKPOINT_SECONDS

    @property
    def restored(self) -> Checkpoint | None:
        """What the run goes on from."""
        return self._writer.restored

    @property
    def due(self) -> bool:
        """Whether it was evaluated since the last checkpoint, and enough time has passed."""
        return self.evaluated and time.monotonic() - self._saved >= self._pause

    def resumed(self, environments: str) -> None:
        """Record that the run goes on, its environments `replayed` or `reset`."""
        self._writer.resumed(environments)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in the run's folder."""
        began = time.monotonic()
        self._writer.save(checkpoint)
        self._saved, self.evaluated = time.monotonic(), False
        lasted = (self._saved - began) * self._members
        self._pause = max(CHECKPOINT_SECONDS, lasted / CHECKPOINT_SHARE) if CHECKPOINT_SECONDS else 0.0
