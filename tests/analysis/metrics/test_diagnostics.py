"""What happened inside a run, on tables worked out by hand and by a slow loop."""

import math
import statistics
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_warmup.analysis.metrics import diagnostics
from rl_warmup.analysis.metrics.table import METRICS
from rl_warmup.records.schema import table_schemas

CONFIG: dict[str, Any] = {
    "env": {"return_low": 10.0, "return_high": 110.0, "return_floor": 0.0, "reward_max": 1.0},
    "algo": {"gamma": 0.9, "normalize": False},
    "total_timesteps": 1000,
}
INSIDE = [metric for metric in METRICS.values() if metric.source == "updates"]
NAN = float("nan")


def updates(algorithm: str = "ppo", **columns: list[float]) -> pl.DataFrame:
    """Phases of four gradient steps, or of `n_steps`, with these columns and 0.5 in the others."""
    phases = len(next(iter(columns.values())))
    schema = table_schemas(algorithm)["updates"]
    frame = pl.DataFrame({name: columns.get(name, [0.5] * phases) for name in schema}, strict=False)
    steps = columns.get("n_steps", [4] * phases)
    return frame.with_columns(n_steps=pl.Series(steps), gradient_step=pl.Series(np.cumsum(steps))).cast(schema)


def episodes(*rows: tuple[int, float, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=table_schemas("ppo")["episodes"], orient="row")


def test_online_return_weighs_episodes_by_their_length() -> None:
    # (20*100 + 60*300) / 400 = 50, a share of (50 - 10) / 100
    assert diagnostics.online_return(episodes((100, 20.0, 100), (400, 60.0, 300)), CONFIG) == pytest.approx(0.4)
    assert math.isnan(diagnostics.online_return(episodes(), CONFIG))


def test_what_a_diverged_run_did_not_do_is_worth_the_floor() -> None:
    lost = diagnostics.fill_episodes(episodes((100, 20.0, 100), (300, NAN, 200)), CONFIG, 0.0)
    assert lost.rows() == [(100, 20.0, 100), (1000, 0.0, 900)]
    assert diagnostics.online_return(lost, CONFIG) == pytest.approx((2 - 10) / 100)
    assert diagnostics.online_return(diagnostics.fill_episodes(episodes(), CONFIG, 0.0), CONFIG) == pytest.approx(
        -0.1
    )
    over = episodes((600, 20.0, 600), (1100, 20.0, 500))  # more than the budget: nothing is missing
    assert diagnostics.online_return(diagnostics.fill_episodes(over, CONFIG, 0.0), CONFIG) == pytest.approx(0.1)


def test_a_loss_spike_is_above_the_phases_before() -> None:
    steady = [1.0, 2.0, 3.0, 4.0, 5.0]  # median 3, MAD 1: the limit is 9
    assert diagnostics.loss_spikes(updates(loss=[*steady, 9.0]), CONFIG) == 0.0
    assert diagnostics.loss_spikes(updates(loss=[*steady, 9.1]), CONFIG) == 1.0
    # the next has median 3.5 and MAD 1.5 before it: the limit is 12.5
    assert diagnostics.loss_spikes(updates(loss=[*steady, 9.1, 12.4]), CONFIG) == 0.5
    assert diagnostics.loss_spikes(updates(loss=[0.5] * 30), CONFIG) == 0.0
    assert math.isnan(diagnostics.loss_spikes(updates(loss=steady), CONFIG))


def slow_spikes(loss: list[float]) -> float:
    spikes = []
    for k in range(5, len(loss)):
        before = loss[max(0, k - 20) : k]
        median = statistics.median(before)
        mad = statistics.median([abs(value - median) for value in before])
        spikes.append(loss[k] > median + 6 * mad)
    return sum(spikes) / len(spikes)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-8, 40).map(float), min_size=6, max_size=60))
def test_loss_spikes_agree_with_the_loop(loss: list[float]) -> None:
    assert diagnostics.loss_spikes(updates(loss=loss), CONFIG) == pytest.approx(slow_spikes(loss))


def test_gradients_are_averaged_over_steps() -> None:
    table = updates(grad_norm_mean=[1.0, 5.0], clipped_share=[0.0, 1.0], n_steps=[3, 1])
    assert METRICS["grad_norm"].function(table, CONFIG) == pytest.approx(2.0)
    assert METRICS["clipped_share"].function(table, CONFIG) == pytest.approx(0.25)


def test_early_updates_begin_in_the_first_hundredth() -> None:
    short = updates(relative_update=[8.0, 2.0, 2.0])
    assert diagnostics.early_relative_update(short, CONFIG) == 8.0  # the first phase always counts
    # 300 phases of 4: 1% are 12 steps, and phases 0, 1 and 2 begin at 0, 4 and 8
    assert diagnostics.early_relative_update(updates(relative_update=[3.0, 6.0, 9.0] + [0.0] * 297), CONFIG) == 6.0


def test_means_of_ppo_and_the_maximum_of_dqn() -> None:
    ppo = updates(approx_kl=[0.01, 0.03], clip_fraction=[0.1, 0.2])
    assert METRICS["approx_kl"].function(ppo, CONFIG) == pytest.approx(0.02)
    assert METRICS["clip_fraction"].function(ppo, CONFIG) == pytest.approx(0.15)
    assert diagnostics.q_max_abs(updates("dqn", q_max_abs=[3.0, 9.0, 4.0]), CONFIG) == 9.0


@pytest.mark.parametrize(("largest", "expected"), [(9.9, 0.0), (10.2, 1.0)])
def test_soft_divergence_is_more_than_any_policy_is_worth(largest: float, expected: float) -> None:
    assert diagnostics.soft_divergence(updates("dqn", q_max_abs=[1.0, largest]), CONFIG) == expected


@pytest.mark.parametrize(
    "config",
    [
        CONFIG | {"env": {}},
        CONFIG | {"env": {"reward_max": None}},
        CONFIG | {"algo": {"gamma": 1.0}},
        CONFIG | {"algo": {}},
        CONFIG | {"algo": {"gamma": 0.9, "normalize": True}},
    ],
)
def test_soft_divergence_needs_a_bound(config: dict[str, Any]) -> None:
    assert math.isnan(diagnostics.soft_divergence(updates("dqn", q_max_abs=[99.0]), config))


def test_dose() -> None:
    table = updates(learning_rate_mean=[0.5, 1.0], base_learning_rate=[1.0, 1.0], n_below_99=[3, 0], n_steps=[3, 1])
    assert METRICS["n_below_99"].function(table, CONFIG) == 3
    assert METRICS["budget_lost"].function(table, CONFIG) == pytest.approx(1 - 2.5 / 4)
    assert METRICS["learning_rate_mean"].function(table, CONFIG) == pytest.approx(2.5 / 4)


@pytest.mark.parametrize("metric", INSIDE, ids=[metric.name for metric in INSIDE])
def test_what_is_not_recorded_is_undefined(metric: Any) -> None:
    of_dqn = metric.name in ("q_max_abs", "soft_divergence")
    of_ppo = metric.name in ("approx_kl", "clip_fraction")
    for algorithm, foreign in (("ppo", of_dqn), ("dqn", of_ppo)):
        table = updates(algorithm, loss=[0.5] * 8)
        assert math.isnan(metric.function(table, CONFIG)) == foreign
        assert math.isnan(metric.function(table.clear(), CONFIG))


@pytest.mark.parametrize("metric", INSIDE, ids=[metric.name for metric in INSIDE])
@pytest.mark.parametrize("last", [NAN, float("inf")])
def test_the_phase_in_which_a_run_diverged_does_not_hide_the_others(metric: Any, last: float) -> None:
    diagnostics = ("loss", "grad_norm_mean", "clipped_share", "relative_update", "approx_kl", "clip_fraction")
    whole = updates(**{name: [0.5] * 8 for name in diagnostics})
    broken = updates(**{name: [0.5] * 8 + [last] for name in diagnostics})
    if metric.name not in ("q_max_abs", "soft_divergence", "n_below_99"):
        assert metric.function(broken, CONFIG) == metric.function(whole, CONFIG)
