"""Dispersion over seeds and shares of runs, by hand and against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_warmup.analysis.statistics.across_seeds import MEASURES, across, share

VALUES = st.lists(st.floats(-5, 5).map(lambda v: round(v, 6)), min_size=2, max_size=30)


def test_across_by_hand() -> None:
    # 0, 1, ..., 20: percentile p is p/5; the median is 10, its distances 0, 1, 1, ..., 10, 10 have median 5
    found = across(np.arange(21.0))
    assert found == pytest.approx({"iqr": 10, "mad": 5, "ipr90": 1800, "lower_cvar25": 2.5}, rel=1e-7)
    assert list(found) == list(MEASURES)


@pytest.mark.parametrize("values", [[], [0.5]])
def test_one_run_has_no_dispersion(values: list[float]) -> None:
    assert across(values) == dict.fromkeys(MEASURES)


@given(VALUES, st.floats(-3, 3), st.randoms(use_true_random=False))
def test_across_knows_no_order_and_no_shift(values: list[float], shift: float, random: object) -> None:
    found = across(values)
    shuffled = random.sample(values, len(values))  # type: ignore[attr-defined]
    assert across(shuffled) == pytest.approx(found)
    moved = across(np.array(values) + shift)
    for name in ("iqr", "mad", "ipr90"):
        assert moved[name] == pytest.approx(found[name], abs=1e-8)
        assert found[name] >= -1e-9
    assert min(values) - 1e-9 <= found["lower_cvar25"] <= np.mean(values) + 1e-9


@pytest.mark.parametrize("values", [[0.0, float("nan")], [[0.0, 1.0]]])
def test_across_refuses_what_is_not_a_number_a_run(values: list[float]) -> None:
    with pytest.raises(ValueError, match="one finite number for each run"):
        across(values)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_share_has_wilsons_interval(counts: tuple[int, int]) -> None:
    count, n = counts
    p, z = count / n, 1.959963984540054
    center, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = (p, (center - half) / (1 + z**2 / n), (center + half) / (1 + z**2 / n))
    assert share(count, n) == pytest.approx(expected, abs=1e-9)


def test_share_of_nothing_is_not_known() -> None:
    assert share(0, 0) == (None, None, None)


@pytest.mark.parametrize(("count", "n"), [(-1, 3), (4, 3)])
def test_share_refuses_what_is_none(count: int, n: int) -> None:
    with pytest.raises(ValueError, match="give a count from 0 to the number of runs"):
        share(count, n)
