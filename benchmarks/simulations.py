"""Simulated pairs of runs, shaped like RL, whose truth is known: what every method makes of the mean difference."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from simulations_methods import ALPHA, METHODS, dirichlet_equivalent, flips_equivalent

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.metrics.table import RETURN_EFFECT
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.failures import failures

Draw = Callable[[Generator, int, int], tuple[FloatArray, FloatArray]]  # (rng, studies, n) -> two [studies, n]
Shares = dict[str, FloatArray]  # method -> [studies, what was counted], 0 or 1

BOUND = 1.05  # of a difference, as CartPole has it
DROP = 0.9  # of the normalized return, in a run that collapses
SOME = 4  # methods that take long see one study of so many


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
    """Arms that differ by a shift and by how often a run, independently of its pair, loses `drop`.

    The treatment is clipped where a pair would differ by more than the bound, which is rare and symmetric.
    """

    def draw(rng: Generator, studies: int, n: int) -> tuple[FloatArray, FloatArray]:
        x, y = runs(rng, studies, n, spread, heavy)
        lost_x, lost_y = (drop * (rng.random(x.shape) < rate) for rate in (treatment_rate, control_rate))
        x, y = x + shift - lost_x, y - lost_y
        return y + np.clip(x - y, -BOUND, BOUND), y

    return draw


@dataclass(frozen=True)
class Case:
    """Pairs with a known mean of D, which no method should miss in more than 5% of the studies."""

    name: str
    draw: Draw
    mean: float = 0.0
    symmetric: bool = True  # D about its mean: then the sign flips hold their level, too


HALF = {"treatment_rate": 0.15, "control_rate": 0.15}
CASES = (
    Case("A/A, normal, sd .06", pairs(0.06)),
    Case("A/A, heavy tails (t3), sd .06", pairs(0.06, heavy=True)),
    Case("A/A, 15% of the runs collapse in both arms", pairs(0.06, **HALF)),
    *(Case(f"shift d = {d}, sd .06", pairs(0.06, d * 0.06), d * 0.06) for d in (0.5, 0.8, 1.0)),
    *(Case(f"shift d = {d}, sd .25", pairs(0.25, d * 0.25), d * 0.25) for d in (0.5, 0.8, 1.0)),
    Case("shift .1, 15% collapse in both arms", pairs(0.06, 0.1, **HALF), 0.1),
    Case("mean 0: +.1, but 10% lose 1", pairs(0.06, 0.1, treatment_rate=0.1, drop=1.0), symmetric=False),
    Case("mean 0: +.05, but 5% lose 1", pairs(0.06, 0.05, treatment_rate=0.05, drop=1.0), symmetric=False),
    Case("removes 15% collapses", pairs(0.06, control_rate=0.15), 0.15 * DROP, symmetric=False),
)
AT_THE_EDGE = (  # of equivalence: D has a mean of -δ or just beyond
    Case("difference at δ, normal, sd .06", pairs(0.06, -RETURN_EFFECT), -RETURN_EFFECT),
    Case(
        "difference beyond δ by 5.6% collapses", pairs(0.02, treatment_rate=0.056), -0.056 * DROP, symmetric=False
    ),
)
POWER_OF_MCNEMAR = "removes 15% collapses"

# what another implementation found with 2000 studies each, at 6, 10, 20, 40, 100 and 200 pairs
REFERENCE_POWER = {
    ("shift d = 0.5, sd .06", "sign flips"): (0.11, 0.30, 0.57, 0.87, 1, 1),
    ("shift d = 0.8, sd .06", "sign flips"): (0.24, 0.62, 0.93, 1, 1, 1),
    ("shift d = 1.0, sd .06", "sign flips"): (0.35, 0.80, 0.99, 1, 1, 1),
    ("shift d = 0.5, sd .25", "sign flips"): (0.11, 0.28, 0.56, 0.87, 1, 1),
    ("shift d = 1.0, sd .25", "sign flips"): (0.34, 0.80, 0.99, 1, 1, 1),
    ("removes 15% collapses", "sign flips"): (0.03, 0.10, 0.29, 0.76, 1, 1),
    ("shift d = 0.5, sd .06", "Dirichlet"): (0, 0, 0, 0, 0.03, 0.99),
    ("shift d = 0.8, sd .06", "Dirichlet"): (0, 0, 0, 0, 0.86, 1),
    ("shift d = 1.0, sd .06", "Dirichlet"): (0, 0, 0, 0, 1, 1),
    ("shift d = 0.5, sd .25", "Dirichlet"): (0, 0, 0.03, 0.46, 1, 1),
    ("shift d = 0.8, sd .25", "Dirichlet"): (0, 0, 0.27, 0.97, 1, 1),  # .22 there; .27: explicit Dirichlet weights
    ("shift d = 1.0, sd .25", "Dirichlet"): (0, 0.01, 0.57, 1, 1, 1),
    ("removes 15% collapses", "Dirichlet"): (0, 0, 0.05, 0.47, 1, 1),
}


def measure_pairs(case: Case, n: int, studies: int, seed: tuple[int, ...]) -> Shares:
    """For each method: wrong verdict, the 95% interval covers the mean of D, right verdict."""
    rng = np.random.default_rng(seed)
    x, y = case.draw(rng, studies, n)
    found = {}
    for name, (method, quick) in METHODS.items():
        some = slice(None if quick else studies // SOME)
        p, covers = method(x[some], y[some], case.mean, BOUND)
        said = np.where(p <= ALPHA, np.sign((x - y)[some].mean(axis=1)), 0.0)
        right = (said == np.sign(case.mean)) & (said != 0)
        found[name] = np.column_stack([(said != 0) & ~right, covers, right]).astype(np.float64)
    if case.name == POWER_OF_MCNEMAR:
        tests = [failures(one < -DROP / 2, other < -DROP / 2) for one, other in zip(x[some], y[some], strict=True)]
        for name, ps in (("McNemar", [t.p_value for t in tests]), ("mid-p", [t.p_mid for t in tests])):
            right = np.array(ps) <= ALPHA
            found[name] = np.column_stack([np.zeros_like(right), np.ones_like(right), right]).astype(np.float64)
    return found


def measure_edge(case: Case, n: int, studies: int, seed: tuple[int, ...]) -> Shares:
    """Whether a difference at the edge, or beyond, is called equivalent: by the rule of the mean, by sign flips."""
    rng = np.random.default_rng(seed)
    x, y = case.draw(rng, studies, n)
    rules = {"Dirichlet": dirichlet_equivalent, "sign flips": flips_equivalent}
    return {name: rule(x - y, RETURN_EFFECT, BOUND)[:, None].astype(np.float64) for name, rule in rules.items()}


# --- the Dirichlet test where it is hardest ---


def two_values(gain: float, loss: float = 1.0) -> Callable[[Generator, tuple[int, int]], FloatArray]:
    """Gain in most pairs, loss in so few that the mean is 0."""
    return lambda rng, size: np.where(rng.random(size) < gain / (gain + loss), -loss, gain)


def three_values(rng: Generator, size: tuple[int, int]) -> FloatArray:
    """Nothing in half of the pairs, else a gain of .1 or, rarely, a loss of 1."""
    return np.where(rng.random(size) < 0.5, 0.0, two_values(0.1)(rng, size))


def skewed(shape: float) -> Callable[[Generator, tuple[int, int]], FloatArray]:
    """Losses as a beta distribution of small shape has them, with a gain of as much as they cost on average."""
    mean = shape / (shape + 1)
    return lambda rng, size: (mean - rng.beta(shape, 1.0, size)) / max(mean, 1 - mean)


def with_noise(rng: Generator, size: tuple[int, int]) -> FloatArray:
    """A gain of .1 and noise, where 11.1% of the pairs lose up to .8."""
    return two_values(0.1, 0.8)(rng, size) + rng.uniform(-0.1, 0.1, size)


ADVERSARIAL = {
    "gain .02, loss 1": two_values(0.02),
    "gain .05, loss 1": two_values(0.05),
    "gain .1, loss 1": two_values(0.1),
    "gain .3, loss 1": two_values(0.3),
    "1 or -1": two_values(1.0),
    "gain .1, loss .5": two_values(0.1, 0.5),
    "0, or gain .1, loss 1": three_values,
    "losses beta(.1, 1)": skewed(0.1),
    "losses beta(.5, 1)": skewed(0.5),
    "gain .1, loss .8, with noise": with_noise,
}


def measure_adversarial(name: str, n: int, studies: int, seed: tuple[int, ...]) -> Shares:
    """Whether the one-sided tests at level .025 reject the mean 0, which is true: against mean <= 0, and >= 0."""
    d = np.clip(ADVERSARIAL[name](np.random.default_rng(seed), (studies, n)), -1, 1)
    tests = [Dirichlet.of(row, 1.0) for row in d]
    wrong = np.array([[test.p_up() <= ALPHA / 2, test.p_down() <= ALPHA / 2] for test in tests])
    return {"Dirichlet": wrong.astype(np.float64)}
