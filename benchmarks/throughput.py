"""The same sweeps by the stacked trainer, Stable-Baselines3 and SBX: environment steps a second, and their ratios.

    python benchmarks/throughput.py [CASE ...] [--sbx peers/bin/python] [--steps ppo-cartpole=20000] [--whole]

A sweep is warmup=none,linear x seeds in published settings, 40 members for CartPole and Acrobot, 20 for the other
families, with evaluations and records. Its time is that from the start of the process to the end of its last run:
planning, start-up, evaluation and records count, the report that the command line makes afterwards does not. Steps
per run are fewer than tuned, the evaluations as many times fewer, the same on all sides; start-up weighs more in
such short runs.

Stacked: the whole sweep, its compiled programs on disk; what compiling them adds is measured on a sweep of 8
members without (cold) and with them (warm). Stable-Baselines3: fewer members, because each one costs the same; the
others are added at the pace of those behind the first run of every process. --whole trains all of them. SBX (in the
environment of peers_requirements.txt): in two processes of one core, counted likewise, its programs on disk, too.
Cores: how many were busy on average, all processes and threads counted, EnvPool's, too.

The second table has the shares of the largest stack, trained alone (shares.py). "At most": the ratio to
Stable-Baselines3 in two processes if nothing but stepping the environments took any time.
Exit code 1 if a bar is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from peers import peer_command, result_of, start
from shares import PARTS
from sweeps import ONE_THREAD, SB3, STACKED, Sweep, Usage, machine, sweep, table

EVALUATIONS = 20  # of a run of the tuned length
COLD_SEEDS = 4
PEERS = {"SB3 in 2 processes": 2, "SB3 in turn": 1, "SBX in 2 processes": 2}
TWO, TURN, SBX = PEERS
HEADER = (
    "case",
    "members x steps",
    "stacked, steps/s",
    *(f"{way}, steps/s" for way in PEERS),
    *(f"against {way}" for way in PEERS),
    "stacked, s",
    "compiling adds, s",
    "peak MiB, in this order",
    "cores, in this order",
    "",
)
SHARES = ("case", "members", "s", *PARTS, "cores while stepping", "at most")


@dataclass(frozen=True)
class Case:
    """One algorithm on one environment, what it has to reach, and how much of it is measured."""

    steps: int  # a run
    tuned: int  # published steps
    trained: Mapping[str, int]  # seeds by way; twice as many members, since there are two arms
    bars: Mapping[str, float]  # ratios by way
    aims: Mapping[str, float] = field(default_factory=dict)
    seeds: int = 10  # of the stacked sweep

    @property
    def evaluations(self) -> int:
        """As many per step as in a run of the tuned length."""
        return max(2, round(EVALUATIONS * self.steps / self.tuned))


CASES = {
    "ppo-cartpole": Case(50_000, 100_000, {TWO: 4, TURN: 2}, {TWO: 5, TURN: 10}, {TWO: 8, TURN: 16}, 20),
    "ppo-acrobot": Case(100_000, 1_000_000, {TWO: 3, TURN: 1}, {TWO: 10, TURN: 20}, {TWO: 15, TURN: 20}, 20),
    "dqn-cartpole": Case(20_000, 50_000, {TWO: 3, TURN: 2}, {TWO: 2, TURN: 4}, {TWO: 3, TURN: 4}, 20),
    "dqn-acrobot": Case(6_000, 100_000, {TWO: 3, TURN: 2}, {TWO: 2, TURN: 4}, {TWO: 2.5, TURN: 4}, 20),
    "ppo-lunarlander": Case(81_920, 1_000_000, {TWO: 2, SBX: 2}, {TWO: 4}),
    "dqn-lunarlander": Case(5_000, 100_000, {TWO: 2, SBX: 2}, {TWO: 2}),
    "ppo-minigrid_doorkey": Case(40_960, 100_000, {TWO: 2, SBX: 2}, {TWO: 5}),
    "ppo-minatar_breakout": Case(65_536, 10_000_000, {TWO: 2}, {TWO: 4}),
    "dqn-minatar_breakout": Case(5_000, 10_000_000, {TWO: 2}, {TWO: 2}),
    "ppo-halfcheetah": Case(20_480, 1_000_000, {TWO: 2, SBX: 2}, {TWO: 2}),
}


def overrides(name: str, case: Case) -> list[str]:
    """Of a run of the case, whoever trains it."""
    algo, env = name.split("-")
    return [f"algo={algo}", f"env={env}", f"total_timesteps={case.steps}", f"evaluation.count={case.evaluations}"]


def measure(name: str, case: Case, whole: bool, sbx: Path | None, folder: Path) -> dict[str, Sweep]:
    """Train the sweep in every way; what the peers did is carried on to as many members."""
    compiled = {"TORCHINDUCTOR_CACHE_DIR": str(folder / f"{name}-compiled")}

    def train(way: str, seeds: int, launcher: tuple[str, ...], environment: dict[str, str]) -> Sweep:
        every = [*overrides(name, case), "warmup=none,linear", f"seed=range(0,{seeds})", *launcher]
        result = sweep(every, folder, f"{name} {way}".replace(" ", "-"), environment)
        say(name, way, result)
        return result

    few = min(COLD_SEEDS, case.seeds)
    done = {way: train(way, few, STACKED, compiled) for way in ("cold", "warm")}
    done["stacked"] = train("stacked", case.seeds, STACKED, compiled)
    for way, fewer in case.trained.items():
        seeds = case.seeds if whole else min(case.seeds, fewer)
        if way != SBX:
            launcher = (*SB3, f"hydra.launcher.n_jobs={PEERS[way]}")
            few_runs = train(way, seeds, launcher, ONE_THREAD)
        elif sbx is not None:
            few_runs = train_sbx(sbx, name, case, 2 * seeds, folder)
            say(name, way, few_runs)
        else:
            continue
        done[way] = grown(few_runs, done["stacked"].runs, PEERS[way])
    return done


def say(name: str, way: str, done: Sweep) -> None:
    """Print what was trained."""
    ended = f"first ended after {done.ends[0]:.1f} s, last after {done.seconds:.1f} s"
    print(f"{name} {way}: {done.runs} members of {done.env_steps} steps; {ended}", flush=True)


def train_sbx(python: Path, name: str, case: Case, agents: int, folder: Path) -> Sweep:
    """Agents of SBX in two processes, each on one core; before that one in each, so that programs are on disk."""
    for count in (2, agents):
        began = time.perf_counter()
        sizes = {"agents": count // 2, "steps": case.steps, "evaluations": case.evaluations}
        commands = [peer_command(python, "sbx", name, {**sizes, "first-seed": i * (count // 2)}) for i in range(2)]
        processes = [start(command, folder / "jax", core) for core, command in enumerate(commands)]
        with Usage([process.pid for process in processes]) as usage:
            results = [result_of(process) for process in processes]
        took = time.perf_counter() - began
    # An agent's end is counted from that of the imports; its process ends with its last agent.
    late = took - max(end for result in results for end in result["ends"])
    ends = tuple(sorted(late + end for result in results for end in result["ends"]))
    steps = sum(int(result["env_steps"]) for result in results) // agents
    return Sweep(ends, steps, usage.memory, usage.cores(took))


def grown(few: Sweep, members: int, processes: int) -> Sweep:
    """The sweep with more members, at the time of those that were trained when every process had started up.

    seconds(members) = end_m + (members - m) (end_m - end_p) / (m - p), where end_i is the end of the i-th of the m
    runs and p the number of processes.
    """
    missing = members - few.runs
    pace = (few.ends[-1] - few.ends[processes - 1]) / (few.runs - processes)
    more = (few.ends[-1] + pace * (i + 1) for i in range(missing))
    return Sweep((*few.ends, *more), few.env_steps, few.memory, few.cores)


def row(name: str, case: Case, done: dict[str, Sweep]) -> tuple[str, ...]:
    """A line of the table; its last entry says whether the bars are reached, or even the aims."""
    stacked = done["stacked"]
    ratios = {way: stacked.rate / done[way].rate for way in PEERS if way in done}
    ways = ["stacked", *ratios]
    passed, aimed = (all(ratios[way] >= goal for way, goal in goals.items()) for goals in (case.bars, case.aims))
    return (
        name,
        f"{stacked.runs} x {stacked.env_steps}",
        f"{stacked.rate:,.0f}",
        *(f"{done[way].rate:,.0f}" if way in done else "–" for way in PEERS),
        *(f"{ratios[way]:.1f}{goals(case, way)}" if way in ratios else "–" for way in PEERS),
        f"{stacked.seconds:.1f}",
        f"{done['cold'].seconds - done['warm'].seconds:.1f}",
        " / ".join(f"{done[way].memory / 2**20:,.0f}" for way in ways),
        " / ".join(f"{done[way].cores:.2f}" for way in ways),
        "FAIL" if not passed else "PASS, aim reached" if case.aims and aimed else "PASS",
    )


def goals(case: Case, way: str) -> str:
    """What a ratio has to reach."""
    named = (("bar", case.bars), ("aim", case.aims))
    said = ", ".join(f"{name} {values[way]:g}" for name, values in named if way in values)
    return f" ({said})" if said else ""


def shares(name: str, case: Case, done: dict[str, Sweep], folder: Path) -> tuple[str, ...]:
    """Where the time of the largest stack goes, a line of the second table."""
    chunks = -(-done["stacked"].runs // 4)  # of 4 members, divided between two processes
    members = 4 * -(-chunks // 2)
    script = str(Path(__file__).with_name("shares.py"))
    command = [sys.executable, script, *overrides(name, case), "--members", str(members)]
    environment = {**ONE_THREAD, "TORCHINDUCTOR_CACHE_DIR": str(folder / f"{name}-compiled")}
    spent = json.loads(output_of(command, environment).splitlines()[-1])
    whole = sum(wall for wall, _ in spent.values())
    wall, cpu = spent["environments"]
    fastest = 2 * members * done["stacked"].env_steps / wall  # two such stacks side by side
    return (
        name,
        str(members),
        f"{whole:.1f}",
        *(f"{spent[part][0] / whole:.0%}" for part in PARTS),
        f"{cpu / wall:.2f}",
        f"{fastest / done[TWO].rate:.1f}",
    )


def output_of(command: list[str], environment: Mapping[str, str]) -> str:
    """What a command prints.

    Raises:
        SystemExit: with the end of its errors, if it fails.
    """
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr[-4000:]}\nexit code {done.returncode}: {' '.join(command)}")
    return done.stdout


def main() -> None:
    """Measure, print, and fail where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument(
        "--sbx", type=Path, metavar="PYTHON", help="of the peers' environment; default: without SBX"
    )
    parser.add_argument("--seeds", type=int, help="half as many as there are members; default: the case's")
    parser.add_argument("--steps", nargs="+", default=[], metavar="CASE=N", help="environment steps of a run")
    parser.add_argument("--whole", action="store_true", help="all members with the peers, too: an hour")
    arguments = parser.parse_intermixed_args()
    if unknown := set(arguments.cases) - CASES.keys():
        parser.error(f"no case {', '.join(sorted(unknown))}; use {', '.join(CASES)}")
    steps = {name: int(number) for name, number in (text.split("=") for text in arguments.steps)}
    print(machine(), flush=True)
    rows, parts = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.cases or CASES:
            case = CASES[name]
            case = replace(case, steps=steps.get(name, case.steps), seeds=arguments.seeds or case.seeds)
            done = measure(name, case, arguments.whole, arguments.sbx, Path(folder))
            rows.append(row(name, case, done))
            parts.append(shares(name, case, done, Path(folder)))
            table(HEADER, rows[-1:])
            table(SHARES, parts[-1:])
    table(HEADER, rows)
    table(SHARES, parts)
    sys.exit(any(line[-1] == "FAIL" for line in rows))


if __name__ == "__main__":
    main()
