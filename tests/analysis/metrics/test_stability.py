"""Stability within a run: the published oracle values of Chan et al., hand-worked curves and slow loops."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rl_warmup.analysis.metrics import stability
from rl_warmup.analysis.statistics.estimators import lower_cvar, upper_cvar

QUICK = settings(deadline=None, max_examples=40)
NUMBERS = st.floats(-10, 10).map(lambda v: round(v, 6))
CURVES = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=25), elements=NUMBERS)
PUBLISHED = [-1, 2, 3.5, 5, 2, 1, 1.5, 3, 1.5, 6, 2]
WITHIN = [([5, 7, 9], [1, 1, 1]), ([5, 7, 9, 11], [2, 3, 4, 5]), ([5, 7, 9, 10], [5, 4, 2, 1])]
RISKS = [([1, 2, 4, 5], [1, 2, 3, 4]), ([0, 1, 2, 3], [0.3, 0.1, -0.5, 1])]


def test_published_drawdowns() -> None:
    assert stability.drawdown(PUBLISHED) == pytest.approx([0, 0, 0, 0, 3, 4, 3.5, 2, 3.5, 0, 4], rel=1e-7)
    largest = {
        (1, 2, 3, 4): 0,
        (-1, -2, -3, -4, -5): 4,
        (1, 3, 2, 1.2): 1.8,
        (100, 150, 90, 120, 80, 200): 70,
    }
    for curve, expected in largest.items():
        assert stability.drawdown(curve).max() == pytest.approx(expected, rel=1e-7)


def test_published_tails() -> None:
    assert lower_cvar(PUBLISHED, 0.3) == pytest.approx(0.75, rel=1e-7)
    assert upper_cvar(PUBLISHED, 0.1) == pytest.approx(5.5, rel=1e-7)
    slopes = [float(lower_cvar(stability.differences(t, y), 0.51)) for t, y in RISKS]
    assert slopes == pytest.approx([5 / 6, -0.4], rel=1e-7)
    falls = [float(upper_cvar(stability.drawdown(y), 0.25)) for _, y in RISKS]
    assert falls == pytest.approx([0, 0.8], rel=1e-7)
    assert [float(lower_cvar(y, 0.51)) for _, y in RISKS] == pytest.approx([1.5, -0.2], rel=1e-7)


def test_published_differences() -> None:
    got = stability.differences([3, 6, 8, 9], [-1, 4, 2.3, 0])
    assert got == pytest.approx([5 / 3, -0.85, -2.3], rel=1e-7)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [(stability.difference_std, [0, 0, 0.28867513411]), (stability.difference_mad, [0, 0, 0])],
)
def test_published_dispersions(metric: Callable[..., np.ndarray], expected: list[float]) -> None:
    got = [float(metric(t, [y], 0.9)[0]) / t[-1] for t, y in WITHIN]  # theirs are per step, ours per budget
    assert got == pytest.approx(expected, rel=1e-7)


@QUICK
@given(CURVES, st.floats(0.01, 1))
def test_tails_lie_on_their_side_and_mirror_each_other(z: np.ndarray, alpha: float) -> None:
    lower, upper = lower_cvar(z, alpha), upper_cvar(z, alpha)
    assert np.all(z.min(axis=1) - 1e-9 <= lower)
    assert np.all(lower <= z.mean(axis=1) + 1e-9)
    assert np.all(upper >= z.mean(axis=1) - 1e-9)
    assert stability.drawdown(z).min() >= 0
    assert lower_cvar(z, 1.0) == pytest.approx(z.mean(axis=1))
    # with 1, 2, ..., 21 the edges of a fifth are values of the sample: 1..5 and 17..21
    assert lower_cvar(np.arange(1, 22), 0.2) == -upper_cvar(-np.arange(1, 22), 0.2) == 3


@pytest.mark.parametrize("function", [lower_cvar, upper_cvar])
@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.1, float("nan")])
def test_a_tail_share_is_a_share(function: object, alpha: float) -> None:
    with pytest.raises(ValueError, match="tail share"):
        function([1.0, 2.0], alpha)  # type: ignore[operator]


def test_differences_refuse_steps_that_do_not_rise() -> None:
    with pytest.raises(ValueError, match="strictly increasing"):
        stability.differences([0, 2, 1], [1, 2, 3])


def one(function: object, z: list[float], t: list[float] | None = None) -> float:
    return float(function(range(len(z)) if t is None else t, [z], 0.9)[0])  # type: ignore[operator]


def test_drawdown_metrics_by_hand() -> None:
    published = [value / 10 for value in PUBLISHED]
    assert one(stability.drawdown_max, published) == pytest.approx(0.4, rel=1e-7)
    assert one(stability.drawdown_cvar, published) == pytest.approx(
        0.4, rel=1e-7
    )  # percentile 95 is 4, twice there
    # 21 evaluations, one fall by .8: percentile 95 is the second largest drawdown, 0, so all values count
    assert one(stability.drawdown_cvar, [1.0] * 10 + [0.2] + [1.0] * 10) == pytest.approx(0.8 / 21)
    assert one(stability.drawdown_cvar, [1.0] * 9 + [0.4, 0.2] + [1.0] * 10) == pytest.approx(0.7)


def test_differences_are_per_budget() -> None:
    # budget 40: gaps of a quarter, a quarter and a half; slopes 2, -1.2, 1
    t, z = [0, 10, 20, 40], [0.0, 0.5, 0.2, 0.7]
    assert one(stability.difference_iqr, z, t) == pytest.approx(1.5 - (-0.1))
    assert one(stability.difference_mad, z, t) == pytest.approx(1.0)
    assert one(stability.difference_std, z, t) == pytest.approx(np.std([2, -1.2, 1], ddof=1))
    assert one(stability.difference_cvar, z, t) == pytest.approx(-1.2)
    assert one(stability.difference_std, [0.0, 1.0]) != one(stability.difference_std, [0.0, 1.0])  # nan: one slope


@QUICK
@given(CURVES, NUMBERS, st.floats(0.1, 10))
@pytest.mark.parametrize("name", ["drawdown_max", "difference_iqr", "difference_mad", "difference_std"])
def test_no_shift_but_the_scale_counts(name: str, z: np.ndarray, shift: float, scale: float) -> None:
    function, t = getattr(stability, name), np.arange(z.shape[1]) * 512
    first = function(t, z, 0.9)
    assert function(t, scale * z + shift, 0.9) == pytest.approx(scale * first, abs=1e-8, nan_ok=True)
    assert function(7 * t, z, 0.9) == pytest.approx(first, abs=1e-8, nan_ok=True)


@QUICK
@given(CURVES)
def test_tail_metrics_lie_between_the_mean_and_the_worst(z: np.ndarray) -> None:
    t = np.arange(z.shape[1]) * 512
    falls, slopes = stability.drawdown(z), stability.differences(t / t[-1], z)
    tail = stability.drawdown_cvar(t, z, 0.9)
    assert np.all(falls.mean(axis=1) - 1e-9 <= tail)
    assert np.all(tail <= stability.drawdown_max(t, z, 0.9) + 1e-9)
    tail = stability.difference_cvar(t, z, 0.9)
    assert np.all(slopes.min(axis=1) - 1e-9 <= tail)
    assert np.all(tail <= slopes.mean(axis=1) + 1e-9)


@pytest.mark.parametrize(
    ("z", "collapses", "share"),
    [
        ([0.0, 1.0, 1.0, 1.0, 1.0, 1.0], 0, None),
        ([1.0, 0.4, 0.4, 1.0, 1.0, 1.0], 0, None),  # two evaluations are not enough
        ([1.0, 0.4, 0.4, 0.4, 1.0, 1.0], 1, 1.0),
        ([1.0, 0.5, 0.5, 0.5, 0.5, 0.5], 0, None),  # exactly one half is not below
        ([1.0, 0.4, 0.4, 0.4, 0.85, 0.89], 1, 0.0),
        ([1.0, 0.4, 0.4, 0.4, 0.6, 0.95], 1, 1.0),  # it comes back, though late
        ([0.0, 0.2, 1.0, 0.1, 0.2, 0.0], 1, 0.0),  # right up to the end
        ([1.0, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4], 1, 0.0),  # one stretch, however long
        ([1.0, 0.4, 0.4, 0.4, 1.0, 0.4, 0.4, 0.4], 2, 0.5),
        ([1.0, 0.4, 0.4, 0.4, 0.7, 0.4, 0.4, 0.4], 2, 0.0),
        ([0.0, 0.0], 0, None),
        ([0.0, 0.0, 0.0, 0.0, 0.0], 0, None),  # never learned: nothing to lose
    ],
)
def test_collapses_and_recoveries_by_hand(z: list[float], collapses: int, share: float | None) -> None:
    assert one(stability.collapses, z) == collapses
    assert one(stability.recovered, z) == pytest.approx(float("nan") if share is None else share, nan_ok=True)


def slow_collapses(z: list[float]) -> tuple[int, int]:
    """Collapses and recoveries, walking along the curve."""
    ends, length = [], 0
    for k, value in enumerate(z):
        length = length + 1 if max(z[: k + 1]) - value > 0.5 else 0
        if length == 3:
            ends.append(k)
    back = [any(max(z[: j + 1]) - z[j] <= 0.1 for j in range(k + 1, len(z))) for k in ends]
    return len(ends), sum(back)


@QUICK
@given(hnp.arrays(np.float64, (6, 30), elements=st.sampled_from([0.0, 0.3, 0.55, 0.8, 1.0, 1.05])))
def test_collapses_agree_with_the_loop(z: np.ndarray) -> None:
    expected = [slow_collapses(row.tolist()) for row in z]
    t = range(z.shape[1])
    assert stability.collapses(t, z, 0.9).tolist() == [number for number, _ in expected]
    shares = [back / number if number else float("nan") for number, back in expected]
    assert stability.recovered(t, z, 0.9) == pytest.approx(shares, nan_ok=True)
