"""Do the verdicts and intervals keep their promises? Simulated studies with known answers, shaped like RL.

    python benchmarks/calibration.py [--studies 10000] [--processes 2] [--seed 0]

--studies is the number at 6, 10 and 20 pairs; 40 pairs (random sign vectors) get fewer, whole studies on learning
curves and the secondary quantities fewer still. Bars hold where D is symmetric about its mean: wrong
verdicts <= .05, coverage of the 95% interval of the mean >= .93, two Monte-Carlo standard errors allowed.
Asymmetric D is shown without a bar. Printed: Markdown tables of share ± standard error, for our methods, Welch's t
test and the percentile bootstrap of the mean of D in the same studies. Exit code 1 if a bar fails.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version

import numpy as np
from joblib import Parallel, delayed
from simulations import ALPHA, CASES, SCENARIOS, measure_pairs, measure_whole
from simulations_secondary import (
    FINDINGS,
    FLOORED,
    SPREADS,
    measure_critical_rate,
    measure_delivery,
    measure_floor,
    measure_spread,
)

from rl_warmup.analysis import FloatArray

METHODS = ("ours", "Welch", "bootstrap")
COVERAGE = 0.93
SHARE_OF_STUDIES = {6: 1.0, 10: 1.0, 20: 1.0, 40: 0.4}  # by what one study of so many pairs costs
SHARE_OF_WHOLE = {6: 0.05, 10: 0.05, 20: 0.03, 40: 0.02}
OF_SPREADS, OF_RATES, OF_FLOORS, OF_DELIVERIES = 0.04, 0.04, 0.1, 0.002
OCTAVES, SEEDS_OF_RATES = (0.0, 1.0), (10, 20, 40)
BARRED_FLOORS = ("shortfall", "drawdown_max", "collapses")


# --- tables ---


class Bars:
    """Remembers whether all bars were passed."""

    failed = 0

    def __call__(self, wrong: FloatArray, covered: FloatArray | None = None) -> str:
        """PASS or FAIL for shares over studies, two Monte-Carlo standard errors allowed."""
        passed = wrong.mean() - 2 * error(wrong) <= ALPHA
        if covered is not None:
            passed = passed and covered.mean() + 2 * error(covered) >= COVERAGE
        self.failed += not passed
        return "PASS" if passed else "FAIL"


def error(x: FloatArray) -> float:
    """Monte-Carlo standard error of a share."""
    return float(np.sqrt(x.mean() * (1 - x.mean()) / x.size))


def shares(results: FloatArray) -> list[str]:  # [methods, studies] -> a cell each
    """`share ± standard error` of each method."""
    return [f"{x.mean():.3f} ± {error(x):.3f}" for x in results]


def table(title: str, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    print(f"\n### {title}\n", *("| " + " | ".join(map(str, line)) + " |" for line in lines), sep="\n", flush=True)


def columns(*names: str) -> list[str]:
    """A column for each method under every name."""
    return [f"{name}: {method}" for name in names for method in METHODS]


Results = dict[tuple[str, int], FloatArray]


def pair_tables(results: Results, bars: Bars) -> None:
    """Print symmetric cases with their bars, asymmetric ones without, and the power."""

    def rows(symmetric: bool, at_margin: bool) -> Iterable[list[str]]:
        for case in (c for c in CASES if (c.symmetric, c.at_margin) == (symmetric, at_margin)):
            for n in SHARE_OF_STUDIES:
                wrong, covered, _ = np.moveaxis(results[case.name, n], -1, 0)
                bar = [bars(wrong[0], None if at_margin else covered[0])] if symmetric else []
                cells = shares(wrong) + ([] if at_margin else shares(covered))
                yield [case.name, str(n), str(wrong.shape[1]), *cells, *bar]

    start = ["D", "n", "studies"]
    wrong, covers = "wrong better/worse", "95% interval covers"
    inside = columns("90% interval inside ±δ, wrongly")
    table("Symmetric D, with bars (on our columns)", [*start, *columns(wrong, covers), "bar"], rows(True, False))
    table("Equivalence at its margin, symmetric D, with bars", [*start, *inside, "bar"], rows(True, True))
    table("Asymmetric D, without bars", [*start, *columns(wrong, covers)], rows(False, False))
    table("Equivalence at its margin, asymmetric D, without bars", [*start, *inside], rows(False, True))
    power = (
        [case.name, n, results[case.name, n].shape[1], *shares(results[case.name, n][..., 2])]
        for case in CASES
        if case.symmetric and case.mean and not case.at_margin
        for n in SHARE_OF_STUDIES
    )
    table("Power: the right direction found (d in sd of D, one comparison)", [*start, *METHODS], power)


WHOLE_ROWS = (  # scenario, what is counted, which columns of measure_whole, under the bar
    ("A/A", "any better or worse", [0], True),
    ("constant policy", "any better or worse", [0], True),
    ("collapse", "shortfall worse", [6], False),
    ("collapse", "final or not_learned better or worse", [1, 2, 7, 8], True),
    ("faster", "area better", [3], False),
    ("fewer stuck", "final better", [1], False),
    ("fewer stuck", "not_learned better", [7], False),
    ("fewer stuck", "shortfall better", [5], False),
)


def whole_table(results: Results, bars: Bars) -> None:
    """Print the verdicts of whole studies, Holm over the four metrics."""

    def rows() -> Iterable[list[str]]:
        for scenario, counted, wanted, barred in WHOLE_ROWS:
            for n in SHARE_OF_WHOLE:
                hit = results[scenario, n][..., wanted].max(axis=-1)
                bar = bars(hit[0]) if barred else "–"
                yield [scenario, counted, str(n), str(hit.shape[1]), *shares(hit), bar]

    table(
        "Whole studies on learning curves, family-wise",
        ["arms", "counted", "n", "studies", *METHODS, "bar"],
        rows(),
    )


def beside_tables(results: Results, bars: Bars) -> None:
    """Print the secondary quantities: spread, critical rates, noise floors, delivery."""
    rows: list[list[object]] = []
    for name, (_, equal) in SPREADS.items():
        for n in SHARE_OF_STUDIES:
            found = results[f"spread {name}", n]
            bar = bars(found[0]) if equal else "–"
            rows.append([name, n, found.shape[1], *shares(found), bar])
    header = ["arms", "n", "studies", "permutation", "F distribution", "bar"]
    table("Dispersion: spreads called different by Brown and Forsythe's test", header, rows)

    rows = []
    for octaves in OCTAVES:
        for n in SEEDS_OF_RATES:
            found = results[f"critical rate {octaves:g}", n]
            rows.append([f"{octaves:g}", n, found.shape[1], *shares(found)])
    header = ["true log2 ratio", "seeds", "studies", "95% interval covers", *FINDINGS]
    table("Learning rate at which half of the runs fail, grid of factors of two, without bars", header, rows)

    rows = []
    for place, metric in enumerate(FLOORED):
        for name in ("constant", "dips"):
            value, floor, above = results[name, 0][3 * place : 3 * place + 3]
            constant = name == "constant"
            bar = bars(above) if constant and metric in BARRED_FLOORS else "–"
            what = "constant policy" if constant else "the same, three evaluations at .1"
            rows.append([metric, what, value.size, *means(value, floor), *shares(above[None]), bar])
    header = ["metric", "run", "runs", "mean", "mean floor", "beyond 95% of the floor", "bar"]
    table("Stability of one run beside its noise floor", header, rows)

    rows = []
    for name in ("inert", "delivered"):
        flagged, verdict, significant = results[name, 0]
        right = flagged.all() and not verdict.any() if name == "inert" else not flagged.any() and verdict.all()
        bars.failed += not right
        cells = shares(np.stack([flagged, verdict, significant]))
        rows.append([name, flagged.size, *cells, "PASS" if right else "FAIL"])
    header = ["warmup", "studies", "said not to be delivered", "any verdict", "any adjusted p ≤ .05", "bar"]
    table("A warmup that did not reach the optimizer, from record files", header, rows)


def means(*values: FloatArray) -> list[str]:  # [runs] each
    """`mean ± standard error` of each."""
    return [f"{x.mean():.3f} ± {x.std() / np.sqrt(x.size):.3f}" for x in values]


Job = tuple[tuple[str, int], Callable[..., FloatArray], tuple[object, ...]]


def jobs(studies: int, seed: int) -> Iterable[Job]:
    """Every chunk of work: its cell, function and arguments; seeds depend on neither chunk order nor processes."""
    for n, share in SHARE_OF_STUDIES.items():
        for k, case in enumerate(CASES):
            yield from chunks((case.name, n), measure_pairs, (case, n), studies * share, 250, (seed, 0, k, n))
        for k, name in enumerate(SPREADS):
            cell = f"spread {name}", n
            yield from chunks(cell, measure_spread, (name, n), studies * OF_SPREADS, 50, (seed, 3, k, n))
    for n, share in SHARE_OF_WHOLE.items():
        for k, scenario in enumerate(SCENARIOS):
            yield from chunks((scenario, n), measure_whole, (scenario, n), studies * share, 25, (seed, 1, k, n))
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
    function: Callable[..., FloatArray],
    what: tuple[object, ...],
    studies: float,
    size: int,
    seed: tuple[int, ...],
) -> Iterable[Job]:
    """The studies of a cell, `size` at a time."""
    for chunk in range(max(1, round(studies / size))):
        yield cell, function, (*what, size, (*seed, chunk))


def main() -> None:
    """Simulate everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    versions = {name: version(name) for name in ("rl-warmup", "numpy", "scipy", "statsmodels")}
    machine = f"{os.cpu_count()} x {platform.processor() or platform.machine()}, {arguments.processes} processes"
    print(f"{machine}; python {platform.python_version()}, {versions}; seed {arguments.seed}", flush=True)
    began = time.perf_counter()
    work = list(jobs(arguments.studies, arguments.seed))
    done = Parallel(n_jobs=arguments.processes)(delayed(function)(*given) for _, function, given in work)
    results: Results = {}
    for (cell, _, _), part in zip(work, done, strict=True):
        results[cell] = np.concatenate([results[cell], part], axis=1) if cell in results else part
    bars = Bars()
    pair_tables(results, bars)
    whole_table(results, bars)
    beside_tables(results, bars)
    print(f"\n{bars.failed} bars failed; {time.perf_counter() - began:.0f} s")
    sys.exit(1 if bars.failed else 0)


if __name__ == "__main__":
    main()
