"""Writing the record files of a run, under its lock."""

import io
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from rl_warmup.config.columns import further_columns
from rl_warmup.records import checkpoints, models
from rl_warmup.records.atomic import replacing, write_text
from rl_warmup.records.checkpoints import Checkpoint, CheckpointError
from rl_warmup.records.info import begin, progress
from rl_warmup.records.leases import Lease, LeaseError
from rl_warmup.records.locks import run_lock
from rl_warmup.records.read import Record, read_info
from rl_warmup.records.schema import FINISHED, STATUSES, RecordError, Unwritable, table_schemas
from rl_warmup.records.words import first_line


@dataclass
class RunWriter:
    """Writes the files of one run; whatever is on disk is complete at every moment. See `open_run`."""

    folder: Path
    lease: Lease
    info: dict[str, Any]
    recorded: dict[str, pl.DataFrame]
    """The rows that are on disk, by table."""
    restored: Checkpoint | None
    belongs: Mapping[str, Any]
    """See `checkpoints.write`."""

    def __post_init__(self) -> None:
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in self.recorded}

    def start(self, config: Mapping[str, Any]) -> None:
        """Bring the folder to where the run starts: without rows after its checkpoint, or without any."""
        if self.restored is None:
            self.forget()
        with self._writing():
            for left_over in self.folder.glob(".*.tmp"):  # of a process that was killed
                left_over.unlink()
            models.put_back(self.folder, checkpoints.newest(self.folder))
            write_text(self.folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))
            for name in self.recorded:
                self._write(name)
        self.flush()

    def start_clock(self) -> None:
        """Count the seconds of this session from now on.

        Raises:
            Unwritable: as `flush`.
        """
        self.info["sitting_started"] = datetime.now(UTC).isoformat()
        self.flush()

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Add one row; an evaluation also brings everything on disk up to date.

        Raises:
            RecordError: if the row has not exactly the columns of its table.
            Unwritable: as `flush`.
        """
        if wrong := row.keys() ^ self.recorded[table].schema.keys():
            raise RecordError(f"a row of {table} lacks or has too much: {', '.join(sorted(wrong))}")
        self._rows[table].append(dict(row))
        self.info |= progress(table, row)
        if table == "evaluations":
            self.flush()

    def resumed(self, environments: str) -> None:
        """Record from where the run resumed, and its environments: `replayed` or `reset`."""
        assert self.restored is not None
        self.info["resumed"].append({"env_step": self.restored.env_step, "environments": environments})

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the last, which stays if it cannot be; rows emitted before are on disk."""
        self.flush()
        checkpoint.values["rows"] = {name: frame.height for name, frame in self.recorded.items()}
        checkpoint.values["wall_seconds"] = seconds_trained(self.info)
        if self.info["model"] is not None:
            checkpoint.values["model"] = self.info["model"]
        with self._writing():
            checkpoints.write(self.folder, checkpoint, self.belongs, self.lease.check)

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Keep the agent of the last evaluation, in place of the one before; see `models.write`.

        Raises:
            Unwritable: as `flush`.
        """
        with self._writing():
            digests = models.write(self.folder, files, self.lease.check)
        of = {"env_step": self.info["env_steps"], "return": self.info["latest_return"]}
        self.info["model"] = {**of, "sha256": digests}
        self.flush()

    def forget(self) -> None:
        """Remove the checkpoint: another attempt is to begin from the start."""
        with self._writing():
            checkpoints.remove(self.folder)

    def finish(self, status: str, error: str | None = None) -> None:
        """Write what is left and the outcome; a finished run needs no checkpoint."""
        assert status in STATUSES
        self.info |= _outcome(status, error, self.info)
        self.flush()
        if status in FINISHED:
            self.forget()

    def flush(self) -> None:
        """Bring the files up to date, run.json last: it never speaks of rows that are not there.

        Raises:
            Unwritable: if they cannot be; what is on disk is complete.
        """
        with self._writing():
            for name, rows in self._rows.items():
                if rows:
                    self._write(name)
            _write_info(self.folder, self.info, self.lease)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """While it is entered, what cannot be written is named with its cause, as is who has taken the run over."""
        try:
            self.lease.check()
            yield
        except LeaseError as error:
            raise Unwritable(str(error)) from error
        except OSError as error:
            raise Unwritable(f"{self.folder} cannot be written: {error.strerror or first_line(error)}") from error

    def _write(self, name: str) -> None:
        new = pl.DataFrame(self._rows[name], schema=self.recorded[name].schema, orient="row")
        frame = pl.concat([self.recorded[name], new])
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        with replacing(self.folder / f"{name}.parquet", self.lease.check) as temporary:
            temporary.write_bytes(buffer.getvalue())
        self.recorded[name] = frame
        self._rows[name].clear()


def open_run(folder: Path, info: Mapping[str, Any], config: Mapping[str, Any], lease: Lease) -> RunWriter:
    """Open the records of a run, to start it or to resume it from its checkpoint.

    Args:
        folder: of the run.
        info: what run.json says of the run, whatever becomes of it.
        config: as resolved, for config.yaml.
        lease: of the folder, looked at before anything is written.

    Raises:
        RecordError: if the run is already completed or diverged.
    """
    earlier = read_info(folder) if (folder / "run.json").exists() else {}
    if earlier.get("status") in FINISHED:
        raise RecordError(f"{folder} holds a {earlier['status']} run and is not overwritten")
    # compiled programs round differently, as do other numbers of threads: one run is not trained by two kinds
    kind = {"compile": config.get("trainer", {}).get("compile"), "threads": info.get("threads")}
    belongs = {"config": {**info["config"], **kind}, "versions": info.get("versions")}
    from_agent = bool((info["config"].get("init") or {}).get("source"))
    schemas = table_schemas(config["algo"]["name"], further_columns(config), from_agent)
    recorded, found, restarted = {name: pl.DataFrame(schema=schema) for name, schema in schemas.items()}, None, None
    try:
        found = checkpoints.read(folder, belongs) if earlier else None
        if found is not None:
            recorded = _rows_before(found, Record(folder, earlier), list(schemas))
    except (CheckpointError, RecordError) as error:
        found, restarted = None, str(error)
    begun = begin(info, earlier, found, restarted, uuid.uuid4().hex[:8], datetime.now(UTC).isoformat())
    for name, frame in recorded.items():
        for row in frame.tail(1).to_dicts():
            begun |= progress(name, row)
    writer = RunWriter(folder, lease, begun, recorded, found, belongs)
    writer.start(config)
    return writer


def _rows_before(checkpoint: Checkpoint, record: Record, names: Sequence[str]) -> dict[str, pl.DataFrame]:
    """The rows that were recorded when a checkpoint was taken, by table.

    Raises:
        CheckpointError: if there are fewer.
        RecordError: if they cannot be read.
    """
    try:
        rows = {name: record.table(name).head(checkpoint.values["rows"][name]) for name in names}
        lost = [name for name, frame in rows.items() if frame.height < checkpoint.values["rows"][name]]
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"its checkpoint cannot be read: {error!r}") from error
    if lost:
        raise CheckpointError(f"{', '.join(lost)} lacks rows that its checkpoint counts")
    return rows


@contextmanager
def recording(folder: Path, info: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[RunWriter]:
    """A `RunWriter` on `folder` that no other process can open at the same time.

    Raises:
        RecordError: if the run is finished.
        LeaseError: if another process is training it.
    """
    with run_lock(folder) as lease:
        yield open_run(folder, info, config, lease)


def mark_failed(folder: Path, reason: str) -> None:
    """Say in run.json that the process which trained the run has died; rows and checkpoint stay as it left them.

    Raises:
        LeaseError: if another process is training the run.
    """
    with run_lock(folder) as lease:
        info = read_info(folder)
        if info["status"] not in FINISHED:
            _write_info(folder, info | _outcome("failed", reason, info), lease)


def session_started(info: Mapping[str, Any]) -> datetime:
    """When the process that trained the run last opened its records."""
    return datetime.fromisoformat(info.get("sitting_started") or info["started"])


def seconds_trained(info: Mapping[str, Any]) -> float:
    """Seconds that an unfinished run has been trained up to now, over all its sessions."""
    session = (datetime.now(UTC) - session_started(info)).total_seconds()
    return float(round((info.get("wall_seconds") or 0.0) + session, 3))


def _outcome(status: str, error: str | None, info: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": status,
        "error": None if error is None else _harmless(error),
        "finished": datetime.now(UTC).isoformat(),
        "wall_seconds": seconds_trained(info),
    }


def _harmless(text: str) -> str:
    """`text` without the values of the environment's keys and tokens, and such that any file can hold it."""
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search("KEY|TOKEN|SECRET|PASS|CREDENTIAL", name.upper()):
            text = text.replace(value, f"${name}")
    return text.encode(errors="backslashreplace").decode()


def _write_info(folder: Path, info: Mapping[str, Any], lease: Lease) -> None:
    write_text(folder / "run.json", json.dumps(info, indent=2, allow_nan=False) + "\n", lease.check)
