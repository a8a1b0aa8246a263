"""What of a study has been sent to W&B, so that publishing again sends what is new: published.jsonl."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from rl_warmup.config.schema import TrackingConfig
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import counted, digest
from rl_warmup.tracking import client


class Publications:
    """published.jsonl of a study: one JSON object per line, with `destination`, `key`, `digest` and `place`.

    `destination` is a server, an entity and a project, `key` the W&B id of a run, `model-` and that id for its
    agent, or `study`, `report` or `workspace` and a group; `digest` is of what was sent, `place` the address of a
    run; of the study's run, a workspace or report its id and then its address. The last line of a key holds; lines
    that cannot be read, as after a full disk, are ignored: what they named is sent again.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "published.jsonl"
        self._lines: dict[tuple[str, str], dict[str, Any]] = {}
        text = self._path.read_text(encoding="utf-8", errors="replace") if self._path.exists() else ""
        for each in text.splitlines():
            try:
                line = json.loads(each)
                self._lines[line["destination"], line["key"]] = line
            except (ValueError, KeyError, TypeError):
                continue

    def holds(self, destination: str, key: str, digest: str, *, rows_only: bool = False) -> bool:
        """Whether just this was sent there; `rows_only`: of a run, be it with other metrics or none."""
        sent = str(self._lines.get((destination, key), {}).get("digest"))
        return sent == digest or (rows_only and sent.partition(".")[0] == digest.partition(".")[0])

    def has_reached(self, destination: str) -> bool:
        """Whether anything was sent there; a `destination` without an entity is that of any."""
        wanted = destination.rsplit("/", 2)
        sent = [where.rsplit("/", 2) for where, _ in self._lines]
        return any(all(part in ("", found) for part, found in zip(wanted, where, strict=True)) for where in sent)

    def place(self, destination: str, key: str) -> str | None:
        """The id or address that was noted for `key`."""
        return self._lines.get((destination, key), {}).get("place")

    def anywhere(self, key: str) -> str | None:
        """A place that was noted for `key`, at any destination."""
        places = [line.get("place") for (_, known), line in self._lines.items() if known == key]
        return next(filter(None, places), None)

    def note(self, destination: str, key: str, digest: str, place: str | None = None) -> None:
        """Add a line, in one write, on disk when this returns.

        Raises:
            OSError: if it cannot be written.
        """
        line = {"destination": destination, "key": key, "digest": digest, "place": place}
        self._lines[destination, key] = line
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            os.write(file, (("\n" if torn else "") + json.dumps(line) + "\n").encode())
            os.fsync(file)
        finally:
            os.close(file)


def run_digest(run: Path, metrics: Mapping[str, Any] | None = None) -> str:
    """Of what is sent of the run in the folder `run`, rows.metrics: run.json is replaced whenever its tables are.

    Raises:
        OSError: if it cannot be read.
    """
    parts = (run / "run.json").read_bytes(), json.dumps(metrics or {}, sort_keys=True).encode()
    return ".".join(digest(part) for part in parts)


def announce(settings: TrackingConfig, folder: Path, runs: int, way_out: str, console: Console) -> None:
    """Print where so many runs of a study will be sent, unless something of it was sent there before.

    Args:
        folder: of the study.
        way_out: how to switch it off.
    """
    if not Publications(folder).has_reached(client.destination(settings.project, settings.entity, online=True)):
        where = client.web_address(settings.project, settings.entity)
        text = f"W&B: {counted(runs, 'run')} will be sent to {where}; {way_out}"
        console.print(text, soft_wrap=True, highlight=False, markup=False)


@contextmanager
def try_lock(folder: Path, doing: str) -> Iterator[bool]:
    """Whether no other process is `doing` the same with the study meanwhile, e.g. publishing it.

    Raises:
        OSError: if the folder cannot be written.
    """
    with (folder / f".{doing}").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def publishing(folder: Path) -> Iterator[None]:
    """While it is entered, no other process publishes the study.

    Raises:
        RecordError: if another does.
        OSError: if the folder cannot be written.
    """
    with try_lock(folder, "publishing") as free:
        if not free:
            raise RecordError(f"{folder} is being published by another process; wait for it")
        yield


@dataclass(frozen=True)
class Destination:
    """Where the study in `folder` is sent, and what has been sent."""

    folder: Path
    settings: TrackingConfig
    online: bool
    entity: str | None
    name: str  # as `client.destination` makes it
    ledger: Publications

    @classmethod
    def of(cls, folder: Path, settings: TrackingConfig, online: bool) -> "Destination":
        """The one that the settings name.

        Raises:
            Unusable: if the server does not say who we are.
        """
        entity = client.account(settings, online)
        name = client.destination(settings.project, entity, online)
        return cls(folder, settings, online, entity, name, Publications(folder))
