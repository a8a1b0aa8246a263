"""What counts as finite, and what is said of a value that is not."""

from typing import Any

import numpy as np
import pytest
from helpers.configs import by_id

from rl_warmup.envs.finite import check, finite
from rl_warmup.envs.vector import make_envs


@pytest.mark.parametrize("values", [0, 1.5, [1e20, -3e38], np.zeros((2, 3), np.uint8), np.float16([6e4]), "x", {}])
def test_finite_numbers_of_float32_and_what_is_no_float(values: Any) -> None:
    assert finite(values)


@pytest.mark.parametrize(
    "values", [float("nan"), [0.0, np.inf], np.float32([[-np.inf]]), 1e39, np.float16([np.inf])]
)
def test_what_no_network_can_take_is_not_finite(values: Any) -> None:
    assert not finite(values)


def test_the_value_is_named_and_where_it_is() -> None:
    with pytest.raises(FloatingPointError, match=r"env.id=a-v0 gave the observation inf at \[0, 1\] in step 0 of"):
        check("a-v0", 0, np.array([[0.0, np.inf]]))
    with pytest.raises(FloatingPointError, match="gave the reward 1e\\+300 in step 7 of"):
        check("a-v0", 7, np.zeros(2), 1e300, 1)


def test_what_follows_from_an_action_that_is_not_finite_is_the_agents() -> None:
    check("a-v0", 7, np.array([np.nan]), -np.inf, np.array([np.inf]))


def test_environments_of_envpool_are_held_to_it() -> None:
    envs: Any = make_envs("envpool", by_id("CartPole-v1"), [0, 1])
    envs.reset()
    step = envs._pool.step

    def broken(actions: Any, which: Any) -> Any:
        observations, rewards, *rest = step(actions, which)
        return observations, np.where(np.arange(2) == 1, np.nan, rewards), *rest

    envs._pool = type("Pool", (), {"step": staticmethod(broken), "close": envs._pool.close})
    with pytest.raises(FloatingPointError, match=r"env.id=CartPole-v1 gave the reward nan in step 1 of"):
        envs.step(np.zeros(2, np.int64))
