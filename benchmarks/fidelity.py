"""Is the stacked trainer Stable-Baselines3? Final return and area of 30 seeds of one beside 200 of the other.

    python benchmarks/fidelity.py --runs DIR [--sb3-runs DIR] [--cases ppo-cartpole ...] [--no-training]

Four cases x warmup none and linear x two metrics of the project's own analysis, in normalized return. The seeds
are disjoint, so that the runs are two independent samples: difference of means (stacked - SB3), its 90% intervals
(Welch and percentile bootstrap), a permutation p, and Holm's over all of them. Exit code 1 if any of Holm's p is
<= .05. The permutation p of Brown and Forsythe's test of equal spread stands beside it, in no family.

What is missing is trained through the command line into DIR/fidelity-<trainer>-<case>; the same command goes on
after an interruption. --sb3-runs: where the runs of Stable-Baselines3 are, which are then only read.
"""

import argparse
import sys
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from sweeps import ONE_THREAD, SB3, STACKED, finished, machine, sweep, table

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.cells import Block, Cell, blocks_of, differing
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.statistics.estimators import brown_forsythe_p, constant, unpaired_p

STEPS = {"ppo-cartpole": 50_000, "dqn-cartpole": 50_000, "ppo-acrobot": 100_000, "dqn-acrobot": 10_000}
WARMUPS = ("none", "linear")
METRICS = ("final", "area")
TRAINERS = {"sb3": (*SB3, "hydra.launcher.n_jobs=2"), "stacked": STACKED}
FIRST_SEED = {"sb3": 1000, "stacked": 0}
MAY_DIFFER = {"trainer.name", "trainer.envs"}
ALPHA, DRAWS = 0.05, 10_000
HEADER = (
    *("case", "warmup", "metric", "SB3", "stacked"),
    *("difference", "90% Welch", "90% bootstrap", "p", "Holm's p", "p of the spread"),
)

Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Two independent samples of runs on one metric, stacked - SB3."""

    difference: float
    welch: Interval
    bootstrap: Interval
    p: float
    p_spread: float | None


def compare(stacked: FloatArray, sb3: FloatArray, rng: np.random.Generator) -> Comparison:  # [n], [m]
    """Difference of means with its 90% intervals and p values."""
    return Comparison(
        difference=float(stacked.mean() - sb3.mean()),
        welch=welch_interval(stacked, sb3),
        bootstrap=bootstrap_interval(stacked, sb3, rng),
        p=unpaired_p(stacked, sb3),
        p_spread=brown_forsythe_p(stacked, sb3),
    )


def welch_interval(x: FloatArray, y: FloatArray, alpha: float = 2 * ALPHA) -> Interval:  # [n], [m], two or more
    """1 - alpha interval of mean(x) - mean(y) by Welch's t; the difference itself where neither has any spread."""
    if constant(x) and constant(y):
        return (float(x.mean() - y.mean()),) * 2
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss")  # one side without spread is no loss to Welch
        low, high = stats.ttest_ind(x, y, equal_var=False).confidence_interval(1 - alpha)
    return float(low), float(high)


def bootstrap_interval(
    x: FloatArray, y: FloatArray, rng: np.random.Generator, alpha: float = 2 * ALPHA
) -> Interval:
    """1 - alpha percentile interval of mean(x) - mean(y), each sample drawn from itself; x [n], y [m]."""
    means = [sample[rng.integers(sample.size, size=(DRAWS, sample.size))].mean(axis=1) for sample in (x, y)]
    low, high = np.quantile(means[0] - means[1], [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the same order."""
    return [float(p) for p in multipletests(p_values, alpha=ALPHA, method="holm")[1]]


# --- runs ---


def study(trainer: str, case: str) -> str:
    """Name of the study that holds the runs of a case."""
    return f"fidelity-{trainer}-{case}"


def complete(folder: Path, trainer: str, case: str, seeds: int) -> None:
    """Train what is missing of a case."""
    wanted = set(product(WARMUPS, range(FIRST_SEED[trainer], FIRST_SEED[trainer] + seeds)))
    there = {
        (record.info["warmup"]["name"], record.info["seed"]) for record in finished(folder / study(trainer, case))
    }
    if not wanted - there:
        return
    algo, env = case.split("-")
    print(f"{study(trainer, case)}: {len(wanted - there)} of {len(wanted)} runs to train", flush=True)
    first = FIRST_SEED[trainer]
    asked = [f"algo={algo}", f"env={env}", f"total_timesteps={STEPS[case]}", f"seed=range({first},{first + seeds})"]
    environment = ONE_THREAD if trainer == "sb3" else {}
    sweep([*asked, f"warmup={','.join(WARMUPS)}", *TRAINERS[trainer]], folder, study(trainer, case), environment)


def read(folder: Path, trainer: str, case: str) -> Block:
    """The runs of a case, scored.

    Raises:
        SystemExit: if there are none, or runs of more than one setting.
    """
    problems = Problems()
    blocks = blocks_of(finished(folder / study(trainer, case)), problems)
    print(*problems.found, sep="\n", end="\n" if problems.found else "")
    if len(blocks) != 1:
        sys.exit(f"{folder / study(trainer, case)} holds runs of {len(blocks)} settings; it must hold those of one")
    return blocks[0]


def check_alike(stacked: Block, sb3: Block, case: str) -> None:
    """Refuse to compare runs of other settings, or on another grid."""
    strange = set(differing(stacked.settings, sb3.settings)) - MAY_DIFFER
    if strange or stacked.steps.tolist() != sb3.steps.tolist():
        sys.exit(f"{case}: the runs to compare differ in {', '.join(sorted(strange)) or 'the steps of evaluation'}")


def cell_of(block: Block, warmup: str) -> Cell:
    """The runs of one arm."""
    (cell,) = (cell for cell in block.cells if cell.warmup["name"] == warmup)
    return cell


@dataclass(frozen=True)
class Line:
    """A comparison with its names and what each side scored, in words."""

    names: tuple[str, str, str]  # case, warmup, metric
    sb3: str
    stacked: str
    comparison: Comparison


def lines_of(case: str, stacked: Block, sb3: Block) -> list[Line]:
    """Every comparison of a case."""
    check_alike(stacked, sb3, case)
    lines = []
    for warmup, metric in product(WARMUPS, METRICS):
        ours, theirs = (cell_of(block, warmup).scores[metric] for block in (stacked, sb3))
        rng = np.random.default_rng(zlib.crc32(f"{case} {warmup} {metric}".encode()))
        lines.append(Line((case, warmup, metric), shown(theirs), shown(ours), compare(ours, theirs, rng)))
    return lines


def shown(scores: FloatArray) -> str:
    """Mean ± standard deviation (number)."""
    return f"{scores.mean():.3f} ± {scores.std(ddof=1):.3f} ({scores.size})"


def report(lines: Sequence[Line]) -> bool:
    """Print all comparisons; whether any of them is an alarm."""
    adjusted = holm([line.comparison.p for line in lines])
    rows = []
    for line, p in zip(lines, adjusted, strict=True):
        one = line.comparison
        intervals = [f"[{low:+.3f}, {high:+.3f}]" for low, high in (one.welch, one.bootstrap)]
        p_values = f"{one.p:.4f}", f"{p:.3f}", "" if one.p_spread is None else f"{one.p_spread:.3f}"
        rows.append([*line.names, line.sb3, line.stacked, f"{one.difference:+.3f}", *intervals, *p_values])
    table(HEADER, rows)
    print(
        f"\nscores: mean ± standard deviation (runs), normalized return; smallest of Holm's p {min(adjusted):.3f}"
    )
    return min(adjusted) <= ALPHA


def main() -> None:
    """Train what is missing, compare, and fail on an alarm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the studies")
    parser.add_argument("--sb3-runs", type=Path, help="folder of those of Stable-Baselines3, only read")
    parser.add_argument("--sb3-seeds", type=int, default=30)
    parser.add_argument("--stacked-seeds", type=int, default=200)
    parser.add_argument("--cases", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--no-training", action="store_true", help="compare what is there")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    lines: list[Line] = []
    for case in arguments.cases:
        folders = {"stacked": arguments.runs, "sb3": arguments.sb3_runs or arguments.runs}
        seeds = {"stacked": arguments.stacked_seeds, "sb3": arguments.sb3_seeds}
        for trainer, folder in folders.items():
            if not (arguments.no_training or (trainer == "sb3" and arguments.sb3_runs)):
                complete(folder, trainer, case, seeds[trainer])
        lines += lines_of(case, *(read(folder, trainer, case) for trainer, folder in folders.items()))
    alarm = report(lines)
    print("ALARM: the trainers differ" if alarm else "no alarm", flush=True)
    sys.exit(alarm)


if __name__ == "__main__":
    main()
