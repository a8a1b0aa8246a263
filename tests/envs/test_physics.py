"""Changed physics: what the environment computes with them, and what cannot be changed."""

import math
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.configs import Configure

from rl_warmup.config.schema import EnvConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.envs.make import make
from rl_warmup.envs.physics import ARGUMENTS, ATTRIBUTES
from rl_warmup.envs.vector import GymnasiumEnvs

CLASSIC = {
    "CartPole-v1": "CartPoleEnv",
    "Acrobot-v1": "AcrobotEnv",
    "MountainCar-v0": "MountainCarEnv",
    "MountainCarContinuous-v0": "Continuous_MountainCarEnv",
    "Pendulum-v1": "PendulumEnv",
}


@pytest.mark.parametrize("env_id", CLASSIC)
def test_every_attribute_is_one_of_gymnasium_s_and_changes_what_a_step_does(env_id: str) -> None:
    for name in ATTRIBUTES[CLASSIC[env_id]]:
        plain = gym.make(env_id)
        value = 2 * getattr(plain.unwrapped, name) or 0.5  # that of the noise is 0
        plain.close()
        played = [_played(env_id, physics) for physics in ({}, {name: value}, {name: value})]
        assert not np.array_equal(played[0], played[1]), name
        np.testing.assert_array_equal(played[1], played[2])


def _played(env_id: str, physics: dict[str, float]) -> np.ndarray:
    with closing(GymnasiumEnvs(EnvConfig(id=env_id, physics=physics), [3])) as envs:
        envs.action_space.seed(5)
        seen = [envs.reset()]
        seen += [envs.step(np.array([envs.action_space.sample()])).final for _ in range(20)]
        return np.concatenate(seen)


def test_a_step_of_the_cart_pole_is_that_of_the_equations() -> None:
    """Barto, Sutton and Anderson's, by hand: a pole of half-length l and mass m on a cart of mass M."""
    gravity, half, cart, pole = 20.0, 1.5, 2.0, 0.3
    physics = {"gravity": gravity, "length": half, "masscart": cart, "masspole": pole}
    env = make(EnvConfig(id="CartPole-v1", physics=physics))
    before, _ = env.reset(seed=0)
    x, x_dot, theta, theta_dot = map(float, before)
    after, *_ = env.step(np.array(1))
    sin, cos, total = math.sin(theta), math.cos(theta), cart + pole
    push = (10.0 + pole * half * theta_dot**2 * sin) / total
    theta_acc = (gravity * sin - cos * push) / (half * (4 / 3 - pole * cos**2 / total))
    x_acc = push - pole * half * theta_acc * cos / total
    expected = [x + 0.02 * x_dot, x_dot + 0.02 * x_acc, theta + 0.02 * theta_dot, theta_dot + 0.02 * theta_acc]
    np.testing.assert_allclose(after, expected, rtol=1e-5)
    env.close()


def test_the_lander_is_made_with_its_arguments_which_it_checks() -> None:
    physics = {"gravity": -5.0, "enable_wind": True, "wind_power": 3.0}
    env = make(EnvConfig(id="LunarLander-v3", physics=physics))
    plain: Any = env.unwrapped
    assert (plain.gravity, plain.enable_wind, plain.wind_power, plain.turbulence_power) == (-5.0, True, 3.0, 1.5)
    env.close()
    with pytest.raises(AssertionError, match="must be between -12 and 0"):
        make(EnvConfig(id="LunarLander-v3", physics={"gravity": 3.0}))
    assert set(physics) < set(ARGUMENTS["LunarLander"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["init.physics={gravty: 20}"],
            "init.physics.gravty is none of what can be changed of CartPoleEnv: gravity",
        ),
        (
            ["env=acrobot", "init.physics={gravity: 20}"],
            "init.physics.gravity is none of what can be changed of Acr",
        ),
        (["env=minigrid_empty", "init.physics={size: 9}"], "init.physics changes classic control and LunarLander"),
        (["init.physics={gravity: heavy}"], "init.physics.gravity=heavy is not usable; use a finite number"),
        (["init.physics={gravity: nan}"], "init.physics.gravity=nan is not usable"),
        (
            ["trainer=stacked", "trainer.envs=envpool", "init.physics={gravity: 20}"],
            "init.physics={gravity: 20}, which",
        ),
    ],
)
def test_what_cannot_be_changed_is_refused(overrides: list[str], message: str, configure: Configure) -> None:
    with pytest.raises(ConfigError) as error:
        configure(*overrides)
    assert message in str(error.value)


def test_changed_physics_are_another_environment_of_the_same_constants(configure: Configure) -> None:
    plain, changed = configure("trainer=stacked"), configure("trainer=stacked", "init.physics={gravity: 20}")
    assert changed.env.physics == {"gravity": 20}
    assert changed.init == plain.init  # from scratch
    assert (changed.env.return_low, changed.env.return_high) == (plain.env.return_low, plain.env.return_high)
    assert changed.trainer.envs == "gymnasium"  # EnvPool's cannot be changed
