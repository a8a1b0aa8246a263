"""`python -m rl_warmup.run`: one composed config -> one recorded run; with `-m` or `study=NAME` a sweep."""

import argparse
import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from rl_warmup import terminal
from rl_warmup.config.conf import conf_dir
from rl_warmup.config.identity import run_folder
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.config.transfer import source_of
from rl_warmup.records import atomic, locks, read, study, words
from rl_warmup.records.schema import FINISHED, RecordError
from rl_warmup.run.compose import CONFIG_NAME, command_of, refuse_rewritten, register_schema, resolved
from rl_warmup.run.execute import execute
from rl_warmup.run.jobs import Job, plan_of
from rl_warmup.run.launch.memory import check_fits, memory_words
from rl_warmup.run.launch.processes import RunFailed, train_apart
from rl_warmup.run.launch.worker import end_with_parent
from rl_warmup.run.looks import OUR_SWEEPER, refuse_looks
from rl_warmup.run.notes import notes_on
from rl_warmup.run.sources import unready
from rl_warmup.run.suggestions import explained
from rl_warmup.run.sweep import print_plan
from rl_warmup.status.live import LiveRuns
from rl_warmup.tracking import client, sent
from rl_warmup.tracking.progress import announce_tracking


def job(config: DictConfig) -> str | None:
    """What Hydra calls: once for a single run, once a job in a sweep (there, perhaps in another process)."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        end_with_parent()
        run = resolved(config, "sweep")
        if not HydraConfig.get().sweeper.get("_target_", "").endswith(".StudySweeper"):
            refuse_looks(run, OUR_SWEEPER)
        if not run.plan_only:
            return _train_in_order(run)
        print_plan([run], Console())
        return None
    try:
        run = resolved(config, "single")
        refuse_looks(run, "a sweep over seeds (-m)")
        sys.exit(run_single(run, command_of(HydraConfig.get()), Console()))
    except (ConfigError, RecordError) as error:
        sys.exit(f"error: {error}")


def _train_in_order(config: RunConfig) -> str:
    """Train a run of a sweep by Hydra's own sweepers, first the one whose agent it starts from; its status.

    Raises:
        RunFailed: if it did not finish.
    """
    source = source_of(config)
    if source is not None and unready(config):
        train_apart(source)
    if (reason := unready(config)) is not None:
        raise RunFailed(reason)
    return train_apart(config)


def run_single(config: RunConfig, command: str, console: Console) -> int:
    """Train the run of `command`, or print the plan for it with `plan_only`; the exit code.

    Raises:
        ConfigError: if the record of another run is in its folder, or another process trains it.
    """
    config = replace(config, keep=config.keep or "last")
    plan = plan_of([Job((), config, run_folder(config))], sys.maxsize)  # it is tried as often as it is asked for
    if config.plan_only:
        print_plan([config], console)
        for line in memory_words([[config]], 1):
            console.print(line, soft_wrap=True, highlight=False, markup=False)
        return 0
    check_fits([[config]], 1, "a machine with more")
    atomic.check_writable(plan.folder)
    with locks.study_lock(plan.folder):
        study.record_command(plan.folder, command)
    return train_single(config, console)


def train_single(config: RunConfig, console: Console) -> int:
    """Train one agent, unless it is recorded already, and print its summary; the exit code.

    Raises:
        ConfigError: if another process trains it.
    """
    folder, source = run_folder(config), source_of(config)
    status = read.finished_status(folder)
    if status is not None:
        console.print("This run is recorded already and is not trained again.")
    else:
        if source is not None and unready(config):
            console.print("First the agent that it starts from is trained:", highlight=False)
            train_single(source, console)
        if (reason := unready(config)) is not None:
            raise ConfigError(reason)
        for line in notes_on([config]):
            console.print(line, markup=False)
        announce_tracking(config.tracking, folder.parent, 1, console)
        with LiveRuns({folder: phases_of(config).env_steps}, console):
            status = execute(config)
        if status == "running":
            raise ConfigError(f"{folder} is being trained by another process; it is left to it")
    print_summary(read.Record(folder, read.read_info(folder)), console)
    return 0 if status in FINISHED else 1


def print_summary(record: read.Record, console: Console) -> None:
    """Print a run's return, the dose of learning rate it received, and where its records are."""
    info, evaluations, dose = record.info, record.table("evaluations"), read.dose_of(record.table("updates"))
    rows = {"run": info["run_id"], "status": info["status"]}
    if info["error"]:
        rows["status"] += f": {words.error_line(info['error'])}"
    if not evaluations.is_empty():
        means = [sum(returns) / len(returns) for returns in evaluations["returns"].to_list()]
        rows["return"] = (
            f"{words.readable(means[-1])} at the end, {words.readable(means[0])} at the start, "
            f"{words.readable(max(means))} at best "
            f"(mean of {len(evaluations['returns'][0])} episodes)"
        )
    if dose is not None:
        rows["learning rate"] = (
            f"{dose['learning_rate_first']:.3g} first, {dose['learning_rate_mean']:.3g} mean, "
            f"{dose['learning_rate_last']:.3g} last, read from the optimizer"
        )
        planned = info.get("planned_gradient_steps")  # None in older records
        stops = info["config"]["algo"].get("target_kl") is not None
        of_planned = "" if planned is None else f" of at most {planned:,}" if stops else f" of {planned:,} planned"
        rows["gradient steps"] = f"{info['gradient_steps']:,}{of_planned} were taken"
        rows["warmup"] = (
            f"{dose['n_below_99']:.0f} of {dose['gradient_steps']:.0f} gradient steps below 99% of the base "
            f"schedule; it took {max(0.0, dose['budget']):.1%} of the summed learning rate"
        )
    rows["time"] = f"{words.duration(info['wall_seconds'])} on {info['device']}"
    rows["records"] = str(record.folder)
    if kept := info.get("model"):
        which = "" if kept["env_step"] == info["env_steps"] else f", as it was at step {kept['env_step']:,}"
        rows["agent"] = f"python -m rl_warmup.enjoy {words.quoted(record.folder)} plays it{which}"
    own = client.wandb_id(info["run_id"], str(info.get("attempt_id")))
    if address := sent.Publications(record.folder.parent).anywhere(own):
        rows["W&B"] = address
    for name, value in rows.items():
        console.print(f"[bold]{name:<15}[/bold]{escape(value)}", highlight=False, soft_wrap=True)


def _refuse_missing_launcher() -> None:
    wanted = {"hydra/launcher=slurm", "hydra/launcher=batch_local"}.intersection(sys.argv)
    if wanted and find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        sys.exit(f"error: {wanted.pop()} needs another package: pip install -c constraints.txt -e '.[slurm]'")


def _accept_lazy_help() -> None:
    """Let argparse of Python 3.14 take help that is not a string, as Hydra 1.3 gives it (its issue 3121)."""
    containers: Any = argparse._ActionsContainer
    check = getattr(containers, "_check_help", None)
    if check is not None:
        containers._check_help = lambda parser, action: isinstance(action.help, str) and check(parser, action)


@terminal.command("what is completed stays; the same command trains the rest")
def main() -> int:
    """Entry point of the command line; the exit code."""
    register_schema()
    _accept_lazy_help()
    _refuse_missing_launcher()
    trace = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors, for us to explain
    try:
        refuse_rewritten(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=CONFIG_NAME)(job)()
    except CompactHydraException as error:
        if trace == "1":
            raise
        sys.exit(f"error: {explained(error)}")
    except (ConfigError, RunFailed) as error:  # the latter under Hydra's own sweepers
        sys.exit(f"error: {error}")
    return 0
