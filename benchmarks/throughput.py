"""The same sweeps by Stable-Baselines3 and by the stacked trainer: environment steps a second, and their ratios.

    python benchmarks/throughput.py [--cases ppo-cartpole dqn-acrobot] [--steps ppo-cartpole=20000] [--whole]

A sweep is warmup=none,linear x 20 seeds = 40 members in zoo settings, with evaluations and records. Its time is
that from the start of the process to the end of its last run: planning, start-up, evaluation and records count, the
report that the command line makes afterwards does not. Steps per run are fewer than tuned, the evaluations as many
times fewer, the same on both sides; start-up weighs more in such short runs.

Stacked: the whole sweep, its compiled programs on disk; what compiling them adds is measured on a sweep of 8
members without (cold) and with them (warm). Stable-Baselines3: fewer members, because each one costs the same; the
others are added at the pace of those behind the first run of every process. --whole trains all of them.
Exit code 1 if a bar is missed.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sweeps import ONE_THREAD, SB3, STACKED, Sweep, machine, sweep, table

EVALUATIONS = 20  # of a run of the tuned length
COLD_SEEDS = 4
WAYS = ("stacked", "side by side", "in turn")
HEADER = (
    "case",
    "members x steps",
    "stacked, steps/s",
    "SB3 in 2 processes, steps/s",
    "SB3 in turn, steps/s",
    "against 2 processes",
    "against in turn",
    "stacked, s",
    "compiling adds, s",
    "peak MiB, in this order",
    "",
)


@dataclass(frozen=True)
class Case:
    """One algorithm on one environment, what it has to reach, and how much of it is measured."""

    steps: int  # a run
    tuned: int  # steps of the zoo
    seeds: tuple[int, int]  # of Stable-Baselines3 in two processes and in one; there are twice as many members
    bars: tuple[float, float]  # ratios against two processes and against one
    aims: tuple[float, float]


CASES = {
    "ppo-cartpole": Case(50_000, 100_000, seeds=(4, 2), bars=(5, 10), aims=(8, 16)),
    "ppo-acrobot": Case(100_000, 1_000_000, seeds=(3, 1), bars=(10, 20), aims=(15, 20)),
    "dqn-cartpole": Case(20_000, 50_000, seeds=(3, 2), bars=(2, 4), aims=(3, 4)),
    "dqn-acrobot": Case(6_000, 100_000, seeds=(3, 2), bars=(2, 4), aims=(2.5, 4)),
}


def measure(name: str, case: Case, steps: int, seeds: int, whole: bool, folder: Path) -> dict[str, Sweep]:
    """Train the sweep in every way; what Stable-Baselines3 did is carried on to as many members."""
    algo, env = name.split("-")
    evaluations = max(2, round(EVALUATIONS * steps / case.tuned))
    asked = [f"algo={algo}", f"env={env}", f"total_timesteps={steps}", f"evaluation.count={evaluations}"]
    compiled = {"TORCHINDUCTOR_CACHE_DIR": str(folder / f"{name}-compiled")}

    def train(way: str, seeds: int, overrides: tuple[str, ...], environment: dict[str, str]) -> Sweep:
        every = [*asked, "warmup=none,linear", f"seed=range(0,{seeds})", *overrides]
        result = sweep(every, folder, f"{name} {way}".replace(" ", "-"), environment)
        print(
            f"{name} {way}: {result.runs} members of {result.env_steps} steps, {evaluations} evaluations; first "
            f"ended after {result.ends[0]:.1f} s, last after {result.seconds:.1f} s",
            flush=True,
        )
        return result

    few = min(COLD_SEEDS, seeds)
    done = {way: train(way, few, STACKED, compiled) for way in ("cold", "warm")}
    done["stacked"] = train("stacked", seeds, STACKED, compiled)
    for way, processes, fewer in zip(WAYS[1:], (2, 1), case.seeds, strict=True):
        launcher = (*SB3, f"hydra.launcher.n_jobs={processes}")
        trained = train(way, seeds if whole else min(seeds, fewer), launcher, ONE_THREAD)
        done[way] = grown(trained, done["stacked"].runs, processes)
    return done


def grown(few: Sweep, members: int, processes: int) -> Sweep:
    """The sweep with more members, at the time of those that were trained when every process had started up.

    seconds(members) = end_m + (members - m) (end_m - end_p) / (m - p), where end_i is the end of the i-th of the m
    runs and p the number of processes.
    """
    missing = members - few.runs
    pace = (few.ends[-1] - few.ends[processes - 1]) / (few.runs - processes)
    return Sweep((*few.ends, *(few.ends[-1] + pace * (i + 1) for i in range(missing))), few.env_steps, few.memory)


def row(name: str, case: Case, done: dict[str, Sweep]) -> tuple[str, ...]:
    """A line of the table; its last entry says whether the bars are reached, or even the aims."""
    stacked = done["stacked"]
    ratios = [stacked.rate / done[way].rate for way in WAYS[1:]]
    reached = [
        all(ratio >= goal for ratio, goal in zip(ratios, goals, strict=True)) for goals in (case.bars, case.aims)
    ]
    goals = zip(ratios, case.bars, case.aims, strict=True)
    return (
        name,
        f"{stacked.runs} x {stacked.env_steps}",
        *(f"{done[way].rate:,.0f}" for way in WAYS),
        *(f"{ratio:.1f} (bar {bar:g}, aim {aim:g})" for ratio, bar, aim in goals),
        f"{stacked.seconds:.1f}",
        f"{done['cold'].seconds - done['warm'].seconds:.1f}",
        " / ".join(f"{done[way].memory / 2**20:,.0f}" for way in WAYS),
        "PASS, aim reached" if all(reached) else "PASS" if reached[0] else "FAIL",
    )


def main() -> None:
    """Measure, print, and fail where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, default=20, help="half as many as there are members")
    parser.add_argument("--steps", nargs="+", default=[], metavar="CASE=N", help="environment steps of a run")
    parser.add_argument("--whole", action="store_true", help="all members with Stable-Baselines3 too: an hour")
    arguments = parser.parse_args()
    steps = {name: case.steps for name, case in CASES.items()}
    steps |= {name: int(number) for name, number in (text.split("=") for text in arguments.steps)}
    print(machine(), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.cases:
            case = CASES[name]
            rows.append(
                row(name, case, measure(name, case, steps[name], arguments.seeds, arguments.whole, Path(folder)))
            )
    table(HEADER, rows)
    sys.exit(any(line[-1] == "FAIL" for line in rows))


if __name__ == "__main__":
    main()
