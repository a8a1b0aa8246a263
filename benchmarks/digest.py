"""Whether a change of the code moves a result: digests of records, run ids and reports of a fixed list of runs.

    python benchmarks/digest.py runs/digest > before.txt
    (another version) python benchmarks/digest.py runs/digest2 > after.txt
    diff before.txt after.txt

Both trainers x PPO and DQN x CartPole and Acrobot x three shapes x both clocks, a run of each trainer that is
interrupted and resumed, and the study `quick` with two seeds, all trained through the command line. Output depends
on the machine and the versions of the packages: compare that of one machine. Takes four minutes on 2 cores.
"""

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

TABLES = ("evaluations", "episodes", "updates")
VARIED = ("name", "reproduce")
"""Of report.json's study: what holds times, hosts and commands."""
SMALL = (
    *("evaluation.count=3", "evaluation.episodes=2", "trainer.compile=false", "warmup.length=0.6"),
    *("warmup=linear,exponential,cosine", "warmup.clock=gradient_steps,env_steps"),
)
SWEEPS = {
    "ppo-cartpole": ("env=cartpole", "algo=ppo", "total_timesteps=1536", *SMALL),
    "ppo-acrobot": ("env=acrobot", "algo=ppo", "total_timesteps=12288", *SMALL),
    "dqn-cartpole": ("env=cartpole", "algo=dqn", "total_timesteps=2048", *SMALL),
    "dqn-acrobot": ("env=acrobot", "algo=dqn", "total_timesteps=600", *SMALL),
}
LONG = {
    "sb3": ("trainer=sb3", "env=cartpole", "algo=ppo", "total_timesteps=250000"),
    "stacked": ("trainer=stacked", "env=acrobot", "algo=ppo", "total_timesteps=1200000"),
}
"""Runs that train for more than the half minute after which the first checkpoint is taken."""


def train(folder: Path, study: str, *overrides: str) -> subprocess.Popen[bytes]:
    """Start a command that trains into `folder`/`study`."""
    own = [f"runs_dir={folder}", f"study.name={study}", "tracking=disabled", "device=cpu"]
    output = (folder / f"{study}.log").open("ab")
    return subprocess.Popen([sys.executable, "-m", "rl_warmup.run", *overrides, *own], stdout=output, stderr=output)


def finish(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a command.

    Raises:
        SystemExit: with the end of its output, if it failed.
    """
    if process.wait():
        sys.exit(f"exit code {process.returncode}: {log.read_text()[-2000:]}")


def interrupt_and_resume(folder: Path, study: str, *overrides: str) -> None:
    """Train a run, Ctrl-C it once it has a checkpoint, and have the same command train the rest."""
    process = train(folder, study, *overrides)
    while process.poll() is None and not list(folder.glob(f"{study}/*/checkpoint/[0-9]*")):
        time.sleep(0.2)
    if process.poll() is not None:
        sys.exit(f"{study} was over before its first checkpoint: give it more steps")
    process.send_signal(signal.SIGINT)
    process.wait()
    finish(train(folder, study, *overrides), folder / f"{study}.log")
    (info,) = (json.loads(path.read_text()) for path in folder.glob(f"{study}/*/run.json"))
    print(f"{study}: resumed with its environments {[found['environments'] for found in info['resumed']]}")


def digest(value: Any) -> str:
    """Of a value by its repr."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def lines_of(study: Path) -> Iterator[str]:
    """A line for every table of every run, and for every part of the report."""
    for run in sorted(path.parent for path in study.glob("*/run.json")):
        status = json.loads((run / "run.json").read_text())["status"]
        tables = (pl.read_parquet(run / f"{name}.parquet") for name in TABLES)
        yield f"{study.name} {run.name} {status} {' '.join(digest((t.columns, t.rows())) for t in tables)}"
    report = study / "report.json"
    if report.exists():
        for part, content in json.loads(report.read_text()).items():
            if part not in VARIED:
                yield f"{study.name} report.json {part} {digest(_fixed(content))}"


def _fixed(node: Any) -> Any:
    """A report without what differs between two runs of the same command, keys in order."""
    if isinstance(node, Mapping):
        return {key: _fixed(node[key]) for key in sorted(node) if key not in VARIED}
    return [_fixed(entry) for entry in node] if isinstance(node, list) else node


def main() -> None:
    """Train what is not trained yet into the folder, and print the digests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to record; one that holds these runs is only read")
    folder: Path = parser.parse_args().folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for name, overrides in SWEEPS.items():
        trainers = ("-m", "hydra/launcher=stacked", "trainer=sb3,stacked")
        finish(train(folder, name, *trainers, *overrides), folder / f"{name}.log")
    for name, overrides in LONG.items():
        study = f"resumed-{name}"
        if not list(folder.glob(f"{study}/*/run.json")):
            interrupt_and_resume(folder, study, *overrides)
    finish(train(folder, "quick2", "study=quick", "seed=range(0,2)"), folder / "quick2.log")
    for study in sorted(path for path in folder.iterdir() if path.is_dir()):
        for line in lines_of(study):
            print(line)


if __name__ == "__main__":
    main()
