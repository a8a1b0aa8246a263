"""The loop that trains: groups of runs are started, waited for, accounted for and, after a Ctrl-C, stopped."""

import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from rl_warmup.config.identity import run_folder, run_id
from rl_warmup.config.schema import RunConfig
from rl_warmup.records import locks, read, write
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import error_line
from rl_warmup.run.execute import run_info
from rl_warmup.run.launch.packing import RunGroup
from rl_warmup.run.launch.worker import PATIENCE


@dataclass(frozen=True)
class Loss:
    """Why a job has ended before its runs were finished."""

    reason: str
    hint: str = ""  # what may help, for the message
    failed: Literal["all", "begun", "none"] = "all"  # which unfinished runs: `begun`: those it has begun and left


class Job(Protocol):
    """A group of runs that was started, or is queued."""

    def done(self) -> bool:
        """Whether it has ended, in any way."""

    def lost(self) -> Loss | None:
        """How a job that is done was lost; None if it ended by itself or was stopped on purpose.

        Raises:
            KeyboardInterrupt: if it was interrupted; then the whole sweep stops.
        """

    def cancel(self) -> None:
        """Ask it to write what it has and to stop."""

    def kill(self) -> None:
        """End it at once; by default the cluster itself ends what was cancelled."""
        return


class Cluster(Protocol):
    """What trains groups of runs: processes of this machine, a batch system, Ray."""

    def submit(self, group: RunGroup) -> Job:
        """Start or queue a group."""

    def wait(self) -> None:
        """Wait for a moment, or until one of its jobs ends."""


@dataclass(frozen=True)
class _Training:
    """A group of runs, who trains it, and since when."""

    job: Job
    group: RunGroup
    name: str
    began: datetime

    @property
    def unfinished(self) -> list[RunConfig]:
        """Runs that are neither completed nor diverged."""
        return [config for config in self.group if read.finished_status(run_folder(config)) is None]


def train(
    cluster: Cluster,
    groups: Sequence[RunGroup],
    at_once: int,
    signals: Set[signal.Signals] = frozenset({signal.SIGINT}),
    patience: float = PATIENCE,
) -> dict[str, str]:
    """Train groups of runs, at most `at_once` at a time; what is lost is recorded as failed, the others continue.

    Args:
        signals: on which everything is stopped.
        patience: seconds in which what was stopped must have written what it has.

    Returns:
        Why runs were lost whose records do not tell it, by their ids.

    Raises:
        KeyboardInterrupt: after one of the `signals`, when every job has written what it has.
    """
    waiting, training = list(enumerate(groups, start=1)), list[_Training]()
    unrecorded: dict[str, str] = {}
    with _interrupts(signals) as interrupted:
        try:
            while (waiting or training) and not interrupted.is_set():
                while waiting and len(training) < at_once:
                    number, group = waiting.pop(0)
                    name, began = f"stack {number} of {len(groups)} ({_words(group)})", datetime.now(UTC)
                    training.append(_Training(cluster.submit(group), group, name, began))
                cluster.wait()
                for ended in [it for it in training if it.job.done()]:
                    loss = ended.job.lost()
                    training.remove(ended)
                    if loss is not None:
                        unrecorded |= _account(ended, loss)
        finally:
            _stop(cluster, training, patience)
    if interrupted.is_set():
        raise KeyboardInterrupt
    return unrecorded


@contextmanager
def _interrupts(signals: Set[signal.Signals]) -> Iterator[threading.Event]:
    """Signals as an event, so that none comes between the start of a job and its being noted."""
    interrupted = threading.Event()
    earlier = {number: signal.signal(number, lambda number, frame: interrupted.set()) for number in signals}
    try:
        yield interrupted
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _words(group: RunGroup) -> str:
    first, name = group[0], run_id(group[0])
    return name if len(group) == 1 else f"{len(group)} runs of {first.algo.name} on {first.env.name}, {name} and on"


def _account(ended: _Training, loss: Loss) -> dict[str, str]:
    """Record as failed what a lost job has left unfinished, and report it; the reasons that are not recorded."""
    runs = ended.unfinished
    if loss.failed == "begun":
        runs = [config for config in runs if _is_abandoned(run_folder(config), ended.began)]
    for config in runs if loss.failed != "none" else ():
        with suppress(RecordError, OSError):  # another process has it by now, or nothing can be written
            record_death(config, len(ended.group), ended.began, loss.reason)
    if runs:
        report_line(
            f"{ended.name} was lost: {error_line(loss.reason)}, with {len(runs)} runs unfinished{loss.hint}"
        )
    return {run_id(config): loss.reason for config in runs} if loss.failed == "none" else {}


def _is_abandoned(folder: Path, since: datetime) -> bool:
    """Whether a run was begun after `since`, is recorded as running, and is not."""
    with suppress(RecordError, OSError):
        info = read.read_info(folder)
        running = info["status"] == "running" and not info["error"] and write.session_started(info) >= since
        return running and not locks.is_training(folder)
    return False


def record_death(config: RunConfig, members: int, since: datetime, reason: str) -> None:
    """Record that a job that began at `since`, with so many `members`, has died in or before this run."""
    folder = run_folder(config)
    try:
        info = read.read_info(folder)
        own = write.session_started(info) >= since
    except RecordError:
        info, own = {}, False
    if not own and info.get("status") != "running":  # it died before it came to this run
        with write.recording(folder, run_info(config, members), asdict(config)) as writer:
            writer.finish("failed", reason)
    elif info["status"] == "running":  # if it has a checkpoint, another attempt resumes there
        write.mark_failed(folder, reason)


def _stop(cluster: Cluster, training: Sequence[_Training], patience: float) -> None:
    """Cancel what is still training, wait for it, kill what is left, and report what is unfinished."""
    for work in training:
        work.job.cancel()
    deadline = time.monotonic() + patience
    while any(not work.job.done() for work in training) and time.monotonic() < deadline:
        cluster.wait()
    for work in training:
        if not work.job.done():
            work.job.kill()
        if work.unfinished:
            report_line(f"{work.name} was interrupted with {len(work.unfinished)} runs unfinished")


def report_line(text: str) -> None:
    """Print a line beside the live table."""
    print(text, file=sys.stderr, flush=True)
