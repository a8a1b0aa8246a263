"""The Dirichlet test of a bounded mean against exact arithmetic, counting, Clopper and Pearson, and hand values."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from helpers import oracles_statistics as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from rl_warmup.analysis.statistics import dirichlet
from rl_warmup.analysis.statistics.dirichlet import Dirichlet

QUICK = settings(deadline=None, max_examples=40)
EIGHTHS = st.integers(-8, 8).map(lambda i: i / 8)
DIFFERENCES = st.lists(EIGHTHS, min_size=1, max_size=12)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def spread(n: int, mean: float, sd: float, seed: int = 0) -> np.ndarray:
    return np.clip(rng(seed).normal(mean, sd, n), -1, 1)


@pytest.mark.parametrize(
    ("d", "bound", "center"),
    [
        (spread(3, 0.1, 0.3), 1.0, 0.0),
        (spread(10, 0.2, 0.3, 1), 1.03, 0.0),
        (spread(10, 0.2, 0.3, 2), 1.03, -0.05),
        (spread(40, 0.1, 0.25, 3), 1.05, 0.0),
        (np.append(spread(40, 0.1, 0.06, 4), -1.0), 1.05, 0.0),
        (spread(100, 0.05, 0.1, 5), 1.03, 0.02),
        (spread(100, 0.0, 0.1, 6), 2.0, -0.05),
    ],
)
def test_p_agrees_with_exact_arithmetic_and_with_counted_weights(
    d: np.ndarray, bound: float, center: float
) -> None:
    test, draws = Dirichlet.of(d, bound), 40_000
    exact = oracle.dirichlet_p(list(d), bound, center)
    assert test.p_up(center) == pytest.approx(exact, rel=1e-8)
    assert Dirichlet.of(-d, bound).p_down(-center) == test.p_up(center)
    counted = oracle.dirichlet_counted(list(d), bound, center, draws, rng(7))
    assert counted == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / draws))


@pytest.mark.parametrize(("up", "level"), [(0.02, 1), (0.5, 1e-12), (0.9, 1e-15)])
def test_p_has_no_floor(up: float, level: float) -> None:
    d = np.append(-0.02, rng(8).uniform(up, 1, 59))
    exact = oracle.dirichlet_p(list(d), 1.05)
    assert exact < level
    assert Dirichlet.of(d, 1.05).p_up() == pytest.approx(exact, rel=1e-8)


@QUICK
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=25, unique=True), st.integers(-900, 900))
def test_p_agrees_with_exact_arithmetic_whatever_the_differences(thousandths: list[int], center: int) -> None:
    d, c = [i / 1000 for i in thousandths], center / 1000 + 1e-4
    exact = oracle.dirichlet_p([Fraction(i, 1000) for i in thousandths], 1.001, Fraction(10 * center + 1, 10_000))
    assert Dirichlet.of(d, 1.001).p_up(c) == pytest.approx(exact, rel=1e-6, abs=1e-300)


def test_two_differences_by_quadrature() -> None:
    low, high, bound, center = -0.3, 0.8, 1.1, 0.1

    def integrand(g: float, h: float) -> float:
        return float(np.exp(-max(0.0, (low - center) * g + (high - center) * h) / (bound + center) - g - h))

    expected, _ = integrate.dblquad(integrand, 0, 40, 0, 40, epsabs=1e-7)
    assert Dirichlet.of([high, low], bound).p_up(center) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n", [1, 5, 78])
def test_differences_of_one_sign_are_a_product(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirichlet, "negative", None)  # calling it would fail
    d = rng(n).uniform(0.01, 1, n)
    assert Dirichlet.of(d, 1.03).p_value() == pytest.approx(min(1, 2 * np.prod(1.03 / (1.03 + d))), rel=1e-12)
    assert Dirichlet.of(-d, 1.03).p_value() == Dirichlet.of(d, 1.03).p_value()
    assert Dirichlet.of(d, 1.03).p_down() == 1.0


def test_equal_differences_are_rejected_as_soon_as_a_law_allows() -> None:
    """No valid test may reject before (b / (b + d))^n <= .025: 78 pairs at +.05, 40 at +.1, 21 at +.2."""
    for d, n in ((0.05, 78), (0.1, 40), (0.2, 21)):
        assert Dirichlet.of([d] * n, 1.03).p_value() <= 0.05 < Dirichlet.of([d] * (n - 1), 1.03).p_value()


@pytest.mark.parametrize(("up", "n"), [(0, 20), (3, 20), (17, 20), (20, 20), (1, 6), (60, 100)])
def test_two_values_at_the_bounds_give_clopper_and_pearson(up: int, n: int) -> None:
    d = [2.0] * up + [-2.0] * (n - up)
    limits = stats.binomtest(up, n).proportion_ci(0.95, method="exact")
    assert Dirichlet.of(d, 2.0).interval() == pytest.approx((4 * limits.low - 2, 4 * limits.high - 2), abs=1e-8)
    exact = stats.binomtest(up, n, 0.5, alternative="greater").pvalue
    assert Dirichlet.of(d, 2.0).p_up() == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize(("n", "gain"), [(10, 0.1), (20, 0.1), (40, 0.05), (100, 0.02), (100, 0.1)])
def test_the_level_holds_exactly_where_rare_losses_balance_a_gain(n: int, gain: float) -> None:
    """Mean 0: +gain, or the worst value, counted over all numbers of losses; every sample of them is possible."""
    rate = gain / (1 + gain)
    for level in (0.025, 0.005):
        wrong = [
            stats.binom(n, rate).pmf(lost)
            for lost in range(n + 1)
            if Dirichlet.of([gain] * (n - lost) + [-1.0] * lost, 1.0).p_up() <= level
        ]
        assert sum(wrong) <= level


def test_no_differences_at_all_by_hand() -> None:
    test = Dirichlet.of(np.zeros(200), 1.0)
    width = 1 - 0.025 ** (1 / 200)
    assert test.p_value() == 1.0
    assert test.interval() == pytest.approx((-width, width), rel=1e-9)
    assert test.equivalence_p(0.05) == pytest.approx(0.95**200)
    assert (
        Dirichlet.of(np.zeros(59), 1.0).equivalence_p(0.05)
        <= 0.05
        < Dirichlet.of(np.zeros(58), 1.0).equivalence_p(0.05)
    )


def test_differences_at_a_bound() -> None:
    least = 2 * 0.025 ** (1 / 5) - 1  # (1 + c)^5 = .025 * 2^5
    assert Dirichlet.of([-1.0] * 5, 1.0).interval() == pytest.approx((-1.0, -least))
    assert Dirichlet.of([1.0] * 5, 1.0).interval() == pytest.approx((least, 1.0))
    test = Dirichlet.of([1.0, -1.0], 1.0)
    assert test.p_up(-1.0) == test.p_down(1.0) == 0.0
    assert test.p_up(1.0) == test.p_down(-1.0) == 1.0
    assert test.interval()[0] >= -1


def test_rounding_is_no_difference() -> None:
    noise = [0.1 + 0.2 - 0.3, 0.0, -1e-16]
    assert Dirichlet.of(noise, 1.0).interval() == Dirichlet.of([0.0] * 3, 1.0).interval()
    assert Dirichlet.of([1.0 + 1e-12, 0.5], 1.0).p_up() == Dirichlet.of([1.0, 0.5], 1.0).p_up()


@QUICK
@given(DIFFERENCES, st.data())
def test_symmetries(d: list[float], data: st.DataObject) -> None:
    test = Dirichlet.of(d, 1.0)
    shuffled = Dirichlet.of(data.draw(st.permutations(d)), 1.0)
    assert shuffled.p_value() == test.p_value()
    assert shuffled.interval() == test.interval()
    mirrored = Dirichlet.of([-v for v in d], 1.0)
    assert mirrored.p_value() == test.p_value()
    assert mirrored.interval() == pytest.approx([-end for end in test.interval()[::-1]], abs=1e-12)
    scaled = Dirichlet.of([1e-6 * v for v in d], 1e-6)
    assert scaled.p_value() == pytest.approx(test.p_value(), rel=1e-9)
    assert scaled.interval() == pytest.approx([1e-6 * end for end in test.interval()], abs=1e-12)


@QUICK
@given(DIFFERENCES, st.sampled_from([0.05, 0.1, 0.5]))
def test_the_interval_holds_what_is_not_rejected(d: list[float], alpha: float) -> None:
    test = Dirichlet.of(d, 1.0)
    low, high = test.interval(alpha)
    assert -1 <= low <= np.mean(d) <= high <= 1
    assert test.p_up(low - 1e-6) <= alpha / 2 <= test.p_up(low + 1e-6)
    assert test.p_down(high + 1e-6) <= alpha / 2 <= test.p_down(high - 1e-6)
    for delta in (0.05, 0.3):
        inside = -delta < test.interval(2 * alpha)[0] and test.interval(2 * alpha)[1] < delta
        assert inside == (test.equivalence_p(delta) < alpha)


@QUICK
@given(DIFFERENCES, st.lists(st.floats(-1, 1), min_size=2, max_size=8))
def test_p_grows_with_the_mean_that_it_speaks_against(d: list[float], centers: list[float]) -> None:
    test = Dirichlet.of(d, 1.0)
    found = [test.p_up(c) for c in sorted(centers)]
    assert all(0 <= p <= 1 for p in found)
    assert all(after >= before * (1 - 1e-6) for before, after in itertools.pairwise(found))


def test_what_is_no_bounded_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        Dirichlet.of([], 1.0)
    with pytest.raises(ValueError, match=r"difference -1\.2 beyond ±1: clip the runs, or declare wider bounds"):
        Dirichlet.of([0.3, -1.2], 1.0)
    for bound in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="finite number above 0"):
            Dirichlet.of([0.0], bound)
    with pytest.raises(ValueError, match="diverged"):
        Dirichlet.of([np.nan], 1.0)
