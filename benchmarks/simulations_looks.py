"""Simulated studies that add seeds until they decide: levels, families, and how many pairs they take."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from simulations import ALPHA, BOUND, DROP, HALF, Case, Shares, pairs

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.metrics.table import RETURN_EFFECT
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.looking import EQUIVALENCE_PAIRS
from rl_warmup.analysis.statistics.proved import betting
from rl_warmup.analysis.statistics.sequential import Sequential, anew_p_values
from rl_warmup.analysis.statistics.sign_flips import Alternative
from rl_warmup.analysis.statistics.spending import Rule, Spending

LOOKS = (20, 40, 60, 80, 100)
RULES: tuple[Rule, ...] = ("obrien_fleming", "pocock")
FAMILY, REAL, SHARED = 8, 3, 0.6  # comparisons, those with a difference where there is one, correlation

TRUTHS = (
    Case("equal, sd .1", pairs(0.1)),
    Case("equal, 15% collapse in both arms", pairs(0.06, **HALF)),
    Case("+.08, sd .1", pairs(0.1, 0.08), 0.08),
    Case("+.1, sd .2", pairs(0.2, 0.1), 0.1),
    Case("removes 15% collapses", pairs(0.06, control_rate=0.15), 0.15 * DROP),
    Case("removes 40% collapses", pairs(0.06, control_rate=0.4), 0.4 * DROP),
    Case("mean 0: +.1, but 10% lose 1", pairs(0.06, 0.1, treatment_rate=0.1, drop=1.0), symmetric=False),
    Case("beyond δ by 5.6% collapses", pairs(0.02, treatment_rate=0.056), -0.056 * DROP, symmetric=False),
)


def vectors(seed: tuple[int, ...], least: int) -> int:
    """How many sign vectors a chunk of studies draws: other ones for every chunk, a multiple of 20 with its own."""
    return least - 1 + 20 * seed[-1]


def level_of(d: FloatArray, rule: Rule, draws: int) -> bool:
    """Whether a study stops for a difference at any look."""
    return Sequential.of(d, Spending(LOOKS, rule), level=ALPHA, draws=draws).crossing(ALPHA) is not None


def measure_level(studies: int, seed: tuple[int, ...]) -> Shares:
    """Whether a study without a difference stops for one: half of them normal, half with collapses in both arms."""
    rng, draws = np.random.default_rng(seed), vectors(seed, 1000)
    both = [draw(rng, studies // 2, LOOKS[-1]) for draw in (pairs(0.1), pairs(0.06, **HALF))]
    d = np.concatenate([x - y for x, y in both])
    return {rule: np.array([[level_of(row, rule, draws)] for row in d], dtype=np.float64) for rule in RULES}


def holm(tests: list[Sequential]) -> list[float]:
    """For each test the pairs at which it is rejected, or infinity: rejections are final, levels grow with them."""
    crossed = [[test.crossing(ALPHA / left) or np.inf for left in range(1, len(tests) + 1)] for test in tests]
    found = [np.inf] * len(tests)
    for look, pairs_then in enumerate(LOOKS, start=1):
        while True:
            left = found.count(np.inf)
            new = [i for i, one in enumerate(found) if one == np.inf and crossed[i][left - 1] <= look]
            if not new:
                break
            for i in new:
                found[i] = pairs_then
    return found


def measure_family(real: int, studies: int, seed: tuple[int, ...]) -> Shares:
    """Of eight comparisons with a common part: any false rejection; all real ones found; pairs until they are."""
    rng, draws = np.random.default_rng(seed), vectors(seed, 4000)
    rows: dict[str, list[list[float]]] = {rule: [] for rule in RULES}
    for _ in range(studies):
        common, own = rng.standard_normal((1, LOOKS[-1])), rng.standard_normal((FAMILY, LOOKS[-1]))
        d = 0.1 * (np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own)
        d[:real] += 0.08
        for rule in RULES:
            tests = [Sequential.of(row, Spending(LOOKS, rule), level=ALPHA, draws=draws) for row in d]
            found = np.array(holm(tests))
            last = max(found[:real], default=0.0)
            rows[rule].append([np.isfinite(found[real:]).any(), np.isfinite(last), min(last, LOOKS[-1])])
    return {rule: np.array(found, dtype=np.float64) for rule, found in rows.items()}


Rows = list[tuple[float, float, bool]]  # at each look: p of a difference, p of equivalence, may be equivalent


def by_flips(d: FloatArray, rule: Rule, draws: int) -> Rows:
    """Group-sequential sign flips."""

    def p_values(alternative: Alternative, center: float) -> list[float]:
        test = Sequential.of(d, Spending(LOOKS, rule), alternative, center=center, level=ALPHA, draws=draws)
        stop = test.crossing(ALPHA) or np.inf
        return [0.0 if look >= stop else 1.0 for look in range(1, len(LOOKS) + 1)]

    sides = p_values("greater", -RETURN_EFFECT), p_values("less", RETURN_EFFECT)
    may = [count >= EQUIVALENCE_PAIRS for count in LOOKS]
    return list(zip(p_values("two-sided", 0.0), map(max, *sides), may, strict=True))


def by_dirichlet(d: FloatArray, rule: Rule, draws: int) -> Rows:
    """The rule of the mean at the level spent at each look."""
    tests = [Dirichlet.of(d[:count], BOUND) for count in LOOKS]
    spending = Spending(LOOKS, rule)
    difference = anew_p_values([test.p_value() for test in tests], spending)
    same = anew_p_values([test.equivalence_p(RETURN_EFFECT) for test in tests], spending)
    return [(p, q, True) for p, q in zip(difference, same, strict=True)]


def by_betting(d: FloatArray, rule: Rule, draws: int) -> Rows:
    """Betting holds its level whenever one stops."""
    p = np.minimum.accumulate([betting(d[:count], BOUND).p_value for count in LOOKS])
    return [(float(one), 1.0, False) for one in p]


def naively(d: FloatArray, rule: Rule, draws: int) -> Rows:
    """The test of a fixed number of pairs at every look."""
    tests = [Sequential.of(d[:count], Spending((count,), rule), draws=draws) for count in LOOKS]
    return [(0.0 if test.crossing(ALPHA) else 1.0, 1.0, False) for test in tests]


WAYS: dict[str, tuple[Callable[[FloatArray, Rule, int], Rows], Rule]] = {
    "p ≤ .05 at every look": (naively, "pocock"),
    "sign flips, O'Brien-Fleming": (by_flips, "obrien_fleming"),
    "sign flips, Pocock": (by_flips, "pocock"),
    "Dirichlet, Pocock": (by_dirichlet, "pocock"),
    "betting": (by_betting, "pocock"),
}


def measure_looks(truth: Case, studies: int, seed: tuple[int, ...]) -> Shares:
    """For each way of looking: better, worse, equivalent, and the pairs at which the study stopped."""
    rng: Generator = np.random.default_rng(seed)
    x, y = truth.draw(rng, studies, LOOKS[-1])
    draws, found = vectors(seed, 1000), {}
    for name, (way, rule) in WAYS.items():
        found[name] = np.array([_stopped(way(d, rule, draws), d) for d in x - y])
    return found


def _stopped(rows: Rows, d: FloatArray) -> list[float]:
    """What is said at the first look that decides."""
    for (difference, same, may), count in zip(rows, LOOKS, strict=True):
        if same <= ALPHA and may:
            return [0.0, 0.0, 1.0, count]
        if difference <= ALPHA:
            up = float(d[:count].mean() > 0)
            return [up, 1 - up, 0.0, count]
    return [0.0, 0.0, 0.0, LOOKS[-1]]
