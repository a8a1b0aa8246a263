"""A sweep whose processes are killed at random, started again by the same command until it is done.

    python benchmarks/faults.py [--runs 200] [--steps 2000] [--every 10] [--seed 0] [--folder runs/faults]

Four of five runs are of trainer=stacked with hydra/launcher=stacked, the others of trainer=sb3 with
hydra/launcher=joblib_local: PPO and DQN on CartPole, with and without warmup. Each of the two sweeps is trained
once undisturbed and once under SIGKILL: at random moments one of its processes is killed, in one case of four the
parent; mostly after `every` seconds on average in which runs were trained, one time in six after as many of any
kind. Runs take a checkpoint after every evaluation.

Then every run must have been finished exactly once, with the rows of the undisturbed sweep, and report.json must be
the same but for times, attempts and commands. Printed: the hardware, a table, and whatever is amiss; then the exit
code is 1.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from same import differences
from sweeps import SB3, STACKED, family, machine, table

from rl_warmup.records.locks import is_training
from rl_warmup.records.read import read_study

UNLIMITED = ["retries=1000000"]
"""Overrides that let a run be tried as often as it takes: a process that was killed counts as a failed attempt."""
SHARES = {"stacked": 0.8, "sb3": 0.2}
KINDS = {"stacked": (*STACKED, "trainer.compile=false"), "sb3": (*SB3, "hydra.launcher.n_jobs=2")}
HEADER = (
    *("sweep", "runs", "kills", "of the parent", "starts", "runs resumed", "resumed in all", "restarted"),
    *("environments reset", "processes left over", "s", "undisturbed, s"),
)
MOST_STARTS = 200
LOOK = 0.1  # seconds between two looks at what is trained


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=2000, help="environment steps of a run")
    parser.add_argument("--every", type=float, default=10.0, help="mean seconds of training between kills")
    parser.add_argument("--kills", type=int, default=10**6, help="most of them in a sweep")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--folder", type=Path, help="for the records, which are removed if none is given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        return compare(arguments, arguments.folder or Path(temporary))


def compare(arguments: argparse.Namespace, folder: Path) -> int:
    """Train every kind of sweep undisturbed and under kills; the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    print(machine(), flush=True)
    rows, amiss = [], []
    for kind in arguments.kinds:
        overrides = [*KINDS[kind], *UNLIMITED, *grid(round(arguments.runs * SHARES[kind]), arguments.steps)]
        calm, killed = folder / f"{kind}-calm", folder / f"{kind}-killed"
        seconds = trained(overrides, calm)
        faults = Faults(random.Random(f"{arguments.seed} {kind}"), arguments.every, arguments.kills)
        faults.train(overrides, killed)
        amiss += [f"{kind}: {text}" for text in differences(killed, calm)]
        rows.append([kind, *faults.figures(killed), round(seconds)])
    table(HEADER, rows)
    print(
        "",
        *amiss or ["Every run was finished once; all rows and the report are those of the undisturbed sweep."],
        sep="\n",
    )
    return 1 if amiss else 0


def grid(runs: int, steps: int) -> list[str]:
    """Overrides of a sweep of so many runs: 2 algorithms, 2 warmups, and as many seeds as that takes."""
    return [
        *("env=cartpole", "algo=ppo,dqn", "warmup=none,linear", f"seed=range(0,{max(1, runs // 4)})"),
        *(f"total_timesteps={steps}", "evaluation.count=21", "evaluation.episodes=2", "algo.net_arch=[32,32]"),
        *("device=cpu", "tracking=disabled", "checkpoint.seconds=0"),
    ]


def command(overrides: Sequence[str], folder: Path) -> list[str]:
    """What trains a sweep into `folder`."""
    where = [f"runs_dir={folder.parent}", f"study.name={folder.name}"]
    return [sys.executable, "-m", "rl_warmup.run", "-m", *overrides, *where]


def trained(overrides: Sequence[str], folder: Path) -> float:
    """Train a sweep undisturbed; the seconds that it took."""
    began = time.monotonic()
    with folder.with_suffix(".log").open("w") as log:
        subprocess.run(command(overrides, folder), stdout=log, stderr=log, check=True)
    return time.monotonic() - began


class Faults:
    """A sweep, its processes killed at random moments, until it has ended well."""

    def __init__(self, draws: random.Random, every: float, most: int) -> None:
        self.kills = self.parents = self.starts = self.left = 0
        self.seconds = 0.0
        self._draws, self._every, self._most = draws, every, most
        self._seen: dict[int, str] = {}  # when each process was born

    def train(self, overrides: Sequence[str], folder: Path) -> None:
        """Train it, and end what is left of its processes.

        Raises:
            SystemExit: if it does not end well, however often it is started.
        """
        began, code = time.monotonic(), 1
        with folder.with_suffix(".log").open("w") as log:
            while code:
                self.starts += 1
                with subprocess.Popen(command(overrides, folder), stdout=log, stderr=log) as process:
                    code = self._until_it_ends(process, folder)
                if self.starts == MOST_STARTS:
                    sys.exit(f"{folder} has not ended well after {self.starts} starts; see {log.name}")
        self.seconds = time.monotonic() - began
        deadline = time.monotonic() + 60
        while (
            left := [pid for pid, born in self._seen.items() if born and _born(pid) == born]
        ) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.left = len(left)
        for pid in left:
            os.kill(pid, signal.SIGKILL)

    def _until_it_ends(self, process: "subprocess.Popen[bytes]", folder: Path) -> int:
        while self.kills < self._most:
            pause, always = self._draws.expovariate(1 / self._every), self._draws.random() < 1 / 6
            while pause > 0:
                try:
                    return process.wait(LOOK)
                except subprocess.TimeoutExpired:
                    pause -= LOOK if always or any(map(is_training, folder.glob("*-s*-*"))) else 0
            self._kill(process.pid)
        return process.wait()

    def _kill(self, parent: int) -> None:
        workers = sorted(pid for pid in family(parent) - {parent} if "resource_tracker" not in _words(pid))
        self._seen.update({pid: _born(pid) for pid in workers})
        victim = parent if not workers or self._draws.random() < 0.25 else self._draws.choice(workers)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            self.kills += 1
            self.parents += victim == parent

    def figures(self, folder: Path) -> list[object]:
        """The row of the table."""
        infos = [record.info for record in read_study(folder)[0]]
        resumed = [entry for info in infos for entry in info["resumed"]]
        return [
            *(len(infos), self.kills, self.parents, self.starts),
            *(sum(bool(info["resumed"]) for info in infos), len(resumed)),
            sum(info["begun_again"] is not None for info in infos),
            *(sum(entry["environments"] == "reset" for entry in resumed), self.left, round(self.seconds)),
        ]


def _words(pid: int) -> str:
    """Command line of a process; empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process was started, in ticks since boot; empty if it has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if state == "Z" else fields[18]


if __name__ == "__main__":
    sys.exit(main())
