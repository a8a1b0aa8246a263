"""Metrics against hand-worked values, the published oracle values of Chan et al. and slow loops."""

import numpy as np
import pytest
from helpers import oracles_statistics as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rl_warmup.analysis.constants import Scale
from rl_warmup.analysis.metrics.curve import best, fill_diverged, normalise, reached, shortfall, time_to_threshold
from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.metrics.stability import drawdown
from rl_warmup.analysis.metrics.table import METRICS, Metric

QUICK = settings(deadline=None, max_examples=40)
NUMBERS = st.floats(-10, 10).map(lambda v: round(v, 6))
CURVES = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=25), elements=NUMBERS)
ON_CURVES = [metric.name for metric in METRICS.values() if metric.source == "curve"]


def one(name: str, z: list[float], threshold: float = 0.0, t: list[float] | None = None) -> float:
    steps = list(range(len(z))) if t is None else t
    return float(METRICS[name].function(steps, [z], threshold)[0])


def test_the_table_of_metrics() -> None:
    assert list(METRICS) == [m.name for m in METRICS.values()]
    assert list(METRICS) == [
        *("final", "area", "shortfall", "not_learned"),
        *("best", "online_return", "time_to_threshold"),
        *("drawdown_cvar", "drawdown_max", "difference_iqr", "difference_mad", "difference_std", "difference_cvar"),
        *("collapses", "recovered", "loss_spikes", "grad_norm", "clipped_share", "early_relative_update"),
        *("approx_kl", "clip_fraction", "q_max_abs", "soft_divergence"),
        *("n_below_99", "budget_lost", "learning_rate_mean"),
    ]


def test_the_four_confirmatory_metrics() -> None:
    assert [(m.name, m.better, m.smallest_effect, m.binary) for m in with_role("confirmatory")] == [
        ("final", "higher", 0.05, False),
        ("area", "higher", 0.05, False),
        ("shortfall", "lower", 0.05, False),
        ("not_learned", "lower", 0.05, True),
    ]
    assert [m.name for m in METRICS.values()][:4] == [m.name for m in with_role("confirmatory")]


def test_roles_part_the_table() -> None:
    assert with_role("confirmatory", "exploratory", "descriptive") == list(METRICS.values())
    assert with_role() == []
    assert [m.name for m in with_role("exploratory") if m.smallest_effect] == [
        "best",
        "online_return",
        "time_to_threshold",
    ]
    assert [m.name for m in with_role("exploratory") if m.better == "higher"] == [
        "best",
        "online_return",
        "difference_cvar",
    ]
    assert {m.name for m in METRICS.values() if m.noise_floor} == {
        *("shortfall", "drawdown_cvar", "drawdown_max", "collapses"),
        *("difference_iqr", "difference_mad", "difference_std", "difference_cvar"),
    }
    assert {m.name: m.source for m in METRICS.values() if m.role != "descriptive" and m.source != "curve"} == {
        "online_return": "episodes"
    }


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_says_what_it_is(metric: Metric) -> None:
    assert metric.description
    assert metric.unit
    assert getattr(metric.function, "func", metric.function).__doc__  # of a partial, its function's
    assert not metric.noise_floor or metric.source == "curve"
    assert metric.role != "descriptive" or metric.smallest_effect is None


def test_best() -> None:
    assert one("best", [0.1, 1.2, 0.3]) == 1.2


def test_time_to_threshold_is_censored_at_the_budget() -> None:
    t = [0, 10, 20, 40]
    assert one("time_to_threshold", [0.0, 0.4, 0.5, 0.1], 0.5, t) == pytest.approx(0.5)
    assert one("time_to_threshold", [0.5, 0.4, 0.5, 0.1], 0.5, t) == 0.0
    assert one("time_to_threshold", [0.0, 0.4, 0.49, 0.1], 0.5, t) == 1.0
    assert one("time_to_threshold", [0.0, 0.4, 0.49, 0.5], 0.5, t) == 1.0
    curves = [[0.0, 0.4, 0.49, 0.1], [0.0, 0.4, 0.49, 0.5]]  # never, and only at the end
    assert reached(curves, 0.5).tolist() == [False, True]


@QUICK
@given(CURVES, NUMBERS, st.floats(0, 5))
def test_a_higher_threshold_is_never_reached_sooner(z: np.ndarray, threshold: float, more: float) -> None:
    t = np.arange(z.shape[1]) * 512
    sooner, later = (time_to_threshold(t, z, value) for value in (threshold, threshold + more))
    assert np.all((sooner >= 0) & (sooner <= later) & (later <= 1))
    assert np.all(reached(z, threshold) >= (sooner < 1))
    assert np.all(reached(z, threshold) == (best(t, z, 0) >= threshold))


@pytest.mark.parametrize("count", range(2, 45))
def test_final_averages_a_tenth_and_at_least_two(count: int) -> None:
    last = max(2, (count + 9) // 10)
    z = [5.0] * (count - last) + [1.0] * (last - 1) + [2.0]
    assert one("final", z) == pytest.approx((last + 1) / last)


def test_area_weighs_evaluations_by_their_distance() -> None:
    # 0 to 1 over 10 steps (5), then 1 to 0 over 30 steps (15): 20 of 40
    assert one("area", [0, 1, 0], t=[0, 10, 40]) == pytest.approx(0.5)
    assert one("area", [0, 1, 1], t=[100, 110, 140]) == pytest.approx(35 / 40)


def test_shortfall_by_hand() -> None:
    # ten evaluations in the second half, the worst two count: best so far .9, so .9 - .1 and .9 - .3
    falls = [0.0, 0.9] + [0.9] * 8 + [0.9] * 7 + [0.3, 0.1, 0.9]
    assert one("shortfall", falls, threshold=0.5) == pytest.approx((0.8 + 0.6) / 2)
    # six in the second half: 1.2 evaluations, the worst (1.0) whole and the next (0.5) with weight .2
    edge = [1.0] * 6 + [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]
    assert one("shortfall", edge) == pytest.approx((1.0 + 0.2 * 0.5) / 1.2)
    # three in the second half: only a fraction of the worst counts, which is the worst
    assert one("shortfall", [1.0, 1.0, 0.25, 1.0, 1.0]) == pytest.approx(0.75)


def test_shortfall_sees_the_first_half_only_as_best_so_far() -> None:
    assert one("shortfall", [0.9, -9.0, 0.5, 0.5]) == pytest.approx(0.4)


def test_shortfall_counts_the_best_so_far_up_to_the_reference_or_a_higher_threshold() -> None:
    dips, flat = [0.0, 3.0, 2.0, 3.0, 2.0, 3.0], [0.95] * 6  # twice the control at its worst
    assert one("shortfall", dips, threshold=0.95) == 0.0
    assert one("shortfall", flat, threshold=0.95) == 0.0
    assert one("shortfall", [0.0, 3.0, 2.0, 3.0, 0.25, 3.0], threshold=0.95) == pytest.approx(0.75)
    assert one("shortfall", [0.0, 3.0, 2.0, 3.0, 0.25, 3.0], threshold=1.5) == pytest.approx(1.25)


def test_shortfall_does_not_reward_a_run_that_never_learns() -> None:
    never, collapsed = [0.0] * 20, [1.0] * 18 + [0.5] * 2
    assert drawdown(never).max() < drawdown(collapsed).max()
    assert one("shortfall", never, threshold=0.95) > one("shortfall", collapsed, threshold=0.95)


@QUICK
@given(CURVES, NUMBERS)
def test_shortfall_agrees_with_the_loop(z: np.ndarray, threshold: float) -> None:
    got = shortfall(range(z.shape[1]), z, threshold)
    assert got == pytest.approx([oracle.shortfall(row.tolist(), threshold) for row in z], abs=1e-9)
    assert np.all(got >= 0)


def test_not_learned_is_strictly_below_one_half() -> None:
    assert one("not_learned", [0.0, 0.0, 0.5, 0.5]) == 0.0
    assert one("not_learned", [9.0, 9.0, 0.5, 0.49]) == 1.0


@QUICK
@given(CURVES, st.randoms(use_true_random=False))
@pytest.mark.parametrize("name", ON_CURVES)
def test_a_run_does_not_depend_on_its_neighbors(name: str, z: np.ndarray, random: object) -> None:
    function, t = METRICS[name].function, np.arange(z.shape[1]) * 512
    together = function(t, z, 0.9)
    assert together.shape == (z.shape[0],)
    assert together.dtype == np.float64
    alone = [function(t, z[i : i + 1], 0.9)[0] for i in range(z.shape[0])]
    assert together == pytest.approx(alone, abs=1e-12, nan_ok=True)
    order = random.sample(range(z.shape[0]), z.shape[0])  # type: ignore[attr-defined]
    assert function(t, z[order], 0.9) == pytest.approx(together[order], abs=1e-12, nan_ok=True)


@QUICK
@given(CURVES, NUMBERS, st.floats(0.1, 10))
def test_shift_and_scale(z: np.ndarray, shift: float, scale: float) -> None:
    t = np.arange(z.shape[1]) * 3.0
    for name, moves in (("final", 1), ("area", 1), ("best", 1), ("drawdown_max", 0)):
        function = METRICS[name].function
        expected = function(t, z, 0.5) * scale + shift * moves
        assert function(t, z * scale + shift, 0.5 * scale + shift) == pytest.approx(expected, abs=1e-9)
        assert function(t * 7 + 5, z, 0.5) == pytest.approx(function(t, z, 0.5), abs=1e-9)


@pytest.mark.parametrize("name", ON_CURVES)
@pytest.mark.parametrize(
    ("t", "z", "match"),
    [
        ([0, 1], [0.0, 1.0], r"z \(2,\): give t \[evaluations\], z \[runs"),
        ([0, 1, 2], [[0.0, 1.0]], "give t"),
        ([0], [[1.0]], "two or more"),
        ([0, 2, 2], [[0.0, 0.0, 0.0]], "strictly increasing"),
        ([0, 1], [[0.0, 1.0], [0.0, float("nan")]], "run 1 is nan at evaluation 1: apply fill_diverged"),
        ([0, 1], [[-float("inf"), 1.0]], "run 0 is -inf at evaluation 0"),
    ],
)
def test_bad_curves_are_refused(name: str, t: list[float], z: list[object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        METRICS[name].function(t, z, 0.9)  # type: ignore[arg-type]


def test_shortfall_needs_a_finite_threshold() -> None:
    with pytest.raises(ValueError, match="threshold nan"):
        one("shortfall", [0.0, 1.0], threshold=float("nan"))


@QUICK
@given(st.lists(st.floats(-1e3, 1e3), min_size=1), st.floats(-100, 100), st.floats(1, 100))
def test_normalise_uses_only_the_constants(y: list[float], low: float, span: float) -> None:
    z = normalise(y, low, low + span)
    assert z * span + low == pytest.approx(y, abs=1e-9)
    assert normalise([low, low + span], low, low + span) == pytest.approx([0, 1])


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_normalise_refuses_an_empty_range(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="give finite low < high"):
        normalise([1.0], low, high)


def test_a_diverged_run_is_at_the_floor_where_it_has_nothing() -> None:
    grid, inf = [0, 10, 20, 30, 40], float("inf")
    filled = fill_diverged(grid, [0, 10, 20], [3.0, 4.0, inf], floor=-200)
    assert filled.tolist() == [3, 4, -200, -200, -200]
    assert fill_diverged(grid, [], [], floor=0).tolist() == [0] * 5
    assert fill_diverged(grid, [20, 0], [2.0, 1.0], floor=0).tolist() == [1, 0, 2, 0, 0]
    z = normalise(filled, low=0, high=5)[np.newaxis]
    scores = {m.name: float(m.function(grid, z, 0.9)[0]) for m in with_role("confirmatory")}
    assert scores == pytest.approx(
        {"final": -40, "area": (0.7 + (0.8 - 40) / 2 - 80) / 4, "shortfall": 40.9, "not_learned": 1}
    )


@pytest.mark.parametrize(
    ("t", "y", "floor", "match"),
    [
        ([0, 15], [1.0, 2.0], 0.0, r"\[0, 15\] repeat or miss the grid \[0, 10\]"),
        ([10, 10], [1.0, 2.0], 0.0, "give each once"),
        ([0, 10], [1.0], 0.0, "one step for each return"),
        ([0], [1.0], float("nan"), "return floor nan"),
    ],
)
def test_fill_refuses_what_is_not_the_grid(t: list[int], y: list[float], floor: float, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        fill_diverged([0, 10], t, y, floor)


@QUICK
@given(CURVES, NUMBERS, st.floats(0.01, 10), NUMBERS)
def test_metrics_of_bounded_curves_are_within_their_bounds(
    z: np.ndarray, z_min: float, span: float, threshold: float
) -> None:
    """Also of a run at the floor, of one at the ceiling, and of one that falls from it to the floor."""
    z_max = z_min + span
    scale = Scale(0.0, 1.0, min(threshold, z_max), True, z_min, z_max)
    count = z.shape[1]
    ends = np.array([[z_min] * count, [z_max] * count, [z_max] + [z_min] * (count - 1)])
    curves = np.vstack([np.clip(z, z_min, z_max), ends])
    for metric in METRICS.values():
        if metric.source == "curve" and metric.within is not None and (bounds := metric.bounds(scale)) is not None:
            values = metric.function(range(count), curves, scale.threshold)
            assert np.all((bounds[0] - 1e-9 <= values) & (values <= bounds[1] + 1e-9)), metric.name


def test_bounds_of_metrics_by_hand() -> None:
    scale = Scale(0.0, 1.0, 0.95, True, -0.1, 1.2)
    found = {metric.name: metric.bounds(scale) for metric in METRICS.values() if metric.within is not None}
    assert found["final"] == found["area"] == found["best"] == found["online_return"] == (-0.1, 1.2)
    assert found["shortfall"] == (0.0, pytest.approx(1.1))
    assert found["drawdown_max"] == found["drawdown_cvar"] == (0.0, pytest.approx(1.3))
    assert found["not_learned"] == found["time_to_threshold"] == (0.0, 1.0)
    assert METRICS["shortfall"].bounds(Scale(0.0, 1.0, 1.15, True, -0.1, 1.2)) == (0.0, pytest.approx(1.25))
    unknown = Scale(0.0, 1.0, 0.95, True, -0.1, None)
    assert METRICS["final"].bounds(unknown) is None
    assert METRICS["shortfall"].bounds(unknown) == (0.0, pytest.approx(1.1))  # needs no ceiling
    assert METRICS["not_learned"].bounds(Scale(0.0, 1.0, 0.95, True)) == (0.0, 1.0)
    assert METRICS["collapses"].bounds(scale) is None
