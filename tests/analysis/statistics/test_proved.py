"""Betting and Phan's bound against slow loops, linear programs, and their levels at two-point distributions."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog

from rl_warmup.analysis.statistics import proved
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.proved import Proved, betting, minorants, phan

METHODS = (betting, phan)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def samples() -> list[np.ndarray]:
    shapes = itertools.product((1, 6, 20, 60, 150), (0.0, 0.1, 0.4), (0.05, 0.3))
    return [np.clip(rng(n).normal(mean, sd, n), -1, 1) for n, mean, sd in shapes]


def wealth(d: np.ndarray, bound: float, center: float) -> float:
    """The evidence against mean <= center, bet by bet."""
    pots = []
    for stake in (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 0.95):
        pot = 1.0
        for value in d:
            pot *= 1 + stake * (value - center) / (bound + center)
        pots.append(pot)
    return float(np.mean(pots))


@pytest.mark.parametrize("d", samples())
def test_betting_by_a_loop(d: np.ndarray) -> None:
    found, bound = betting(d, 1.05), 1.05
    assert found.p_value == pytest.approx(min(1.0, 2 / max(wealth(d, bound, 0.0), wealth(-d, bound, 0.0), 1)))
    for side, limit in ((d, found.ci_low), (-d, -found.ci_high)):
        if limit > -bound:
            assert wealth(side, bound, limit) == pytest.approx(40, rel=1e-3)


@pytest.mark.parametrize("gain", [0.02, 0.1, 0.5])
def test_the_wealth_of_a_bet_on_nothing_is_one(gain: float) -> None:
    """Mean 0: +gain, or the worst value; every number of losses, weighted by its probability."""
    n, rate = 12, gain / (1 + gain)
    expected = 0.0
    for lost in range(n + 1):
        d = np.array([gain] * (n - lost) + [-1.0] * lost)
        expected += stats.binom(n, rate).pmf(lost) * wealth(d, 1.0, 0.0)
    assert expected == pytest.approx(1.0)


@pytest.mark.parametrize("n", [2, 5, 12])
def test_the_minorant_is_the_solution_of_a_linear_program(n: int) -> None:
    """The smallest sum of u_(i) gap_i over all gaps that Anderson's bound ranks no higher."""
    ranks = np.sort(rng(n).random((proved.DRAWS, n)), axis=1)[:20]
    levels = [max(0.0, i / n - math.sqrt(math.log(40) / (2 * n))) for i in range(1, n + 1)]
    for share in (0.0, 0.3, 0.9):
        at = share * levels[-1]
        expected = [
            linprog([0, *u], A_ub=[[0, *(-np.array(levels))]], b_ub=[-at], A_eq=[np.ones(n + 1)], b_eq=[1]).fun
            for u in ranks
        ]
        assert minorants(n, at)[:20] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("d", samples())
def test_what_is_proved_is_wider(method: object, d: np.ndarray) -> None:
    found, narrow = method(d, 1.05), Dirichlet.of(d, 1.05)  # type: ignore[operator]
    assert isinstance(found, Proved)
    low, high = narrow.interval()
    assert -1.05 <= found.ci_low <= low + 0.01
    assert high - 0.01 <= found.ci_high <= 1.05
    assert found.p_value >= narrow.p_value() * 0.9
    mirrored = method(-d, 1.05)  # type: ignore[operator]
    assert (mirrored.p_value, -mirrored.ci_high, -mirrored.ci_low) == pytest.approx(
        (found.p_value, found.ci_low, found.ci_high), abs=1e-9
    )
    assert method(rng(1).permutation(d), 1.05) == found  # type: ignore[operator]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("n", "gain"), [(12, 0.1), (40, 0.1), (100, 0.02)])
def test_the_level_holds_where_rare_losses_balance_a_gain(method: object, n: int, gain: float) -> None:
    wrong = sum(
        stats.binom(n, gain / (1 + gain)).pmf(lost)
        for lost in range(n + 1)
        if method([gain] * (n - lost) + [-1.0] * lost, 1.0).p_value <= 0.05  # type: ignore[operator]
    )
    assert wrong <= 0.05


def test_a_clear_effect_is_found() -> None:
    d = rng(3).normal(0.4, 0.1, 150)
    for method in METHODS:
        found = method(d, 1.05)
        assert found.p_value < 0.05
        assert 0 < found.ci_low < 0.4 < found.ci_high


@pytest.mark.parametrize("method", METHODS)
def test_differences_beyond_the_bound_are_refused(method: object) -> None:
    with pytest.raises(ValueError, match="beyond"):
        method([0.2, 2.0], 1.0)  # type: ignore[operator]
