"""One run in this process, shown live, with a summary at its end."""

import sys

from hydra.conf import OverridesConf
from rich.console import Console
from rich.markup import escape

from rl_warmup.config.identity import identity, run_folder, study_folder
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import ConfigError, RunConfig
from rl_warmup.records import atomic, locks, provenance, words
from rl_warmup.records.read import Record, dose_of, finished_status, read_info
from rl_warmup.records.study import record_command
from rl_warmup.run.execute import execute
from rl_warmup.run.sweep import Job, borrowed, plan_of
from rl_warmup.status.live import LiveRuns
from rl_warmup.status.states import read_state
from rl_warmup.tracking.client import wandb_id
from rl_warmup.tracking.sent import Publications


def run_single(config: RunConfig, overrides: OverridesConf, console: Console) -> int:
    """Train the run of the command line, or print the plan for it with `plan_only`; the exit code."""
    folder = study_folder(config)
    read_state(run_folder(config), identity(config))  # refuses the record of another run
    if config.plan_only:
        print_plan(config, console)
        return 0
    atomic.check_writable(folder)
    with locks.study_lock(folder):
        record_command(folder, provenance.command(overrides.hydra, overrides.task))
    return train_single(config, console)


def print_plan(config: RunConfig, console: Console) -> None:
    """Print what would be done; a single run is tried as often as it is asked for."""
    for line in plan_of([Job((), config, run_folder(config))], sys.maxsize).announce():
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def train_single(config: RunConfig, console: Console) -> int:
    """Train one agent, unless it is recorded already, and print its summary; the exit code.

    Raises:
        ConfigError: if another process trains it.
    """
    folder = run_folder(config)
    status = finished_status(folder)
    if status is not None:
        console.print("This run is recorded already and is not trained again.")
    else:
        for line in borrowed([config]):
            console.print(line, markup=False)
        with LiveRuns({folder: phases_of(config).env_steps}, console):
            status = execute(config)
        if status == "running":
            raise ConfigError(f"{folder} is being trained by another process; it is left to it")
    print_summary(Record(folder, read_info(folder)), console)
    return 0 if status in ("completed", "diverged") else 1


def print_summary(record: Record, console: Console) -> None:
    """Print a run's return, the dose of learning rate it received, and where its records are."""
    info, evaluations, dose = record.info, record.table("evaluations"), dose_of(record.table("updates"))
    rows = {"run": info["run_id"], "status": info["status"]}
    if info["error"]:
        rows["status"] += f": {words.last_line(info['error'])}"
    if not evaluations.is_empty():
        means = [sum(returns) / len(returns) for returns in evaluations["returns"].to_list()]
        rows["return"] = (
            f"{means[-1]:.1f} at the end, {means[0]:.1f} at the start, {max(means):.1f} at best "
            f"(mean of {len(evaluations['returns'][0])} episodes)"
        )
    if dose is not None:
        rows["learning rate"] = (
            f"{dose['learning_rate_first']:.3g} first, {dose['learning_rate_mean']:.3g} mean, "
            f"{dose['learning_rate_last']:.3g} last, read from the optimizer"
        )
        rows["warmup"] = (
            f"{dose['n_below_99']:.0f} of {dose['gradient_steps']:.0f} gradient steps below 99% of the base "
            f"schedule; it took {max(0.0, dose['budget']):.1%} of the summed learning rate"
        )
    rows["time"] = f"{words.duration(info['wall_seconds'])} on {info['device']}"
    rows["records"] = str(record.folder)
    sent = Publications(record.folder.parent)
    if address := sent.anywhere(wandb_id(info["run_id"], str(info.get("attempt_id")))):
        rows["W&B"] = address
    for name, value in rows.items():
        console.print(f"[bold]{name:<14}[/bold]{escape(value)}", highlight=False, soft_wrap=True)
