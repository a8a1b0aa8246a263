"""Runs trained side by side, each stack in a process of its own that can die without the others."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar

from rl_warmup.config.hardware import cores, default_workers, visible_gpus
from rl_warmup.config.identity import digest, identity, run_folder, run_id
from rl_warmup.config.schema import RunConfig
from rl_warmup.records.checkpoints import start_of
from rl_warmup.records.locks import is_training
from rl_warmup.records.read import finished_status, read_info
from rl_warmup.records.schema import RecordError
from rl_warmup.records.write import mark_failed, recording, session_started
from rl_warmup.run.execute import run_info
from rl_warmup.run.launch.packing import Stack, default_width, plan_stacks
from rl_warmup.run.launch.worker import INTERRUPTED, PATIENCE, POOLS, UNRECORDED, train
from rl_warmup.status.states import read_state
from rl_warmup.trainers.stacked.sizes import CHUNK

P = TypeVar("P")

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""By default glibc returns a large tensor's memory at once and has the next one's cleared: a tenth of an update."""
PRELOADED = ["hydra", "rl_warmup.run.compose", "rl_warmup.status.live", "rl_warmup.status.states"]
PRELOADED += ["rl_warmup.trainers.stacked.train", "envpool"]
"""What processes that train import, seconds of it, and what the main module does, which multiprocessing imports
in each again; where EnvPool is not installed it is left out."""

_FORKSERVER = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Work(Generic[P]):
    """A process, or a job elsewhere, and the stack that it trains."""

    process: P
    stack: Stack
    name: str
    began: datetime
    slot: int = 0
    told: connection.Connection | None = None

    def heard(self) -> int | None:
        """The exit code that a process has told, if it told one before it ended."""
        with suppress(EOFError):
            if self.told is not None and self.told.poll():
                return int(self.told.recv())
        return None

    @property
    def unfinished(self) -> list[RunConfig]:
        """Runs that are neither completed nor diverged."""
        return [config for config in self.stack if finished_status(run_folder(config)) is None]


def train_runs(configs: Sequence[RunConfig], workers: int | None, width: int | None) -> None:
    """Train runs (resolved) on this machine; None chooses from cores, GPUs and memory.

    No more processes than `default_workers` share the cores, whatever `workers` is.
    """
    processes = side_by_side(configs, workers)
    train_stacks(stacks_of(configs, processes, width, processes), processes)


def side_by_side(configs: Sequence[RunConfig], wanted: int | None) -> int:
    """Processes that train at a time: `wanted`, but no more than the cores have room for, and then it is said."""
    if wanted is None:
        return min(default_workers(config) for config in configs)
    threads = max(config.threads for config in configs)
    room = max(1, cores() // threads)
    if wanted > room:
        say(f"{room} instead of {wanted} processes of {threads} threads train at a time: the cores are taken")
    return min(wanted, room)


def stacks_of(configs: Sequence[RunConfig], workers: int, width: int | None, sharing: int) -> list[Stack]:
    """What is trained together, runs of Stable-Baselines3 alone; of `workers` stacks `sharing` share a machine.

    Runs that failed, perhaps by a neighbour's fault, have few neighbours the next time, and none after that.
    """

    def at_most(first: RunConfig) -> int:
        chosen = 1 if first.trainer.name == "sb3" else width or default_width(first, sharing)
        failures = _failures(first)
        return min(chosen, CHUNK if failures == 1 else 1) if failures else chosen

    return plan_stacks(configs, workers, at_most, lambda run: (*start_of(run_folder(run)), _failures(run)))


def _failures(config: RunConfig) -> int:
    return read_state(run_folder(config)).failures


def train_apart(config: RunConfig) -> str:
    """Train one run in a process of its own; its status."""
    if multiprocessing.get_start_method() == "loky":  # of joblib's workers; a process would not know the word
        multiprocessing.set_start_method("forkserver", force=True)
    train_stacks([(config,)], 1, turn=int(digest(identity(config)), 16))  # of whatever other processes there are
    return finished_status(run_folder(config)) or "failed"


def train_stacks(
    stacks: Sequence[Stack], workers: int, deaf_to: Set[signal.Signals] = frozenset(), turn: int = 0
) -> None:
    """Train every stack in a process of its own, at most `workers` at a time.

    The runs of a process that dies are recorded as failed; the others go on. The processes do not hear the signals
    `deaf_to`; where there are several GPUs, each process sees the one of its turn, which begins at `turn`.

    Raises:
        KeyboardInterrupt: after a Ctrl-C, or a SIGTERM that the processes do not hear, when every process has
            written what it has.
    """
    waiting, training = list(enumerate(stacks, start=1)), list[Work[BaseProcess]]()
    gpus = visible_gpus(stacks[0][0].device) if stacks else []
    with interrupts({signal.SIGINT, *deaf_to} - {signal.SIGUSR2}) as interrupted:
        try:
            while (waiting or training) and not interrupted.is_set():
                while waiting and len(training) < workers:
                    number, stack = waiting.pop(0)
                    slot = min(set(range(workers)) - {work.slot - turn for work in training})
                    name = name_of(stack, f"stack {number} of {len(stacks)}")
                    training.append(_start(stack, name, slot + turn, gpus, deaf_to))
                for work in _ended(training):
                    heard = work.heard()
                    if heard == INTERRUPTED:
                        interrupted.set()
                    else:
                        training.remove(work)
                        _account(work, heard)
        finally:
            _stop(training)
    if interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def interrupts(signals: Set[signal.Signals] = frozenset({signal.SIGINT})) -> Iterator[threading.Event]:
    """Ctrl-C as an event, so that it cannot come between the start of a process and its being accounted for."""
    interrupted = threading.Event()
    earlier = {number: signal.signal(number, lambda number, frame: interrupted.set()) for number in signals}
    try:
        yield interrupted
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def name_of(stack: Stack, name: str) -> str:
    """What a stack is called when something is said of it."""
    first = stack[0]
    if len(stack) == 1:
        return f"{name} ({run_id(first)})"
    return f"{name} ({len(stack)} runs of {first.algo.name} on {first.env.name}, {run_id(first)} and on)"


def _start(
    stack: Stack, name: str, slot: int, gpus: Sequence[str], deaf_to: Set[signal.Signals]
) -> Work[BaseProcess]:
    start_server(deaf_to)
    gpu = {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {}
    if len(gpus) > 1:  # joblib's, whose count of cores is ours
        gpu["LOKY_MAX_CPU_COUNT"] = str(max(1, cores() // len(gpus)))
    told, telling = _FORKSERVER.Pipe(duplex=False)
    process = _FORKSERVER.Process(target=train, args=(stack, {**os.environ, **gpu}, telling), daemon=True)
    began = datetime.now(UTC)
    process.start()
    telling.close()
    return Work(process, stack, name, began, slot, told)


def start_server(deaf_to: Set[signal.Signals] = frozenset()) -> None:
    """Start, unless it runs, the process of which those that train are forks: it imports once what they need.

    Before a sweep is planned is the best time, since the seconds that its imports take then pass meanwhile.
    """
    _FORKSERVER.set_forkserver_preload(PRELOADED)
    resource_tracker.ensure_running()  # else the server starts it, which ends with what is blocked here unblocked
    with _environment(dict.fromkeys(POOLS, "1") | KEEP_MEMORY):
        # It and its forks inherit what they do not hear, a Ctrl-C until they are ready for one.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *deaf_to})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _ended(training: Sequence[Work[BaseProcess]]) -> list[Work[BaseProcess]]:
    """What has ended, after waiting for that or for a moment."""
    connection.wait([work.process.sentinel for work in training], timeout=0.2)
    return [work for work in training if not work.process.is_alive()]


def _account(work: Work[BaseProcess], heard: int | None) -> None:
    """Record as failed what a process that died has left unfinished, and say which stack it was."""
    code = work.process.exitcode
    if heard == UNRECORDED:
        if work.unfinished:
            say(f"{work.name} was lost: its records cannot be written, with {len(work.unfinished)} runs unfinished")
        return
    if not code:
        _account_left(work)
        return
    hint = ""
    if code == -signal.SIGKILL and len(work.stack) > 1:
        hint = f"; if memory ran out, hydra.launcher.width={len(work.stack) // 2} needs less"
    account_lost(work, _death(code), hint)


def _account_left(work: Work[BaseProcess]) -> None:
    """What a process has left without an error is another process's, unless it had begun it and nobody holds it."""
    for config in work.unfinished:
        folder = run_folder(config)
        with suppress(RecordError, OSError):
            info = read_info(folder)
            silent = info["status"] == "running" and not info["error"] and session_started(info) >= work.began
            if silent and not is_training(folder):
                mark_failed(folder, "the process ended in the middle of training, without an error (exit code 0)")


def account_lost(work: Work[P], reason: str, hint: str = "") -> None:
    """Record as failed what is unfinished of a stack whose process was lost, and say so."""
    unfinished = work.unfinished
    for config in unfinished:
        with suppress(RecordError, OSError):  # it is another process's by now, or nothing can be written
            _record_death(config, work, reason)
    if unfinished:
        say(f"{work.name} was lost: {reason}, with {len(unfinished)} runs unfinished{hint}")


def _record_death(config: RunConfig, work: Work[P], reason: str) -> None:
    folder = run_folder(config)
    try:
        info = read_info(folder)
        own = session_started(info) >= work.began
    except RecordError:
        info, own = {}, False
    if not own and info.get("status") != "running":  # it died before it came to this run
        with recording(folder, run_info(config, len(work.stack)), asdict(config)) as writer:
            writer.finish("failed", reason)
    elif info["status"] == "running":  # if it has a checkpoint, another attempt goes on from there
        mark_failed(folder, reason)


def _death(code: int) -> str:
    """What an exit code says, in words.

    >>> _death(-9), _death(-40), _death(3)
    ('killed by signal 9 (SIGKILL)', 'killed by signal 40', 'exit code 3')
    """
    if code > 0:
        return f"exit code {code}"
    named = {number.value: f" ({number.name})" for number in signal.Signals}  # most real-time ones have no name
    return f"killed by signal {-code}{named.get(-code, '')}"


def _stop(training: Sequence[Work[BaseProcess]]) -> None:
    """Interrupt what is still training, wait for it, and say what was lost."""
    for work in training:
        if work.process.is_alive() and work.process.pid is not None:
            os.kill(work.process.pid, signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    for work in training:
        work.process.join(max(0.0, deadline - time.monotonic()))
        if work.process.is_alive():
            work.process.kill()
            work.process.join()
        say_interrupted(work)


def say_interrupted(work: Work[P]) -> None:
    """Say what an interrupt has left unfinished of a stack."""
    if work.unfinished:
        say(f"{work.name} was interrupted with {len(work.unfinished)} runs unfinished")


def say(text: str) -> None:
    """Say something beside the live table."""
    print(text, file=sys.stderr, flush=True)
