"""Files that are replaced whole or not at all."""

import os
import shutil
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rl_warmup.config.settings import ConfigError


def write_text(path: Path, text: str, check: Callable[[], None] | None = None) -> None:
    """Replace `path` by `text` in UTF-8, what that cannot hold as escapes; see `replacing`."""
    with replacing(path, check) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def replacing(path: Path, check: Callable[[], None] | None = None) -> Iterator[Path]:
    """A temporary path; the file or folder written there takes the place of `path`, whole or not at all.

    `check` may refuse that by an exception, when all is written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        for written in (*temporary.glob("*"), temporary):
            sync(written)
        if check is not None:
            check()
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C, and its repetition by SIGALRM, back until the block has ended.

    torch.save calls the `write` of its file from destructors, where KeyboardInterrupt would abort the process.
    """
    main = threading.current_thread() is threading.main_thread()  # no handler runs in another
    numbers = (signal.SIGINT, signal.SIGALRM) if main else ()  # that of the first sets the second's
    raising = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    held: list[int] = []
    try:
        for number in raising:
            signal.signal(number, lambda number, frame: held.append(number))
        yield
    finally:
        for number, handler in raising.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def sync(path: Path) -> None:
    """Let a file, or the names in a folder, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(folder: Path, size: int = 0) -> None:
    """Refuse a folder in which nothing can be recorded, or not so many bytes.

    Raises:
        ConfigError: naming the folder and the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(size))
    except OSError as error:
        raise ConfigError(
            f"runs_dir: nothing can be recorded in {folder}: {error.strerror}; make it possible, or use another"
        ) from error
