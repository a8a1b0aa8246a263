"""A whole sweep: every job composed, checked and named before the first one is trained."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from rl_warmup.config import ConfigError, RunConfig
from rl_warmup.display import LiveRuns
from rl_warmup.execution import finished_status, run_folder, study_folder, was_interrupted
from rl_warmup.readings import unfinished
from rl_warmup.records import Record, RecordError, read_info
from rl_warmup.report import report
from rl_warmup.resolve import plan_of
from rl_warmup.study_files import read_study_plan, write_study_plan


@dataclass(frozen=True)
class Job:
    """One run of a sweep: how Hydra is asked for it, what it is, where it is recorded."""

    overrides: tuple[str, ...]
    config: RunConfig
    folder: Path


def plan_jobs(combinations: Sequence[Sequence[str]], compose: Callable[[list[str]], RunConfig]) -> list[Job]:
    """The jobs of a sweep, each run once: combinations that differ only in what a shape ignores are one run.

    Raises:
        ConfigError: for the first combination that cannot be trained.
    """
    jobs: dict[Path, Job] = {}
    for overrides in combinations:
        try:
            config = compose(list(overrides))
        except ConfigError as error:
            raise ConfigError(f"{error} (in {' '.join(overrides)})") from error
        folder = run_folder(config)
        jobs.setdefault(folder, Job(tuple(overrides), config, folder))
    if len({study_folder(job.config) for job in jobs.values()}) > 1:
        raise ConfigError("a sweep belongs to one study; runs_dir and study.name cannot be swept")
    return list(jobs.values())


def run_sweep(jobs: Sequence[Job], launch: Callable[[list[Job]], Any], console: Console) -> int:
    """Train what is not finished by `launch`, showing it live, then report on the whole study.

    Returns:
        The exit code: 0, or 1 if a run failed or could not be reported on.
    """
    study = jobs[0].config.study
    folder = study_folder(jobs[0].config)
    if any(part is not None for part in (study.control, study.comparisons, study.contrasts)):
        _declare(folder, asdict(study))
    todo = [job for job in jobs if finished_status(job.folder) is None]
    done = len(jobs) - len(todo)
    console.print(f"{len(jobs)} runs in {folder}: {done} done before, {len(todo)} to do", soft_wrap=True)
    if todo:
        with LiveRuns({job.folder: plan_of(job.config).env_steps for job in todo}, console):
            _launch(launch, todo)
    failed = [job.folder for job in todo if finished_status(job.folder) is None]
    code = report(folder, console)
    for path in failed:
        print(f"failed: {path}: {_reason(path)}", file=sys.stderr)
    return 1 if failed else code


def _declare(folder: Path, plan: dict[str, Any]) -> None:
    """Write down what the study declares; what was declared before its first run is not changed afterwards."""
    try:
        earlier = read_study_plan(folder)
    except RecordError as error:
        raise ConfigError(f"{error}; mend it, or give the study another study.name") from error
    if earlier is None:
        write_study_plan(folder, plan)
    declared = plan if earlier is None else earlier
    changed = ", ".join(key for key in plan if plan[key] != declared.get(key))
    if changed:
        raise ConfigError(
            f"{folder / 'study.yaml'} was declared with another {changed}; a declaration is not changed after "
            "the fact: give this one another study.name"
        )


def _launch(launch: Callable[[list[Job]], Any], jobs: list[Job]) -> None:
    try:
        launch(jobs)
    except Exception as error:  # a worker that was killed ends joblib's whole batch; the report still comes
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        print(f"the launcher stopped: {type(error).__name__}: {error}", file=sys.stderr)


def _reason(folder: Path) -> str:
    try:
        return unfinished(Record(folder, read_info(folder)))
    except RecordError as unreadable:
        return str(unreadable)
