"""`--archive DIR`: a study in small form, with what its report reads and no more."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from rl_warmup.analysis.cells import Block, Cell
from rl_warmup.analysis.metrics.registry import metrics
from rl_warmup.analysis.study import Analysis
from rl_warmup.config.columns import COEFFICIENTS
from rl_warmup.records.archive import read_archive, write_archive
from rl_warmup.records.read import ARCHIVE, Record, Small, read_study
from rl_warmup.records.schema import SOURCE_EVALUATIONS, RecordError
from rl_warmup.records.study import copy_study, read_declaration

_DELIVERED = ("env_step", "gradient_step", "n_", "learning_rate_", "base_learning_rate", "omega_sum")


def archive(analysis: Analysis, folder: Path) -> Path:
    """Write the small form of a study: study.yaml, commands.txt and records.zip; the latter's path.

    It holds run.json, evaluations and delivered learning rates of every run, the scores of the tables that are left
    out, and of what happened inside the runs what the figures show: median and quartiles over the seeds. Arms that
    `folder` has of this study already stay there, so that a study can be trained in parts.

    Raises:
        RecordError: for a study of which something is left out, one in small form, its own folder, or a folder with
            another study or further seeds of an arm.
    """
    if (analysis.folder / ARCHIVE).exists():
        raise RecordError(f"{analysis.folder} is in small form already; copy it")
    if folder.resolve() == analysis.folder.resolve():
        raise RecordError(f"--archive {folder} is the folder of the study itself; give another one")
    if analysis.left_out:
        raise RecordError(
            f"--archive: runs or files of {analysis.folder} are left out, which a small form cannot show; mend "
            "them or move them away, the problems name them"
        )
    records = {record.info["run_id"]: record for record in read_study(analysis.folder)[0]}
    small = [small for block, cell in analysis.cells for small in _small(block, cell, records)]
    small += _of_other_arms(analysis, folder, small) if (folder / ARCHIVE).exists() else []
    copy_study(analysis.folder, folder)
    return write_archive(folder, sorted(small, key=lambda record: record.folder.name))


def _of_other_arms(analysis: Analysis, folder: Path, small: Sequence[Record]) -> list[Record]:
    """The runs that are in `folder` but not in the study, which must be of arms that it has not."""
    if read_declaration(folder) != read_declaration(analysis.folder):
        raise RecordError(f"--archive {folder} is of a study that declares something else; give another folder")
    ids, arms = {record.info["run_id"] for record in small}, {record.setting for record in small}
    others = [record for record in read_archive(folder) if record.info["run_id"] not in ids]
    if torn := [record.folder.name for record in others if record.setting in arms]:
        raise RecordError(
            f"--archive {folder} has {len(torn)} runs of arms of {analysis.folder} that are not there, such as "
            f"{torn[0]}; delete its {ARCHIVE} to write it anew, or archive all seeds of an arm together"
        )
    return others


def _small(block: Block, cell: Cell, records: Mapping[str, Record]) -> Iterator[Record]:
    """The runs of a cell with their small form; `records` are those of the study by run id."""
    inside = _inside(block, cell)
    scored = [name for name, metric in metrics().items() if metric.source != "curve"]
    for index, run in enumerate(cell.scored):
        record = records[run.run_id]
        tables = {"evaluations": record.table("evaluations").drop("lengths")}
        if run.updates is not None:
            tables["updates"] = run.updates.select(_delivered(run.updates))
        if run.at_home is not None:
            tables[SOURCE_EVALUATIONS] = record.table(SOURCE_EVALUATIONS).drop("lengths")
        values = {name: float(cell.scores[name][index]) for name in scored}
        scores = {name: value if math.isfinite(value) else None for name, value in values.items()}
        yield replace(record, small=Small(tables, scores, inside))


def _delivered(updates: pl.DataFrame) -> list[str]:
    """The columns of `updates` that say which learning rates, or other warmed up coefficients, were delivered."""
    return [name for name in updates.columns if name.startswith(_DELIVERED) or name in COEFFICIENTS.values()]


def _inside(block: Block, cell: Cell) -> dict[str, pl.DataFrame]:
    """What the figures show of the runs of a cell together, by figure."""
    from rl_warmup.report.figures.frames import diagnostic_frame
    from rl_warmup.report.figures.mechanisms import MECHANISMS, mechanism_frame  # imports matplotlib

    if not cell.scored:
        return {}
    frames = {"diagnostics": diagnostic_frame(block, cell)}
    frames |= {mechanism.part: mechanism_frame(mechanism, block, cell) for mechanism in MECHANISMS}
    return {name: frame for name, frame in frames.items() if frame is not None}
