"""What a command will do with the runs of a study, how long that may take and how much disk it needs."""

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from rl_warmup.records.study import LooksTaken, Planned
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


class _Case(NamedTuple):
    """What is ahead of an unfinished run, in words, and whether each such run is named; the first that applies."""

    words: str
    applies: Callable[[RunState, bool], bool]
    named: bool = False


_CASES = (
    _Case("to start", lambda run, to_do: run.state == "missing"),
    _Case("to resume from a checkpoint", lambda run, to_do: run.state == "interrupted" and run.env_steps > 0),
    _Case("interrupted before a checkpoint, to restart", lambda run, to_do: run.state == "interrupted"),
    _Case("failed before, to try again", lambda run, to_do: run.state == "failed" and to_do, named=True),
    _Case("not tried again: failed too often", lambda run, to_do: run.state == "failed", named=True),
    _Case("running in another process and left to it", lambda run, to_do: run.state == "running"),
    _Case("left as it is: mend its run.json, or move its folder away", lambda run, to_do: True, named=True),
)


@dataclass(frozen=True)
class Plan:
    """The runs that a command asks for, their states, and what follows."""

    folder: Path
    runs: Sequence[RunState]
    planned: Mapping[str, Planned]
    """What is known of them, by run id."""
    retries: int
    """How often a failed run is tried again."""
    looks: LooksTaken | None = None
    """Of a study that trains its seeds in batches: further runs come unless these looks have stopped."""

    @property
    def is_done(self) -> bool:
        """Whether every run is completed or diverged, and no further batch is to come."""
        return all(run.finished for run in self.runs) and (self.looks is None or self.looks.stopped)

    @cached_property
    def to_do(self) -> list[RunState]:
        """The runs that will be trained."""
        return [run for run in self.runs if run.is_to_do(self.retries)]

    @cached_property
    def given_up(self) -> list[RunState]:
        """The runs that failed too often or cannot be read: not trained unless something is changed."""
        lost = (run for run in self.runs if run.state in ("failed", "unreadable"))
        return [run for run in lost if not run.is_to_do(self.retries)]

    def forecast(self, live: bool = False) -> Forecast | None:
        """What is left may take, by the records of these runs; with `live`, including what is running now."""
        left = [run for run in self.runs if run.is_to_do(self.retries) or (live and run.state == "running")]
        steps = [(self.planned[run.run_id], run.env_steps) for run in left if run.run_id in self.planned]
        return forecast(self.folder, self.runs, steps)

    def lines(self, named: int) -> list[str]:
        """How many runs are in which case; at most `named` of those that failed or cannot be read by name."""
        lines, cases = [], defaultdict[_Case, list[RunState]](list)
        for run in self.runs:
            if not run.finished:
                to_do = run.is_to_do(self.retries)
                cases[next(case for case in _CASES if case.applies(run, to_do))].append(run)
        for case in _CASES:
            runs = cases[case]
            if runs:
                lines.append(f"{len(runs):,} {case.words}{':' if case.named else ''}")
            if case.named:
                lines += [f"  {run.run_id}: {self._story(run)}" for run in runs[:named]]
                lines += [f"  … and {len(runs) - named:,} more"] if len(runs) > named else []
        changed = Counter(run.versions for run in self.runs if run.versions)
        return lines + [f"{counted(count, 'record')} made with {words}" for words, count in changed.most_common()]

    def announce(self, named: int = 5) -> list[str]:
        """The plan of a command, in lines: what is done, what is to do, what it may take."""
        done = sum(run.finished for run in self.runs)
        total = f"{counted(len(self.runs), 'run')} in {self.folder}"
        lines = [f"{total}: {done:,} done before, {len(self.to_do):,} to do"]
        if diverged := sum(run.state == "diverged" for run in self.runs):
            lines.append(f"  {diverged:,} of those done diverged, which is an outcome")
        lines += [f"  {line}" for line in self.lines(named)]
        return [*lines, *self._expected()] if self.to_do else lines

    def _expected(self) -> list[str]:
        found = self.forecast()
        if found is None:
            return ["expected: time and disk are not known before the first runs are done"]
        lines = [f"expected: {found.words()}"]
        folder = next(path for path in (self.folder, *self.folder.parents) if path.exists())
        free = shutil.disk_usage(folder).free
        if free < found.bytes:
            lines.append(f"the disk of {folder} has {megabytes(free)} left: make room, or use another runs_dir")
        return lines

    def _story(self, run: RunState) -> str:
        if run.state != "failed":
            return str(run.error)
        way_out = "" if run.is_to_do(self.retries) else f"; retries={run.failures} tries it once more"
        return f"{run.error or 'no reason recorded'} (failed {counted(run.failures, 'time')}{way_out})"


def forecast(folder: Path, known: Sequence[RunState], left: Sequence[tuple[Planned, int]]) -> Forecast | None:
    """What runs that are left may take: their steps x seconds per step and process, over the processes at once.

    Args:
        folder: of the study.
        known: its runs; where these lack a kind, those of the studies beside it say what one costs.
        left: the runs, each with the environment steps that it has done.

    Returns:
        None if it cannot be known.
    """
    kinds = {run.kind for run, _ in left}
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
        seconds += pace * sum(max(0, run.env_steps - done) for run, done in left if run.kind == kind)
        sample = alike[:SAMPLE]
        size, steps = mean(_on_disk(folder / run.run_id) for run in sample), mean(run.env_steps for run in sample)
        space += size * sum(max(1.0, run.env_steps / steps) for run, _ in left if run.kind == kind)
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
