"""Groups of runs as jobs of other machines; on its node a job trains its group in a process of its own."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rl_warmup.config.schema import RunConfig
from rl_warmup.run.launch import loop
from rl_warmup.run.launch.packing import RunGroup, group_runs
from rl_warmup.run.launch.processes import train_stacks


@runtime_checkable
class RemoteCluster(loop.Cluster, Protocol):
    """Other machines that train; by default jobs wait in a queue of their own, and are polled."""

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
        """Jobs that it may be given at once; None where it has a queue."""
        return None

    def wait(self) -> None:
        """Wait for a moment."""
        time.sleep(0.5)


@dataclass(frozen=True)
class StackJob:
    """What is sent to a node and called there."""

    group: RunGroup

    def __call__(self) -> str | None:
        """Train the group; what dies here is recorded here, and a reason that cannot be recorded is returned."""
        try:  # by these signals batch systems give notice: the job answers them, its process that trains does not
            lost = train_stacks([self.group], 1, frozenset({signal.SIGTERM, signal.SIGUSR2}))
        except KeyboardInterrupt:
            return None  # it is in the records
        return next(iter(lost.values()), None)

    def checkpoint(self) -> Any:
        """What submitit queues again when the job's time is up: the same, which resumes from its checkpoints."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def train_on(
    cluster: RemoteCluster, configs: Sequence[RunConfig], workers: int | None, width: int | None
) -> dict[str, str]:
    """Train runs (resolved) as jobs of a cluster, at most `workers` at a time; None takes all its slots.

    Returns:
        What `loop.train` does.

    Raises:
        KeyboardInterrupt: after a Ctrl-C, when the jobs have written what they have.
    """
    shared = [replace(config, runs_dir=str(Path(config.runs_dir).absolute())) for config in configs]
    at_once, most = workers or cluster.slots(), cluster.at_most()
    if most is not None and at_once > most:
        loop.report_line(f"{most} instead of {at_once} jobs train at a time: the cores are taken")
        at_once = most
    return loop.train(cluster, group_runs(shared, at_once, width, at_once if most else 1), at_once)
