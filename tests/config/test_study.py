"""What a study may declare, and which runs its conditions find."""

from typing import Any

import pytest

from rl_warmup.config.study import (
    check_conditions,
    contrasts_of,
    flat,
    matches,
    settings_of,
    without_warmup,
    words,
)

LINEAR, COSINE, NONE = ({"warmup.name": name} for name in ("linear", "cosine", "none"))


def contrast(*terms: tuple[float, dict[str, Any]]) -> dict[str, Any]:
    return {"name": "shape", "arms": [{"weight": weight, "where": where} for weight, where in terms]}


SHAPE = contrast((0.5, LINEAR), (0.5, COSINE), (-1, NONE))


@pytest.mark.parametrize(
    ("declared", "match"),
    [
        ({"a": 1}, r"contrasts \{'a': 1\} is not a list"),
        (["a"], "the contrast 'a' is not a name and its arms"),
        ([{"name": " ", "arms": []}], "a contrast is called ' '; give it a name"),
        ([{"name": "a", "arms": [{"weight": 1, "where": NONE}]}], "give two or more"),
        ([contrast((1, LINEAR), (-0.5, NONE))], "weights of the contrast 'shape' sum to 0.5; make them sum to 0"),
        ([contrast((0, LINEAR), (0, NONE))], "has the weight 0; give a number other than 0"),
        ([contrast((True, LINEAR), (-1, NONE))], "has the weight True"),
        ([contrast((float("nan"), LINEAR), (-1, NONE))], "has the weight nan"),
        ([contrast((1, {}), (-1, NONE))], r"has the where \{\}; give dotted keys"),
        ([{"name": "a", "arms": [{"weight": 1}, {"weight": -1}]}], "give it a weight and a where, nothing else"),
        ([SHAPE, SHAPE], "two contrasts are called 'shape'"),
    ],
)
def test_a_wrong_contrast_is_refused(declared: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        contrasts_of(declared)


def test_weights_that_sum_to_zero_but_for_rounding_are_good() -> None:
    third = contrast((1, NONE), (-1 / 3, LINEAR), (-1 / 3, COSINE), (-1 / 3, {"warmup.name": "sqrt"}))
    assert contrasts_of([third])[0].terms[0] == (1, NONE)
    assert contrasts_of(None) == ()


PPO = {"algo.name": "ppo", "algo.n_envs": 1, "algo.n_steps": 500, "algo.batch_size": 125, "algo.n_epochs": 1}
DQN = {"algo.name": "dqn", "algo.n_envs": 1, "algo.train_freq": 4, "algo.gradient_steps": 1}
DQN |= {"algo.learning_starts": 1000, "algo.target_update_interval": 1000, "total_timesteps": 4000}


@pytest.mark.parametrize(
    ("conditions", "settings", "expected"),
    [
        ({"learning_rate": "1e-3"}, {"learning_rate": 0.001}, True),  # as YAML reads it
        ({"learning_rate": 0.002}, {"learning_rate": 0.001}, False),
        ({"learning_rate": "high"}, {"learning_rate": 0.001}, False),
        ({"warmup.clock": None}, {}, True),
        ({"warmup.clock": "env_steps"}, {}, False),
        ({"algo.normalize": True}, {"algo.normalize": 1}, False),
        ({"algo.loss": "huber"}, DQN, True),  # which a record leaves out
        ({"algo.loss": "huber"}, DQN | {"algo.loss": "mse"}, False),
        ({"algo.layer_norm": False}, PPO | {"algo.layer_norm": True}, False),
        ({"algo.max_grad_norm": None}, PPO, True),
        # 10 rollouts of 500 steps, 4 minibatches each: 40 gradient steps
        ({"warmup.length": 0.1}, PPO | {"total_timesteps": 5000, "warmup.length": 4}, True),
        ({"warmup.length": 0.1}, PPO | {"total_timesteps": 5000, "warmup.length": 5}, False),
        # 1000 phases, those after step 1000: 250 .. 1000 without the first 250
        (
            {"warmup.length": 0.1},
            DQN | {"algo.learning_starts": 1000, "total_timesteps": 4000, "warmup.length": 75},
            True,
        ),
        ({"warmup.length": 0.1}, {"warmup.clock": "env_steps", "total_timesteps": 50, "warmup.length": 5}, True),
        ({"warmup.length": 0.1}, {"algo.name": "ppo", "total_timesteps": 50, "warmup.length": 5}, False),
    ],
)
def test_conditions(conditions: dict[str, Any], settings: dict[str, Any], expected: bool) -> None:
    assert matches(conditions, settings) is expected


@pytest.mark.parametrize(
    ("control", "comparisons", "message"),
    [
        ("none", None, "control 'none' is not a mapping of key to value"),
        (None, LINEAR, "comparisons .* is not a list of mappings"),
        (None, ["linear"], "comparisons .* is not a list of mappings"),
        (None, [LINEAR, {}], "comparisons .* is not a list of mappings"),
    ],
)
def test_conditions_that_name_no_arms_are_refused(control: Any, comparisons: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_conditions(control, comparisons)


def test_conditions_may_be_left_out() -> None:
    check_conditions(None, None)
    check_conditions(NONE, [LINEAR, COSINE])


def test_conditions_in_words_and_without_the_warmup() -> None:
    conditions = {"warmup.name": "linear", "learning_rate": 0.01, "warmup.length": 0.1}
    assert words(conditions) == "warmup.name=linear learning_rate=0.01 warmup.length=0.1"
    assert without_warmup(conditions) == {"learning_rate": 0.01}


def test_settings_are_the_recorded_config_without_seed_device_and_what_is_not_set() -> None:
    config = {"seed": 3, "device": "cpu", "warmup": {"shape": "linear", "length": 8}, "algo": {"gamma": 0.9}}
    info = {"config": config, "warmup": {"name": "mine", "shape": "linear", "length": 8, "power": None}}
    expected = {"warmup.name": "mine", "warmup.shape": "linear", "warmup.length": 8, "algo.gamma": 0.9}
    assert settings_of(info) == expected
    assert settings_of(info, dropped=("device",)) == expected | {"seed": 3}
    assert flat({}) == {}
