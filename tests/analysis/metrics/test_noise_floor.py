"""Noise floors: moments of the draws, a slow resampling, and the published floors of a constant policy."""

import itertools
import tracemalloc

import numpy as np
import pytest

from rl_warmup.analysis.metrics.noise_floor import beyond, floor_draws, floor_of
from rl_warmup.analysis.metrics.stability import collapses, drawdown, drawdown_max
from rl_warmup.analysis.metrics.table import METRICS

WITH_FLOOR = [metric for metric in METRICS.values() if metric.noise_floor]


def test_every_draw_is_a_resampled_mean_that_is_possible_and_rescaled() -> None:
    values = (0.0, 3.0, 9.0)
    draws = floor_draws(np.random.default_rng(0), [[values]], 4000).ravel()
    possible, expected = np.unique(
        [round(np.sqrt(3 / 2) * (np.mean(drawn) - 4), 9) for drawn in itertools.product(values, repeat=3)],
        return_counts=True,
    )
    found, counts = np.unique(draws.round(9), return_counts=True)
    assert found == pytest.approx(possible)
    assert counts / 4000 == pytest.approx(expected / 27, abs=0.03)


def test_the_noise_has_the_variance_of_the_mean_and_no_bias() -> None:
    rng = np.random.default_rng(1)
    episodes = rng.normal(5, [[[1.0], [3.0]]], size=(4, 2, 10))
    draws = floor_draws(rng, episodes, 20_000)
    assert draws.shape == (20_000, 4, 2)
    assert draws.mean(axis=0) == pytest.approx(np.zeros((4, 2)), abs=0.03)
    assert draws.var(axis=0) == pytest.approx(episodes.var(axis=2, ddof=1) / 10, rel=0.05)


def test_draws_are_independent_between_runs_and_evaluations() -> None:
    draws = floor_draws(np.random.default_rng(2), np.tile(np.arange(10.0), (2, 2, 1)), 5000).reshape(5000, 4)
    assert np.corrcoef(draws.T) == pytest.approx(np.eye(4), abs=0.06)


def test_one_episode_tells_nothing_and_equal_episodes_have_no_noise() -> None:
    rng = np.random.default_rng(0)
    assert np.isnan(floor_draws(rng, [[[1.0], [2.0]]], 3)).all()
    assert np.all(floor_draws(rng, [[[500.0] * 10, [8.0] * 10]], 50) == 0)


def test_draws_depend_on_the_generator_alone() -> None:
    episodes = np.random.default_rng(3).normal(size=(2, 5, 4))
    one, same, other = (floor_draws(np.random.default_rng(seed), episodes, 20) for seed in (4, 4, 5))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_chunks_do_not_change_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl_warmup.analysis.metrics.noise_floor._CHUNK", 7)
    episodes = np.arange(60.0).reshape(3, 4, 5)
    draws = floor_draws(np.random.default_rng(0), episodes, 3000)
    assert draws.var(axis=0) == pytest.approx(episodes.var(axis=2, ddof=1) / 5, rel=0.12)


@pytest.mark.parametrize(("number", "published", "excess"), [(5, 2.16, 0.13), (10, 1.52, 0.07), (30, 0.88, 0.03)])
def test_published_floors_of_the_largest_drawdown(number: int, published: float, excess: float) -> None:
    """A constant policy with normal episode returns of sd 1, 100 evaluations; the module says what is too much."""
    rng = np.random.default_rng(number)
    episodes = rng.normal(size=(150, 100, number))
    observed = drawdown(episodes.mean(axis=2)).max(axis=1).mean()
    floor = floor_of(drawdown_max, np.arange(100), floor_draws(rng, episodes, 40), 0.9).mean()
    assert observed == pytest.approx(published, abs=0.08)
    assert floor / observed - 1 == pytest.approx(excess, abs=0.05)


@pytest.mark.parametrize("metric", WITH_FLOOR, ids=[metric.name for metric in WITH_FLOOR])
def test_a_constant_policy_is_rarely_worse_than_its_floor(metric: object) -> None:
    rng = np.random.default_rng(6)
    t, episodes = np.arange(50), 0.9 + 0.1 * rng.normal(size=(300, 50, 10))
    values = metric.function(t, episodes.mean(axis=2), 0.9)  # type: ignore[attr-defined]
    draws = floor_of(metric.function, t, floor_draws(rng, episodes), 0.9)  # type: ignore[attr-defined]
    share = beyond(values, draws, metric.better).mean()  # type: ignore[attr-defined]
    # the floors of these two are a little too low with ten episodes
    expected = 0.1 if metric.name in ("difference_iqr", "difference_mad") else 0.05  # type: ignore[attr-defined]
    assert share <= expected + 3 * np.sqrt(expected * (1 - expected) / 300)


def test_a_collapse_is_beyond_the_floor() -> None:
    rng = np.random.default_rng(7)
    level = np.where((np.arange(50) > 30) & (np.arange(50) < 36), 0.1, 0.9)
    episodes = level[:, np.newaxis] + 0.1 * rng.normal(size=(1, 50, 10))
    for metric in WITH_FLOOR:
        if metric.name not in ("difference_iqr", "difference_mad"):  # these do not see a few evaluations
            value = metric.function(np.arange(50), episodes.mean(axis=2), 0.9)
            draws = floor_of(metric.function, np.arange(50), floor_draws(rng, episodes), 0.9)
            assert beyond(value, draws, metric.better).tolist() == [True]


def test_beyond_is_to_the_worse_side() -> None:
    draws = np.arange(101.0)[:, np.newaxis].repeat(2, axis=1)  # percentiles 5 and 95 are 5 and 95
    assert beyond(np.array([95.0, 95.1]), draws, "lower").tolist() == [False, True]
    assert beyond(np.array([5.0, 4.9]), draws, "higher").tolist() == [False, True]


def test_an_unknown_floor_is_unknown_for_its_run_only() -> None:
    noise = np.zeros((5, 2, 8))
    noise[:, 0] = np.nan
    floor = floor_of(collapses, range(8), noise, 0.9)
    assert np.isnan(floor[:, 0]).all()
    assert floor[:, 1].tolist() == [0.0] * 5
    assert beyond(np.array([1.0, 1.0]), floor, "lower").tolist() == [False, True]
    assert np.isnan(floor_of(collapses, range(8), noise[:, :1], 0.9)).all()


def test_draws_of_a_whole_cell_fit_into_memory() -> None:
    episodes = np.random.default_rng(0).normal(size=(20, 100, 10))
    tracemalloc.start()
    try:
        floor_draws(np.random.default_rng(0), episodes, 200)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
