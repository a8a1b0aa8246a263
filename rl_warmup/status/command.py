"""`python -m rl_warmup.status DIR`: the state of every run of a study, and what its command would do next."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rl_warmup import terminal
from rl_warmup.config.transfer import SOURCES
from rl_warmup.records.read import no_study
from rl_warmup.records.schema import RecordError
from rl_warmup.records.study import read_commands, read_looks, read_runs
from rl_warmup.records.words import counted, duration, quoted
from rl_warmup.status.live import STYLES
from rl_warmup.status.plan import Plan
from rl_warmup.status.states import STATES, RunState, read_states

LISTED = 20
"""Runs that are listed of every state, unless all are asked for."""

_EXPLANATION = """\
Shows how far a study is: its runs by state, how long the rest may take, the error of every
run that failed, and what the same command would do next. Reads the record files and the
plan of the study's commands in DIR; changes nothing, and may be run while runs train.

states:
  completed    trained to the end
  diverged     a parameter, loss or return became non-finite: an outcome, not tried again
  running      a process is training it
  failed       an exception or a signal ended it; tried again `retries` times
  interrupted  its process is gone; resumes from its checkpoint
  unreadable   its run.json is damaged
  missing      planned, and not begun

exit code:
  0  every run is completed or diverged, and no look is to come
  1  something is left to do
  2  DIR is not the folder of a study
"""


def status(folder: Path) -> Plan:
    """The state of the study in `folder`; its runs are `planned` only if it has a plan.json.

    Raises:
        RecordError: if it is no folder, holds neither runs nor a plan, or its plan is damaged.
    """
    planned = read_runs(folder)
    runs = list(read_states(folder, planned.runs))
    if not runs:
        raise no_study(folder)
    return Plan(folder, runs, planned.runs, planned.retries, read_looks(folder))


def as_json(plan: Plan) -> dict[str, Any]:
    """Every run of a study, the totals and the time left, for programs."""
    left = None if plan.is_done else plan.forecast(live=True)
    counts = Counter(run.state for run in plan.runs)
    return {
        "folder": str(plan.folder),
        "states": {state: counts[state] for state in STATES},
        "seconds_left": left and left.seconds,
        "retries": plan.retries,
        **({} if plan.looks is None else {"looks": {**asdict(plan.looks), "stopped": plan.looks.stopped}}),
        "commands": read_commands(plan.folder),
        "runs": [
            {
                "run_id": run.run_id,
                "state": run.state,
                "env_steps": run.env_steps,
                "env_steps_planned": plan.planned[run.run_id].env_steps if run.run_id in plan.planned else None,
                "failures": run.failures,
                "error": run.error,
                "other_versions": run.versions or None,
                "to_do": run.is_to_do(plan.retries),
            }
            for run in plan.runs
        ],
    }


def show(plan: Plan, console: Console, listed: int) -> None:
    """Print the table of states, the runs that train or went wrong, the time left and what would come next."""
    _print(console, f"{counted(len(plan.runs), 'run')} in {plan.folder}")
    counts = Counter(run.state for run in plan.runs)
    table = Table(box=None, padding=(0, 2), show_header=False)
    for state in STATES:
        if count := counts[state]:
            table.add_row(state, f"{count:,}", f"{count / len(plan.runs):.0%}", style=STYLES.get(state))
    console.print(table)
    if not plan.planned:
        _print(console, "There is no plan.json, so that runs that were never begun are not known.")
    if plan.looks is not None:
        _print(console, plan.looks.words)
    live = [run for run in plan.runs if run.state == "running"]
    for run in live[:listed]:
        _print(console, f"running: {run.run_id}: {_progress(run, plan)}")
    if len(live) > listed:
        _print(console, f"running: … and {len(live) - listed:,} more (--all lists them)")
    if plan.is_done:
        _print(console, f"Everything is done: python -m rl_warmup.report {quoted(plan.folder)}")
    elif all(run.finished for run in plan.runs):
        which = _which(read_commands(plan.folder))
        _print(
            console, f"The same command{which} looks at the comparisons, and trains the next seeds if any is open."
        )
    else:
        _print(console, f"left: {_left(plan)}")
        which, batch = _which(read_commands(plan.folder)), " of this batch" if plan.looks else ""
        _print(console, f"The same command{which} trains {counted(len(plan.to_do), 'run')}{batch}:")
    for line in plan.lines(listed):
        _print(console, f"  {line}")
    sources = plan.folder / SOURCES
    if sources.is_dir():
        _print(console, f"The agents that its runs start from: python -m rl_warmup.status {quoted(sources)}")


def _which(commands: Sequence[str]) -> str:
    others = f"; {len(commands) - 1} more in commands.txt" if len(commands) > 1 else ""
    return f" ({commands[-1]}{others})" if commands else ""


def _left(plan: Plan) -> str:
    if not plan.planned:
        return "not known without a plan"
    left = plan.forecast(live=True)
    return "not known before the first runs are done" if left is None else left.words()


def _progress(run: RunState, plan: Plan) -> str:
    if run.run_id not in plan.planned:
        return f"{run.env_steps:,} environment steps"
    total = plan.planned[run.run_id].env_steps
    if not run.env_steps:
        return f"0% of {total:,} environment steps"
    left = run.seconds * run.members * (total - run.env_steps) / run.env_steps
    return f"{run.env_steps / total:.0%} of {total:,} environment steps, about {duration(left)} left"


def _print(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)


@terminal.command("nothing is changed")
def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command line; the exit code."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m rl_warmup.status", description=_EXPLANATION, formatter_class=plain)
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of a study, e.g. runs/quick")
    parser.add_argument("--all", action="store_true", help=f"list every run, not {LISTED} of each state")
    parser.add_argument("--json", action="store_true", help="print every run and the totals as JSON")
    arguments = parser.parse_args(argv)
    try:
        plan = status(arguments.folder)
    except (RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(as_json(plan), indent=1))
    else:
        show(plan, Console(), len(plan.runs) if arguments.all else LISTED)
    return 0 if plan.is_done else 1
