"""Training on this machine: every group of runs in a process of its own, which can die without the others."""

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import connection, forkserver, resource_tracker, util
from multiprocessing.process import BaseProcess

from rl_warmup import terminal
from rl_warmup.config.hardware import cores, default_workers, visible_gpus
from rl_warmup.config.identity import digest, identity, run_folder, run_id
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.read import finished_status, why_unfinished
from rl_warmup.run.launch import loop
from rl_warmup.run.launch.memory import check_fits
from rl_warmup.run.launch.packing import RunGroup, fitting, group_runs
from rl_warmup.run.launch.worker import BROKEN, POOLS, UNRECORDED, train

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""By default glibc returns a large tensor's memory at once and clears the next one's: a tenth of an update."""
PRELOADED = ["hydra", "rl_warmup.run.compose", "rl_warmup.status.live", "rl_warmup.status.states"]
PRELOADED += ["rl_warmup.trainers.stacked.train", "envpool"]
"""Modules that the fork server imports once, for seconds: those of a process that trains, and those of the main
module, which multiprocessing would import again in each process. What is not installed is skipped."""
SHORT = 70
"""Letters of a temporary folder whose path has room for multiprocessing's sockets: some 100 bytes in all."""

_FORKSERVER = multiprocessing.get_context("forkserver")


class RunFailed(RuntimeError):
    """A run of a sweep did not finish; the message is the reason."""


def train_runs(configs: Sequence[RunConfig], workers: int | None, width: int | None) -> dict[str, str]:
    """Train runs (resolved) on this machine; None chooses from cores, GPUs and memory.

    No more processes than `default_workers` share the cores, whatever `workers` is. Returns what `loop.train` does.
    """
    return train_stacks(*packed(configs, workers, width))


def packed(configs: Sequence[RunConfig], workers: int | None, width: int | None) -> tuple[list[RunGroup], int]:
    """The groups of runs that this machine trains, and how many of them at a time; see `train_runs`.

    Raises:
        ConfigError: if they do not fit into its memory.
    """
    processes = processes_for(configs, workers)
    if workers is None:
        processes = fitting(configs, processes)
    groups = group_runs(configs, processes, width, processes)
    asked = {"workers": workers, "width": width}
    given = [f"hydra.launcher.{name}={value}" for name, value in asked.items() if value not in (None, 1)]
    check_fits(groups, processes, f"less than {' and '.join(given)}" if given else "a machine with more")
    return groups, processes


def processes_for(configs: Sequence[RunConfig], wanted: int | None, available: int | None = None) -> int:
    """Processes that train at a time: `wanted`, but no more than the cores (`available`) have room for."""
    if wanted is None:
        return min(default_workers(config) for config in configs)
    threads = max(config.threads for config in configs)
    room = max(1, (available or cores()) // threads)
    if wanted > room:
        fewer = f"{room} instead of {wanted} processes of {threads} threads"
        loop.report_line(f"{fewer} train at a time: the cores are taken")
    return min(wanted, room)


def train_apart(config: RunConfig) -> str:
    """Train one run in a process of its own; its status.

    Raises:
        RunFailed: if it did not finish.
        ConfigError: if no process can be started here.
    """
    # other processes are not known here
    lost = train_stacks([(config,)], 1, first_gpu=int(digest(identity(config)), 16))
    status = finished_status(run_folder(config))
    if status is None:
        raise RunFailed(lost.get(run_id(config)) or why_unfinished(run_folder(config)))
    return status


def train_stacks(
    groups: Sequence[RunGroup],
    workers: int,
    ignored_signals: Set[signal.Signals] = frozenset(),
    first_gpu: int = 0,
) -> dict[str, str]:
    """Train every group in a process of its own, at most `workers` at a time.

    Args:
        ignored_signals: do not reach the processes; on SIGTERM they are stopped as on a Ctrl-C.
        first_gpu: where there are several GPUs, each process sees one, from this on.

    Returns:
        What `loop.train` does.

    Raises:
        ConfigError: if no process can be started here.
        KeyboardInterrupt: after a Ctrl-C, when every process has written what it has.
    """
    cluster = LocalProcesses(visible_gpus(groups[0][0].device) if groups else [], ignored_signals, first_gpu)
    return loop.train(cluster, groups, workers, {signal.SIGINT, *ignored_signals} - {signal.SIGUSR2})


@dataclass(frozen=True)
class ProcessJob:
    """A process that trains a group of runs."""

    process: BaseProcess
    exit_pipe: connection.Connection
    runs: int
    slot: int

    def done(self) -> bool:
        """Whether it has ended."""
        return not self.process.is_alive()

    def lost(self) -> loop.Loss | None:
        """By its exit code; codes with a meaning count only if the process reported them."""
        code, reported, reason = self.process.exitcode, None, ""
        with suppress(EOFError):
            reported, reason = self.exit_pipe.recv() if self.exit_pipe.poll() else (None, "")
        if reported == terminal.INTERRUPTED:
            raise KeyboardInterrupt
        if reported in (UNRECORDED, BROKEN):
            return loop.Loss(reason, failed="none" if reported == UNRECORDED else "all")
        if not code:  # what it has not begun is another process's
            reason = "the process ended in the middle of training, without an error (exit code 0)"
            return loop.Loss(reason, failed="begun")
        if code == -signal.SIGKILL and self.runs > 1:
            return loop.Loss(_death(code), f"; if memory ran out, hydra.launcher.width={self.runs // 2} needs less")
        return loop.Loss(_death(code))

    def cancel(self) -> None:
        """Interrupt it."""
        if self.process.is_alive() and self.process.pid is not None:
            os.kill(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join()


@dataclass
class LocalProcesses:
    """Processes of this machine; of several GPUs each sees one. See `train_stacks`."""

    gpus: Sequence[str]
    ignored_signals: Set[signal.Signals] = frozenset()
    first_gpu: int = 0
    _jobs: list[ProcessJob] = field(default_factory=list)

    def submit(self, group: RunGroup) -> ProcessJob:
        """Start a process, on the first GPU that is free."""
        start_server(self.ignored_signals)
        taken = {job.slot for job in self._running()}
        slot = next(free for free in count() if free not in taken)
        reader, writer = _FORKSERVER.Pipe(duplex=False)
        arguments = (group, {**os.environ, **self._gpu(self.first_gpu + slot)}, writer)
        process = _FORKSERVER.Process(target=train, args=arguments, daemon=False)  # which may have children
        process.start()
        writer.close()
        self._jobs.append(ProcessJob(process, reader, len(group), slot))
        return self._jobs[-1]

    def wait(self) -> None:
        """Until one of them ends, at most for a moment."""
        connection.wait([job.process.sentinel for job in self._running()], timeout=0.2)

    def _running(self) -> list[ProcessJob]:
        self._jobs = [job for job in self._jobs if not job.done()]
        return self._jobs

    def _gpu(self, number: int) -> dict[str, str]:
        if not self.gpus:
            return {}
        gpu = {"CUDA_VISIBLE_DEVICES": self.gpus[number % len(self.gpus)]}
        if len(self.gpus) > 1:  # joblib's, by whose count of cores threads are chosen
            gpu["LOKY_MAX_CPU_COUNT"] = str(max(1, cores() // len(self.gpus)))
        return gpu


def start_server(ignored_signals: Set[signal.Signals] = frozenset()) -> None:
    """Start, unless it runs, the fork server of the processes that train, which imports once what they need.

    Best called before a sweep is planned: its imports take seconds, which then pass meanwhile.

    Raises:
        ConfigError: if there is no folder for its socket.
    """
    _make_room_for_sockets()
    _FORKSERVER.set_forkserver_preload(PRELOADED)
    resource_tracker.ensure_running()  # started by the server it would end with the signals unblocked that are here
    with _environment(dict.fromkeys(POOLS, "1") | KEEP_MEMORY):
        # The server and its forks inherit the blocked signals; the forks unblock SIGINT when they are ready for it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *ignored_signals})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _make_room_for_sockets() -> None:
    """Have multiprocessing keep its sockets elsewhere where TMPDIR is too long for them, as Python 3.14 does."""
    usual = tempfile.gettempdir()
    folders = [usual, "/tmp", "/var/tmp", "/dev/shm"]
    short = [folder for folder in folders if len(os.fsencode(folder)) <= SHORT and os.access(folder, os.W_OK)]
    if not short:
        raise ConfigError(
            f"TMPDIR={usual} is too long for the sockets of processes; use one of up to {SHORT} letters"
        )
    tempfile.tempdir = short[0]
    try:
        util.get_temp_dir()  # made once, and kept for this process and those that it starts
    finally:
        tempfile.tempdir = usual


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            del os.environ[name]
        os.environ.update(before)


def _death(code: int) -> str:
    """An exit code in words.

    >>> _death(-9), _death(-40), _death(3)
    ('killed by signal 9 (SIGKILL)', 'killed by signal 40', 'exit code 3')
    """
    if code > 0:
        return f"exit code {code}"
    named = {number.value: f" ({number.name})" for number in signal.Signals}  # most real-time ones have no name
    return f"killed by signal {-code}{named.get(-code, '')}"
