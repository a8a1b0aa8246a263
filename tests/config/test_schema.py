"""The defaults of the schema are those of the agents that it describes."""

import inspect
from dataclasses import fields

import pytest
from stable_baselines3 import DQN, PPO

from rl_warmup.config.schema import DQNConfig, PPOConfig


@pytest.mark.parametrize(("schema", "model"), [(PPOConfig, PPO), (DQNConfig, DQN)])
def test_schema_defaults_are_those_of_stable_baselines3(schema: type, model: type) -> None:
    theirs = {name: parameter.default for name, parameter in inspect.signature(model).parameters.items()}
    ours = {field.name: getattr(schema(), field.name) for field in fields(schema)}
    shared = ours.keys() & theirs.keys()
    assert len(shared) >= 8
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


def test_adam_is_what_stable_baselines3_makes_of_it() -> None:
    ppo, dqn = PPOConfig().optimizer, DQNConfig().optimizer
    assert (ppo.beta1, ppo.beta2, ppo.eps) == (0.9, 0.999, 1e-5)
    assert (dqn.beta1, dqn.beta2, dqn.eps) == (0.9, 0.999, 1e-8)
