"""What a command will do with the runs of a study, before it does it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from rl_warmup.records.study import Planned
from rl_warmup.records.words import counted
from rl_warmup.status.forecast import Forecast, forecast, shortage
from rl_warmup.status.states import RunState


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

    @property
    def is_done(self) -> bool:
        """Whether every run is completed or diverged."""
        return all(run.finished for run in self.runs)

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
        work = [(self.planned[run.run_id], run.env_steps) for run in left if run.run_id in self.planned]
        return forecast(self.folder, self.runs, work)

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
        diverged = sum(run.state == "diverged" for run in self.runs)
        if diverged:
            lines.append(f"  {diverged:,} of those done diverged, which is an outcome")
        lines += [f"  {line}" for line in self.lines(named)]
        return [*lines, *self._expected()] if self.to_do else lines

    def _expected(self) -> list[str]:
        found = self.forecast()
        if found is None:
            return ["expected: time and disk are not known before the first runs are done"]
        short = shortage(self.folder, found.bytes)
        return [f"expected: {found.words()}", *([short] if short else [])]

    def _story(self, run: RunState) -> str:
        if run.state != "failed":
            return str(run.error)
        way_out = "" if run.is_to_do(self.retries) else f"; retries={run.failures} tries it once more"
        return f"{run.error or 'no reason recorded'} (failed {counted(run.failures, 'time')}{way_out})"
