"""Controls of a warmup: against their formulas as loops, and what they have in common."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl_warmup.schedules import RAMPS, step_factor
from rl_warmup.schedules.controls import CONTROLS, Planned, budget, delay, repeated
from rl_warmup.schedules.phases import dqn_phases, ppo_phases

TOTAL = 41
FLAT, FALLING = np.full(TOTAL, 3e-4), 3e-4 * (1 - np.arange(TOTAL) / TOTAL)


def omega_of(shape="linear", length=10):
    return step_factor(shape, length)(np.arange(TOTAL))


def one_by_one(name, omega, base):
    """The formulas as they are written down, step by step."""
    total, length = len(omega), sum(value < 1 for value in omega)
    lost = sum((1 - w) * b for w, b in zip(omega, base, strict=True)) / sum(base)
    for k in range(total):
        if name == "reversed":
            yield omega[total - 1 - k]
        if name == "dip":
            yield omega[k - total // 2] if k >= total // 2 else 1.0
        if name == "delayed":
            yield 0.0 if k < round(sum(1 - w for w in omega)) else 1.0
        if name == "matched":
            yield 1 - lost
        if name == "moment_only":
            yield 0.0 if k < length else 1.0


@pytest.mark.parametrize("base", [FLAT, FALLING], ids=["constant", "linear"])
@pytest.mark.parametrize("shape", RAMPS)
@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_is_its_formula(name, shape, base):
    omega = omega_of(shape)
    before = omega.copy()
    np.testing.assert_allclose(CONTROLS[name](omega, base), [*one_by_one(name, omega, base)], rtol=1e-12)
    np.testing.assert_array_equal(omega, before)


@pytest.mark.parametrize("length", [2, 7, 20])
def test_on_a_constant_base_all_but_the_moments_have_the_budget_of_the_warmup(length):
    omega = omega_of(length=length)
    lost = budget(omega, FLAT)
    assert lost == pytest.approx((length - 1) / 2 / TOTAL)
    for name in ("reversed", "dip", "matched"):
        assert budget(CONTROLS[name](omega, FLAT), FLAT) == pytest.approx(lost, rel=1e-12)
    assert budget(CONTROLS["delayed"](omega, FLAT), FLAT) == pytest.approx(delay(omega) / TOTAL)
    assert delay(omega) == pytest.approx(lost * TOTAL, abs=0.5)
    assert budget(CONTROLS["moment_only"](omega, FLAT), FLAT) == pytest.approx((length - 1) / TOTAL)


@given(
    shape=st.sampled_from(RAMPS), length=st.integers(2, TOTAL), peaks=st.lists(st.floats(0.1, 1), min_size=TOTAL)
)
def test_a_matched_rate_sums_to_that_of_the_warmup_whatever_the_base(shape, length, peaks):
    base, omega = np.array(peaks[:TOTAL]), omega_of(shape, length)
    constant = CONTROLS["matched"](omega, base)
    assert math.isclose((constant * base).sum(), (omega * base).sum(), rel_tol=1e-9)
    assert (constant == constant[0]).all()


@given(starts=st.sets(st.integers(1, TOTAL - 1)), length=st.integers(1, TOTAL))
def test_a_repeated_ramp_starts_again_at_each_start(starts, length):
    omega, rising = omega_of(length=length), np.array([0, *sorted(starts)])
    again = repeated(omega, rising)
    for first, last in zip(rising, [*rising[1:], TOTAL], strict=True):
        np.testing.assert_array_equal(again[first:last], omega[: last - first])


def test_controls_and_repetitions_compose():
    omega = repeated(omega_of(length=3), np.array([0, 20]))
    reverse = CONTROLS["reversed"](omega, FLAT)
    assert [round(value, 6) for value in reverse[[-1, -2, -3, -21]]] == [0.333333, 0.666667, 1, 0.333333]
    np.testing.assert_array_equal(CONTROLS["reversed"](reverse, FLAT), omega)
    assert CONTROLS["moment_only"](omega, FLAT).sum() == TOTAL - 4


def test_planned_factors_are_looked_up_and_stay_at_the_last():
    factor = Planned(np.array([0.5, 1.0, 0.25]))
    assert factor(1) == 1.0
    assert factor([0, 2, 9]).tolist() == [0.5, 0.25, 0.25]


def test_an_objective_of_ppo_is_a_rollout():
    phases = ppo_phases(1000, n_envs=8, n_steps=32, batch_size=256, n_epochs=20)
    assert phases.new_objective.tolist() == [True] * 4
    assert phases.first_steps.tolist() == [0, 20, 40, 60]


@pytest.mark.parametrize(("n_envs", "train_freq"), [(1, 4), (1, 16), (4, 3)])
@pytest.mark.parametrize("interval", [1, 10, 50, 120])
def test_an_objective_of_dqn_is_a_target_network(n_envs, train_freq, interval):
    """Counted as Stable-Baselines3 does: every vector step, of which every so manieth copies the network."""
    phases = dqn_phases(
        1000,
        n_envs=n_envs,
        train_freq=train_freq,
        gradient_steps=1,
        learning_starts=100,
        target_update_interval=interval,
    )
    renewed, copied, calls, done = [], True, 0, 0
    while done < 1000:
        for _ in range(train_freq):
            calls, done = calls + 1, done + n_envs
            copied |= calls % max(interval // n_envs, 1) == 0
        if done > 100:
            renewed.append(copied)
            copied = False
    assert phases.new_objective.tolist() == renewed
