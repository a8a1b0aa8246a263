"""A whole sweep: planned, trained and reported; every job is composed and checked before the first is trained."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from rl_warmup.config.identity import cell_label, identity, run_folder, study_folder
from rl_warmup.config.schema import RunConfig, StudyConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.config.study import contrasts_of, matches, settings_of, words
from rl_warmup.records import atomic, locks, read
from rl_warmup.records import study as study_files
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import counted
from rl_warmup.run.execute import was_interrupted
from rl_warmup.run.jobs import KEPT, Job, plan_of, source_jobs, with_keep
from rl_warmup.run.notes import notes_on
from rl_warmup.run.sources import unready
from rl_warmup.status.live import LiveRuns
from rl_warmup.status.plan import Plan
from rl_warmup.status.states import RunState
from rl_warmup.tracking.progress import announce_tracking, progress_row, publish_after, sweep_progress

Launch = Callable[[list[Job]], Mapping[str, str] | None]
"""Trains jobs; why some of them were lost, by the ids of their runs, where the records do not tell it."""


def kept_words(keep: str | None) -> str:
    """What a plan says of the agents that stay."""
    if keep is None:
        return f"no agent is kept: in a sweep of more than {KEPT} runs ask for it, by keep=last or keep=best"
    agent = {"last": "its last agent", "best": "the agent of its best evaluation"}.get(keep)
    return "no agent is kept" if agent is None else f"every run keeps {agent} in model.zip (docs/agents.md)"


def print_plan(configs: Sequence[RunConfig], console: Console) -> None:
    """Print, study by study, what would be done for runs that are tried as often as they are asked for."""
    agents = source_jobs([Job((), config, run_folder(config)) for config in configs])
    configs = [*(job.config for job in agents), *configs]
    for folder in dict.fromkeys(study_folder(config) for config in configs):
        jobs = [Job((), config, run_folder(config)) for config in configs if study_folder(config) == folder]
        plan = plan_of(jobs, sys.maxsize)
        for line in [*plan.announce(), kept_words(jobs[0].config.keep), *notes_on(job.config for job in jobs)]:
            console.print(line, soft_wrap=True, highlight=False, markup=False)


def run_sweep(
    jobs: Sequence[Job],
    launch: Launch,
    command: str,
    console: Console,
    memory: Callable[[Sequence[RunConfig]], list[str]] = lambda configs: [],
) -> int:
    """Plan a sweep, train it by `launch` and report on its study; with `plan_only` only the plan.

    Args:
        command: what a person would type for this sweep.
        memory: what runs need of it while they are trained, in lines; refuses what does not fit.

    Returns:
        The exit code: 0, or 1 if a run failed, is another process's, or could not be reported on.

    Raises:
        ConfigError: if the study was declared otherwise, or its files cannot be written.
    """
    jobs = with_keep(jobs)
    config = jobs[0].config
    _refuse_redeclared(study_folder(config), config.study)
    plan = plan_of(jobs, config.retries)
    notes = [kept_words(config.keep), *notes_on(job.config for job in jobs), *_without_runs(jobs)]
    for line in [*plan.announce(), *notes]:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    to_do = {run.run_id for run in plan.to_do}
    todo = [job for job in jobs if job.folder.name in to_do]
    agents = source_jobs(todo)
    first = (
        [f"first their agents: {line}" for line in plan_of(agents, config.retries).announce()[:1]] if agents else []
    )
    needed = memory([job.config for job in (*agents, *todo)]) if to_do else []
    for line in [*first, *needed]:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    if config.plan_only:
        return 0
    _write_plan(config, plan, command)
    recorded = {path.parent for path in plan.folder.glob("*/run.json")}
    announce_tracking(config.tracking, plan.folder, len(recorded.union(job.folder for job in jobs)), console)
    _train_agents(agents, launch, command, console)
    waiting = {job.folder.name: reason for job in todo if (reason := unready(job.config))}
    ready = [job for job in todo if job.folder.name not in waiting]
    lost = {**waiting, **_train(ready, plan, launch, console)}
    from rl_warmup.report.command import report  # a plan does without what analysis imports

    code = report(plan.folder, console)
    publish_after(config.tracking, plan.folder, len(jobs), console)
    return _name_unfinished(plan, lost) or code


def _train_agents(jobs: Sequence[Job], launch: Launch, command: str, console: Console) -> None:
    """Train the agents that other runs start from, and name what failed."""
    if jobs:
        plan = plan_of(jobs, jobs[0].config.retries)
        _write_plan(jobs[0].config, plan, command)
        to_do = {run.run_id for run in plan.to_do}
        lost = _train([job for job in jobs if job.folder.name in to_do], plan, launch, console)
        _name_unfinished(plan, lost)


def _train(todo: Sequence[Job], plan: Plan, launch: Launch, console: Console) -> Mapping[str, str]:
    """Train jobs, shown on the console and by W&B; what `launch` returns."""
    if not todo:
        return {}
    totals = {job.folder: plan.planned[job.folder.name].env_steps for job in todo}
    cells = {job.folder: cell_label(job.config) for job in todo}
    before = [run for run in plan.runs if run.finished]
    with (
        LiveRuns(totals, console) as live,
        sweep_progress(
            todo[0].config, plan.folder, lambda: progress_row(live.look(), totals, cells, live.seconds, before)
        ),
    ):
        return _launch(launch, list(todo))


def _without_runs(jobs: Sequence[Job]) -> list[str]:
    """What the study declares and no run of the sweep has, perhaps by a slip that cannot be mended later."""
    study = jobs[0].config.study
    declared = [("control", study.control)] if study.control else []
    declared += [("comparisons", wanted) for wanted in study.comparisons or ()]
    declared += [("contrasts", where) for contrast in contrasts_of(study.contrasts) for _, where in contrast.terms]
    if not declared:
        return []
    planned = [settings_of({"config": identity(job.config), "warmup": asdict(job.config.warmup)}) for job in jobs]
    return [
        f"study.{what}: no run of this sweep has {words(wanted)}"
        for what, wanted in declared
        if not any(matches(wanted, settings) for settings in planned)
    ]


def _write_plan(config: RunConfig, plan: Plan, command: str) -> None:
    """Record what is declared, what is planned, and by which command."""
    folder = plan.folder
    atomic.check_writable(folder)
    try:
        with locks.study_lock(folder):
            if _refuse_redeclared(folder, config.study) is None:
                study_files.write_declaration(folder, asdict(config.study))
            study_files.add_runs(folder, plan.planned, plan.retries)
            study_files.record_command(folder, command)
    except (OSError, RecordError) as error:
        raise ConfigError(f"the study cannot be written down in {folder}: {error}") from error


def _refuse_redeclared(folder: Path, study: StudyConfig) -> dict[str, Any] | None:
    """What was declared before; a declaration is not changed after the study's first run.

    Raises:
        ConfigError: if `study` declares something else.
    """
    try:
        earlier = study_files.read_declaration(folder)
    except RecordError as error:
        raise ConfigError(f"{error}; mend it, or give the study another study.name") from error
    plan = asdict(study)
    if earlier is None or not study_files.is_declared(plan):
        return earlier
    changed = ", ".join(key for key in plan if plan[key] != earlier.get(key))
    if changed:
        way_out = "a declaration is not changed after the fact: give this one another study.name"
        raise ConfigError(f"{folder / 'study.yaml'} was declared with another {changed}; {way_out}")
    return earlier


def _launch(launch: Launch, jobs: list[Job]) -> Mapping[str, str]:
    try:
        return launch(jobs) or {}
    except Exception as error:  # a worker that was killed ends joblib's whole batch; the report still comes
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        print(f"the launcher stopped: {type(error).__name__}: {error}", file=sys.stderr)
        return {}


def _name_unfinished(plan: Plan, lost: Mapping[str, str]) -> int:
    """Name every run of the sweep that is not finished, and why; 1 if there is one."""
    given_up = {run.run_id for run in plan.given_up}
    folders = {run: plan.folder / run.run_id for run in plan.runs if not run.finished}
    left = {run: folder for run, folder in folders.items() if read.finished_status(folder) is None}
    for run, folder in left.items():
        if run.run_id in given_up:
            print(f"given up: {folder}: {_way_out(run)}", file=sys.stderr)
        elif locks.is_training(folder):
            print(f"left to another process: {folder}", file=sys.stderr)
        else:
            print(f"failed: {folder}: {lost.get(run.run_id) or read.why_unfinished(folder)}", file=sys.stderr)
    if left:
        try:  # a full disk does not let the records of what it stopped name it
            atomic.check_writable(plan.folder, 2**20)
        except ConfigError as error:
            print(f"error: {error}", file=sys.stderr)
    return 1 if left else 0


def _way_out(run: RunState) -> str:
    if run.state == "unreadable":
        return f"{run.error}; mend it, or move the folder away"
    times = counted(run.failures, "time")
    return f"it failed {times} ({run.error}) and is not tried again; retries={run.failures} tries it once more"
