"""Estimators and classical tests against libraries, slow loops and hand-worked values."""

import itertools

import numpy as np
import pytest
from helpers import oracles_statistics as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from rl_warmup.analysis.statistics import estimators
from rl_warmup.analysis.statistics.sign_flips import SignFlips

QUICK = settings(deadline=None, max_examples=40)
EIGHTHS = st.integers(-16, 16).map(lambda i: i / 8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=14))
def test_mcnemar_is_the_library_s_and_the_sign_flip_test(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, dtype=float).T
    table = [[np.sum((x == i) & (y == j)) for j in (0, 1)] for i in (0, 1)]
    p = estimators.mcnemar_p(x, y)
    if x.tolist() != y.tolist():  # statsmodels divides by the number of discordant pairs
        assert p == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert p == pytest.approx(SignFlips.of(x - y).p_value())


def test_mcnemar_by_hand() -> None:
    assert estimators.mcnemar_p([0] * 6 + [1] * 9, [1] * 15) == pytest.approx(2 / 64)
    assert estimators.mcnemar_p([1, 0] * 30, [1, 0] * 30) == 1.0
    with pytest.raises(ValueError, match=r"met 0\.5: give 0 or 1"):
        estimators.mcnemar_p([0.5], [1])


def test_iqm_of_the_published_examples() -> None:
    x, y = [[1, 2], [2, 2], [1, 1], [2, 1]], [[1, 1], [2, 2], [3, 3]]
    assert (estimators.iqm(x), estimators.iqm(y)) == (pytest.approx(1.5), pytest.approx(2))
    assert estimators.iqm([[0, 1, 5, 90], [4, 2, 2, 0]], axis=1).tolist() == [3, 2]


@QUICK
@given(st.lists(EIGHTHS, min_size=1, max_size=12))
def test_iqm_is_the_slow_one(x: list[float]) -> None:
    assert estimators.iqm(x) == pytest.approx(oracle.iqm(x))


def test_iqm_interval_agrees_with_a_slow_bca() -> None:
    values = rng(8).exponential(size=18)
    generator = rng(9)
    draws = [oracle.iqm(generator.choice(values, size=18).tolist()) for _ in range(4000)]
    expected = oracle.bca_interval(values.tolist(), draws, 0.05)
    assert estimators.iqm_interval(values) == pytest.approx(expected, abs=0.03)
    assert abs(np.quantile(draws, 0.975) - expected[1]) > 0.04  # the percentile interval is another


def test_iqm_interval_of_constant_and_tied_data() -> None:
    assert estimators.iqm_interval([0.7] * 9) == pytest.approx((0.7, 0.7), abs=1e-15)
    assert estimators.iqm_interval([0.0] * 15 + [1.0]) is None  # every leave-one-out IQM is 0
    assert estimators.iqm_interval([3.0]) is None


def test_sensitivity_analyses_agree_with_scipy() -> None:
    x, y = rng(1).normal(1, 1, 7), rng(2).normal(0, 3, 7)
    assert estimators.welch_p(x, y) == pytest.approx(stats.ttest_ind(x, y, equal_var=False).pvalue)
    assert estimators.correlation(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert estimators.unpaired_p([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(2 / 70)
    assert estimators.unpaired_p(np.arange(30), np.arange(30) + 30) == pytest.approx(2 / 10_001)


def test_the_unpaired_p_is_scipy_s_with_few_runs_and_near_it_with_many() -> None:
    def means(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.mean(x, axis=axis) - np.mean(y, axis=axis)

    for n, m, within in ((5, 6, 1e-12), (18, 23, 0.02)):
        x, y = rng(n).normal(0.2, 1, n), np.append(rng(m).normal(0, 1, m - 1), 0.1)
        scipy_s = stats.permutation_test((x, y), means, vectorized=True, n_resamples=10_000, rng=rng(0)).pvalue
        assert 0.02 < scipy_s < 0.98
        assert estimators.unpaired_p(x, y) == pytest.approx(scipy_s, abs=within)
    assert estimators.unpaired_p([0.1 + 0.2] * 30, [0.3] * 30) == 1.0


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1 + 0.2, -200.7])
def test_what_is_undefined_on_constant_data_is_none(value: float) -> None:
    x, y = [value] * 6, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert estimators.correlation(x, y) is None
    assert estimators.welch_p(x, x) is None
    assert estimators.welch_p(x, [value + 1] * 6) is None
    # one constant side is Welch's test against a number
    assert estimators.welch_p(x, y) == pytest.approx(stats.ttest_1samp(y, value).pvalue)


# ---- dispersion ----


def test_brown_forsythe_of_few_runs_counts_all_permutations_of_the_aligned_values() -> None:
    x, y = [10.0, 11.0, 12.5, 14.25], [0.0, 0.25, 0.125]
    aligned = [v - float(np.median(one)) for one in (x, y) for v in one]
    observed = oracle.levene(aligned[:4], aligned[4:])
    found = [
        oracle.levene([aligned[i] for i in first], [aligned[i] for i in range(7) if i not in first])
        for first in itertools.combinations(range(7), 4)
    ]
    expected = np.mean([value >= observed * (1 - 1e-9) for value in found])
    assert estimators.brown_forsythe_p(x, y) == pytest.approx(expected)
    assert observed == pytest.approx(stats.levene(x, y, center="median").statistic)


def test_brown_forsythe_sees_spread_and_no_shift() -> None:
    x, y = rng(1).normal(0, 1, 30), rng(2).normal(5, 1, 30)
    p = estimators.brown_forsythe_p(x, y)
    assert p == pytest.approx(stats.levene(x, y, center="median").pvalue, abs=0.05)
    assert estimators.brown_forsythe_p(x + 7, y) == pytest.approx(p, abs=0.01)
    assert estimators.brown_forsythe_p(rng(3).permutation(x), y) == p
    assert estimators.brown_forsythe_p(x, 8 * y) == pytest.approx(1 / 10_001)


def test_brown_forsythe_of_what_has_no_spread() -> None:
    assert estimators.brown_forsythe_p([1.0] * 5, [2.0] * 5) is None
    assert estimators.brown_forsythe_p([0.1 + 0.2] * 5, [0.3] * 5) is None
    assert estimators.brown_forsythe_p([1.0, 2.0], [1.0, 2.0, 3.0]) is None
    # one side at the ceiling throughout: 2 of the 252 permutations are as uneven
    assert estimators.brown_forsythe_p([1.0] * 5, [0.0, 1.0, 2.0, 3.0, 4.0]) < 0.1
    assert estimators.brown_forsythe_p([0.0, 0.0, 1.0, 1.0], [5.0, 5.0, 6.0, 6.0]) == 1.0
