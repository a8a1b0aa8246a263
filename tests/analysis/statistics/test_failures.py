"""Failures, pairs won and break-even rates against scipy, statsmodels, hand values."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from rl_warmup.analysis.statistics.failures import break_even, failures, pairs_won, rate


def arms(both: int, treatment: int, control: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs in which both runs fail, that of one arm only, or none."""
    x = np.repeat([1.0, 1.0, 0.0, 0.0], [both, treatment, control, neither])
    return x, np.repeat([1.0, 0.0, 1.0, 0.0], [both, treatment, control, neither])


@pytest.mark.parametrize(("count", "n"), [(0, 1), (0, 200), (4, 200), (3, 12), (12, 12), (1, 2)])
def test_limits_of_a_rate(count: int, n: int) -> None:
    found = rate(count, n)
    assert (found.count, found.n) == (count, n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(count, n, 0.05, method="beta"))
    assert found.upper == pytest.approx(proportion_confint(count, n, 0.10, method="beta")[1])
    if count < n:  # at its limit, so few failures have a probability of 5%
        assert stats.binom(n, found.upper).cdf(count) == pytest.approx(0.05)


def test_four_of_200_runs_by_hand() -> None:
    """Rates up to 4.5% and 1.5% are not excluded, where 4 and 0 of 200 runs failed."""
    assert rate(4, 200).upper == pytest.approx(0.045, abs=5e-4)
    assert rate(0, 200).upper == pytest.approx(1 - 0.05 ** (1 / 200))
    assert rate(0, 200).high == pytest.approx(1 - 0.025 ** (1 / 200))


@pytest.mark.parametrize(
    "table", [(0, 4, 0, 36), (3, 9, 1, 27), (2, 5, 5, 8), (0, 0, 0, 20), (4, 0, 0, 0), (0, 1, 6, 3)]
)
def test_failures_against_statsmodels(table: tuple[int, int, int, int]) -> None:
    both, treatment, control, neither = table
    x, y = arms(*table)
    found = failures(x, y)
    assert found.treatment == rate(both + treatment, sum(table))
    assert found.control == rate(both + control, sum(table))
    assert found.p_value == pytest.approx(mcnemar([[both, treatment], [control, neither]], exact=True).pvalue)
    half = stats.binom(treatment + control, 0.5).pmf(treatment)
    assert found.p_mid == pytest.approx(found.p_value - half if treatment != control else 1.0)
    swapped = failures(y, x)
    assert (swapped.treatment, swapped.p_value, swapped.p_mid) == (found.control, found.p_value, found.p_mid)


def test_four_new_failures_by_hand() -> None:
    found = failures(*arms(0, 4, 0, 36))
    assert (found.p_value, found.p_mid) == pytest.approx((2 / 16, 1 / 16))


def test_pairs_won() -> None:
    d = [0.1] * 12 + [-0.3] * 2 + [0.0]
    found = pairs_won(d)
    assert (found.won, found.lost, found.tied) == (12, 2, 1)
    assert found.p_value == pytest.approx(2 * (1 + 14 + 91) / 2**14)
    assert (found.low, found.high) == pytest.approx(proportion_confint(12, 14, 0.05, method="beta"))
    mirrored = pairs_won(d, "lower")
    assert (mirrored.won, mirrored.lost, mirrored.p_value) == (2, 12, found.p_value)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low))


def test_ties_alone_show_nothing() -> None:
    found = pairs_won(np.zeros(7))
    assert (found.won, found.lost, found.tied, found.p_value) == (0, 0, 7, 1.0)
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_break_even_rate_by_hand() -> None:
    """+0.10 in 12 of 12 pairs is undone if 8.8% of the treated runs lose everything; 12 pairs exclude over 26%."""
    found = break_even(0.1, 1.03, rate(0, 12))
    assert found is not None
    assert found.rate == pytest.approx(0.1 / 1.13)
    assert 0.1 * (1 - found.rate) - 1.03 * found.rate == pytest.approx(0)  # the mean with so many losses
    assert found.excluded == pytest.approx(1 - 0.025 ** (1 / 12))
    assert not found.resolved
    assert break_even(-0.1, 1.03, rate(0, 12)) == found
    enough = break_even(0.1, 1.03, rate(0, 40))
    assert enough is not None
    assert enough.resolved
    assert break_even(0.0, 1.03, rate(0, 12)) is None


def test_what_cannot_be_counted_is_refused() -> None:
    for count, n in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match=f"{count} of {n} runs"):
            rate(count, n)
    with pytest.raises(ValueError, match="2 treatment and 1 control"):
        failures([0, 1], [0])
    with pytest.raises(ValueError, match=r"met 0\.5"):
        failures([0.5, 1], [0, 1])
    with pytest.raises(ValueError, match="unknown direction"):
        pairs_won([1.0], "up")
    with pytest.raises(ValueError, match="above 0"):
        break_even(0.1, 0.0, rate(0, 12))
