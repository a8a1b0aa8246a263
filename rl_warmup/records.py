"""The record files of a run: the only door between training and analysis. runs/README.md describes them."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from rl_warmup.leases import is_held

STATUSES = ("running", "completed", "diverged", "failed")
FINISHED = ("completed", "diverged")

_DOSE = {
    "env_step": pl.Int64,
    "gradient_step": pl.Int64,
    "n_steps": pl.Int64,
    "learning_rate_first": pl.Float64,
    "learning_rate_last": pl.Float64,
    "learning_rate_mean": pl.Float64,
    "base_learning_rate": pl.Float64,
    "n_below_99": pl.Int64,
    "omega_sum": pl.Float64,
}
_DIAGNOSTICS = ("loss", "grad_norm_mean", "grad_norm_max", "clipped_share", "relative_update")
_OF_ALGORITHM = {
    "ppo": ("approx_kl", "clip_fraction", "entropy", "explained_variance", "policy_loss", "value_loss"),
    "dqn": ("q_mean_abs", "q_max_abs", "td_error_mean", "exploration_rate"),
}


class RecordError(ValueError):
    """A record that cannot be read, trusted or written; the message names the file and what is wrong with it."""


class Unwritable(RecordError):
    """A run's files cannot be written any more: a full disk, a read-only folder, a run that was taken over."""


def table_schemas(algorithm: str) -> dict[str, dict[str, Any]]:
    """Columns and types of the three tables of a run of `algorithm`."""
    diagnostics = dict.fromkeys((*_DIAGNOSTICS, *_OF_ALGORITHM[algorithm]), pl.Float64)
    return {
        "evaluations": {"env_step": pl.Int64, "returns": pl.List(pl.Float64), "lengths": pl.List(pl.Int64)},
        "episodes": {"env_step": pl.Int64, "return": pl.Float64, "length": pl.Int64},
        "updates": {**_DOSE, **diagnostics},
    }


def is_alive(folder: Path) -> bool:
    """Whether some process, on this machine or another, is training the run right now."""
    return is_held(folder)


@dataclass(frozen=True)
class Record:
    """A run as it is on disk. `info` is run.json, checked; tables are read when asked for."""

    folder: Path
    info: dict[str, Any]

    @property
    def status(self) -> str:
        """`completed`, `diverged`, `failed` or `running`."""
        return str(self.info["status"])

    @property
    def config(self) -> dict[str, Any]:
        """The canonical resolved config."""
        return dict(self.info["config"])

    def table(self, name: str) -> pl.DataFrame:
        """One of the tables `evaluations`, `episodes`, `updates`, with its columns checked.

        Raises:
            RecordError: if the file is missing, damaged, or has not the columns it should have.
        """
        path = self.folder / f"{name}.parquet"
        try:
            frame = pl.read_parquet(path, memory_map=False)
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise RecordError(f"{path} cannot be read: {first_line(error)}") from error
        for column, dtype in table_schemas(self.config["algo"]["name"])[name].items():
            if frame.schema.get(column) != dtype:
                raise RecordError(f"{path}: column {column} is {frame.schema.get(column)}, not {dtype}")
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
        steps = frame["env_step"]
        if steps.null_count() or not (steps.diff().drop_nulls() > 0).all():
            raise RecordError(f"{where}: env_step does not rise")
        if frame["returns"].list.len().min() == 0 or frame["returns"].null_count():
            raise RecordError(f"{where} has an evaluation without episodes")
        finite = frame["returns"].list.eval(pl.element().is_finite().fill_null(False)).list.all()
        if not finite.all():
            bad = frame.filter(~finite)["env_step"].to_list()
            raise RecordError(f"{where}: returns that are not finite at env_step {', '.join(map(str, bad))}")
        return frame


def read_info(folder: Path) -> dict[str, Any]:
    """run.json of a run.

    Raises:
        RecordError: if it is missing, damaged, or lacks what analysis needs.
    """
    path = folder / "run.json"
    try:
        info = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(info, dict):
        raise RecordError(f"{path} is not a JSON object")
    missing = [key for key in ("run_id", "arm", "status", "seed", "warmup", "config") if key not in info]
    if missing:
        raise RecordError(f"{path} lacks {', '.join(missing)}")
    if info["status"] not in STATUSES:
        raise RecordError(f"{path}: status {info['status']!r} is none of {', '.join(STATUSES)}")
    return info


def read_study(folder: Path) -> tuple[list[Record], list[str]]:
    """All runs below `folder`, in the order of their folders' names, and what cannot be read, in words.

    A folder is a run's if it holds a run.json or a config.yaml.

    Raises:
        RecordError: if `folder` is no folder or holds no run.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder} is not a folder with record files; give a study's folder, e.g. runs/quick")
    records, problems = [], []
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        if (child / "run.json").exists() or (child / "config.yaml").exists():
            try:
                records.append(Record(child, read_info(child)))
            except RecordError as error:
                problems.append(str(error))
    if not records and not problems:
        raise RecordError(f"{folder} holds no runs; train some first (python -m rl_warmup.run)")
    return records, problems


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


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the error's name."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
