"""Pairs that decide: against the law, the Dirichlet test itself, another library, tables of simulated studies."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from rl_warmup.analysis.statistics import planning
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.planning import (
    inflated,
    one_pair_decides,
    pairs_for_equivalence,
    pairs_for_mean,
    pairs_in_runs_seen,
    plan,
    plan_with,
    undecided,
)

BOUND = 1.03
# Effect, standard deviation, tests: pairs that were enough in a simulation over a grid of pairs (the one below
# was not), in the runs seen and for the mean.
SIMULATED = [
    (0.05, 0.06, 1, (12, 15), (80, 92)),
    (0.05, 0.1, 1, (30, 40), (100, 120)),
    (0.05, 0.25, 1, (160, 250), (200, 300)),
    (0.1, 0.02, 1, (5, 6), (30, 45)),
    (0.1, 0.06, 1, (5, 8), (40, 50)),
    (0.1, 0.25, 1, (40, 60), (70, 80)),
    (0.2, 0.25, 1, (12, 15), (25, 32)),
    (0.05, 0.06, 4, (15, 21), (100, 125)),
    (0.05, 0.1, 4, (40, 50), (120, 160)),
    (0.1, 0.25, 4, (60, 80), (100, 120)),
]


@pytest.mark.parametrize(("effect", "sd", "tests", "seen", "mean"), SIMULATED)
def test_pairs_are_those_of_simulated_studies(
    effect: float, sd: float, tests: int, seen: tuple[int, int], mean: tuple[int, int]
) -> None:
    found = pairs_in_runs_seen(effect, sd, tests), pairs_for_mean(effect, sd, BOUND, tests)
    assert seen[0] < found[0] <= seen[1]
    assert mean[0] < found[1] <= mean[1]


@pytest.mark.parametrize(
    ("sd", "tests", "low", "high"), [(0.02, 1, 60, 70), (0.05, 1, 70, 80), (0.15, 1, 120, 140)]
)
def test_pairs_for_equivalence_are_those_of_simulated_studies(sd: float, tests: int, low: int, high: int) -> None:
    assert low < pairs_for_equivalence(0.05, sd, BOUND, tests) <= high


def test_without_spread_the_law_is_met() -> None:
    for effect in (0.05, 0.1, 0.2):
        law = math.ceil(math.log(1 / 0.025) / math.log(1 + effect / BOUND))
        assert pairs_for_mean(effect, 0.0, BOUND) == law
        assert pairs_for_mean(effect, 0.02, BOUND) >= law
    assert pairs_for_equivalence(0.05, 0.0, 1.0) == 59  # .95^59 < .05
    assert pairs_in_runs_seen(0.05, 0.0) == 6  # 2 / 2^6 <= .05
    assert pairs_in_runs_seen(0.05, 0.0, tests=4) == 8


def test_in_runs_seen_the_power_is_that_of_a_t_test() -> None:
    for effect, tests in ((0.3, 1), (0.5, 1), (0.5, 4), (1.0, 4)):
        n = pairs_in_runs_seen(effect, 1.0, tests)
        power = TTestPower().power(effect, np.array([n - 1.0, n]), 0.05 / tests)
        assert power[0] < 0.8 <= power[1]


@pytest.mark.parametrize(
    ("n", "mean", "sd"), [(40, 0.15, 0.05), (90, 0.05, 0.06), (80, 0.1, 0.25), (300, 0.05, 0.25)]
)
def test_the_p_of_quantiles_is_that_of_the_test(n: int, mean: float, sd: float) -> None:
    quantiles = stats.norm.ppf((np.arange(n) + 0.5) / n)
    d = np.clip(mean + sd * quantiles / quantiles.std(), -BOUND, BOUND)
    assert planning._p_up(n, mean, sd, BOUND) == pytest.approx(Dirichlet.of(d, BOUND).p_up(), rel=0.06)


def _open(d: np.ndarray, delta: float) -> bool:
    """Whether a sample shows nothing: neither equivalent nor different, or that by less than matters."""
    test = Dirichlet.of(d, BOUND)
    small = abs(d.mean()) + stats.t.ppf(0.95, d.size - 1) * d.std(ddof=1) / math.sqrt(d.size) < delta
    differs = not small and min(stats.ttest_1samp(d, 0).pvalue, test.p_value()) <= 0.05
    return not (differs or test.equivalence_p(delta) <= 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("effect", "sd"), [(0.1, 0.06), (0.1, 0.25)])
def test_studies_with_the_planned_pairs_decide_in_80_of_100(effect: float, sd: float) -> None:
    rng, studies = np.random.default_rng(0), 300
    error = 3 * math.sqrt(0.8 * 0.2 / studies)
    n = pairs_for_mean(effect, sd, BOUND)
    drawn = np.clip(rng.normal(effect, sd, size=(studies, n)), -BOUND, BOUND)
    assert np.mean([Dirichlet.of(d, BOUND).p_up() <= 0.025 for d in drawn]) == pytest.approx(0.8, abs=error)
    n, delta = pairs_for_equivalence(effect, sd, BOUND), effect
    drawn = np.clip(rng.normal(0, sd, size=(studies, n)), -BOUND, BOUND)
    equal = np.mean([Dirichlet.of(d, BOUND).equivalence_p(delta) <= 0.05 for d in drawn])
    assert equal == pytest.approx(0.8, abs=error)
    half = np.clip(rng.normal(delta / 2, sd, size=(studies, n)), -BOUND, BOUND)
    still = [_open(d, delta) for d in half]
    assert np.mean(still) == pytest.approx(undecided(n, delta / 2, delta, sd, BOUND), abs=error + 0.02)


def test_the_standard_deviation_of_a_pilot_is_inflated() -> None:
    assert inflated(1.0, 20) == pytest.approx(math.sqrt(19 / 13.716), rel=1e-4)  # chi2_{.2, 19}
    assert inflated(0.1, 6) == pytest.approx(0.1 * math.sqrt(5 / 2.3425), rel=1e-4)
    rng = np.random.default_rng(1)
    sds = rng.normal(size=(4000, 8)).std(axis=1, ddof=1)
    assert np.mean([inflated(sd, 8) < 1 for sd in sds]) == pytest.approx(0.2, abs=0.02)


def test_what_is_no_pilot_has_no_plan() -> None:
    d = np.random.default_rng(2).normal(0.02, 0.05, size=20)
    found = plan(d, 0.05, BOUND, tests=4)
    assert found == plan_with(inflated(float(d.std(ddof=1)), 20), 0.05, BOUND, 4)
    assert plan(d[:5], 0.05, BOUND) is None
    assert plan(np.zeros(20), 0.05, BOUND) is None  # ties at the ceiling
    outlier = np.append(d, 40.0)
    assert one_pair_decides(outlier)
    assert not one_pair_decides(d)
    assert plan(outlier, 0.05, None) is None
    assert plan(np.append(np.zeros(19), 1.0), 0.05, 1.0) is None  # one event
    assert plan(np.append(np.zeros(17), [1.0, 1.0, -1.0]), 0.05, 1.0) is not None


def test_a_plan_without_a_bound_is_for_the_runs_seen() -> None:
    found = plan_with(0.1, 0.05, None)
    assert (found.mean, found.equivalent, found.pairs) == (None, None, found.in_runs_seen)
    bounded = plan_with(0.1, 0.05, BOUND)
    assert bounded.pairs == max(bounded.in_runs_seen, bounded.mean, bounded.equivalent)
    assert plan_with(0.2, 0.0001, BOUND).pairs is None  # no number of seeds


def test_what_stays_open_shrinks_with_the_pairs_and_is_larger_between_the_verdicts() -> None:
    shares = [undecided(n, 0.0, 0.05, 0.1, BOUND) for n in (20, 60, 120, 240)]
    assert shares[0] == pytest.approx(0.95)  # 5% differ by chance in the runs seen, and nothing else is possible
    assert shares[1] > shares[2] > shares[3]
    assert shares[3] < 0.01
    found = plan_with(0.1, 0.05, BOUND)
    assert 0 < found.open_at_zero < found.open_at_half < 1
    assert undecided(100, 0.0, 0.05, 0.0, BOUND) == 0.0  # without spread all is decided


@pytest.mark.parametrize(("pilot", "guessed", "planned"), [(6, 0.34, 0.10), (20, 0.17, 0.03)])
def test_plans_with_an_inflated_sd_seldom_lack_power(pilot: int, guessed: float, planned: float) -> None:
    """Shares of plans with a power below 60%, of pilots at even quantiles; docs/power.md has them."""
    sd, effect, tests = 0.1, 0.05, 4
    found = np.sqrt(stats.chi2.ppf((np.arange(100) + 0.5) / 100, pilot - 1) / (pilot - 1))

    def weak(sds: list[float]) -> float:
        pairs = [pairs_in_runs_seen(effect, one, tests) or 0 for one in sds]
        return float(np.mean([planning._power_in_runs_seen(n, effect, sd, 0.05 / tests) < 0.6 for n in pairs]))

    assert weak([sd * one for one in found]) == pytest.approx(guessed, abs=0.03)
    assert weak([inflated(sd * one, pilot) for one in found]) == pytest.approx(planned, abs=0.03)
