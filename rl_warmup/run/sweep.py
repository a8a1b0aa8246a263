"""A whole sweep: every job composed, checked and named before the first one is trained."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from rl_warmup.config.conf import borrowed_env, borrowed_words
from rl_warmup.config.identity import cell_label, identity, run_folder, study_folder
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import ConfigError, RunConfig, StudyConfig
from rl_warmup.config.setting import declared
from rl_warmup.config.study import contrasts_of
from rl_warmup.records.atomic import check_writable
from rl_warmup.records.locks import is_training, study_lock
from rl_warmup.records.read import Record, finished_status, read_info, unfinished
from rl_warmup.records.schema import RecordError
from rl_warmup.records.study import (
    Planned,
    add_runs,
    is_declared,
    read_declaration,
    record_command,
    write_declaration,
)
from rl_warmup.records.words import counted
from rl_warmup.run.execute import was_interrupted
from rl_warmup.status.live import LiveRuns
from rl_warmup.status.plan import Outlook
from rl_warmup.status.states import ForeignRecordError, RunState, kind_of, read_state
from rl_warmup.tracking.progress import SweepProgress, progress_row, publish_after


@dataclass(frozen=True)
class Job:
    """One run of a sweep: how Hydra is asked for it, what it is, where it is recorded."""

    overrides: tuple[str, ...]
    config: RunConfig
    folder: Path

    @property
    def planned(self) -> Planned:
        """What is known of it before it is trained."""
        return Planned(kind_of(identity(self.config)), phases_of(self.config).env_steps)


def plan_jobs(combinations: Iterable[Sequence[str]], compose: Callable[[list[str]], RunConfig]) -> list[Job]:
    """The jobs of a sweep, each run once: combinations that differ only in what a shape ignores are one run.

    Raises:
        ConfigError: for the first combination that cannot be trained.
    """
    jobs: dict[Path, Job] = {}
    configs = []
    for overrides in combinations:
        try:
            config = compose(list(overrides))
        except ConfigError as error:
            raise ConfigError(f"{error} (in {' '.join(overrides)})") from error
        folder = run_folder(config)
        jobs.setdefault(folder, Job(tuple(overrides), config, folder))
        configs.append(config)
    _refuse_swept(configs)
    return list(jobs.values())


def _refuse_swept(configs: Sequence[RunConfig]) -> None:
    if len({study_folder(config) for config in configs}) > 1:
        raise ConfigError("a sweep belongs to one study; runs_dir and study.name cannot be swept")
    for name in (name for name, _, how in declared(RunConfig) if not how.sweepable):
        if any(getattr(config, name) != getattr(configs[0], name) for config in configs):
            raise ConfigError(f"{name} is of the whole sweep and cannot be swept")


def outlook(jobs: Sequence[Job], retries: int) -> Outlook:
    """What is to be done for `jobs`, which are of one study.

    Raises:
        ConfigError: if the record of another run is in a run's folder.
    """
    try:
        runs = [read_state(job.folder, identity(job.config)) for job in jobs]
    except ForeignRecordError as error:
        raise ConfigError(str(error)) from error
    return Outlook(study_folder(jobs[0].config), runs, {job.folder.name: job.planned for job in jobs}, retries)


def run_sweep(jobs: Sequence[Job], launch: Callable[[list[Job]], Any], command: str, console: Console) -> int:
    """Say what is to be done, train it by `launch`, showing it live, then report on the whole study and publish it.

    `command` is what a person would type for this sweep. Nothing is written or trained with `plan_only`.

    Returns:
        The exit code: 0, or 1 if a run failed, is another process's, or could not be reported on.

    Raises:
        ConfigError: if the study was declared otherwise, or its files cannot be written.
    """
    config, folder = jobs[0].config, study_folder(jobs[0].config)
    _refuse_redeclared(folder, config.study)
    ahead = outlook(jobs, config.retries)
    for line in [*ahead.announce(), *borrowed(jobs), *_without_runs(jobs)]:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if config.plan_only:
        return 0
    _note(folder, config, ahead, command)
    to_do = {run.run_id for run in ahead.to_do}
    todo = [job for job in jobs if job.folder.name in to_do]
    if todo:
        totals = {job.folder: ahead.planned[job.folder.name].env_steps for job in todo}
        cells = {job.folder: cell_label(job.config) for job in todo}
        before = [run for run in ahead.runs if run.finished]
        with (
            LiveRuns(totals, console) as live,
            SweepProgress(config, folder, lambda: progress_row(live.look(), totals, cells, live.seconds, before)),
        ):
            _launch(launch, todo)
    from rl_warmup.report.command import report  # a plan does without what analysis imports

    unfinished_runs = [job.folder for job, run in zip(jobs, ahead.runs, strict=True) if not run.finished]
    code = report(folder, console)
    publish_after(config.tracking, folder, len(jobs), console)
    return _name_unfinished(unfinished_runs, ahead) or code


def borrowed(jobs: Sequence[Job]) -> list[str]:
    """Which environments are scored by the constants of another."""
    envs = [(job.config.env, borrowed_env(job.config.env)) for job in jobs]
    return list(dict.fromkeys(borrowed_words(env.name, env.id, known, "is") for env, known in envs if known))


def _without_runs(jobs: Sequence[Job]) -> list[str]:
    """What the study declares and no run of the sweep is, perhaps by a slip that could not be mended later."""
    study = jobs[0].config.study
    declared = [("control", study.control)] if study.control else []
    declared += [("comparisons", wanted) for wanted in study.comparisons or ()]
    declared += [("contrasts", where) for contrast in contrasts_of(study.contrasts) for _, where in contrast.terms]
    if not declared:
        return []
    from rl_warmup.config.study import (
        matches,
        settings_of,  # imports what a report needs
        words,
    )

    planned = [settings_of({"config": identity(job.config), "warmup": asdict(job.config.warmup)}) for job in jobs]
    return [
        f"study.{what}: no run of this sweep has {words(wanted)}"
        for what, wanted in declared
        if not any(matches(wanted, settings) for settings in planned)
    ]


def _note(folder: Path, config: RunConfig, ahead: Outlook, command: str) -> None:
    """Write down what is declared, what is planned, and by which command."""
    check_writable(folder)
    try:
        with study_lock(folder):
            earlier = _refuse_redeclared(folder, config.study)
            if earlier is None:
                write_declaration(folder, asdict(config.study))
            add_runs(folder, ahead.planned, config.retries)
            record_command(folder, command)
    except (OSError, RecordError) as error:
        raise ConfigError(f"the study cannot be written down in {folder}: {error}") from error


def _refuse_redeclared(folder: Path, study: StudyConfig) -> dict[str, Any] | None:
    """What was declared before; a declaration is not changed after the study's first run.

    Raises:
        ConfigError: if `study` declares something else.
    """
    try:
        earlier = read_declaration(folder)
    except RecordError as error:
        raise ConfigError(f"{error}; mend it, or give the study another study.name") from error
    plan = asdict(study)
    if earlier is None or not is_declared(plan):
        return earlier
    changed = ", ".join(key for key in plan if plan[key] != earlier.get(key))
    if changed:
        raise ConfigError(
            f"{folder / 'study.yaml'} was declared with another {changed}; a declaration is not changed after "
            "the fact: give this one another study.name"
        )
    return earlier


def _launch(launch: Callable[[list[Job]], Any], jobs: list[Job]) -> None:
    try:
        launch(jobs)
    except Exception as error:  # a worker that was killed ends joblib's whole batch; the report still comes
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        print(f"the launcher stopped: {type(error).__name__}: {error}", file=sys.stderr)


def _name_unfinished(folders: Sequence[Path], ahead: Outlook) -> int:
    """Name every run of the sweep that is not finished, and why; 1 if there is one."""
    given_up = {run.run_id: run for run in ahead.given_up}
    left = [folder for folder in folders if finished_status(folder) is None]
    for folder in left:
        if folder.name in given_up:
            print(f"given up: {folder}: {_way_out(given_up[folder.name])}", file=sys.stderr)
        elif is_training(folder):
            print(f"left to another process: {folder}", file=sys.stderr)
        else:
            print(f"failed: {folder}: {_reason(folder)}", file=sys.stderr)
    if left:
        _say_unwritable(left[0].parent)
    return 1 if left else 0


def _say_unwritable(folder: Path) -> None:
    """Of a full disk the records of what it stopped cannot tell."""
    try:
        check_writable(folder, 2**20)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)


def _way_out(run: RunState) -> str:
    if run.state == "unreadable":
        return f"{run.error}; mend it, or move the folder away"
    times = counted(run.failures, "time")
    return f"it failed {times} ({run.error}) and is not tried again; retries={run.failures} tries it once more"


def _reason(folder: Path) -> str:
    try:
        return unfinished(Record(folder, read_info(folder)))
    except RecordError as unreadable:
        return str(unreadable) if folder.exists() else "it was not begun"
