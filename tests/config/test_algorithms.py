"""Every registered algorithm has what the code outside the trainers needs of it."""

from dataclasses import fields
from itertools import combinations

import pytest
from helpers.composing import unresolved
from helpers.oracles import walk_dqn, walk_ppo
from hypothesis import given
from hypothesis import strategies as st

from rl_warmup.config.algorithms import ALGORITHMS, recorded_phases
from rl_warmup.config.schema import AlgoConfig, DQNConfig, PPOConfig
from rl_warmup.records.schema import table_schemas
from rl_warmup.schedules.phases import Phases

SIZES = st.integers(1, 20)
TOTAL = st.integers(1, 400)


def walked(phases: Phases) -> tuple[int, list[tuple[int, int]]]:
    return phases.env_steps, list(zip(phases.env_step.tolist(), phases.n_steps.tolist(), strict=True))


def test_names_and_config_classes() -> None:
    assert {name: algorithm.config for name, algorithm in ALGORITHMS.items()} == {
        "ppo": PPOConfig,
        "dqn": DQNConfig,
    }


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_config_class_is_of_that_name_and_has_the_settings_that_phases_depend_on(name: str) -> None:
    algorithm = ALGORITHMS[name]
    assert issubclass(algorithm.config, AlgoConfig)
    assert algorithm.config().name == name
    assert set(algorithm.sizes) <= {one.name for one in fields(algorithm.config)}


@given(total=TOTAL, n_envs=SIZES, n_steps=SIZES, batch_size=SIZES, n_epochs=st.integers(1, 4))
def test_phases_of_ppo(total: int, n_envs: int, n_steps: int, batch_size: int, n_epochs: int) -> None:
    algo = PPOConfig(n_envs=n_envs, n_steps=n_steps, batch_size=batch_size, n_epochs=n_epochs)
    phases = ALGORITHMS["ppo"].phases(total, lambda name: getattr(algo, name))
    assert walked(phases) == walk_ppo(total, n_envs, n_steps, batch_size, n_epochs)


@given(total=TOTAL, n_envs=SIZES, train_freq=SIZES, steps=st.sampled_from([-1, 1, 7]), starts=st.integers(0, 300))
def test_phases_of_dqn(total: int, n_envs: int, train_freq: int, steps: int, starts: int) -> None:
    algo = DQNConfig(n_envs=n_envs, train_freq=train_freq, gradient_steps=steps, learning_starts=starts)
    phases = ALGORITHMS["dqn"].phases(total, lambda name: getattr(algo, name))
    assert walked(phases) == walk_dqn(total, n_envs, train_freq, steps, starts)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_recorded_phases_are_those_of_the_config(name: str) -> None:
    config = unresolved(f"algo={name}")
    settings = {f"algo.{key}": value for key, value in vars(config.algo).items()}
    settings["total_timesteps"] = config.total_timesteps
    algorithm = ALGORITHMS[name]
    found = recorded_phases(settings)
    assert found is not None
    assert walked(found) == walked(
        algorithm.phases(settings["total_timesteps"], lambda key: settings[f"algo.{key}"])
    )
    for lacking in ("algo.name", "total_timesteps", *(f"algo.{size}" for size in algorithm.sizes)):
        assert recorded_phases({key: value for key, value in settings.items() if key != lacking}) is None
    assert recorded_phases(settings | {"algo.name": "sac"}) is None


def test_no_column_is_of_two_algorithms() -> None:
    for one, other in combinations(ALGORITHMS.values(), 2):
        assert not set(one.columns) & set(other.columns)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_table_of_updates_has_the_columns_of_its_algorithm_only(name: str) -> None:
    algorithm, updates = ALGORITHMS[name], table_schemas(name)["updates"]
    assert set(algorithm.columns) <= set(updates)
    assert set(algorithm.shown) <= set(algorithm.columns)
    others = {column for other in ALGORITHMS.values() if other is not algorithm for column in other.columns}
    assert not others & set(updates)
    assert len(set(algorithm.columns)) == len(algorithm.columns)


def test_experience_worked_out_by_hand() -> None:
    ppo = PPOConfig(n_envs=2, n_steps=8, batch_size=4, n_epochs=3)
    phases = ALGORITHMS["ppo"].phases(32, lambda name: getattr(ppo, name))
    assert ALGORITHMS["ppo"].experience(ppo, phases, 5, 4, True) == 16 * (5 + 5 + 16 + 18) * 4
    dqn = DQNConfig(buffer_size=100, batch_size=4, train_freq=4, gradient_steps=3, learning_starts=0)
    phases = ALGORITHMS["dqn"].phases(32, lambda name: getattr(dqn, name))
    drawn = 6 * 3 * 4 * 4
    assert (
        ALGORITHMS["dqn"].experience(dqn, phases, 5, 4, True) == 32 * (5 + 5 + 3) * 4 + drawn
    )  # no more than the run fills
    phases = ALGORITHMS["dqn"].phases(400, lambda name: getattr(dqn, name))
    assert ALGORITHMS["dqn"].experience(dqn, phases, 5, 4, True) == 100 * (5 + 5 + 3) * 4 + drawn
    # of bytes: once, what a tenth of the steps end with, four numbers; Stable-Baselines3 has them twice
    assert ALGORITHMS["dqn"].experience(dqn, phases, 50, 1, True) == 100 * (50 + 5 + 16) + drawn
    assert ALGORITHMS["dqn"].experience(dqn, phases, 50, 1, False) == 100 * (50 + 50 + 16)
