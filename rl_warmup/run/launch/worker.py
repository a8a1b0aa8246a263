"""What the process of a stack does, from its first moment to its exit code."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import connection
from types import FrameType
from typing import NoReturn

from rl_warmup.config.schema import ConfigError
from rl_warmup.run.execute import execute_stack
from rl_warmup.run.launch.packing import Stack

PATIENCE = 30.0
"""Seconds in which an interrupted process must have written what it has; then it is killed."""
INTERRUPTED = 130
"""Exit code of a process that was interrupted, as shells have it; it counts if its parent is told so too."""
AGAIN = 10.0
"""Seconds after which an interrupt is raised again: Python drops one that comes within a finalizer."""
UNRECORDED = 74
"""Exit code of a process that could not write its records, EX_IOERR: no failure of its runs; likewise."""

POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
"""Environment variables by which libraries choose their numbers of threads when they are loaded."""


def train(stack: Stack, environment: Mapping[str, str], parent: connection.Connection) -> None:
    """Train a stack in this process, in the `environment` of its parent; SIGINT is blocked until then.

    What ends with an exit code that means something tells it the `parent`, since an environment may exit with any.
    """
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
        _exit(INTERRUPTED, parent)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        _exit(UNRECORDED, parent)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _exit(code: int, parent: connection.Connection) -> NoReturn:
    with suppress(OSError):  # it may have died
        parent.send(code)
    sys.exit(code)


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
