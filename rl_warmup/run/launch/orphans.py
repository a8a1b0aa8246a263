"""Workers that end when the process that started them has died without a word."""

import multiprocessing
import os
import signal
import threading
import time

from rl_warmup.records.leases import holds_leases

LOOK = 1.0
"""Seconds between two looks at who the parent is."""
PATIENCE = 30.0
"""Seconds in which an interrupted worker must have written what it has."""


_NAME = "end with parent"


def end_with_parent() -> None:
    """From now on interrupt this process, and then end it, when it is a worker and its parent has died.

    joblib's workers would train on, and then wait for more. A process that a user started is none. Ctrl-C stops a
    worker while it trains; between two runs it is left to its parent, and a traceback would look like a defect.
    """
    parent = getattr(multiprocessing.current_process(), "_parent_pid", None)
    if parent is None:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _NAME not in [thread.name for thread in threading.enumerate()]:
        threading.Thread(target=_watch, args=(parent,), daemon=True, name=_NAME).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    while holds_leases() and time.monotonic() < deadline:
        time.sleep(LOOK)
    os._exit(1)
