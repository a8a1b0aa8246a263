"""How long runs will take and how much disk they need, from the records of runs like them."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import mean

from rl_warmup.records.study import Planned
from rl_warmup.records.words import counted, duration, megabytes
from rl_warmup.status.states import UNKNOWN, RunState, read_state

SAMPLE = 20
"""Runs of a kind whose files are measured; runs of another study that are read."""
STUDIES = 50
"""Other studies that are looked at."""


@dataclass(frozen=True)
class Forecast:
    """What the runs that are left may take."""

    seconds: float
    """Wall time if `side_by_side` processes train at once."""
    bytes: float
    side_by_side: float
    source: str
    """Where the figures come from, in words."""

    def words(self) -> str:
        """In one line.

        >>> Forecast(90.0, 3e6, 1.0, "2 runs of this study").words()
        'about 1 min 30 s in one process, 3 MB of disk, by 2 runs of this study'
        """
        beside = f"{self.side_by_side:.1f} processes at once" if self.side_by_side > 1.05 else "one process"
        return f"about {duration(self.seconds)} in {beside}, {megabytes(self.bytes)} of disk, by {self.source}"


def forecast(folder: Path, known: Sequence[RunState], left: Iterable[tuple[Planned, int]]) -> Forecast | None:
    """What runs that are left may take: their steps x seconds per step and process, over the processes at once.

    Args:
        folder: of the study.
        known: its runs; where these lack a kind, those of the studies beside it say what one costs.
        left: the runs, each with the environment steps that it has done.

    Returns:
        None if it cannot be known.
    """
    work = list(left)
    kinds = {run.kind for run, _ in work}
    used = [run for run in known if run.kind in kinds and run.env_steps and run.seconds]
    used, source = [run for run in used if run.finished] or used, "of this study"
    side_by_side = at_once(used)
    if kinds - {run.kind for run in used}:
        folder, side_by_side = folder.parent, 1.0
        used, source = _beside(folder, kinds), "of other studies with this trainer, algorithm and environment"
    if kinds - {run.kind for run in used} or UNKNOWN in kinds:
        return None
    seconds = space = 0.0
    for kind in kinds:
        alike = [run for run in used if run.kind == kind]
        pace = sum(run.seconds for run in alike) / sum(run.env_steps for run in alike)
        seconds += pace * sum(max(0, run.env_steps - done) for run, done in work if run.kind == kind)
        sample = alike[:SAMPLE]
        size, steps = mean(_on_disk(folder / run.run_id) for run in sample), mean(run.env_steps for run in sample)
        space += size * sum(max(1.0, run.env_steps / steps) for run, _ in work if run.kind == kind)
    return Forecast(seconds / side_by_side, space, side_by_side, f"{counted(len(used), 'run')} {source}")


def at_once(runs: Iterable[RunState]) -> float:
    """Mean number of processes that trained at the same time, while any did; at least 1.

    A run of a stack of m members counts as 1/m of a process: the sum of the sessions over their union.
    """
    total = union = 0.0
    last = float("-inf")
    for (began, ended), members in sorted((run.session, run.members) for run in runs if run.session):
        total += (ended - began) / members
        union += max(0.0, ended - max(began, last))
        last = max(last, ended)
    return max(1.0, total / union) if union else 1.0


def shortage(folder: Path, needed: float) -> str | None:
    """The warning where the disk has less room than runs need."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return None
    return f"the disk of {folder} has {megabytes(free)} left: make room, or use another runs_dir"


def _beside(runs_dir: Path, kinds: set[str]) -> list[RunState]:
    """Some finished runs of every study in `runs_dir` that are of these kinds, newest studies first."""
    if not runs_dir.is_dir():
        return []
    studies = [path for path in runs_dir.iterdir() if path.is_dir()]
    found = []
    for study in sorted(studies, key=lambda path: path.stat().st_mtime, reverse=True)[:STUDIES]:
        with os.scandir(study) as entries:
            names = [entry.name for entry in islice((entry for entry in entries if entry.is_dir()), SAMPLE)]
        runs = [read_state(study / name) for name in names]
        alike = (run for run in runs if run.finished and run.kind in kinds and run.env_steps)
        found += [replace(run, run_id=f"{study.name}/{run.run_id}") for run in alike]
    return found


def _on_disk(folder: Path) -> int:
    """Bytes that the files of a run take, in whole blocks."""
    with os.scandir(folder) as entries:
        return sum(512 * entry.stat().st_blocks for entry in entries if entry.is_file())
