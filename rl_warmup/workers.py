"""Stacks trained side by side, each in a process of its own that can die without the others."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from types import FrameType

from rl_warmup.checkpoints import start_of
from rl_warmup.config import ConfigError, RunConfig
from rl_warmup.execution import execute_stack, finished_status, run_folder, run_info
from rl_warmup.identity import run_id
from rl_warmup.recording import mark_failed, recording, sitting_started
from rl_warmup.records import RecordError, read_info
from rl_warmup.stacks import Stack, default_width, default_workers, plan_stacks

PATIENCE = 30.0
"""Seconds in which an interrupted process must have written what it has; then it is killed."""
INTERRUPTED = 130
"""Exit code of a process that was interrupted, as shells have it."""
AGAIN = 10.0
"""Seconds after which an interrupt is raised again: Python drops one that comes within a finalizer."""
UNRECORDED = 74
"""Exit code of a process that could not write its records, EX_IOERR: no failure of its runs."""
POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
"""Environment variables by which libraries choose their numbers of threads when they are loaded."""
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""By default glibc returns a large tensor's memory at once and has the next one's cleared: a tenth of an update."""
PRELOADED = ["hydra", "rl_warmup.compose", "rl_warmup.display", "rl_warmup.ledger"]
PRELOADED += ["rl_warmup.trainers.stacked.training", "envpool"]
"""What processes that train import, seconds of it, and what the main module does, which multiprocessing imports
in each again; where EnvPool is not installed it is left out."""

_FORKSERVER = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class _Work:
    """A process and the stack that it trains."""

    process: BaseProcess
    stack: Stack
    name: str
    began: datetime

    @property
    def unfinished(self) -> list[RunConfig]:
        return [config for config in self.stack if finished_status(run_folder(config)) is None]


def train_runs(configs: Sequence[RunConfig], workers: int | None, width: int | None) -> None:
    """Train runs (resolved, with trainer=stacked) in stacks; None chooses from cores, device and memory."""
    processes = workers or default_workers(configs[0])
    stacks = plan_stacks(
        configs,
        processes,
        lambda first: width or default_width(first, processes),
        lambda run: start_of(run_folder(run)),
    )
    train_stacks(stacks, processes)


def train_stacks(stacks: Sequence[Stack], workers: int) -> None:
    """Train every stack in a process of its own, at most `workers` at a time.

    The runs of a process that dies are recorded as failed; the others go on.

    Raises:
        KeyboardInterrupt: after a Ctrl-C, when every process has written what it has.
    """
    waiting, training = list(enumerate(stacks, start=1)), list[_Work]()
    with _interrupts() as interrupted:
        try:
            while (waiting or training) and not interrupted.is_set():
                while waiting and len(training) < workers:
                    number, stack = waiting.pop(0)
                    training.append(_start(stack, f"stack {number} of {len(stacks)}"))
                for work in _ended(training):
                    if work.process.exitcode == INTERRUPTED:
                        interrupted.set()
                    else:
                        training.remove(work)
                        _account(work)
        finally:
            _stop(training)
    if interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Ctrl-C as an event, so that it cannot come between the start of a process and its being accounted for."""
    interrupted = threading.Event()
    earlier = signal.signal(signal.SIGINT, lambda number, frame: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, earlier)


def _start(stack: Stack, name: str) -> _Work:
    start_server()
    process = _FORKSERVER.Process(target=_train, args=(stack, dict(os.environ)), daemon=True)
    first = stack[0]
    name = f"{name} ({len(stack)} runs of {first.algo.name} on {first.env.name}, {run_id(first)} and on)"
    began = datetime.now(UTC)
    process.start()
    return _Work(process, stack, name, began)


def start_server() -> None:
    """Start, unless it runs, the process of which those that train are forks: it imports once what they need.

    Before a sweep is planned is the best time, since the seconds that its imports take then pass meanwhile.
    """
    _FORKSERVER.set_forkserver_preload(PRELOADED)
    with _environment(dict.fromkeys(POOLS, "1") | KEEP_MEMORY):
        # It and its forks inherit that a Ctrl-C waits until they are ready for one.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


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


def _ended(training: Sequence[_Work]) -> list[_Work]:
    """What has ended, after waiting for that or for a moment."""
    connection.wait([work.process.sentinel for work in training], timeout=0.2)
    return [work for work in training if not work.process.is_alive()]


def _account(work: _Work) -> None:
    """Record as failed what a process that died has left unfinished, and say which stack it was."""
    code, unfinished = work.process.exitcode, work.unfinished
    if not code or not unfinished:
        return
    reason = _death(code) if code != UNRECORDED else "its records cannot be written"
    for config in unfinished if code != UNRECORDED else []:
        with suppress(RecordError, OSError):  # it is another process's by now, or nothing can be written
            _record_death(config, work, reason)
    hint = ""
    if code == -signal.SIGKILL:
        hint = f"; if memory ran out, hydra.launcher.width={max(1, len(work.stack) // 2)} needs less"
    _say(f"{work.name} was lost: {reason}, with {len(unfinished)} runs unfinished{hint}")


def _record_death(config: RunConfig, work: _Work, reason: str) -> None:
    folder = run_folder(config)
    try:
        info = read_info(folder)
        own = sitting_started(info) >= work.began
    except RecordError:
        info, own = {}, False
    if not own and info.get("status") != "running":  # it died before it came to this run
        with recording(folder, run_info(config, len(work.stack)), asdict(config)) as writer:
            writer.finish("failed", reason)
    elif info["status"] == "running":  # if it has a checkpoint, another attempt goes on from there
        mark_failed(folder, reason)


def _death(code: int) -> str:
    """What an exit code says, in words.

    >>> _death(-9), _death(3)
    ('killed by signal 9 (SIGKILL)', 'exit code 3')
    """
    if code > 0:
        return f"exit code {code}"
    return f"killed by signal {-code} ({signal.Signals(-code).name})"


def _stop(training: Sequence[_Work]) -> None:
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
        if work.unfinished:
            _say(f"{work.name} was interrupted with {len(work.unfinished)} runs unfinished")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _train(stack: Stack, environment: Mapping[str, str]) -> None:
    """What the process of a stack does, in the `environment` that its parent has by now."""
    os.environ.update({**environment, **dict.fromkeys(POOLS, str(stack[0].threads))})
    _end_with_parent()
    _allow_many_files()
    signal.signal(signal.SIGINT, _interrupt_once)
    sys.unraisablehook = _say_unless_interrupt
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        import torch  # here, where a Ctrl-C during the seconds that it takes is met

        torch.set_num_threads(stack[0].threads)
        execute_stack(stack)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except ConfigError as error:
        _say(f"error: {error}")
        sys.exit(UNRECORDED)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    """The terminal and the parent may both send Ctrl-C; the second must not cut the writing of records short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _interrupt_once)
    signal.setitimer(signal.ITIMER_REAL, AGAIN)
    raise KeyboardInterrupt


def _say_unless_interrupt(dropped: "sys.UnraisableHookArgs") -> None:
    """An interrupt that Python drops is raised again; a traceback of it would look like a defect."""
    if dropped.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(dropped)


def _end_with_parent() -> None:
    """Interrupt this process when its parent has died, however it died."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(PATIENCE)
        os._exit(INTERRUPTED)

    threading.Thread(target=watch, daemon=True).start()


def _allow_many_files() -> None:
    """As many open files as the system grants: every member of a stack holds its lock."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
