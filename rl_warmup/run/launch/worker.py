"""What a process that trains does, from its first moment to its exit code."""

import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from multiprocessing import connection
from types import FrameType

from rl_warmup import terminal
from rl_warmup.config.settings import ConfigError
from rl_warmup.run.execute import execute_stack
from rl_warmup.run.launch.packing import RunGroup

PATIENCE = 30.0
"""Seconds in which an interrupted process must have written its records; then it is killed."""
UNRECORDED = 74
"""Exit code of a process that could not write its records, EX_IOERR: no failure of its runs. Like
`terminal.INTERRUPTED` it counts if it is also sent to the parent."""
BROKEN = 70
"""Exit code of a process that an error ended outside of its runs, EX_SOFTWARE; counts likewise."""
POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
"""Environment variables by which libraries choose their numbers of threads when they are loaded."""


def train(group: RunGroup, environment: Mapping[str, str], exit_pipe: connection.Connection) -> None:
    """Train a group of runs in this process, which was started with SIGINT blocked.

    Args:
        environment: environment variables of the parent.
        exit_pipe: takes an exit code of ours and its reason, since an environment may exit with any code.
    """
    terminal.prepare()
    os.environ.update({**environment, **dict.fromkeys(POOLS, str(group[0].threads))})
    multiprocessing.set_start_method(None, force=True)  # an environment may start processes as in a single run
    _watch_parent(PATIENCE)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # every run holds its lock
    handle_interrupts()
    logging.getLogger("rl_warmup.tracking").setLevel(logging.ERROR)  # the sweep says once what W&B lacks
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        import torch  # takes seconds, in which a Ctrl-C is handled only here

        torch.set_num_threads(group[0].threads)
        execute_stack(group)
        return
    except KeyboardInterrupt:
        code, reason = terminal.INTERRUPTED, ""
    except ConfigError as error:
        code, reason = UNRECORDED, str(error)
    except Exception:
        code, reason = BROKEN, traceback.format_exc()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for left in multiprocessing.active_children():  # of an environment; Python would wait for them for ever
            left.kill()
    with suppress(OSError):  # the parent may have died
        exit_pipe.send((code, reason[-(2**14) :]))  # nobody reads the pipe before this process has ended
    sys.exit(code)


def handle_interrupts(again: float = 10.0) -> None:
    """Have the first Ctrl-C raise KeyboardInterrupt, repeated after `again` seconds, and ignore every other.

    Terminal and parent may both send one; the second must not interrupt the writing of records. Python drops an
    exception that is raised within a finalizer, and prints it: hence the repetition, without that traceback.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, again)
        raise KeyboardInterrupt

    def print_dropped(dropped: "sys.UnraisableHookArgs") -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(dropped)

    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = print_dropped


@cache
def end_with_parent() -> None:
    """Make a worker of joblib's end with its parent, and start processes as its parent does.

    It would finish its run and wait for more. Ctrl-C stops it while it trains; between two runs it is left to its
    parent, and a traceback would look like a defect. A process that a user started is left as it is.
    """
    if multiprocessing.parent_process() is not None:
        multiprocessing.set_start_method(None, force=True)  # not joblib's, which environments do not know
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _watch_parent(0.0)  # its run is trained by a process that watches this one


def _watch_parent(patience: float) -> None:
    """When the parent has died, however it died: interrupt this process, and end it after so many seconds."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        if parent.sentinel is not None:
            connection.wait([parent.sentinel])
        while parent.sentinel is None and os.getppid() == parent.pid:  # as joblib starts its workers
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(patience)
        os._exit(terminal.INTERRUPTED)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
