"""Stacks handed to other machines as jobs; on its node a job trains its stack in a process of its own."""

import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from rl_warmup.config.schema import RunConfig
from rl_warmup.run.launch.packing import Stack
from rl_warmup.run.launch.processes import (
    Work,
    account_lost,
    interrupts,
    name_of,
    say,
    say_interrupted,
    stacks_of,
    train_stacks,
)
from rl_warmup.run.launch.worker import PATIENCE

NOTICES = frozenset({signal.SIGTERM, signal.SIGUSR2})
"""Signals by which batch systems give notice: the job answers them, the process that trains does not hear them."""
POLL = 0.5
"""Seconds between two looks at the jobs."""


class ClusterJob(Protocol):
    """A stack that was handed over."""

    def done(self) -> bool:
        """Whether it has ended, however."""

    def lost(self) -> str | None:
        """Of a job that is done: how it was lost; None if it ended by itself or was stopped on purpose."""

    def cancel(self) -> None:
        """Ask it to stop and to write what it has."""


class Cluster(Protocol):
    """Where jobs are trained."""

    def check(self) -> None:
        """Connect to it.

        Raises:
            ConfigError: if it cannot be reached, with the way out.
        """

    def slots(self) -> int:
        """Jobs that it can train at once."""

    def gpus(self) -> float:
        """GPUs that a job is given."""

    def at_most(self) -> int | None:
        """Jobs that it can be given at once, where it does not have them wait for room itself."""

    def submit(self, job: "StackJob") -> ClusterJob:
        """Hand a job over."""


@dataclass(frozen=True)
class StackJob:
    """A job; it is sent to its node and called there."""

    stack: Stack

    def __call__(self) -> None:
        """Train the stack; what dies here is recorded here."""
        try:
            train_stacks([self.stack], 1, NOTICES)
        except KeyboardInterrupt:
            return  # the records say so

    def checkpoint(self) -> Any:
        """What submitit queues again when the job's time is up: the same, which goes on from its checkpoints."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def train_on(cluster: Cluster, configs: Sequence[RunConfig], workers: int | None, width: int | None) -> None:
    """Train runs (resolved) as jobs of a cluster, at most `workers` at a time; None takes all its slots.

    Raises:
        KeyboardInterrupt: after a Ctrl-C, when the jobs have written what they have.
    """
    shared = [replace(config, runs_dir=str(Path(config.runs_dir).absolute())) for config in configs]
    at_once, most = workers or cluster.slots(), cluster.at_most()
    if most is not None and at_once > most:
        say(f"{most} instead of {at_once} jobs train at a time: the cores are taken")
        at_once = most
    stacks = stacks_of(shared, at_once, width, at_once if most else 1)
    waiting, training = list(enumerate(stacks, start=1)), list[Work[ClusterJob]]()
    with interrupts() as interrupted:
        try:
            while (waiting or training) and not interrupted.is_set():
                while waiting and len(training) < at_once:
                    number, stack = waiting.pop(0)
                    name = name_of(stack, f"job {number} of {len(stacks)}")
                    training.append(Work(cluster.submit(StackJob(stack)), stack, name, datetime.now(UTC)))
                interrupted.wait(POLL)
                _account(training)
        finally:
            _cancel(training)
    if interrupted.is_set():
        raise KeyboardInterrupt


def _account(training: list[Work[ClusterJob]]) -> None:
    for work in [work for work in training if work.process.done()]:
        training.remove(work)
        reason = work.process.lost()
        if reason is not None:
            account_lost(work, reason)


def _cancel(training: Sequence[Work[ClusterJob]]) -> None:
    for work in training:
        work.process.cancel()
    deadline = time.monotonic() + PATIENCE
    while any(not work.process.done() for work in training) and time.monotonic() < deadline:
        threading.Event().wait(POLL)
    for work in training:
        say_interrupted(work)
