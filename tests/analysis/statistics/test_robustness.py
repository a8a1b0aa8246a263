"""Learning-rate robustness against a fitted library, by hand and on simulated grids."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from statsmodels.tools.sm_exceptions import PerfectSeparationError, PerfectSeparationWarning

from rl_warmup.analysis.statistics.robustness import (
    eta50,
    log2_ratio,
    lr_sensitivity,
    percentile_scaled,
    phi,
    too_few,
)

RATES = np.arange(-10.0, -3.0)  # log2, seven rates a factor of two apart
QUICK = settings(deadline=None, max_examples=40, derandomize=True)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def grid(shares: list[float], seeds: int = 20) -> np.ndarray:
    """Success [seeds, rates] with these shares of the seeds."""
    return (np.arange(seeds)[:, None] < np.round(seeds * np.array(shares))).astype(float)


def simulated(generator: np.random.Generator, log2_edge: float, seeds: int = 20) -> np.ndarray:
    p = 1 / (1 + np.exp(2 * (RATES - log2_edge)))
    return (generator.random((seeds, RATES.size)) < p).astype(float)


@pytest.mark.parametrize("seed", range(8))
def test_the_fit_is_the_library_s_from_the_best_rate_on(seed: int) -> None:
    success = simulated(rng(seed), -6.3)
    share, first = success.mean(axis=0), success.mean(axis=0).argmax()
    counts = np.column_stack([success.sum(axis=0), (1 - success).sum(axis=0)])[first:]
    library = sm.GLM(counts, sm.add_constant(RATES[first:]), family=sm.families.Binomial()).fit()
    middle, side = eta50(RATES, success)
    assert side == 0
    assert 0 < share[first + 1] <= 1
    assert middle == pytest.approx(-library.params[0] / library.params[1], abs=0.01)  # the ridge moves it so much


@QUICK
@given(st.lists(st.integers(0, 12), min_size=4, max_size=7))
def test_many_grids_at_once_are_each_by_itself_and_near_the_library_s(counts: list[int]) -> None:
    x = np.arange(len(counts)) * 1.0
    success = grid([count / 12 for count in counts], 12)
    other = grid([1.0] + [0.0] * (len(counts) - 1), 12)
    middles, sides = eta50(x, np.stack([success, other]))
    alone, side = eta50(x, success)
    assert (middles[0], sides[0]) == (pytest.approx(float(alone), nan_ok=True), side)
    first = int(np.argmax(counts))
    partial = [0 < count < 12 for count in counts[first:]]
    assume(side == 0 and sum(partial) > 1 and len(partial) > 2)
    both = np.array([[count, 12 - count] for count in counts])[first:]
    try:
        params = sm.GLM(both, sm.add_constant(x[first:]), family=sm.families.Binomial()).fit().params
    except (PerfectSeparationError, PerfectSeparationWarning):  # warnings are errors here
        return
    assume(params[1] < -0.3)  # the ridge matters where nothing falls
    assert alone == pytest.approx(-params[0] / params[1], abs=0.05)


@pytest.mark.parametrize(
    ("shares", "middle", "side"),
    [
        ([1, 1, 1, 0, 0, 0, 0], -7.5, 0),  # separated: half way between, by the ridge
        ([0, 0.5, 1, 1, 1, 0, 0], -5.5, 0),  # rates below the best one play no part
        ([1, 1, 1, 1, 1, 1, 1], None, 1),
        ([1, 1, 1, 1, 1, 1, 0.5], None, 1),
        ([0, 0, 0, 0, 0, 0, 1], None, 1),
        ([0, 0, 0, 0, 0, 0, 0], None, -1),
        ([0.4, 0.4, 0.2, 0, 0, 0, 0], None, -1),
    ],
)
def test_critical_rates_of_grids_by_hand(shares: list[float], middle: float | None, side: int) -> None:
    found, where = eta50(RATES, grid(shares))
    assert where == side
    assert np.isnan(found) if middle is None else found == pytest.approx(middle, abs=0.1)


def test_a_doubling_is_supported_its_mirror_harms_and_nothing_is_refuted() -> None:
    generator = rng(3)
    low, high = simulated(generator, -7, 40), simulated(generator, -6, 40)
    found = log2_ratio(RATES, high, low)
    assert found.finding == "supported"
    assert found.ci_low < 1 < found.ci_high
    assert found.log2_ratio == pytest.approx(np.log2(found.eta50_treatment / found.eta50_control))
    mirror = log2_ratio(RATES, low, high)
    assert mirror.finding == "harms"
    assert (mirror.ci_low, mirror.ci_high) == pytest.approx((-found.ci_high, -found.ci_low))
    same = log2_ratio(RATES, low, low)
    assert (same.log2_ratio, same.finding) == (0.0, "refuted")
    assert log2_ratio(RATES, high, low) == found  # what is drawn depends on n alone


def test_what_the_grid_does_not_reach_is_censored_and_unbounded() -> None:
    everywhere, edge = grid([1.0] * 7), grid([1, 1, 0.8, 0.5, 0.2, 0, 0])
    found = log2_ratio(RATES, everywhere, edge)
    assert (found.censored_treatment, found.censored_control) == ("above", None)
    assert (found.eta50_treatment, found.log2_ratio, found.ci_high) == (None, None, None)
    assert found.ci_low > 2  # it lies above the last rate, and so much is known
    assert found.finding == "supported"
    both = log2_ratio(RATES, everywhere, everywhere)
    assert (both.ci_low, both.ci_high, both.finding) == (None, None, "censored")
    nowhere = log2_ratio(RATES, grid([0.0] * 7), edge)
    assert (nowhere.censored_treatment, nowhere.ci_low, nowhere.finding) == ("below", None, "harms")


def test_a_step_from_all_seeds_to_none_is_known_only_to_one_step() -> None:
    step = grid([1, 1, 1, 0, 0, 0, 0])
    found = log2_ratio(RATES, step, step)
    assert (found.log2_ratio, found.ci_low, found.ci_high) == (0.0, -1.0, 1.0)
    assert found.finding == "undecided"
    next_step = log2_ratio(RATES, grid([1, 1, 1, 1, 0, 0, 0]), step)
    assert (next_step.ci_low, next_step.ci_high) == (0.0, 2.0)


def test_a_verdict_takes_ten_seeds_five_rates_and_steps_of_four() -> None:
    assert too_few(RATES, 10) == too_few([0.0, 2.0, 4.0, 6.0, 8.0], 10) == ""
    assert too_few(RATES, 9) == "9 seeds, and it takes 10"
    assert too_few([0.0, 3.0, 6.0], 20) == (
        "3 learning rates, and it takes 5; steps of a factor 8, and at most 4 will do"
    )
    generator = rng(3)
    low, high = simulated(generator, -7, 9), simulated(generator, -6, 9)
    found = log2_ratio(RATES, high, low)
    assert (found.finding, found.log2_ratio > 0, found.ci_low is not None) == ("descriptive", True, True)


def test_equal_arms_are_seldom_called_different() -> None:
    generator, studies = rng(5), 200
    arms = [(simulated(generator, -6.4), simulated(generator, -6.4)) for _ in range(studies)]
    findings = [log2_ratio(RATES, *pair, resamples=400).finding for pair in arms]
    assert sum(found in ("supported", "harms") for found in findings) <= 0.1 * studies
    assert "censored" not in findings


def test_sensitivity_by_hand() -> None:
    assert lr_sensitivity([0.5, 1.0, -0.25]) == pytest.approx((0.5 + 0 + 1) / 3)  # -.25 is no better than random
    assert lr_sensitivity([0.8, 0.8]) == 0
    assert lr_sensitivity([0.0, -1.0]) is None
    # two environments want the first setting, one the second, and all of it matters
    assert phi([[1, 0], [1, 0], [0, 1]]) == pytest.approx(1 - 2 / 3)
    assert phi([[0.2, 0.9]] * 4) == 0
    runs = np.arange(101.0)
    assert percentile_scaled([5, 50, 95, 100], runs) == pytest.approx([0, 0.5, 1, 95 / 90])
    assert percentile_scaled([3.0, 3.0], [3.0] * 9).tolist() == [0, 0]


@QUICK
@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=3, max_size=6), st.data())
def test_phi_is_not_negative_and_does_not_know_the_order(scores: list[list[float]], data: st.DataObject) -> None:
    value = phi(scores)
    assert -1e-12 <= value <= 1
    assert phi(data.draw(st.permutations(scores))) == pytest.approx(value)
    assert phi(np.array(scores)[:, ::-1]) == pytest.approx(value)


def test_bad_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="give two or more, rising"):
        eta50([1.0, 1.0], np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"success \(3, 2\) for 3 rates"):
        eta50([1.0, 2.0, 3.0], np.zeros((3, 2)))
    with pytest.raises(ValueError, match="0 or 1 for every run"):
        eta50([1.0, 2.0], [[0.5, 1.0]])
    with pytest.raises(ValueError, match="1 seeds: give two or more"):
        log2_ratio(RATES, grid([1.0] * 7, 1), grid([1.0] * 7, 1))
    with pytest.raises(ValueError, match="give both as"):
        log2_ratio(RATES, grid([1.0] * 7, 3), grid([1.0] * 7, 4))
    with pytest.raises(ValueError, match="three environments or more"):
        phi([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="one finite mean for each"):
        lr_sensitivity([float("nan")])
