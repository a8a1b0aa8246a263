"""A whole sweep: planned, trained and reported; every job is composed and checked before the first is trained."""

import sys
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console

from rl_warmup.config.identity import cell_label, run_folder, study_folder
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records import atomic, locks, read
from rl_warmup.records.study import LooksTaken
from rl_warmup.records.words import counted
from rl_warmup.run.declaring import refuse_redeclared, without_runs, write_plan
from rl_warmup.run.execute import was_interrupted
from rl_warmup.run.jobs import KEPT, Job, plan_of, source_jobs, with_keep
from rl_warmup.run.looks import batch_words, batches_of, complete, look, look_words
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
        _print(console, [*plan.announce(), kept_words(jobs[0].config.keep), *notes_on(job.config for job in jobs)])


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
        ConfigError: if the study was declared otherwise, its files cannot be written, or it cannot be looked at.
    """
    jobs = with_keep(jobs)
    config = jobs[0].config
    refuse_redeclared(study_folder(config), config.study)
    batches = _batches(jobs)
    taken = look(batches)
    if taken is not None and taken.stopped:
        batches = batches[: len(taken.taken)]
        jobs = _of(batches)
    plan = plan_of(jobs, config.retries)
    notes = [kept_words(config.keep), *notes_on(job.config for job in jobs), *without_runs(jobs)]
    _print(console, [*plan.announce(), *([taken.words] if taken else []), *notes])
    todo = _to_do(jobs, plan)
    if agents := source_jobs(todo):
        _print(console, [f"first their agents: {plan_of(agents, config.retries).announce()[0]}"])
    if taken is not None:
        todo = _to_do(batches[min(len(taken.taken), len(batches) - 1)], plan)
    if todo:
        _print(console, memory([job.config for job in (*source_jobs(todo), *todo)]))
    if config.plan_only:
        return 0
    recorded = {path.parent for path in plan.folder.glob("*/run.json")}
    announce_tracking(config.tracking, plan.folder, len(recorded.union(job.folder for job in jobs)), console)
    plan, lost = _train_batches(batches, taken, launch, command, console)
    from rl_warmup.report.command import report  # a plan does without what analysis imports

    code = report(plan.folder, console)
    publish_after(config.tracking, plan.folder, len(plan.runs), console)
    return _name_unfinished(plan, lost) or code


def _batches(jobs: Sequence[Job]) -> list[list[Job]]:
    """The batches of a sweep. A study that looks at its comparisons must have them all."""
    batches = batches_of(jobs)
    if len(batches) > 1 and (lacking := without_runs(jobs)):
        raise ConfigError(f"{lacking[0]}, so that a look of study.looks would never decide all that is declared")
    return batches


def _train_batches(
    batches: Sequence[Sequence[Job]], taken: LooksTaken | None, launch: Launch, command: str, console: Console
) -> tuple[Plan, Mapping[str, str]]:
    """Train batch after batch, up to a look at which all is decided, or to a batch that is not complete.

    Args:
        taken: the looks of complete batches; None where none are declared, and all jobs are one batch.

    Returns:
        The plan of the batches that were begun, and why some of their runs were lost, by their ids.
    """
    while True:
        begun = 1 if taken is None else min(len(taken.taken) + 1, len(batches))
        jobs = _of(batches[:begun])
        plan = plan_of(jobs, jobs[0].config.retries)
        write_plan(jobs[0].config, plan, command, taken)
        todo = _to_do(jobs, plan)
        if taken is not None and todo:
            _print(console, [batch_words(batches, begun, len(todo))])
        lost = _train_batch(todo, plan, launch, command, console, "" if taken is None else taken.words)
        if taken is None or taken.stopped:
            return plan, lost
        if complete(batches) < begun:
            _print(console, ["the batch is not complete, and there is no look before it is"])
            return plan, lost
        taken = look(batches)
        assert taken is not None
        _print(console, [look_words(taken, len(jobs))])
        if taken.stopped:
            write_plan(jobs[0].config, plan, command, taken)
            return plan, lost


def _train_batch(
    todo: Sequence[Job], plan: Plan, launch: Launch, command: str, console: Console, note: str
) -> Mapping[str, str]:
    """Train jobs after the agents that they start from; why some were lost, by their ids.

    Args:
        note: what the live table says below the runs.
    """
    _train_agents(source_jobs(todo), launch, command, console)
    waiting = {job.folder.name: reason for job in todo if (reason := unready(job.config))}
    ready = [job for job in todo if job.folder.name not in waiting]
    return {**waiting, **_train(ready, plan, launch, console, note)}


def _of(batches: Sequence[Sequence[Job]]) -> list[Job]:
    return [job for batch in batches for job in batch]


def _to_do(jobs: Sequence[Job], plan: Plan) -> list[Job]:
    """Those that the plan trains."""
    to_do = {run.run_id for run in plan.to_do}
    return [job for job in jobs if job.folder.name in to_do]


def _print(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _train_agents(jobs: Sequence[Job], launch: Launch, command: str, console: Console) -> None:
    """Train the agents that other runs start from, and name what failed."""
    if jobs:
        plan = plan_of(jobs, jobs[0].config.retries)
        write_plan(jobs[0].config, plan, command)
        lost = _train(_to_do(jobs, plan), plan, launch, console)
        _name_unfinished(plan, lost)


def _train(todo: Sequence[Job], plan: Plan, launch: Launch, console: Console, note: str = "") -> Mapping[str, str]:
    """Train jobs, shown on the console and by W&B; what `launch` returns."""
    if not todo:
        return {}
    totals = {job.folder: plan.planned[job.folder.name].env_steps for job in todo}
    cells = {job.folder: cell_label(job.config) for job in todo}
    before = [run for run in plan.runs if run.finished]
    with (
        LiveRuns(totals, console, note) as live,
        sweep_progress(
            todo[0].config, plan.folder, lambda: progress_row(live.look(), totals, cells, live.seconds, before)
        ),
    ):
        return _launch(launch, list(todo))


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
