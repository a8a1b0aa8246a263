"""Whose the constants of an environment are, and what is said where they are nobody's."""

from typing import Any

import pytest
from helpers.composing import unresolved

from rl_warmup.config.constants import borrowed_env, known_as, measure_command, unscored

ENV: dict[str, Any] = {"name": "mine", "id": "Mine-v0", "return_floor": 0, "return_low": 1.5, "return_high": 9}
CARTPOLE = {"name": "cartpole", "id": "CartPole-v1", "return_low": 22.2, "return_high": 500.0, "return_floor": 8.0}


@pytest.mark.parametrize(
    ("env", "borrowed", "known"),
    [
        (CARTPOLE, None, "cartpole"),
        (CARTPOLE | {"name": "other"}, None, "cartpole"),
        (CARTPOLE | {"id": "Mine-v0"}, "CartPole-v1", None),
        (CARTPOLE | {"kwargs": {"sutton_barto_reward": True}}, "CartPole-v1", None),
        (CARTPOLE | {"wrappers": ["gymnasium.wrappers.FlattenObservation"]}, "CartPole-v1", None),
        (CARTPOLE | {"kwargs": {}, "wrappers": [], "training_wrappers": ["a.B"]}, None, "cartpole"),
        (ENV, None, None),
    ],
)
def test_constants_belong_to_an_environment_as_it_is_made(
    env: dict[str, Any], borrowed: str | None, known: str | None
) -> None:
    assert (borrowed_env(env), known_as(env)) == (borrowed, known)


def test_what_is_said_before_training() -> None:
    assert unscored(vars(unresolved().env)) == []
    assert unscored(ENV | {"threshold": 8}) == []
    (line,) = unscored(ENV)
    assert line == (
        "Mine-v0 is trained without env.threshold; a report cannot normalize returns without them, and gets them "
        "at any time from python -m rl_warmup.measure env=gym env.id=Mine-v0"
    )
    (line,) = unscored({"name": "CartPole-v1", "id": "CartPole-v1"})
    assert line.endswith("env.return_low, env.return_high and env.threshold; it is built in, as env=cartpole")
    (line,) = unscored(ENV | {"threshold": 8, "return_low": 22.2})
    assert line == "Mine-v0 is trained with env.return_low=22.2 of CartPole-v1: give it its own"
    assert unscored(ENV | {"threshold": 8, "return_floor": -500, "return_low": -499}) == []  # a whole number


def test_the_command_that_measures_makes_the_same_environment() -> None:
    made = {"id": "my_pkg:Mine-v0", "kwargs": {"size": 3, "name": "a b", "on": True, "of": [1.5, None]}}
    wrapped = made | {"wrappers": ["my_pkg.Wrap", {"my_pkg.Skip": {"n": 4}}]}
    assert measure_command(wrapped) == (
        "python -m rl_warmup.measure env=gym env.id=my_pkg:Mine-v0 "
        "'env.kwargs={size: 3, name: '\"'\"'a b'\"'\"', on: true, of: [1.5, null]}' "
        "'env.wrappers=[my_pkg.Wrap, {my_pkg.Skip: {n: 4}}]'"
    )
    given = [
        f"env.{key}={value}" for key, value in (("kwargs", "{size: 3, name: 'a b', on: true, of: [1.5, null]}"),)
    ]
    env = unresolved(
        "env=gym", "env.id=my_pkg:Mine-v0", *given, "env.wrappers=[my_pkg.Wrap, {my_pkg.Skip: {n: 4}}]"
    ).env
    assert (env.kwargs, env.wrappers) == (wrapped["kwargs"], wrapped["wrappers"])
