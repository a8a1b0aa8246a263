"""An environment as its config describes it: packages that register it, arguments, wrappers, and EnvPool's like."""

from contextlib import closing
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.composing import unresolved
from helpers.configs import by_id

from rl_warmup.config.identity import identity
from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import EnvConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.envs.make import make
from rl_warmup.envs.spaces import check_env, spaces
from rl_warmup.envs.vector import make_envs

MINATAR = EnvConfig(
    id="MinAtar/Breakout-v1",
    module="minatar.gym.register_envs",
    wrappers=["rl_warmup.envs.wrappers.ChannelsFirst"],
)
MINIGRID = EnvConfig(
    id="MiniGrid-DoorKey-5x5-v0",
    module="minigrid",
    wrappers=["minigrid.wrappers.ImgObsWrapper"],
    envpool={"observation": "image", "timed_goal": True},
)


def test_kwargs_are_given_to_the_environment() -> None:
    slippery, firm = (replace(by_id("FrozenLake-v1"), kwargs={"is_slippery": slips}) for slips in (True, False))
    ends: list[set[int]] = []
    for env in (slippery, firm):
        with closing(make(env)) as made:
            ends.append({_first_step(made, seed, np.int64(2)) for seed in range(20)})
    assert len(ends[0]) > 1 == len(ends[1])


def _first_step(env: gym.Env[Any, Any], seed: int, action: np.int64) -> int:
    env.reset(seed=seed)
    return int(env.step(action)[0])


def test_wrappers_are_applied_from_the_inside_out() -> None:
    scaled = {"gymnasium.wrappers.RescaleObservation": {"min_obs": -1, "max_obs": 1}}
    env = replace(by_id("MountainCar-v0"), wrappers=[scaled, "gymnasium.wrappers.FlattenObservation"])
    stacked = {"gymnasium.wrappers.FrameStackObservation": {"stack_size": 3}}
    with closing(make(replace(env, wrappers=[*env.wrappers, stacked]))) as made:
        assert made.observation_space.shape == (3, 2)
        assert made.observation_space == made.env.observation_space
        assert (made.observation_space.low == -1).all()
        assert made.reset(seed=0)[0].shape == (3, 2)


def test_wrappers_of_training_are_for_training_only() -> None:
    env = replace(
        by_id("CartPole-v1"), training_wrappers=[{"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 2}}]
    )
    for training in (False, True):
        with closing(make_envs("gymnasium", env, [1], training=training)) as envs:
            envs.reset()
            ended = [envs.step(np.zeros(1)).truncated[0] for _ in range(2)]
            assert ended == [False, training]


def test_a_module_registers_or_holds_a_function_that_does() -> None:
    with closing(make(MINATAR)) as made:
        assert (made.observation_space.shape, made.observation_space.dtype) == ((4, 10, 10), bool)
        observation, _ = made.reset(seed=0)
        ball, trail = observation[1], observation[2]
        assert ball.sum() == trail.sum() == 1
    with closing(make(MINIGRID)) as made:
        assert made.observation_space.shape == (7, 7, 3)


def test_one_part_of_what_envpool_shows() -> None:
    with closing(make_envs("envpool", MINIGRID, [1, 2])) as envs:
        assert envs.observation_space.shape == (3, 7, 7)
        assert envs.reset().shape == (2, 3, 7, 7)
    assert spaces(MINIGRID, "envpool") == spaces(MINIGRID)


def test_an_option_of_envpool_is_its_time_limit_too() -> None:
    env = replace(by_id("MountainCar-v0"), envpool={"max_episode_steps": 7})
    with closing(make_envs("envpool", env, [1])) as envs:
        envs.reset()
        steps = [envs.step(np.zeros(1)) for _ in range(8)]
    assert [step.truncated[0] for step in steps] == [False] * 6 + [True, False]
    assert not any(step.terminated[0] for step in steps)


@pytest.mark.parametrize(
    ("changes", "envs"),
    [
        ({}, "envpool"),
        ({"env__id": "MountainCar-v0"}, "envpool"),
        ({"env__envpool": None}, "gymnasium"),
        ({"env__kwargs": {"sutton_barto_reward": True}}, "gymnasium"),
        ({"env__wrappers": ["gymnasium.wrappers.FlattenObservation"]}, "gymnasium"),
        ({"env__name": "mine", "env__kwargs": {"a": 1}}, "gymnasium"),
        ({"env__name": "mine", "env__kwargs": {"a": 1}, "env__envpool": {"a": 1}}, "envpool"),
    ],
)
def test_a_stack_uses_envpool_where_it_is_told_the_same(changes: dict[str, Any], envs: str) -> None:
    assert resolve(unresolved("trainer=stacked", **changes)).trainer.envs == envs


def test_envpool_is_refused_what_it_would_not_know() -> None:
    changed = unresolved("trainer=stacked", "trainer.envs=envpool", env__kwargs={"sutton_barto_reward": True})
    with pytest.raises(ConfigError, match=r"trainer.envs=envpool does not go with env.kwargs=\{'sutton_barto_re"):
        resolve(changed)


def test_identity_holds_what_makes_an_environment_and_nothing_that_is_usual() -> None:
    assert (
        not {"module", "kwargs", "wrappers", "training_wrappers", "envpool"} & identity(by_id("CartPole-v1")).keys()
    )
    assert identity(MINIGRID)["envpool"] == {"observation": "image", "timed_goal": True}
    assert identity(MINATAR)["wrappers"] == ["rl_warmup.envs.wrappers.ChannelsFirst"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"env__wrappers": ["gymnasium.wrappers.Nope"]},
            r"cannot be made: its wrapper gymnasium.wrappers.Nope raised AttributeError: .*Nope",
        ),
        (
            {"env__wrappers": ["no_such_package.Nope"]},
            "cannot be made: its wrapper .*Nope raised .*; install the package no_such_package, or ",
        ),
        ({"env__module": "no_such_package"}, "cannot be made: No module named 'no_such_package'"),
        (
            {"env__kwargs": {"nope": 1}},
            r"cannot be made: TypeError: .*nope.*; what it needs is given in 'env.kwargs=\{name: value\}'",
        ),
        (
            {"env__wrappers": ["rl_warmup.envs.wrappers.ChannelsFirst"]},
            r"cannot be made: its wrapper .*ChannelsFirst raised ValueError: .* needs observations .*, not Box",
        ),
        (
            {"env__wrappers": [{"gymnasium.wrappers.TimeLimit": {"limit": 3}}]},
            "cannot be made: its wrapper .*TimeLimit raised TypeError: .* unexpected keyword argument 'limit'$",
        ),
    ],
)
def test_what_cannot_be_made_says_why(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_env(resolve(unresolved(**changes)))


@pytest.mark.parametrize("entry", ["TimeLimit", 3, {"a.B": 3}, {"a.B": {}, "c.D": {}}, ["a.B"], {3: {}}])
def test_what_is_no_wrapper_is_refused(entry: Any) -> None:
    with pytest.raises(ConfigError, match=r"env.wrappers=.* is no list of wrappers; use dotted paths, gym"):
        resolve(unresolved(env__wrappers=[entry]))
