"""The sink of a run: its record files, its tracker, its checkpoints and how it ended."""

import time
from collections.abc import Mapping
from typing import Any

from rl_warmup.records.checkpoints import Checkpoint
from rl_warmup.records.schema import FINISHED
from rl_warmup.records.write import RunWriter
from rl_warmup.tracking import rows as wandb_rows
from rl_warmup.tracking.live import Tracker

SHARE = 0.01
"""Largest share of the time that checkpoints take."""


class RunRecorder:
    """Records and tracks one run; the outcome is recorded once."""

    def __init__(self, writer: RunWriter, tracker: Tracker, members: int, seconds: float) -> None:
        """`members`: how many runs share the process; `seconds`: see `checkpoint.seconds`."""
        self.status, self.restored = "running", writer.restored
        self._writer, self._tracker, self._members, self._seconds = writer, tracker, members, seconds
        self._ended, self._evaluated, self._saved, self._pause = False, False, time.monotonic(), seconds

    @property
    def checkpoint_due(self) -> bool:
        """Whether it was evaluated since the last checkpoint, and enough time has passed."""
        return self._evaluated and time.monotonic() - self._saved >= self._pause

    def emit(self, table: str, row: Mapping[str, Any]) -> None:
        """Record and track one row."""
        self._writer.append(table, row)
        self._tracker.log(table, row)
        self._evaluated |= table == "evaluations"

    def resumed(self, environments: str) -> None:
        """Record that the run was resumed, its environments `replayed` or `reset`."""
        self._writer.resumed(environments)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in the run's folder."""
        began = time.monotonic()
        self._writer.save(checkpoint)
        self._saved, self._evaluated = time.monotonic(), False
        self._pause = max(self._seconds, (self._saved - began) * self._members / SHARE) if self._seconds else 0.0

    def diverge(self, reason: str) -> None:
        """Record that the agent has diverged."""
        self.end("diverged", reason)

    def end(self, status: str, error: str | None) -> None:
        """Record how the run ended, unless it has ended before."""
        if self._ended:
            return
        self.status, self._ended = status, True
        try:
            if status == "failed":
                self._writer.forget()
            self._writer.finish(status, error)
        finally:
            summary = wandb_rows.summary(self._writer.info, self._writer.recorded["updates"])
            self._tracker.finish(summary, exit_code=0 if status in FINISHED else 1)
