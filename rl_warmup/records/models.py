"""The trained agent of a run: model.zip, with normalization vecnormalize.pkl, with `keep_replay` replay.npz."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from rl_warmup.records.atomic import replacing

MODEL, STATISTICS, REPLAY = "model.zip", "vecnormalize.pkl", "replay.npz"
_FILES = (STATISTICS, REPLAY, MODEL)


def write(folder: Path, files: Mapping[str, bytes], check: Callable[[], None] | None = None) -> dict[str, str]:
    """Replace the agent of the run in `folder`, each file whole or not at all; their SHA-256 by name.

    `check`: see `replacing`.

    Raises:
        OSError: if they cannot be written.
    """
    for name in _FILES:
        if name in files:
            with replacing(folder / name, check) as temporary:
                temporary.write_bytes(files[name])
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def put_back(folder: Path, source: Path | None) -> None:
    """Give the run in `folder` the agent that `source` keeps; none, if that has none or is None.

    Raises:
        OSError: if it cannot be written.
    """
    for name in _FILES:
        if source is not None and (source / name).exists():
            with replacing(folder / name) as temporary:
                _link(source / name, temporary)
        else:
            (folder / name).unlink(missing_ok=True)


def keep_in(place: Path, folder: Path) -> None:
    """Keep the agent that the run in `folder` has now in `place`, too; its files are replaced, not written into.

    Raises:
        OSError: if it cannot be written.
    """
    for name in _FILES:
        if (folder / name).exists():
            _link(folder / name, place / name)


def present(folder: Path) -> list[Path]:
    """The files of the agent of the run in `folder`."""
    return [folder / name for name in _FILES if (folder / name).exists()]


def is_as_recorded(folder: Path, digests: Mapping[str, str]) -> bool:
    """Whether the files are those whose SHA-256 `write` returned: no process was killed between the two."""
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in present(folder)}
    return found == dict(digests)


def _link(source: Path, target: Path) -> None:
    """Have `target` hold the content of `source`, by another name of the same file where the disk can."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
