"""Do the verdicts and intervals keep their promises? Simulated studies with known answers, shaped like RL.

    python benchmarks/calibration.py [--studies 10000] [--processes 2] [--seed 0]

--studies is the number at 6 and 10 pairs; 20 pairs (2^20 sign vectors each) and 40 get fewer, whole studies on
learning curves fewer still. Bars hold where D is symmetric about its mean: wrong verdicts <= .05, coverage of the
95% interval of the mean >= .93, two Monte-Carlo standard errors allowed. Asymmetric D is shown without a bar.
Printed: Markdown tables of share ± standard error, for our methods, Welch's t test and the percentile bootstrap
of the mean of D in the same studies. Exit code 1 if a bar fails.
"""

import argparse
import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from unittest.mock import patch

import numpy as np
from joblib import Parallel, delayed
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import stats

from rl_warmup import inference
from rl_warmup.estimators import welch_p
from rl_warmup.inference import Paired, Verdict, compare, decide
from rl_warmup.metrics import METRICS, RETURN_EFFECT, shortfall
from rl_warmup.sign_flips import SignFlips

FloatArray = NDArray[np.float64]
Draw = Callable[[Generator, int, int], tuple[FloatArray, FloatArray]]  # (rng, studies, n) -> two [studies, n]

METHODS = ("ours", "Welch", "bootstrap")
SHARE_OF_STUDIES = {6: 1.0, 10: 1.0, 20: 0.03, 40: 0.5}  # by what one study of so many pairs costs
SHARE_OF_WHOLE = {6: 0.05, 10: 0.05, 20: 0.006, 40: 0.02}
BOOTSTRAP_DRAWS = 2000
ALPHA, COVERAGE = 0.05, 0.93
DROP = 0.9  # of the normalized return, in a run that collapses


# --- pairs: one number for each run ---


def runs(rng: Generator, studies: int, n: int, spread: float, heavy: bool = False) -> FloatArray:
    """Two exchangeable arms [2, studies, n] correlated by .5 over seeds; the sd of D is `spread`, as each arm's."""
    arms, seeds = (2, studies, n), (studies, n)
    if heavy:
        return spread * np.sqrt(0.5 / 3) * (rng.standard_t(3, arms) + rng.standard_t(3, seeds))
    return spread * np.sqrt(0.5) * (rng.standard_normal(arms) + rng.standard_normal(seeds))


def pairs(
    spread: float,
    shift: float = 0.0,
    *,
    heavy: bool = False,
    treatment_rate: float = 0.0,
    control_rate: float = 0.0,
    drop: float = DROP,
) -> Draw:
    """Arms that differ by a shift and by how often a run, independently of its pair, loses `drop`."""

    def draw(rng: Generator, studies: int, n: int) -> tuple[FloatArray, FloatArray]:
        x, y = runs(rng, studies, n, spread, heavy)
        lost_x, lost_y = (drop * (rng.random(x.shape) < rate) for rate in (treatment_rate, control_rate))
        return x + shift - lost_x, y - lost_y

    return draw


@dataclass(frozen=True)
class Case:
    """Pairs with a known mean of D; `edge`: the claim under test is equivalence, not a difference."""

    name: str
    draw: Draw
    mean: float = 0.0
    symmetric: bool = True
    edge: bool = False


CASES = (
    Case("A/A, normal", pairs(1.0)),
    Case("A/A, heavy tails (t3)", pairs(1.0, heavy=True)),
    Case("A/A, 15% of the runs collapse in both arms", pairs(0.06, treatment_rate=0.15, control_rate=0.15)),
    *(Case(f"shift d = {d}, normal", pairs(1.0, d), d) for d in (0.5, 0.8, 1.0, 1.5)),
    Case("shift d = 1.0, heavy tails (t3)", pairs(1.0, 1.0, heavy=True), 1.0),
    Case("shift .1, 15% collapse in both arms", pairs(0.06, 0.1, treatment_rate=0.15, control_rate=0.15), 0.1),
    Case("true difference at the edge δ, normal", pairs(0.06, -RETURN_EFFECT), -RETURN_EFFECT, edge=True),
    Case("mean zero: +.1, but 10% lose 1", pairs(0.06, 0.1, treatment_rate=0.1, drop=1.0), symmetric=False),
    Case("warmup removes 15% collapses", pairs(0.06, control_rate=0.15), 0.15 * DROP, symmetric=False),
    Case(
        "difference just beyond δ by 5.6% collapses",
        pairs(0.02, treatment_rate=0.056),
        -0.056 * DROP,
        symmetric=False,
        edge=True,
    ),
)


def ours(x: FloatArray, y: FloatArray, rng: Generator, edge: bool) -> FloatArray:  # [studies, n] -> [studies, 5]
    """The project's own test: p, 95% interval, 90% interval (at the edge only) of each study."""

    def row(d: FloatArray) -> tuple[float, ...]:
        flips = SignFlips.of(d, rng)
        unbounded = (-np.inf, np.inf)
        return flips.p_value(), *(flips.interval(0.05) or unbounded), *((edge and flips.interval(0.1)) or unbounded)

    return np.array([row(d) for d in x - y])


def welch(x: FloatArray, y: FloatArray) -> FloatArray:  # [studies, n] -> [studies, 5]
    """Welch's t test of unpaired arms, all studies at once; checked against the project's own."""
    test = stats.ttest_ind(x, y, axis=1, equal_var=False)
    assert np.isclose(test.pvalue[0], welch_p(x[0], y[0]))
    return np.column_stack([test.pvalue, *test.confidence_interval(0.95), *test.confidence_interval(0.9)])


def bootstrap(x: FloatArray, y: FloatArray, rng: Generator) -> FloatArray:  # [studies, n] -> [studies, 5]
    """Percentile bootstrap of the mean of D; p is the level at which its interval ends at zero."""
    n = x.shape[1]
    weights = rng.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAP_DRAWS) / n
    means = (x - y) @ weights.T
    p = 2 * np.minimum((means <= 0).mean(axis=1), (means >= 0).mean(axis=1))
    return np.column_stack([p, *np.quantile(means, [0.025, 0.975, 0.05, 0.95], axis=1)])


def measure_pairs(case: Case, n: int, studies: int, seed: tuple[int, ...]) -> FloatArray:
    """[3 methods, studies, 3]: wrong verdict, 95% interval covers the mean of D, right verdict."""
    rng = np.random.default_rng(seed)
    x, y = case.draw(rng, studies, n)
    p, low, high, low90, high90 = np.moveaxis(
        [ours(x, y, rng, case.edge), welch(x, y), bootstrap(x, y, rng)], -1, 0
    )
    found = np.where(p <= ALPHA, np.sign((x - y).mean(axis=1)), 0.0)
    right = (found == np.sign(case.mean)) & (found != 0)
    wrong = (found != 0) & ~right
    if case.edge:
        wrong = (low90 > -RETURN_EFFECT) & (high90 < RETURN_EFFECT)
    return np.stack([wrong, (low <= case.mean) & (case.mean <= high), right], axis=-1).astype(np.float64)


# --- whole studies: learning curves through the metrics, compare and decide ---

EVALUATIONS, EPISODES, THRESHOLD = 21, 10, 0.95
STEPS = np.arange(EVALUATIONS)
SCENARIOS = ("A/A", "constant policy", "collapse", "faster", "fewer stuck")


def evaluated(rng: Generator, policy: FloatArray) -> FloatArray:  # [..., evaluations]
    """Mean of ten noisy episodes (sd .1) for each evaluation of a policy."""
    return policy + 0.1 / np.sqrt(EPISODES) * rng.standard_normal(policy.shape)


def dip(rng: Generator, curves: FloatArray, rate: float) -> FloatArray:  # [runs, evaluations]
    """Let a share of the runs fall to .1 for three evaluations of the second half, and come back before its end."""
    start = rng.integers(11, 16, size=(len(curves), 1))
    age = STEPS - start
    inside = (age >= 0) & (age < 3) & (rng.random(start.shape) < rate)
    return np.where(inside, np.minimum(curves, 0.1), curves)


def learning(rng: Generator, seeds: FloatArray, slowness: float, stuck: float) -> FloatArray:
    """Curves [runs, evaluations] up to the ceiling 1; `stuck` runs stay at .2, every tenth run dips by itself."""
    timescale = 5 * slowness * np.exp(0.3 * (seeds + rng.standard_normal(seeds.shape)))[:, None]
    plateau = np.where(rng.random(timescale.shape) < stuck, 0.2, 1.1)
    policy = dip(rng, plateau * (1 - np.exp(-STEPS / timescale)), 0.1)
    return np.minimum(evaluated(rng, policy), 1.0)


def simulate(scenario: str, rng: Generator, n: int) -> tuple[FloatArray, FloatArray]:
    """Treatment and control curves [n, evaluations]; the first two scenarios have exchangeable arms."""
    if scenario == "constant policy":
        return evaluated(rng, np.ones((n, EVALUATIONS))), evaluated(rng, np.ones((n, EVALUATIONS)))
    seeds = rng.standard_normal(n)
    stuck = 0.4 if scenario == "fewer stuck" else 0.1
    control = learning(rng, seeds, 1.0, stuck)
    treatment = learning(
        rng, seeds, 0.5 if scenario == "faster" else 1.0, 0.0 if scenario == "fewer stuck" else stuck
    )
    return dip(rng, treatment, 0.6) if scenario == "collapse" else treatment, control


def family(treatment: FloatArray, control: FloatArray, seeds: FloatArray) -> list[tuple[Paired, str, float | None]]:
    """The project's comparison of two arms on the four confirmatory metrics."""
    members = []
    for metric, seed in zip(METRICS.values(), seeds, strict=True):
        x, y = (metric.function(STEPS, curves, THRESHOLD) for curves in (treatment, control))
        rng = np.random.default_rng(seed)
        paired = compare(x, y, smallest_effect=metric.smallest_effect, binary=metric.binary, rng=rng)
        members.append((paired, metric.better, metric.smallest_effect))
    return members


def verdicts(treatment: FloatArray, control: FloatArray, rng: Generator, check: bool) -> list[list[Verdict]]:
    """The verdicts [3 methods][4 metrics]; the same Holm correction for the p of Welch and of the bootstrap.

    IQM and unpaired permutation are left out for speed; where asked, this is checked to change no verdict.
    """
    seeds = rng.integers(2**32, size=len(METRICS))
    with patch.multiple(inference, iqm_interval=lambda *_: None, unpaired_p=lambda *_: None):
        members = family(treatment, control, seeds)
    if check:
        assert decide(family(treatment, control, seeds)) == decide(members)
    values = [[m.function(STEPS, z, THRESHOLD)[None] for z in (treatment, control)] for m in METRICS.values()]
    others = (
        [1.0 if paired.p_welch is None else paired.p_welch for paired, _, _ in members],
        [float(bootstrap(x, y, rng)[0, 0]) for x, y in values],
    )
    by_p = [
        [
            (replace(paired, p_value=p, p_equivalence=None), *rest)
            for (paired, *rest), p in zip(members, ps, strict=True)
        ]
        for ps in others
    ]
    return [decide(members), *(decide(other) for other in by_p)]


def measure_whole(scenario: str, n: int, studies: int, seed: tuple[int, ...]) -> FloatArray:
    """[3 methods, studies, 1 + 8]: any better or worse; then better and worse for each of the four metrics."""
    gc.freeze()  # multipletests collects garbage at every call: over all imported modules, most of the time
    rng = np.random.default_rng(seed)
    rows = []
    for study in range(studies):
        found = verdicts(*simulate(scenario, rng, n), rng, check=study == 0)
        names = np.array([[verdict.verdict for verdict in method] for method in found])
        each = [names[:, k] == word for k in range(len(METRICS)) for word in ("better", "worse")]
        rows.append(np.stack([np.isin(names, ["better", "worse"]).any(axis=1), *each], axis=-1))
    return np.stack(rows, axis=1).astype(np.float64)


def measure_floor(dips: bool, runs: int, seed: tuple[int, ...]) -> FloatArray:  # [1, runs, 2]
    """Whether the shortfall of a constant policy exceeds its noise floor at the 5% level; and the shortfall.

    The floor: the run's own episodes, put in random order over its evaluations 199 times.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(runs):
        policy = dip(rng, np.ones((1, EVALUATIONS)), float(dips))[0]
        episodes = policy[:, None] + 0.1 * rng.standard_normal((EVALUATIONS, EPISODES))
        orders = rng.permuted(np.tile(episodes.ravel(), (199, 1)), axis=1).reshape(199, EVALUATIONS, EPISODES)
        values = shortfall(STEPS, np.concatenate([episodes[None], orders]).mean(axis=2), THRESHOLD)
        rows.append([float(np.count_nonzero(values >= values[0]) <= 0.05 * values.size), values[0]])
    return np.array(rows)[None]


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

    def rows(symmetric: bool, edge: bool) -> Iterable[list[str]]:
        for case in (c for c in CASES if (c.symmetric, c.edge) == (symmetric, edge)):
            for n in SHARE_OF_STUDIES:
                wrong, covered, _ = np.moveaxis(results[case.name, n], -1, 0)
                bar = [bars(wrong[0], None if edge else covered[0])] if symmetric else []
                cells = shares(wrong) + ([] if edge else shares(covered))
                yield [case.name, str(n), str(wrong.shape[1]), *cells, *bar]

    start = ["D", "n", "studies"]
    wrong, covers = "wrong better/worse", "95% interval covers"
    inside = columns("90% interval inside ±δ, wrongly")
    table("Symmetric D, with bars (on our columns)", [*start, *columns(wrong, covers), "bar"], rows(True, False))
    table("Equivalence at its edge, symmetric D, with bars", [*start, *inside, "bar"], rows(True, True))
    table("Asymmetric D, without bars", [*start, *columns(wrong, covers)], rows(False, False))
    table("Equivalence at its edge, asymmetric D, without bars", [*start, *inside], rows(False, True))
    power = (
        [case.name, n, results[case.name, n].shape[1], *shares(results[case.name, n][..., 2])]
        for case in CASES
        if case.symmetric and case.mean and not case.edge
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


def floor_table(constant: FloatArray, dips: FloatArray, bars: Bars) -> None:  # [1, runs, 2]
    """Print how often the shortfall of one run exceeds its noise floor."""
    rows = []
    for name, result in (("constant policy", constant), ("the same, three evaluations at .1", dips)):
        above, value = np.moveaxis(result, -1, 0)
        mean = f"{value.mean():.3f} ± {value.std() / np.sqrt(value.size):.3f}"
        rows.append([name, value.size, mean, *shares(above), bars(above[0]) if name == "constant policy" else "–"])
    table(
        "Shortfall of one run beside its noise floor", ["run", "runs", "mean shortfall", "above floor", "bar"], rows
    )


def jobs(
    studies: int, seed: int
) -> Iterable[tuple[tuple[str, int], Callable[..., FloatArray], tuple[object, ...]]]:
    """Every chunk of work: its cell, function and arguments; seeds depend on neither chunk order nor processes."""
    for kind, share_of in enumerate((SHARE_OF_STUDIES, SHARE_OF_WHOLE)):
        for k, item in enumerate((CASES, SCENARIOS)[kind]):
            for n, share in share_of.items():
                size = ((500, 500, 50, 250), (50, 50, 10, 25))[kind][list(share_of).index(n)]
                for chunk in range(max(1, round(studies * share / size))):
                    arguments = (item, n, size, (seed, kind, k, n, chunk))
                    if isinstance(item, Case):
                        yield (item.name, n), measure_pairs, arguments
                    else:
                        yield (item, n), measure_whole, arguments
    for dips in (False, True):
        for chunk in range(max(1, studies // 1000)):
            yield ("dips" if dips else "floor", 0), measure_floor, (dips, 100, (seed, 2, int(dips), 0, chunk))


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
    floor_table(results["floor", 0], results["dips", 0], bars)
    print(f"\n{bars.failed} bars failed; {time.perf_counter() - began:.0f} s")
    sys.exit(1 if bars.failed else 0)


if __name__ == "__main__":
    main()
