"""Do plans keep their promise? Studies of as many pairs as planned, and plans from the sd of small pilots."""

import numpy as np
from simulations import ALPHA, BOUND, Shares
from simulations_methods import tails
from statsmodels.stats.power import TTestPower

from rl_warmup.analysis.metrics.table import RETURN_EFFECT
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.planning import plan, plan_with

PLANNED = tuple((effect, sd) for effect in (0.05, 0.1, 0.2) for sd in (0.02, 0.06, 0.1, 0.25))
PROMISES = ("in_runs_seen", "mean", "equivalent")
PILOTS, SD, TESTS = (6, 10, 20), 0.1, 4
TOO_LITTLE = 0.6


def measure_plan(effect: float, sd: float, studies: int, seed: tuple[int, ...]) -> Shares:
    """For each promise of a plan: the pairs planned, and whether a study of so many reaches the verdict."""
    rng, planned = np.random.default_rng(seed), plan_with(sd, effect, BOUND)
    found = {}
    for promise in PROMISES:
        n, mean = getattr(planned, promise), 0.0 if promise == "equivalent" else effect
        d = np.clip(rng.normal(mean, sd, (studies, n)), -BOUND, BOUND)
        if promise == "in_runs_seen":
            reached = 2 * tails(d)[0] <= ALPHA
        else:
            tests = [Dirichlet.of(row, BOUND) for row in d]
            p = [one.equivalence_p(effect) if promise == "equivalent" else 2 * one.p_up() for one in tests]
            reached = np.array(p) <= ALPHA
        found[promise] = np.column_stack([np.full(studies, n), reached]).astype(np.float64)
    return found


def measure_pilot(n: int, studies: int, seed: tuple[int, ...]) -> Shares:
    """Of plans from pilots of n pairs, four tests: the pairs, and the power that they have under the true sd."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(studies):
        planned = plan(rng.normal(0.0, SD, n), RETURN_EFFECT, None, TESTS)
        if planned is not None and planned.in_runs_seen is not None:
            pairs = planned.in_runs_seen
            power = TTestPower().power(RETURN_EFFECT / SD, pairs, ALPHA / TESTS / 2, alternative="larger")
            rows.append([pairs, power])
    return {"plans": np.array(rows, dtype=np.float64)}
