"""What the folder of a study holds beside its runs: its declaration, its plan, its commands."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from rl_warmup.config.schema import RunConfig
from rl_warmup.records.atomic import write_text
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import first_line

DECLARATIONS = ("control", "comparisons", "contrasts", "smallest_effect", "looks")
"""Keys of study.yaml that declare something; a study in which all are null was not declared."""


@dataclass(frozen=True)
class Planned:
    """A run that a command of the study is to train."""

    kind: str
    """See `status.states.kind_of`: runs of a kind cost about the same."""
    env_steps: int


@dataclass(frozen=True)
class StudyRuns:
    """plan.json: the runs of a study by run id."""

    runs: Mapping[str, Planned]
    retries: int = RunConfig.retries
    """How often a failed one is tried again, by the last command."""


@dataclass(frozen=True)
class Look:
    """What was seen when a study looked at its comparisons."""

    pairs: int
    comparisons: int
    """Confirmatory ones that can have a verdict."""
    decided: int


@dataclass(frozen=True)
class LooksTaken:
    """looks.json: the looks of a sweep that trains seeds in batches; what decides are the records."""

    runs: int
    """Of all batches: as many as are trained at most."""
    planned: tuple[int, ...]
    """Pairs at each look."""
    seeds: tuple[int, ...]
    """Of all batches, in their order."""
    taken: tuple[Look, ...] = ()

    @property
    def stopped(self) -> bool:
        """Whether no further batch is trained."""
        last = self.taken[-1:]
        return any(look.decided == look.comparisons or look.pairs == self.planned[-1] for look in last)

    @property
    def words(self) -> str:
        """How far they are.

        >>> LooksTaken(80, (20, 40), tuple(range(40)), (Look(20, 8, 3),)).words
        'looks at 20, 40 pairs of seeds, at most 80 runs; at 20 pairs 3 of 8 comparisons are decided'
        """
        counts = ", ".join(map(str, self.planned))
        planned = f"looks at {counts} pairs of seeds, at most {self.runs:,} runs"
        if not self.taken:
            return planned
        look, end = self.taken[-1], ", so that it has stopped" if self.stopped else ""
        return f"{planned}; at {look.pairs} pairs {look.decided} of {look.comparisons} comparisons are decided{end}"


def write_declaration(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write study.yaml: what is declared before training."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "study.yaml", yaml.safe_dump(dict(plan), sort_keys=False))


def read_declaration(folder: Path) -> dict[str, Any] | None:
    """study.yaml of a study, None if there is none.

    Raises:
        RecordError: if it is damaged.
    """
    path = folder / "study.yaml"
    if not path.exists():
        return None
    try:
        plan = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecordError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(plan, dict):
        raise RecordError(f"{path} is not a mapping with name, control, comparisons and smallest_effect")
    return plan


def copy_study(folder: Path, to: Path) -> None:
    """Copy what a study declared into another folder, and add its commands to those that are there."""
    to.mkdir(parents=True, exist_ok=True)
    if (folder / "study.yaml").exists():
        write_text(to / "study.yaml", (folder / "study.yaml").read_text(encoding="utf-8"))
    for command in read_commands(folder):
        record_command(to, command)


def is_declared(plan: Mapping[str, Any] | None) -> bool:
    """Whether a study.yaml declares anything.

    >>> is_declared({"name": "quick", "control": None}), is_declared({"control": {"warmup.name": "none"}})
    (False, True)
    """
    return plan is not None and any(plan.get(key) is not None for key in DECLARATIONS)


def add_runs(folder: Path, runs: Mapping[str, Planned], retries: int) -> None:
    """Add runs to plan.json, with how often they are tried again.

    Raises:
        RecordError: if what is there is damaged.
    """
    earlier = read_runs(folder)
    merged = {**earlier.runs, **runs}
    if earlier == StudyRuns(merged, retries):
        return
    kinds: dict[str, dict[str, int]] = {}
    for run_id, run in merged.items():
        kinds.setdefault(run.kind, {})[run_id] = run.env_steps
    write_text(folder / "plan.json", json.dumps({"retries": retries, "env_steps": kinds}, indent=1) + "\n")


def read_runs(folder: Path) -> StudyRuns:
    """plan.json of a study; no runs if there is none.

    Raises:
        RecordError: if it is damaged.
    """
    path = folder / "plan.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        runs = {
            run_id: Planned(kind, int(env_steps))
            for kind, of_kind in stored["env_steps"].items()
            for run_id, env_steps in of_kind.items()
        }
        return StudyRuns(runs, int(stored["retries"]))
    except (FileNotFoundError, NotADirectoryError):
        return StudyRuns({})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = first_line(error)
        raise RecordError(f"{path} cannot be read: {reason}; delete it, a sweep writes it again") from error


def write_looks(folder: Path, looks: LooksTaken) -> None:
    """Write looks.json."""
    write_text(folder / "looks.json", json.dumps(asdict(looks)) + "\n")


def read_looks(folder: Path) -> LooksTaken | None:
    """looks.json of a study, None if there is none.

    Raises:
        RecordError: if it is damaged.
    """
    path = folder / "looks.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        taken = tuple(Look(**look) for look in stored["taken"])
        planned, seeds = (tuple(map(int, stored[key])) for key in ("planned", "seeds"))
        return LooksTaken(int(stored["runs"]), planned, seeds, taken)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = first_line(error)
        raise RecordError(f"{path} cannot be read: {reason}; delete it, a sweep writes it again") from error


def record_command(folder: Path, command: str) -> None:
    """Add a command that trains runs of a study to its commands.txt, a line each, if it is not there yet."""
    commands = read_commands(folder)
    if command not in commands:
        write_text(folder / "commands.txt", "\n".join([*commands, command]) + "\n")


def read_commands(folder: Path) -> list[str]:
    """The commands by which the runs of a study were trained, in the order of their first use."""
    path = folder / "commands.txt"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return [line for line in text.split("\n") if line]  # other signs of line breaks may be in one
