"""Which process trains a run: a file lock among those of one machine, a lease among machines that share a folder.

A file lock ends with its process, however that ends, but on shared file systems it may not reach other machines.
So a run's folder also holds `.lease-N`, N counting its holders: created whole, by one process only, and emptied
when it is released. Where the holder shows no signs of life (heartbeats.py), another process creates `.lease-N+1`
and removes the stale one; the holder, had it only been suspended, misses its lease before it writes again.
"""

import errno
import fcntl
import json
import os
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO

from rl_warmup.records import heartbeats
from rl_warmup.records.heartbeats import beating, beats, has_died

_NOT_OFFERED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)
"""What file systems say that have no such locks, or no hard links."""
_PREFIX = ".lease-"


class LeaseError(OSError):
    """The run is another process's; the message says whose."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lease."""

    machine: str
    pid: int
    heart: str
    """Name of the file that shows, by its time, when the process last lived."""

    @property
    def name(self) -> str:
        """The process in words."""
        return f"process {self.pid} on {self.machine.partition('/')[0]}"


class Lease:
    """The right to write into a run's folder, while nobody has taken it over."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def check(self) -> None:
        """Look whether it is still ours, right before something is written.

        Raises:
            LeaseError: if it is not.
        """
        if not self._ours():
            folder = self._path.parent
            _, text = _latest(folder)
            by = f" by {_holder(text).name}" if text else ""
            raise LeaseError(
                f"{folder} was taken over{by}, since this process had shown no sign of life for "
                f"{heartbeats.PATIENCE:g} seconds; it writes nothing more there"
            )

    def release(self) -> None:
        """Empty it, which works on a full disk too, unless it is another process's by now."""
        with suppress(OSError):
            if self._ours():
                os.truncate(self._path, 0)

    def _ours(self) -> bool:
        try:
            return self._path.read_text() == self._text
        except FileNotFoundError:
            return False


@cache
def this_machine() -> str:
    """Name of this machine and, where the system tells it, which of its boots this is."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{platform.node()}/{boot.read_text().strip() if boot.exists() else ''}"


@contextmanager
def held(folder: Path) -> Iterator[Lease]:
    """Lock and lease of a run's folder, which is made if need be.

    Raises:
        LeaseError: if another process has them; one of this machine is known at once, one of another by its lease.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        alone = _take(lock, folder)
        with leased(folder, this_machine(), alone) as lease:
            yield lease


@contextmanager
def leased(folder: Path, machine: str, alone: bool = False) -> Iterator[Lease]:
    """The lease alone, for a process of `machine`; `alone`: no other one there can have it, so that it has died.

    Raises:
        LeaseError: if another process has it, and lives.
    """
    with beating(folder.parent) as heart:
        text = json.dumps(asdict(Holder(machine, os.getpid(), heart.name)))
        lease = Lease(_acquire(folder, text, machine if alone else None), text)
        try:
            yield lease
        finally:
            lease.release()


def is_held(folder: Path, machine: str | None = None) -> bool:
    """Whether a process, seen from `machine` (default: this one), is training the run right now."""
    locked = _is_locked(folder)
    if locked:
        return True
    _, text = _latest(folder)
    if not text or (locked is False and _holder(text).machine == (machine or this_machine())):
        return False
    return beats(folder.parent / _holder(text).heart)


def _take(lock: IO[str], folder: Path, patience: float = 0.5) -> bool:
    """Lock a run's folder for this process; False where the file system has no locks.

    `is_held` may hold the lock for a moment, a trainer holds it long.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise LeaseError(f"{folder} is being trained by another process") from error
            time.sleep(0.05)
        except OSError as error:
            if error.errno in _NOT_OFFERED:
                return False
            raise


def _is_locked(folder: Path) -> bool | None:
    """Whether a process holds the lock; None where the file system has no locks."""
    try:
        with (folder / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        return None if error.errno in _NOT_OFFERED else False
    return False


def _acquire(folder: Path, text: str, alone_on: str | None) -> Path:
    """Create the next lease, if the one before is released or stale; older ones are removed."""
    while True:
        number, before = _latest(folder)
        holder = _holder(before) if before else None
        if holder is not None:
            heart = folder.parent / holder.heart
            if holder.machine != alone_on and not has_died(heart):
                raise LeaseError(f"{folder} is being trained by another process ({holder.name})")
            heart.unlink(missing_ok=True)
        path = folder / f"{_PREFIX}{number + 1}"
        if _create(path, text):
            if _latest(folder)[0] == number + 1:
                for older in _numbers(folder):
                    if older <= number:
                        (folder / f"{_PREFIX}{older}").unlink(missing_ok=True)
                return path
            path.unlink()  # others came and went between the look and the creation
        time.sleep(0.05)


def _create(path: Path, text: str) -> bool:
    """Create a file with its content, whole, unless it exists."""
    temporary = path.with_name(f".lease.{uuid.uuid4().hex}.new")
    try:
        temporary.write_text(text)
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno in _NOT_OFFERED:
                return _create_in_place(path, text)
        return temporary.stat().st_nlink == 2  # the answer of link may be lost on a network, its effect is not
    finally:
        temporary.unlink(missing_ok=True)


def _create_in_place(path: Path, text: str) -> bool:
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _numbers(folder: Path) -> list[int]:
    names = (path.name.removeprefix(_PREFIX) for path in folder.glob(f"{_PREFIX}*"))
    return [int(name) for name in names if name.isdecimal()]


def _latest(folder: Path) -> tuple[int, str]:
    """Number and content of a run's last lease, (0, "") if there was none; a released one is empty."""
    while True:
        number = max(_numbers(folder), default=0)
        try:
            return number, (folder / f"{_PREFIX}{number}").read_text() if number else ""
        except FileNotFoundError:  # its successor has removed it
            time.sleep(0.01)


def _holder(text: str) -> Holder:
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):  # somebody's hand was in it
        return Holder("an unknown machine", 0, ".heartbeat")
