"""Writing the record files of a run, under its lock."""

import io
import json
import math
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from rl_warmup.records import checkpoints
from rl_warmup.records.atomic import replacing, write_text
from rl_warmup.records.checkpoints import Checkpoint, CheckpointError
from rl_warmup.records.leases import Lease, LeaseError
from rl_warmup.records.locks import run_lock
from rl_warmup.records.read import Record, read_info
from rl_warmup.records.schema import FINISHED, STATUSES, RecordError, Unwritable, table_schemas
from rl_warmup.records.words import first_line


class RunWriter:
    """Writes the files of one run; whatever is on disk is complete at every moment."""

    restored: Checkpoint | None
    """What the run goes on from; None if it begins."""

    def __init__(self, folder: Path, info: Mapping[str, Any], config: Mapping[str, Any], lease: Lease) -> None:
        """Open `folder`, whose `lease` is held, for the run, to begin it or to go on.

        A run that was interrupted goes on from its checkpoint in the same attempt, one whose process was killed and
        accounted for in a new attempt. Without a checkpoint that belongs to it a run begins again.

        Raises:
            RecordError: if the run is already completed or diverged.
        """
        earlier = read_info(folder) if (folder / "run.json").exists() else {}
        if earlier.get("status") in FINISHED:
            raise RecordError(f"{folder} holds a {earlier['status']} run and is not overwritten")
        self.folder, self._lease = folder, lease
        self._schemas = table_schemas(config["algo"]["name"])
        self._frames = {name: pl.DataFrame(schema=schema) for name, schema in self._schemas.items()}
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in self._schemas}
        # compiled programs round differently, as do other numbers of threads: one run is not trained by two kinds
        kind = {"compile": config.get("trainer", {}).get("compile"), "threads": info.get("threads")}
        own = {**info["config"], **kind}
        self._belongs = {"config": own, "versions": info.get("versions")}
        refused = self._restore(earlier)
        now = datetime.now(UTC).isoformat()
        goes_on = self.restored is not None and earlier["status"] == "running"
        self.info: dict[str, Any] = {
            **info,
            "status": "running",
            "attempt_id": earlier["attempt_id"] if goes_on else uuid.uuid4().hex[:8],
            "error": None,
            "started": earlier["started"] if goes_on else now,
            "sitting_started": now,
            "finished": None,
            "wall_seconds": None,
            "env_steps": 0,
            "gradient_steps": 0,
            "latest_return": None,
            "resumed": earlier.get("resumed", []) if self.restored else [],
            "begun_again": refused,
            "earlier_attempts": earlier.get("earlier_attempts", []) if goes_on else _attempts(earlier),
        }
        if self.restored is not None:
            seconds = (earlier.get("wall_seconds"), self.restored.values.get("wall_seconds"))
            self.info["wall_seconds"] = max(value or 0.0 for value in seconds)
        for name in ("updates", "evaluations"):
            for row in self._frames[name].tail(1).to_dicts():
                self._tell(name, row)
        with self._writing():
            for left_over in folder.glob(".*.tmp"):  # of a process that was killed
                left_over.unlink()
            write_text(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False))
            for name in self._schemas:  # rows after the checkpoint are gone, those of another attempt too
                self._write(name)
        self.flush()

    @property
    def recorded(self) -> Mapping[str, pl.DataFrame]:
        """The rows that are on disk, by table."""
        return self._frames

    def append(self, table: str, row: Mapping[str, Any]) -> None:
        """Add one row; an evaluation also brings everything on disk up to date.

        Raises:
            RecordError: if the row has not exactly the columns of its table.
            Unwritable: as `flush`.
        """
        wrong = row.keys() ^ self._schemas[table].keys()
        if wrong:
            raise RecordError(f"a row of {table} lacks or has too much: {', '.join(sorted(wrong))}")
        self._rows[table].append(dict(row))
        self._tell(table, row)
        if table == "evaluations":
            self.flush()

    def resumed(self, environments: str) -> None:
        """Say from where the run went on and how its environments did: `replayed` or `reset`."""
        assert self.restored is not None
        self.info["resumed"] = [
            *self.info["resumed"],
            {"env_step": self.restored.env_step, "environments": environments},
        ]

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in the place of the last, which stays if it cannot be; rows told before are on disk."""
        self.flush()
        checkpoint.values["rows"] = {name: frame.height for name, frame in self._frames.items()}
        checkpoint.values["wall_seconds"] = seconds_trained(self.info)
        with self._writing():
            checkpoints.write(self.folder, checkpoint, self._belongs, self._lease.check)

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
            _write_info(self.folder, self.info, self._lease)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """While the folder is ours, and with the folder and the cause where something cannot be written."""
        try:
            self._lease.check()
            yield
        except LeaseError as error:
            raise Unwritable(str(error)) from error
        except OSError as error:
            cause = error.strerror or first_line(error)
            raise Unwritable(f"{self.folder} cannot be written: {cause}") from error

    def _write(self, name: str) -> None:
        new = pl.DataFrame(self._rows[name], schema=self._schemas[name], orient="row")
        frame = pl.concat([self._frames[name], new])
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        with replacing(self.folder / f"{name}.parquet", self._lease.check) as temporary:
            temporary.write_bytes(buffer.getvalue())
        self._frames[name] = frame
        self._rows[name].clear()

    def _tell(self, table: str, row: Mapping[str, Any]) -> None:
        if table == "updates":
            self.info["gradient_steps"] = row["gradient_step"]
        if table == "evaluations":
            self.info["env_steps"] = row["env_step"]
            self.info["latest_return"] = _finite(sum(row["returns"]) / len(row["returns"]))

    def _restore(self, earlier: Mapping[str, Any]) -> str | None:
        """Take up the checkpoint and the rows before it; if there is one and it cannot be used, why."""
        self.restored = None
        try:
            found = checkpoints.read(self.folder, self._belongs) if earlier else None
            if found is not None:
                record, rows = Record(self.folder, dict(earlier)), found.values["rows"]
                frames = {name: record.table(name) for name in self._schemas}
                lost = [name for name, frame in frames.items() if frame.height < rows[name]]
                if lost:
                    raise CheckpointError(f"{', '.join(lost)} lacks rows that its checkpoint counts")
                self._frames = {name: frame.head(rows[name]) for name, frame in frames.items()}
                self.restored = found
        except (CheckpointError, RecordError) as error:
            self.forget()
            return str(error)
        except (KeyError, TypeError) as error:
            self.forget()
            return f"its checkpoint cannot be read: {error!r}"
        if found is None:
            self.forget()
        return None


@contextmanager
def recording(folder: Path, info: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[RunWriter]:
    """A `RunWriter` on `folder` that no other process can open at the same time.

    Raises:
        RecordError: if the run is finished.
        LeaseError: if another process is training it.
    """
    with run_lock(folder) as lease:
        yield RunWriter(folder, info, config, lease)


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
    """Seconds that an unfinished run has been trained up to now, over all its sittings."""
    sitting = (datetime.now(UTC) - session_started(info)).total_seconds()
    return float(round((info.get("wall_seconds") or 0.0) + sitting, 3))


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


def _attempts(earlier: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Earlier attempts at the run that did not come to an end, oldest first."""
    kept = {key: earlier.get(key) for key in ("attempt_id", "status", "error", "started", "env_steps")}
    return [*earlier.get("earlier_attempts", []), kept] if earlier else []


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
