"""The small form of a study: records.zip, from which a report is made as from the files of its runs."""

import json
import zipfile
from collections.abc import Hashable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from rl_warmup.records.atomic import replacing
from rl_warmup.records.read import ARCHIVE, Record, Small, read_study
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import first_line

_NUMBER = "number"  # of a table within the file that holds all of its kind
_INSIDE = "inside-"
_NOT_KEPT = ("host", "model", "attempt_id", "earlier_attempts")  # of run.json: no report says them of an old run
_DATE = (1980, 1, 1, 0, 0, 0)  # of the files in the archive: equal records give equal bytes


def read_records(folder: Path) -> tuple[list[Record], list[str]]:
    """The runs of a study, of its small form where there is one, and what cannot be read, see `read_study`.

    Raises:
        RecordError: if `folder` is no folder, holds no run, or its small form cannot be read.
    """
    return (read_archive(folder), []) if (folder / ARCHIVE).exists() else read_study(folder)


def write_archive(folder: Path, records: Sequence[Record]) -> Path:
    """Write records.zip of runs that have their small form; its path.

    Tables that several runs share, such as the learning rates of an arm, are written once.
    """
    kinds: dict[str, _Tables] = {}
    runs = []
    for record in records:
        assert record.small is not None
        tables = {**record.small.tables, **{_INSIDE + name: table for name, table in record.small.inside.items()}}
        numbers = {name: kinds.setdefault(name, _Tables()).add(table) for name, table in tables.items()}
        info = {key: value for key, value in record.info.items() if key not in _NOT_KEPT}
        runs.append({"folder": record.folder.name, "info": info, "scores": record.small.scores, "tables": numbers})
    content = {"runs.json": json.dumps(runs, allow_nan=False).encode()}
    content |= {f"{name}.parquet": tables.as_bytes() for name, tables in kinds.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / ARCHIVE) as path, zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data, zipfile.ZIP_LZMA)
    return folder / ARCHIVE


def read_archive(folder: Path) -> list[Record]:
    """The runs of a study in small form.

    Raises:
        RecordError: if records.zip cannot be read.
    """
    path = folder / ARCHIVE
    try:
        with zipfile.ZipFile(path) as archive:
            runs = json.loads(archive.read("runs.json"))
            names = [name.removesuffix(".parquet") for name in archive.namelist() if name.endswith(".parquet")]
            kinds = {name: _numbered(name, archive.read(f"{name}.parquet")) for name in names}
        return [_record(folder, run, kinds) for run in runs]
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        raise RecordError(f"{path} cannot be read: {first_line(error)}") from error


def _record(folder: Path, run: Mapping[str, Any], kinds: Mapping[str, Mapping[int, pl.DataFrame]]) -> Record:
    """One run, with its tables."""
    tables = {name: kinds[name][number] for name, number in run["tables"].items()}
    inside = {name.removeprefix(_INSIDE): table for name, table in tables.items() if name.startswith(_INSIDE)}
    own = {name: table for name, table in tables.items() if not name.startswith(_INSIDE)}
    return Record(folder / run["folder"], run["info"], Small(own, run["scores"], inside))


class _Tables:
    """Tables of one kind, each once."""

    def __init__(self) -> None:
        self._tables: list[pl.DataFrame] = []
        self._numbers: dict[Hashable, int] = {}

    def add(self, table: pl.DataFrame) -> int:
        """The number of a table, which is new or known."""
        key = _parquet(table)  # which a table that was read has in common with what it was written from
        if key not in self._numbers:
            self._numbers[key] = len(self._tables)
            self._tables.append(table)
        return self._numbers[key]

    def as_bytes(self) -> bytes:
        """All as one Parquet file; a column that only some have is null in the others."""
        numbered: Iterable[pl.DataFrame] = (
            table.select(pl.lit(number, pl.Int32).alias(_NUMBER), pl.all())
            for number, table in enumerate(self._tables)
        )
        return _parquet(pl.concat(numbered, how="diagonal"))


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    table.write_parquet(buffer, compression="uncompressed", statistics=False)  # the archive compresses better
    return buffer.getvalue()


def _numbered(name: str, data: bytes) -> dict[int, pl.DataFrame]:
    """The tables of a kind by their numbers, each with the columns that it had."""
    parts = pl.read_parquet(data).partition_by(_NUMBER, as_dict=True, include_key=False)
    return {int(number): part if name != "updates" else _filled(part) for (number,), part in parts.items()}


def _filled(updates: pl.DataFrame) -> pl.DataFrame:
    """What was delivered in a run; of what was not, another run has the column."""
    return updates.select(
        column for column in updates if column.null_count() < updates.height or updates.is_empty()
    )
