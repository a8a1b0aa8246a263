"""Simulated runs, arms and studies, shaped like RL, whose truth is known; and what the methods make of them."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from scipy import stats

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.metrics.table import RETURN_EFFECT
from rl_warmup.analysis.statistics.estimators import welch_p
from rl_warmup.analysis.statistics.sign_flips import SignFlips
from rl_warmup.analysis.statistics.verdicts import Paired, Verdict, compare, decide

Draw = Callable[[Generator, int, int], tuple[FloatArray, FloatArray]]  # (rng, studies, n) -> two [studies, n]

BOOTSTRAP_DRAWS = 2000
ALPHA = 0.05
DROP = 0.9  # of the normalized return, in a run that collapses
CONFIRMATORY = with_role("confirmatory")


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
    """Pairs with a known mean of D; `at_margin`: the claim under test is equivalence, not a difference."""

    name: str
    draw: Draw
    mean: float = 0.0
    symmetric: bool = True
    at_margin: bool = False


CASES = (
    Case("A/A, normal", pairs(1.0)),
    Case("A/A, heavy tails (t3)", pairs(1.0, heavy=True)),
    Case("A/A, 15% of the runs collapse in both arms", pairs(0.06, treatment_rate=0.15, control_rate=0.15)),
    *(Case(f"shift d = {d}, normal", pairs(1.0, d), d) for d in (0.5, 0.8, 1.0, 1.5)),
    Case("shift d = 1.0, heavy tails (t3)", pairs(1.0, 1.0, heavy=True), 1.0),
    Case("shift .1, 15% collapse in both arms", pairs(0.06, 0.1, treatment_rate=0.15, control_rate=0.15), 0.1),
    Case("true difference at the margin δ, normal", pairs(0.06, -RETURN_EFFECT), -RETURN_EFFECT, at_margin=True),
    Case("mean zero: +.1, but 10% lose 1", pairs(0.06, 0.1, treatment_rate=0.1, drop=1.0), symmetric=False),
    Case("warmup removes 15% collapses", pairs(0.06, control_rate=0.15), 0.15 * DROP, symmetric=False),
    Case(
        "difference just beyond δ by 5.6% collapses",
        pairs(0.02, treatment_rate=0.056),
        -0.056 * DROP,
        symmetric=False,
        at_margin=True,
    ),
)


def ours(
    x: FloatArray, y: FloatArray, rng: Generator, at_margin: bool
) -> FloatArray:  # [studies, n] -> [studies, 5]
    """The project's own test: p, 95% interval, 90% interval (at the margin only) of each study."""

    def row(d: FloatArray) -> tuple[float, ...]:
        flips = SignFlips.of(d)
        unbounded = (-np.inf, np.inf)
        return (
            flips.p_value(),
            *(flips.interval(0.05) or unbounded),
            *((at_margin and flips.interval(0.1)) or unbounded),
        )

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
        [ours(x, y, rng, case.at_margin), welch(x, y), bootstrap(x, y, rng)], -1, 0
    )
    found = np.where(p <= ALPHA, np.sign((x - y).mean(axis=1)), 0.0)
    right = (found == np.sign(case.mean)) & (found != 0)
    wrong = (found != 0) & ~right
    if case.at_margin:
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


def verdicts(treatment: FloatArray, control: FloatArray, rng: Generator) -> list[list[Verdict]]:
    """The verdicts [3 methods][4 metrics]; the same Holm correction for the p of Welch and of the bootstrap."""
    members: list[tuple[Paired, str, float | None]] = []
    others: tuple[list[float], list[float]] = ([], [])
    for metric in CONFIRMATORY:
        x, y = (metric.function(STEPS, curves, THRESHOLD) for curves in (treatment, control))
        effect = metric.smallest_effect
        # the sensitivity analyses have no say in a verdict
        paired = compare(x, y, smallest_effect=effect, bound=None, binary=metric.binary, sensitivity=False)
        members.append((paired, metric.better, effect))
        p = welch_p(x, y)
        others[0].append(1.0 if p is None else p)
        others[1].append(float(bootstrap(x[None], y[None], rng)[0, 0]))
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
    for _ in range(studies):
        found = verdicts(*simulate(scenario, rng, n), rng)
        names = np.array([[verdict.verdict_in_runs_seen for verdict in method] for method in found])
        each = [names[:, k] == word for k in range(len(CONFIRMATORY)) for word in ("better", "worse")]
        rows.append(np.stack([np.isin(names, ["better", "worse"]).any(axis=1), *each], axis=-1))
    return np.stack(rows, axis=1).astype(np.float64)
