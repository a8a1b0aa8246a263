"""Files that are replaced whole or not at all."""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rl_warmup.config.schema import ConfigError


def write_text(path: Path, text: str, check: Callable[[], None] | None = None) -> None:
    """Replace `path` by `text`, whole or not at all, unless `check` raises when it is written."""
    with replacing(path, check) as temporary:
        temporary.write_text(text)


@contextmanager
def replacing(path: Path, check: Callable[[], None] | None = None) -> Iterator[Path]:
    """A temporary path; what is written there takes the place of `path`, whole or not at all.

    `check` may refuse that by an exception, when the file is whole.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        if check is not None:
            check()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
