"""Counts by hand, and every plan against a loop that walks the run step by step."""

import numpy as np
import pytest
from helpers.oracles import delivered_rates, dqn_phases, ppo_phases
from hypothesis import given
from hypothesis import strategies as st

from rl_warmup import schedules
from rl_warmup.schedules.phases import Plan, evaluation_grid, plan_dqn, plan_ppo, planned_learning_rates

small = st.integers(1, 9)
totals = st.integers(1, 400)
ppo_plans = st.builds(plan_ppo, totals, n_envs=small, n_steps=small, batch_size=small, n_epochs=st.integers(1, 3))


def pairs(plan: Plan) -> list[tuple[int, int]]:
    return list(zip(plan.env_step.tolist(), plan.n_steps.tolist(), strict=True))


def test_tuned_ppo_on_cartpole() -> None:
    plan = plan_ppo(100_000, n_envs=8, n_steps=32, batch_size=256, n_epochs=20)
    assert (len(plan.n_steps), plan.env_steps, plan.gradient_steps) == (391, 100_096, 7820)
    assert set(plan.n_steps) == {20}
    assert plan.env_step[[0, -1]].tolist() == [256, 100_096]
    assert plan.progress[-1] == 1.0  # the last rollout ends 96 steps beyond the budget


def test_tuned_ppo_on_acrobot() -> None:
    plan = plan_ppo(1_000_000, n_envs=16, n_steps=256, batch_size=64, n_epochs=4)
    assert (len(plan.n_steps), plan.env_steps, plan.gradient_steps) == (245, 245 * 4096, 245 * 4 * 64)


def test_tuned_dqn_on_cartpole() -> None:
    plan = plan_dqn(50_000, n_envs=1, train_freq=256, gradient_steps=128, learning_starts=1000)
    assert plan.env_steps == 196 * 256
    assert plan.env_step[0] == 1024  # the first multiple of 256 above 1000
    assert (len(plan.n_steps), plan.gradient_steps) == (193, 193 * 128)


def test_tuned_dqn_on_acrobot() -> None:
    plan = plan_dqn(100_000, n_envs=1, train_freq=4, gradient_steps=-1, learning_starts=0)
    assert (plan.env_steps, plan.env_step[0], len(plan.n_steps), plan.gradient_steps) == (
        100_000,
        4,
        25_000,
        100_000,
    )


def test_a_smaller_last_minibatch_is_a_gradient_step() -> None:
    assert plan_ppo(1, n_envs=1, n_steps=10, batch_size=4, n_epochs=2).gradient_steps == 2 * 3


@pytest.mark.parametrize(("learning_starts", "first"), [(7, 8), (8, 12), (9, 12)])
def test_dqn_learns_once_more_than_learning_starts_steps_are_done(learning_starts: int, first: int) -> None:
    plan = plan_dqn(100, n_envs=1, train_freq=4, gradient_steps=1, learning_starts=learning_starts)
    assert plan.env_step[0] == first


def test_dqn_that_never_learns_has_no_phases() -> None:
    plan = plan_dqn(100, n_envs=1, train_freq=4, gradient_steps=1, learning_starts=100)
    assert (plan.gradient_steps, plan.env_steps) == (0, 100)


@given(total=totals, n_envs=small, n_steps=small, batch_size=st.integers(1, 90), n_epochs=st.integers(1, 4))
def test_ppo_is_its_loop(total: int, n_envs: int, n_steps: int, batch_size: int, n_epochs: int) -> None:
    plan = plan_ppo(total, n_envs=n_envs, n_steps=n_steps, batch_size=batch_size, n_epochs=n_epochs)
    done, phases = ppo_phases(total, n_envs, n_steps, batch_size, n_epochs)
    assert (plan.env_steps, pairs(plan)) == (done, phases)


@given(
    total=totals,
    n_envs=small,
    train_freq=small,
    gradient_steps=st.sampled_from([-1, 1, 2, 7]),
    learning_starts=st.integers(0, 450),
)
def test_dqn_is_its_loop(
    total: int, n_envs: int, train_freq: int, gradient_steps: int, learning_starts: int
) -> None:
    plan = plan_dqn(
        total,
        n_envs=n_envs,
        train_freq=train_freq,
        gradient_steps=gradient_steps,
        learning_starts=learning_starts,
    )
    done, phases = dqn_phases(total, n_envs, train_freq, gradient_steps, learning_starts)
    assert (plan.env_steps, pairs(plan)) == (done, phases)


@given(ppo_plans)
def test_every_gradient_step_is_in_the_phase_that_takes_it(plan: Plan) -> None:
    owners = [phase for phase, steps in enumerate(plan.n_steps) for _ in range(steps)]
    assert [plan.phase_of(k) for k in range(plan.gradient_steps)] == owners


@given(ppo_plans)
def test_progress_rises_within_the_run(plan: Plan) -> None:
    assert (np.diff(plan.progress) > 0).all()
    assert plan.progress[0] > 0  # the first rollout comes before the first update
    assert plan.progress[-1] == 1.0
    assert plan.progress == pytest.approx(np.minimum(1, plan.env_step / plan.total_timesteps), abs=1e-15)


def test_grid_by_hand() -> None:
    plan = plan_dqn(100, n_envs=1, train_freq=4, gradient_steps=1, learning_starts=0)
    assert evaluation_grid(plan, 5, 1).tolist() == [0, 25, 50, 75, 100]
    assert evaluation_grid(plan, 5, 8).tolist() == [0, 32, 56, 80, 100]


def test_tuned_grid_has_twenty_evaluations_on_vector_steps() -> None:
    plan = plan_ppo(100_000, n_envs=8, n_steps=32, batch_size=256, n_epochs=20)
    grid = evaluation_grid(plan, 20, 8)
    assert grid[:3].tolist() == [0, 5264, 10_528]  # 5263.16 and 10526.3, up to the next multiple of 8
    assert (len(grid), grid[-1]) == (20, 100_096)


@given(plan=ppo_plans, count=st.integers(2, 30), data=st.data())
def test_grid_properties(plan: Plan, count: int, data: st.DataObject) -> None:
    divisors = [n for n in range(1, plan.env_steps + 1) if plan.env_steps % n == 0]
    n_envs = data.draw(st.sampled_from(divisors))
    grid = evaluation_grid(plan, count, n_envs)
    assert len(grid) == count
    assert (grid[0], grid[-1]) == (0, plan.env_steps)
    assert (np.diff(grid) >= 0).all()
    assert not (grid % n_envs).any()
    even = np.arange(count - 1) * plan.total_timesteps / (count - 1)
    assert (np.abs(grid[:-1] - even) <= n_envs + 0.5).all()


def test_planned_rates_by_hand() -> None:
    plan = plan_ppo(40, n_envs=2, n_steps=5, batch_size=5, n_epochs=1)  # 4 phases of 2 steps
    base = schedules.linear(1.0)
    assert planned_learning_rates(plan, base, None).tolist() == pytest.approx(
        [0.75, 0.75, 0.5, 0.5, 0.25, 0.25, 0, 0]
    )
    warm = planned_learning_rates(plan, base, schedules.step_factor("linear", 4))
    assert warm.tolist() == pytest.approx([0.75 / 4, 0.75 / 2, 0.5 * 3 / 4, 0.5, 0.25, 0.25, 0, 0])


def test_planned_rates_on_the_environment_clock_hold_for_a_phase() -> None:
    plan = plan_ppo(40, n_envs=2, n_steps=5, batch_size=5, n_epochs=1)
    schedule = schedules.warmup(schedules.constant(1.0), "linear", 0.5)
    assert planned_learning_rates(plan, schedule, None).tolist() == pytest.approx([0.5, 0.5, 1, 1, 1, 1, 1, 1])


@given(plan=ppo_plans, base=st.sampled_from(sorted(schedules.BASES)), length=st.integers(1, 50))
def test_planned_rates_are_the_loop(plan: Plan, base: str, length: int) -> None:
    schedule, factor = schedules.BASES[base](3e-4), schedules.step_factor("linear", length)
    walked = delivered_rates(pairs(plan), plan.total_timesteps, schedule, lambda k: min(1.0, (k + 1) / length))
    assert planned_learning_rates(plan, schedule, factor) == pytest.approx(np.array(walked), rel=1e-12, abs=1e-20)
