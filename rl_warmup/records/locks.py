"""Which process may write the files of a study or a run: a file lock, and a lease behind that of a run."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rl_warmup.records import leases
from rl_warmup.records.leases import BEAT, NOT_OFFERED, Lease, LeaseError


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Make the folder of a study, and keep other processes from changing its files meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def run_lock(folder: Path, beat: float = BEAT) -> Iterator[Lease]:
    """Lock and lease of a run's folder, which is made if need be; `beat`: seconds between two heartbeats.

    Raises:
        LeaseError: if another process has them; one of this machine is known at once, one of another by its lease.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w", encoding="utf-8") as lock:
        deadline = time.monotonic() + 0.5  # `is_training` may hold the lock for a moment, a trainer holds it long
        while (locked := _try_lock(lock, fcntl.LOCK_EX)) is False:
            if time.monotonic() > deadline:
                raise LeaseError(f"{folder} is being trained by another process")
            time.sleep(0.05)
        with leases.lease(folder, leases.this_machine(), sole=locked is True, beat=beat) as lease:
            yield lease


def is_training(folder: Path) -> bool:
    """Whether a process is training the run right now."""
    try:
        with (folder / ".lock").open(encoding="utf-8") as lock:
            free = _try_lock(lock, fcntl.LOCK_SH)
    except OSError:
        free = True
    return free is False or leases.is_leased(folder, dead_on=leases.this_machine() if free else None)


def _try_lock(lock: IO[str], kind: int) -> bool | None:
    """Lock a file for this process; False if another has it, None where the file system has no locks."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NOT_OFFERED:
            return None
        raise
    return True
