"""Leases: the right to write a run's files, among machines that share a folder but perhaps no file locks.

A run's folder holds `.lease-N`, N counting its holders: created whole, by one process only, and emptied when it is
released. A process that holds leases touches one file of its own in the folder of the study, its heartbeat. A lease
is stale if that file is older than `PATIENCE` by the clock of its file system, which all machines share, and then
does not change for two more beats of the process that checks, which needs no clock. Another process then creates
`.lease-N+1` and removes the stale one; a holder that was only suspended misses its lease before it writes again.
"""

import errno
import json
import os
import platform
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

BEAT = 5.0
"""Seconds between two heartbeats."""
PATIENCE = 90.0
"""Age of a heartbeat in seconds from which a lease may be stale. A client of NFS may believe what it has read for a
minute."""
NOT_OFFERED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)
"""Errors of file systems that have no file locks, or no hard links."""
_PREFIX = ".lease-"


class LeaseError(OSError):
    """The run is another process's; the message names it."""


class Holder(NamedTuple):
    """Who holds a lease."""

    machine: str
    pid: int
    heart: str  # name of its heartbeat's file

    @property
    def name(self) -> str:
        """The process in words."""
        return f"process {self.pid} on {self.machine.partition('/')[0]}"


class Lease:
    """The right to write into a run's folder, until another process takes it over."""

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
                f"{folder} was taken over{by}, since this process had no heartbeat for "
                f"{PATIENCE:g} seconds; it writes nothing more there"
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
    """Name of this machine and, where the system has one, the id of its boot."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{platform.node()}/{boot.read_text().strip() if boot.exists() else ''}"


@contextmanager
def lease(folder: Path, machine: str, sole: bool = False, beat: float = BEAT) -> Iterator[Lease]:
    """The lease of a run's folder, for a process of `machine`.

    Args:
        folder: of the run.
        machine: see `this_machine`.
        sole: no other process of `machine` can have it: one that is its holder has died.
        beat: seconds between two heartbeats of this process.

    Raises:
        LeaseError: if another process has it, and lives.
    """
    with _beating(folder.parent, beat) as heartbeat:
        text = json.dumps(Holder(machine, os.getpid(), heartbeat.name)._asdict())
        ours = Lease(_acquire(folder, text, machine if sole else None, beat), text)
        try:
            yield ours
        finally:
            ours.release()


def is_leased(folder: Path, dead_on: str | None) -> bool:
    """Whether a process holds the lease and lives; one of the machine `dead_on` is known to be dead."""
    _, text = _latest(folder)
    return bool(text) and _holder(text).machine != dead_on and beats(folder.parent / _holder(text).heart)


def _acquire(folder: Path, text: str, dead_on: str | None, beat: float) -> Path:
    """Create the next lease, if the one before is released or stale; older ones are removed."""
    while True:
        number, before = _latest(folder)
        if before:
            holder = _holder(before)
            heartbeat = folder.parent / holder.heart
            if holder.machine != dead_on and not has_died(heartbeat, beat):
                raise LeaseError(f"{folder} is being trained by another process ({holder.name})")
            heartbeat.unlink(missing_ok=True)
        path = folder / f"{_PREFIX}{number + 1}"
        if _create(path, text):
            if _latest(folder)[0] == number + 1:
                for older in _numbers(folder):
                    if older <= number:
                        (folder / f"{_PREFIX}{older}").unlink(missing_ok=True)
                return path
            path.unlink()  # others came and went between the check and the creation
        time.sleep(0.05)


def _create(path: Path, text: str) -> bool:
    """Create a file with its content, whole, unless it exists."""
    temporary = path.with_name(f".lease.{uuid.uuid4().hex}.new")
    try:
        temporary.write_text(text)
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno in NOT_OFFERED:
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
    except (ValueError, TypeError):  # edited by hand
        return Holder("an unknown machine", 0, ".heartbeat")


class _Heartbeat:
    """A file that a thread of this process touches, for all leases that the process holds in one study."""

    def __init__(self, folder: Path, beat: float) -> None:
        self.leases, self.path, self._beat = 0, folder / f".heartbeat-{uuid.uuid4().hex}", beat
        self.path.touch()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._touch, daemon=True)
        self._thread.start()

    def _touch(self) -> None:
        while not self._stopped.wait(self._beat):
            with suppress(OSError):
                self.path.touch()

    def stop(self) -> None:
        """The last lease is released."""
        self._stopped.set()
        self._thread.join()
        with suppress(OSError):
            self.path.unlink()


_heartbeats: dict[Path, _Heartbeat] = {}  # by folder of the study
_guard = threading.Lock()


@contextmanager
def _beating(folder: Path, beat: float) -> Iterator[Path]:
    """This process's heartbeat in a study's folder while it is entered, once or several times."""
    with _guard:
        ours = _heartbeats.get(folder) or _heartbeats.setdefault(folder, _Heartbeat(folder, beat))
        ours.leases += 1
    try:
        yield ours.path
    finally:
        with _guard:
            ours.leases -= 1
            if not ours.leases:
                del _heartbeats[folder]
                ours.stop()


def _last_beat(heartbeat: Path) -> int | None:
    """When a process last lived, in ns of its file system's clock; None if its file is gone."""
    try:
        with heartbeat.open() as file:  # a network's file system looks up again what is opened
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None


def beats(heartbeat: Path) -> bool:
    """Whether a process has had a heartbeat within `PATIENCE`, by the clock of its file system."""
    last = _last_beat(heartbeat)
    if last is None:
        return False
    try:
        with tempfile.TemporaryFile(dir=heartbeat.parent) as file:
            now = os.fstat(file.fileno()).st_mtime
    except OSError:  # where nothing can be written, this machine's clock must do
        now = time.time()
    return now - last / 1e9 < PATIENCE


_dead: dict[Path, int | None] = {}  # with their last beat: one process may have held the leases of many runs


def has_died(heartbeat: Path, beat: float = BEAT) -> bool:
    """Whether the heartbeat is too old, and does not change for two more beats."""
    if beats(heartbeat):
        return False
    last = _last_beat(heartbeat)
    if heartbeat not in _dead or last not in (None, _dead[heartbeat]):
        time.sleep(2 * beat)
        if _last_beat(heartbeat) != last:
            return False
        _dead[heartbeat] = last
    return True
