"""Do the verdicts and intervals keep their promises? Simulated studies with known answers, shaped like RL.

    python benchmarks/calibration.py [--studies 2000] [--processes 2] [--seed 0]

--studies is the number of paired samples in a cell; methods that take long, sequential and whole studies and the
secondary quantities get fewer. Verdicts of the mean must be wrong in at most 5% of the studies, and their intervals
hold the mean in at least 95%, in every case and at every n; those in the runs seen only where differences are
symmetric. Sequential tests have a level of .05 ± two standard errors, power is that of another implementation.
Printed: Markdown tables of shares. Exit code 1 if a bar fails.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version

import calibration_tables as tables
import numpy as np
from calibration_bars import Bars, Results
from calibration_studies import OCTAVES, SEEDS_OF_RATES, beside_tables, whole_table
from joblib import Parallel, delayed
from simulations import ADVERSARIAL, AT_THE_EDGE, CASES, Shares, measure_adversarial, measure_edge, measure_pairs
from simulations_looks import REAL, TRUTHS, measure_family, measure_level, measure_looks
from simulations_plans import PILOTS, PLANNED, measure_pilot, measure_plan
from simulations_secondary import (
    SPREADS,
    measure_critical_rate,
    measure_delivery,
    measure_floor,
    measure_spread,
)
from simulations_studies import SCENARIOS, measure_whole

from rl_warmup.analysis import FloatArray

PAIRS = (6, 10, 20, 40, 100, 200)
PAIRS_OF_SPREADS = (6, 10, 20, 40)
OF_WHOLE = {10: 0.2, 20: 0.15, 40: 0.1, 100: 0.075}  # by what one study of so many pairs costs
OF_ADVERSARIAL, OF_LEVELS, OF_FAMILIES, OF_LOOKS, OF_PLANS = 2.0, 7.5, 0.5, 0.5, 0.2
OF_SPREADS, OF_RATES, OF_FLOORS, OF_DELIVERIES = 0.2, 0.2, 0.5, 0.01

Job = tuple[tuple[str, int], Callable[..., Shares | FloatArray], tuple[object, ...]]


def jobs(studies: int, seed: int) -> Iterable[Job]:
    """Every chunk of work: its cell, function and arguments; seeds depend on neither chunk order nor processes."""
    for n in PAIRS:
        for k, case in enumerate(CASES):
            yield from chunks((case.name, n), measure_pairs, (case, n), studies, 200, (seed, 0, k, n))
        for k, case in enumerate(AT_THE_EDGE):
            yield from chunks((case.name, n), measure_edge, (case, n), studies, 500, (seed, 6, k, n))
        for k, name in enumerate(ADVERSARIAL):
            yield from chunks(
                (name, n), measure_adversarial, (name, n), studies * OF_ADVERSARIAL, 1000, (seed, 7, k, n)
            )
    yield from chunks(("level", 0), measure_level, (), studies * OF_LEVELS, 250, (seed, 8, 0, 0))
    for k, real in enumerate((0, REAL)):
        yield from chunks(("family", real), measure_family, (real,), studies * OF_FAMILIES, 50, (seed, 9, k, 0))
    for k, truth in enumerate(TRUTHS):
        yield from chunks((truth.name, 0), measure_looks, (truth,), studies * OF_LOOKS, 100, (seed, 10, k, 0))
    for k, (effect, sd) in enumerate(PLANNED):
        cell = f"plan {effect:g} {sd:g}", 0
        yield from chunks(cell, measure_plan, (effect, sd), studies * OF_PLANS, 200, (seed, 11, k, 0))
    for n in PILOTS:
        yield from chunks(("pilot", n), measure_pilot, (n,), studies * OF_PLANS, 200, (seed, 12, 0, n))
    for n, share in OF_WHOLE.items():
        for k, name in enumerate(SCENARIOS):
            cell = f"whole {name}", n
            yield from chunks(cell, measure_whole, (name, n), studies * share, 25, (seed, 1, k, n))
    yield from secondary(studies, seed)


def secondary(studies: int, seed: int) -> Iterable[Job]:
    """Those of what is reported beside the verdicts."""
    for n in PAIRS_OF_SPREADS:
        for k, name in enumerate(SPREADS):
            cell = f"spread {name}", n
            yield from chunks(cell, measure_spread, (name, n), studies * OF_SPREADS, 50, (seed, 3, k, n))
    for n in SEEDS_OF_RATES:
        for k, octaves in enumerate(OCTAVES):
            cell = f"critical rate {octaves:g}", n
            yield from chunks(cell, measure_critical_rate, (octaves, n), studies * OF_RATES, 50, (seed, 4, k, n))
    for k, dips in enumerate((False, True)):
        cell = "dips" if dips else "constant", 0
        yield from chunks(cell, measure_floor, (dips,), studies * OF_FLOORS, 100, (seed, 2, k, 0))
    for k, inert in enumerate((False, True)):
        cell = "inert" if inert else "delivered", 0
        yield from chunks(cell, measure_delivery, (inert,), studies * OF_DELIVERIES, 5, (seed, 5, k, 0))


def chunks(
    cell: tuple[str, int],
    function: Callable[..., Shares | FloatArray],
    what: tuple[object, ...],
    studies: float,
    size: int,
    seed: tuple[int, ...],
) -> Iterable[Job]:
    """The studies of a cell, `size` at a time."""
    for chunk in range(max(1, round(studies / size))):
        yield cell, function, (*what, size, (*seed, chunk))


def collected(work: list[Job], done: list[Shares | FloatArray]) -> Results:
    """The chunks of each cell, one after the other; an array [what, studies] is the only share of its cell."""
    parts: dict[tuple[str, int], list[Shares | FloatArray]] = {}
    for (cell, _, _), part in zip(work, done, strict=True):
        parts.setdefault(cell, []).append(part)
    results: Results = {}
    for cell, found in parts.items():
        if isinstance(found[0], dict):
            results[cell] = {name: np.concatenate([part[name] for part in found]) for name in found[0]}  # type: ignore[call-overload]
        else:
            results[cell] = {"all": np.concatenate(found, axis=1)}  # type: ignore[arg-type]
    return results


def main() -> None:
    """Simulate everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    versions = {name: version(name) for name in ("rl-warmup", "numpy", "scipy", "statsmodels")}
    machine = f"{os.cpu_count()} x {platform.processor() or platform.machine()}, {arguments.processes} processes"
    print(f"{machine}; python {platform.python_version()}, {versions}; seed {arguments.seed}", flush=True)
    began = time.perf_counter()
    work = list(jobs(arguments.studies, arguments.seed))
    done = Parallel(n_jobs=arguments.processes)(delayed(function)(*given) for _, function, given in work)
    results, bars = collected(work, done), Bars()
    tables.pair_tables(results, PAIRS, bars)
    tables.edge_table(results, PAIRS, bars)
    tables.adversarial_table(results, PAIRS, bars)
    tables.looks_tables(results, bars)
    tables.plan_tables(results, bars)
    whole_table(results, tuple(OF_WHOLE), bars)
    beside_tables(results, PAIRS_OF_SPREADS, bars)
    print(f"\n{bars.failed} of {bars.passed + bars.failed} bars failed; {time.perf_counter() - began:.0f} s")
    sys.exit(1 if bars.failed else 0)


if __name__ == "__main__":
    main()
