"""Kaplan-Meier and restricted means against statsmodels, a slow loop and hand-worked values."""

import numpy as np
import pytest
from helpers import oracles_statistics as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.duration.survfunc import SurvfuncRight

from rl_warmup.analysis.statistics.survival import kaplan_meier, median, restricted_mean

QUICK = settings(deadline=None, max_examples=60)
# a run is watched up to the end of its budget unless it gets there
RUNS = st.lists(st.tuples(st.integers(0, 20).map(lambda i: i / 20), st.booleans()), min_size=1, max_size=12)


def test_the_textbook_example_of_leukemia_remission() -> None:
    """6-MP arm of Freireich et al. 1963, weeks; censored: 6 9 10 11 17 19 20 25 32 32 34 35."""
    events = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    censored = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    t, s = kaplan_meier(events + censored, [True] * 9 + [False] * 12)
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {int(a): b for a, b in zip(t, s, strict=True) if a in published} == pytest.approx(published, abs=5e-4)
    assert median(events + censored, [True] * 9 + [False] * 12) == 23


@QUICK
@given(RUNS)
def test_the_curve_is_the_library_s_and_its_area_a_slow_sum(runs: list[tuple[float, bool]]) -> None:
    times, reached = (list(column) for column in zip(*runs, strict=True))
    t, s = kaplan_meier(times, reached)
    for time in [i / 40 for i in range(41)]:
        at = s[np.searchsorted(t, time, side="right") - 1]
        assert at == pytest.approx(oracle.survival(times, reached, time))
    library = SurvfuncRight(times, reached)
    for time, share in zip(library.surv_times, library.surv_prob, strict=True):
        assert s[np.searchsorted(t, time, side="right") - 1] == pytest.approx(share)
    watched, got = [*times, 1.0], [*reached, False]
    area = sum(oracle.survival(watched, got, (i + 0.5) / 200) for i in range(200)) / 200
    assert restricted_mean(watched, got) == pytest.approx(area)


def test_runs_that_never_get_there_count_until_the_end_of_their_budget() -> None:
    assert restricted_mean([0.2, 1.0], [True, False]) == pytest.approx(0.6)
    assert restricted_mean([1.0, 1.0], [False, False]) == 1.0
    assert restricted_mean([0.2, 0.4], [True, True]) == pytest.approx(0.3)  # all there: S is 0 after .4
    assert restricted_mean([0.2, 1.5], [True, True]) == pytest.approx(0.6)  # what comes after the budget is 1
    assert median([0.2, 1.0, 1.0], [True, False, False]) is None
    assert median([0.2, 1.0], [True, False]) == 0.2
    assert median([0.0, 0.0, 1.0], [True, True, False]) == 0.0


def test_with_everything_watched_to_the_end_it_is_the_mean() -> None:
    times = np.random.default_rng(0).uniform(0, 1, 30)
    reached = np.arange(30) % 3 > 0
    times[~reached] = 1.0
    assert restricted_mean(times, reached) == pytest.approx(times.mean())


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="give one of each a run"):
        kaplan_meier([], [])
    with pytest.raises(ValueError, match=r"times \(2,\) and reached \(1,\)"):
        kaplan_meier([0.1, 0.2], [True])
    with pytest.raises(ValueError, match="give finite shares of the budget"):
        kaplan_meier([float("nan")], [True])
    with pytest.raises(ValueError, match=r"the runs were watched up to 0\.5 of the budget only"):
        restricted_mean([0.2, 0.5], [True, False])
