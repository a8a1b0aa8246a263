"""Leases: the right to write a run's files, among machines that share a folder but perhaps no file locks.

docs/surviving.md has the rules. `.lease-N` in a run's folder names its N-th holder; it is emptied when released.
`.heartbeat-…` in the folder of the study is touched by a process as long as it holds leases there.
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
    """Who holds a lease, as its file says."""

    machine: str
    pid: int
    heart: str  # name of its heartbeat's file

    def __str__(self) -> str:
        return f"process {self.pid} on {self.machine.partition('/')[0]}"


class Lease(NamedTuple):
    """The right to write into a run's folder, until another process takes it over."""

    path: Path
    holder: Holder

    def check(self) -> None:
        """Look whether it is still ours, right before something is written.

        Raises:
            LeaseError: if it is not.
        """
        with suppress(FileNotFoundError):
            if _read(self.path) == self.holder:
                return
        folder = self.path.parent
        _, other = _latest(folder)
        by = f" by {other}" if other else ""
        raise LeaseError(
            f"{folder} was taken over{by}, since this process had no heartbeat for "
            f"{PATIENCE:g} seconds; it writes nothing more there"
        )


@cache
def this_machine() -> str:
    """Name of this machine and, where the system has one, the id of its boot."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    name = boot.read_text(encoding="utf-8").strip() if boot.exists() else ""
    return f"{platform.node()}/{name}"


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
        ours = _acquire(folder, Holder(machine, os.getpid(), heartbeat.name), machine if sole else None, beat)
        try:
            yield ours
        finally:
            with suppress(OSError):
                ours.check()
                os.truncate(ours.path, 0)  # works on a full disk too


def is_leased(folder: Path, dead_on: str | None) -> bool:
    """Whether a process holds the lease and lives; one of the machine `dead_on` is known to be dead."""
    _, holder = _latest(folder)
    return holder is not None and holder.machine != dead_on and beats(folder.parent / holder.heart)


def _acquire(folder: Path, holder: Holder, dead_on: str | None, beat: float) -> Lease:
    """Create the next lease, if the one before is released or stale; older ones are removed."""
    while True:
        number, before = _latest(folder)
        if before is not None:
            heartbeat = folder.parent / before.heart
            if before.machine != dead_on and not has_died(heartbeat, beat):
                raise LeaseError(f"{folder} is being trained by another process ({before})")
            heartbeat.unlink(missing_ok=True)
        path = folder / f"{_PREFIX}{number + 1}"
        if _create(path, json.dumps(holder._asdict())):
            if _latest(folder)[0] == number + 1:
                for older in _numbers(folder):
                    if older <= number:
                        (folder / f"{_PREFIX}{older}").unlink(missing_ok=True)
                return Lease(path, holder)
            path.unlink()  # others came and went between the check and the creation
        time.sleep(0.05)


def _create(path: Path, text: str) -> bool:
    """Create a file with its content, whole, unless it exists."""
    temporary = path.with_name(f".lease.{uuid.uuid4().hex}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
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
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _numbers(folder: Path) -> list[int]:
    names = (path.name.removeprefix(_PREFIX) for path in folder.glob(f"{_PREFIX}*"))
    return [int(name) for name in names if name.isdecimal()]


def _latest(folder: Path) -> tuple[int, Holder | None]:
    """Number and holder of a run's last lease; (0, None) if there was none."""
    while numbers := _numbers(folder):
        with suppress(FileNotFoundError):
            return max(numbers), _read(folder / f"{_PREFIX}{max(numbers)}")
        time.sleep(0.01)  # its successor has removed it
    return 0, None


def _read(lease: Path) -> Holder | None:
    """Who holds a lease; None once it is released."""
    text = lease.read_text(encoding="utf-8")
    try:
        return Holder(**json.loads(text)) if text else None
    except (ValueError, TypeError):  # edited by hand
        return Holder("an unknown machine", 0, ".heartbeat")


class _Heartbeat(threading.Thread):
    """Touches a file for all leases that this process holds in one study, and removes it in the end."""

    def __init__(self, folder: Path, beat: float) -> None:
        super().__init__(daemon=True)
        self.leases, self.stopped, self._beat = 0, threading.Event(), beat
        self.path = folder / f".heartbeat-{uuid.uuid4().hex}"
        self.path.touch()
        self.start()

    def run(self) -> None:
        while not self.stopped.wait(self._beat):
            with suppress(OSError):
                self.path.touch()
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
                ours.stopped.set()
                ours.join()


def _last_beat(heartbeat: Path) -> int:
    """When a process last lived, in ns of its file system's clock; 0 if its file is gone."""
    try:
        with heartbeat.open("rb") as file:  # a network's file system looks up again what is opened
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return 0


def beats(heartbeat: Path) -> bool:
    """Whether a process has had a heartbeat within `PATIENCE`, by the clock of its file system."""
    last = _last_beat(heartbeat)
    try:
        with tempfile.TemporaryFile(dir=heartbeat.parent) as file:
            now = os.fstat(file.fileno()).st_mtime
    except OSError:  # where nothing can be written, this machine's clock must do
        now = time.time()
    return now - last / 1e9 < PATIENCE


_dead: dict[Path, int] = {}  # with their last beat: one process may have held the leases of many runs


def has_died(heartbeat: Path, beat: float = BEAT) -> bool:
    """Whether the heartbeat is too old, and does not change for two more beats."""
    if beats(heartbeat):
        return False
    last = _last_beat(heartbeat)
    if heartbeat not in _dead or last not in (0, _dead[heartbeat]):
        time.sleep(2 * beat)
        if _last_beat(heartbeat) != last:
            return False
        _dead[heartbeat] = last
    return True
