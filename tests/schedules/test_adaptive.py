"""The rate that follows the KL of updates, against rl_games's rule written as its authors do."""

from hypothesis import given
from hypothesis import strategies as st

from rl_warmup.schedules.adaptive import KLAdaptive, kl_adapted

RATES, KLS, TARGETS = st.floats(1e-8, 1.0), st.floats(-1.0, 10.0), st.floats(1e-5, 1.0)


@given(RATES, KLS, TARGETS)
def test_the_rate_is_that_of_rl_games(rate: float, kl: float, target: float) -> None:
    expected = rate
    if kl > 2.0 * target:
        expected = max(rate / 1.5, 1e-6)
    if kl < 0.5 * target:
        expected = min(rate * 1.5, 1e-2)
    assert kl_adapted(rate, kl, target) == expected


def test_a_kl_that_is_not_known_changes_nothing() -> None:
    assert kl_adapted(1e-3, float("nan"), 0.01) == 1e-3


def test_a_schedule_follows_its_updates() -> None:
    """Down twice, held, up once: whatever the share of the run, the rate is the one of now."""
    base = KLAdaptive(9e-4, target=0.01)
    rates = []
    for kl in (0.03, 0.021, 0.01, 0.001):
        rates.append((base(0.0), base(1.0)))
        base.adapt(kl)
    expected = [9e-4, 9e-4 / 1.5, 9e-4 / 1.5 / 1.5, 9e-4 / 1.5 / 1.5]
    assert rates == [(rate, rate) for rate in expected]
    assert base(0.5) == expected[-1] * 1.5
