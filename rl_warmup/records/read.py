"""Reading the record files of a run, each checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from rl_warmup.config.columns import further_columns
from rl_warmup.records.locks import is_training
from rl_warmup.records.schema import FINISHED, STATUSES, RecordError, table_schemas
from rl_warmup.records.words import error_line, first_line, quoted

ARCHIVE = "records.zip"
"""The runs of a study in small form, see `records.archive`."""
LISTED = 5
"""Studies that are named where one of them was probably meant."""


@dataclass(frozen=True)
class Small:
    """What the small form of a study has of a run in place of its files."""

    tables: Mapping[str, pl.DataFrame]
    """`evaluations` and `source_evaluations` without lengths; of `updates` only what was delivered."""
    scores: Mapping[str, float | None]
    """By metric, what was computed from the tables that it has not, or not in whole; None: undefined."""
    inside: Mapping[str, pl.DataFrame]
    """By figure, what is shown of the inside of all runs of its cell together."""


@dataclass(frozen=True)
class Record:
    """A run on disk; `info` is run.json, tables are read when asked for."""

    folder: Path
    info: dict[str, Any]
    small: Small | None = None

    @property
    def status(self) -> str:
        """`completed`, `diverged`, `failed` or `running`."""
        return str(self.info["status"])

    @property
    def config(self) -> dict[str, Any]:
        """The canonical resolved config."""
        return dict(self.info["config"])

    @property
    def setting(self) -> str:
        """The config as text, without the seed: what the runs of an arm have in common."""
        return json.dumps({**self.config, "seed": None}, sort_keys=True)

    def table(self, name: str) -> pl.DataFrame:
        """One of the tables `evaluations`, `episodes`, `updates`, `source_evaluations`, with its columns checked.

        Raises:
            RecordError: if the file is missing, damaged, or has not the columns it should have.
        """
        if self.small is not None:
            return self.small.tables[name]
        path = self.folder / f"{name}.parquet"
        try:
            # bytes, since in a path polars takes `[` for a pattern, `~` for a home; tables too small for threads
            frame = pl.read_parquet(path.read_bytes(), parallel="none")
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise RecordError(f"{path} cannot be read: {first_line(error)}") from error
        schemas = table_schemas(self.config["algo"]["name"], further_columns(self.config), from_agent=True)
        found = frame.schema
        for column, dtype in schemas[name].items():
            if found.get(column) != dtype:
                raise RecordError(f"{path}: column {column} is {found.get(column)}, not {dtype}")
        return frame

    def evaluations(self) -> pl.DataFrame:
        """The table of evaluations, with finite returns at rising steps.

        Raises:
            RecordError: if there is none, or one is null or not finite.
        """
        frame = self.table("evaluations")
        where = self.folder / "evaluations.parquet"
        if frame.is_empty():
            raise RecordError(f"{where} has no evaluation")
        steps, returns = frame["env_step"].to_list(), frame["returns"].to_list()  # lists: a tenth of a query's time
        if None in steps or any(later <= step for step, later in pairwise(steps)):
            raise RecordError(f"{where}: env_step does not rise")
        if not all(returns):
            raise RecordError(f"{where} has an evaluation without episodes")
        bad = [
            str(step) for step, row in zip(steps, returns, strict=True) if None in row or not np.isfinite(row).all()
        ]
        if bad:
            raise RecordError(f"{where}: returns that are not finite at env_step {', '.join(bad)}")
        return frame


def read_info(folder: Path) -> dict[str, Any]:
    """run.json of a run.

    Raises:
        RecordError: if it is missing, damaged, or lacks what analysis needs.
    """
    path = folder / "run.json"
    try:
        info = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(info, dict):
        raise RecordError(f"{path} is not a JSON object")
    if missing := [key for key in ("run_id", "arm", "status", "seed", "warmup", "config") if key not in info]:
        raise RecordError(f"{path} lacks {', '.join(missing)}")
    if info["status"] not in STATUSES:
        raise RecordError(f"{path}: status {info['status']!r} is none of {', '.join(STATUSES)}")
    return info


def _no_number(text: str) -> None:
    """Refuse NaN and Infinity, which Python writes and JSON does not have."""
    raise ValueError(f"it holds {text}, which is no number")


def read_config(folder: Path) -> dict[str, Any]:
    """config.yaml of a run. Raises OSError or yaml.YAMLError if it cannot be read."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content: dict[str, Any] = yaml.load((folder / "config.yaml").read_bytes(), loader)
    return content


def read_study(folder: Path) -> tuple[list[Record], list[str]]:
    """All runs of a study, by the names of their folders, and what cannot be read, in words.

    Raises:
        RecordError: if `folder` is no folder or holds no run.
    """
    if not folder.is_dir():
        raise no_study(folder)
    records, problems = [], []
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        if (child / "run.json").exists() or (child / "config.yaml").exists():
            try:
                records.append(Record(child, read_info(child)))
            except RecordError as error:
                problems.append(str(error))
    if not records and not problems:
        raise no_study(folder)
    return records, problems


def no_study(folder: Path) -> RecordError:
    """That `folder` is not the folder of a study, with the one that was probably meant."""
    parent = folder.resolve().parent
    said, way_out = "is not a folder with record files", "give a study's folder, e.g. runs/quick"
    if (folder / "run.json").exists():
        said, near = "is a run, not a study", [parent]
    elif (folder / ARCHIVE).exists():
        said, way_out, near = "holds a study in small form", "only a report can be made of it", []
    elif folder.is_dir():
        said, way_out = "holds no runs", "train some first (python -m rl_warmup.run)"
        near = _studies(folder)
    elif folder.is_file():
        near = [parent] if _holds_runs(parent) else []
    else:
        names = get_close_matches(folder.name, [path.name for path in _studies(parent)], n=1)
        near = [folder.parent / name for name in names]
    if near:
        more = f" and {len(near) - LISTED} more" if len(near) > LISTED else ""
        way_out = f"did you mean {', '.join(map(quoted, near[:LISTED]))}{more}?"
    return RecordError(f"{folder} {said}; {way_out}")


def _studies(folder: Path) -> list[Path]:
    """The folders in `folder` that hold runs."""
    return [path for path in sorted(folder.iterdir()) if _holds_runs(path)] if folder.is_dir() else []


def _holds_runs(folder: Path) -> bool:
    try:
        return any((path / "run.json").exists() for path in folder.iterdir())
    except OSError:  # no folder, or not ours to read
        return False


def dose_of(updates: pl.DataFrame | None) -> dict[str, float] | None:
    """What an optimizer received, from the table `updates` of its run; None if that is not known.

    budget = 1 - sum(rate)/sum(base rate) over the gradient steps: the share that the warmup took away.
    """
    updates = None if updates is None else updates.filter(pl.col("n_steps") > 0)
    if updates is None or updates.is_empty():
        return None
    steps = updates["n_steps"]
    given = float((updates["learning_rate_mean"] * steps).sum())
    base = float((updates["base_learning_rate"] * steps).sum())
    return {
        "gradient_steps": float(steps.sum()),
        "n_below_99": float(updates["n_below_99"].sum()),
        "budget": round(1 - given / base, 12) + 0.0 if base else 0.0,  # without the sums' rounding errors
        "learning_rate_mean": given / float(steps.sum()),
        "learning_rate_first": float(updates["learning_rate_first"][0]),
        "learning_rate_last": float(updates["learning_rate_last"][-1]),
    }


def unfinished(record: Record) -> str:
    """Why a run that is neither completed nor diverged has no score, in words."""
    if record.status == "failed":
        reason = error_line(record.info.get("error")) or "no reason recorded"
        return f"it failed ({reason}); run it again"
    if is_training(record.folder):
        return "it is still running"
    return "it was interrupted, its process is gone; run it again"


def why_unfinished(folder: Path) -> str:
    """The same of the run in a folder, which may be unreadable or not there."""
    try:
        return unfinished(Record(folder, read_info(folder)))
    except RecordError as unreadable:
        return str(unreadable) if folder.exists() else "it was not begun"


def finished_status(folder: Path) -> str | None:
    """`completed` or `diverged` if the run in `folder` is finished, else None."""
    try:
        status = str(read_info(folder)["status"])
    except RecordError:
        return None
    return status if status in FINISHED else None
