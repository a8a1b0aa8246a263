"""Signs of life of the processes that train, for those that cannot look into their machine's list of processes.

A process touches one file of its own in the folder of the study every `BEAT` seconds, whatever it trains there. It
is silent if that file is older than `PATIENCE` by the clock of its file system, which all machines share, and taken
for dead if besides the file does not change for two more beats of who looks, whatever the clocks say.

The patience is longer than the minute for which a client of NFS may believe what it has read.
"""

import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BEAT = 5.0
"""Seconds between two signs of life."""
PATIENCE = 90.0
"""Seconds without one after which a process counts as silent."""


class _Heart:
    """A file that a thread of this process touches, for all leases that the process holds in one study."""

    def __init__(self, folder: Path) -> None:
        self.leases = 0
        self.path = folder / f".heartbeat-{uuid.uuid4().hex}"
        self.path.touch()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT):
            with suppress(OSError):
                self.path.touch()

    def stop(self) -> None:
        """The last lease is released."""
        self._stopped.set()
        self._thread.join()
        with suppress(OSError):
            self.path.unlink()


_hearts: dict[Path, _Heart] = {}
_hearts_guard = threading.Lock()


@contextmanager
def beating(folder: Path) -> Iterator[Path]:
    """This process's file in a study's folder, touched while it is entered, once or several times."""
    with _hearts_guard:
        heart = _hearts.get(folder) or _hearts.setdefault(folder, _Heart(folder))
        heart.leases += 1
    try:
        yield heart.path
    finally:
        with _hearts_guard:
            heart.leases -= 1
            if not heart.leases:
                del _hearts[folder]
                heart.stop()


def is_training() -> bool:
    """Whether this process holds the lease of any run."""
    return bool(_hearts)


def _pulse(heart: Path) -> int | None:
    """When a process last lived, in ns of its file system's clock; None if its file is gone."""
    try:
        with heart.open() as file:  # what is opened, a network's file system asks for anew
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def beats(heart: Path) -> bool:
    """Whether a process has shown a sign of life of late."""
    pulse = _pulse(heart)
    return pulse is not None and _now(heart.parent) - pulse / 1e9 < PATIENCE


def _now(folder: Path) -> float:
    """The time by the clock of a file system; that of this machine where nothing can be written."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


_dead: dict[Path, int | None] = {}
"""Hearts that were watched in vain, with their last beat: many runs may have been one process's."""


def has_died(heart: Path) -> bool:
    """Whether a process is silent, and stays so while it is watched."""
    if beats(heart):
        return False
    pulse = _pulse(heart)
    if heart not in _dead or pulse not in (None, _dead[heart]):
        time.sleep(2 * BEAT)
        if _pulse(heart) != pulse:
            return False
        _dead[heart] = pulse
    return True
