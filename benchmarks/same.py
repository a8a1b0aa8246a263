"""Whether two sweeps that trained the same runs left the same records and the same report."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rl_warmup.records.read import Record, read_study
from rl_warmup.records.schema import FINISHED, RecordError

NOT_COMPARED = ("name", "reproduce")
"""Of report.json: the study's name, times and commands."""


def differences(folder: Path, calm: Path) -> Iterator[str]:
    """In what the records and the report of a study differ from those of another that trained the same runs."""
    records, unreadable = read_study(folder)
    yield from unreadable
    wanted = {record.folder.name: record for record in read_study(calm)[0]}
    for name in sorted(wanted.keys() ^ {record.folder.name for record in records}):
        yield f"{name} is not in both"
    for record in records:
        if record.folder.name in wanted:
            for text in _amiss(record, wanted[record.folder.name]):
                yield f"{record.folder.name}: {text}"
    reports = [json.loads((study / "report.json").read_text()) for study in (folder, calm)]
    yield from (f"report.json differs in {path}" for path in _unequal(*reports))


def _amiss(record: Record, calm: Record) -> Iterator[str]:
    info = record.info
    if info["status"] not in FINISHED:
        yield f"it is {info['status']}"
    ended = [attempt for attempt in info["earlier_attempts"] if attempt["status"] in FINISHED]
    if ended:
        yield f"it was finished {1 + len(ended)} times"
    for left in (*record.folder.rglob("*.tmp"), *record.folder.glob("checkpoint")):
        yield f"{left.name} is left"
    try:
        for name, step in (("evaluations", "env_step"), ("updates", "gradient_step")):
            if not (record.table(name)[step].diff().drop_nulls() > 0).all():
                yield f"{step} of {name} does not rise"
        for name in ("evaluations", "episodes", "updates"):
            if repr(record.table(name).rows()) != repr(calm.table(name).rows()):
                yield f"{name} has other rows"
    except RecordError as error:
        yield str(error)


def _unequal(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if key not in NOT_COMPARED:
                yield from _unequal(one.get(key), other.get(key), f"{path}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from _unequal(*pair, f"{path}/{index}")
    elif one != other:
        yield f"{path}: {one!r:.80} and {other!r:.80}"
