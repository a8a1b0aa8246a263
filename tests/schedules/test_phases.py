"""Counts by hand, and every run against a loop that walks the run step by step."""

import numpy as np
import pytest
from helpers.oracles import delivered_rates, walk_dqn, walk_ppo
from hypothesis import given
from hypothesis import strategies as st

from rl_warmup import schedules
from rl_warmup.schedules.phases import Phases, dqn_phases, evaluation_grid, planned_learning_rates, ppo_phases

small = st.integers(1, 9)
totals = st.integers(1, 400)
ppo_runs = st.builds(ppo_phases, totals, n_envs=small, n_steps=small, batch_size=small, n_epochs=st.integers(1, 3))


def pairs(phases: Phases) -> list[tuple[int, int]]:
    return list(zip(phases.env_step.tolist(), phases.n_steps.tolist(), strict=True))


def test_tuned_ppo_on_cartpole() -> None:
    phases = ppo_phases(100_000, n_envs=8, n_steps=32, batch_size=256, n_epochs=20)
    assert (len(phases.n_steps), phases.env_steps, phases.gradient_steps) == (391, 100_096, 7820)
    assert set(phases.n_steps) == {20}
    assert phases.env_step[[0, -1]].tolist() == [256, 100_096]
    assert phases.progress[-1] == 1.0  # the last rollout ends 96 steps beyond the budget


def test_tuned_ppo_on_acrobot() -> None:
    phases = ppo_phases(1_000_000, n_envs=16, n_steps=256, batch_size=64, n_epochs=4)
    assert (len(phases.n_steps), phases.env_steps, phases.gradient_steps) == (245, 245 * 4096, 245 * 4 * 64)


def test_tuned_dqn_on_cartpole() -> None:
    phases = dqn_phases(50_000, n_envs=1, train_freq=256, gradient_steps=128, learning_starts=1000)
    assert phases.env_steps == 196 * 256
    assert phases.env_step[0] == 1024  # the first multiple of 256 above 1000
    assert (len(phases.n_steps), phases.gradient_steps) == (193, 193 * 128)


def test_tuned_dqn_on_acrobot() -> None:
    phases = dqn_phases(100_000, n_envs=1, train_freq=4, gradient_steps=-1, learning_starts=0)
    assert (phases.env_steps, phases.env_step[0], len(phases.n_steps), phases.gradient_steps) == (
        100_000,
        4,
        25_000,
        100_000,
    )


def test_a_smaller_last_minibatch_is_a_gradient_step() -> None:
    assert ppo_phases(1, n_envs=1, n_steps=10, batch_size=4, n_epochs=2).gradient_steps == 2 * 3


@pytest.mark.parametrize(("learning_starts", "first"), [(7, 8), (8, 12), (9, 12)])
def test_dqn_learns_once_more_than_learning_starts_steps_are_done(learning_starts: int, first: int) -> None:
    phases = dqn_phases(100, n_envs=1, train_freq=4, gradient_steps=1, learning_starts=learning_starts)
    assert phases.env_step[0] == first


def test_dqn_that_never_learns_has_no_phases() -> None:
    phases = dqn_phases(100, n_envs=1, train_freq=4, gradient_steps=1, learning_starts=100)
    assert (phases.gradient_steps, phases.env_steps) == (0, 100)


@given(total=totals, n_envs=small, n_steps=small, batch_size=st.integers(1, 90), n_epochs=st.integers(1, 4))
def test_ppo_is_its_loop(total: int, n_envs: int, n_steps: int, batch_size: int, n_epochs: int) -> None:
    phases = ppo_phases(total, n_envs=n_envs, n_steps=n_steps, batch_size=batch_size, n_epochs=n_epochs)
    done, walked = walk_ppo(total, n_envs, n_steps, batch_size, n_epochs)
    assert (phases.env_steps, pairs(phases)) == (done, walked)


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
    phases = dqn_phases(
        total,
        n_envs=n_envs,
        train_freq=train_freq,
        gradient_steps=gradient_steps,
        learning_starts=learning_starts,
    )
    done, walked = walk_dqn(total, n_envs, train_freq, gradient_steps, learning_starts)
    assert (phases.env_steps, pairs(phases)) == (done, walked)


@given(ppo_runs)
def test_every_gradient_step_is_in_the_phase_that_takes_it(phases: Phases) -> None:
    owners = [phase for phase, steps in enumerate(phases.n_steps) for _ in range(steps)]
    assert [phases.phase_of(k) for k in range(phases.gradient_steps)] == owners


@given(ppo_runs)
def test_progress_rises_within_the_run(phases: Phases) -> None:
    assert (np.diff(phases.progress) > 0).all()
    assert phases.progress[0] > 0  # the first rollout comes before the first update
    assert phases.progress[-1] == 1.0
    assert phases.progress == pytest.approx(np.minimum(1, phases.env_step / phases.total_timesteps), abs=1e-15)


def test_grid_by_hand() -> None:
    phases = dqn_phases(100, n_envs=1, train_freq=4, gradient_steps=1, learning_starts=0)
    assert evaluation_grid(phases, 5, 1).tolist() == [0, 25, 50, 75, 100]
    assert evaluation_grid(phases, 5, 8).tolist() == [0, 32, 56, 80, 100]


def test_tuned_grid_has_twenty_evaluations_on_vector_steps() -> None:
    phases = ppo_phases(100_000, n_envs=8, n_steps=32, batch_size=256, n_epochs=20)
    grid = evaluation_grid(phases, 20, 8)
    assert grid[:3].tolist() == [0, 5264, 10_528]  # 5263.16 and 10526.3, up to the next multiple of 8
    assert (len(grid), grid[-1]) == (20, 100_096)


@given(phases=ppo_runs, count=st.integers(2, 30), data=st.data())
def test_grid_properties(phases: Phases, count: int, data: st.DataObject) -> None:
    divisors = [n for n in range(1, phases.env_steps + 1) if phases.env_steps % n == 0]
    n_envs = data.draw(st.sampled_from(divisors))
    grid = evaluation_grid(phases, count, n_envs)
    assert len(grid) == count
    assert (grid[0], grid[-1]) == (0, phases.env_steps)
    assert (np.diff(grid) >= 0).all()
    assert not (grid % n_envs).any()
    even = np.arange(count - 1) * phases.total_timesteps / (count - 1)
    assert (np.abs(grid[:-1] - even) <= n_envs + 0.5).all()


def test_planned_rates_by_hand() -> None:
    phases = ppo_phases(40, n_envs=2, n_steps=5, batch_size=5, n_epochs=1)  # 4 phases of 2 steps
    base = schedules.linear(1.0)
    assert planned_learning_rates(phases, base, None).tolist() == pytest.approx(
        [0.75, 0.75, 0.5, 0.5, 0.25, 0.25, 0, 0]
    )
    warm = planned_learning_rates(phases, base, schedules.step_factor("linear", 4))
    assert warm.tolist() == pytest.approx([0.75 / 4, 0.75 / 2, 0.5 * 3 / 4, 0.5, 0.25, 0.25, 0, 0])


def test_planned_rates_on_the_environment_clock_hold_for_a_phase() -> None:
    phases = ppo_phases(40, n_envs=2, n_steps=5, batch_size=5, n_epochs=1)
    schedule = schedules.warmup(schedules.constant(1.0), "linear", 0.5)
    assert planned_learning_rates(phases, schedule, None).tolist() == pytest.approx([0.5, 0.5, 1, 1, 1, 1, 1, 1])


@given(phases=ppo_runs, base=st.sampled_from(sorted(schedules.BASES)), length=st.integers(1, 50))
def test_planned_rates_are_the_loop(phases: Phases, base: str, length: int) -> None:
    schedule, factor = schedules.BASES[base](3e-4), schedules.step_factor("linear", length)
    walked = delivered_rates(pairs(phases), phases.total_timesteps, schedule, lambda k: min(1.0, (k + 1) / length))
    assert planned_learning_rates(phases, schedule, factor) == pytest.approx(np.array(walked), rel=1e-12, abs=1e-20)
