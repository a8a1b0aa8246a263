"""The arm of a run in parts: as its config has it, and as its record gives it back."""

import json

import pytest
from helpers.composing import unresolved

from rl_warmup.config.arm import Arm
from rl_warmup.config.identity import arm_label, identity, warmup_label
from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import RunConfig

OWN = "helpers.own_schedules"


def recorded(config: RunConfig, rest: tuple[str, ...] = ()) -> Arm:
    """From run.json, as it is after it was written and read."""
    info = json.loads(json.dumps({"arm": arm_label(config), "config": identity(config)}))
    return Arm.recorded(info, rest)


def arm_of(config: RunConfig) -> Arm:
    assert config.learning_rate is not None
    return Arm(warmup_label(config), config.learning_rate, config.schedule.name)


@pytest.mark.parametrize(
    ("overrides", "label", "short"),
    [
        ((), "linear-10%-gradient_steps lr=0.001 constant", "linear 10% gradient steps"),
        (("warmup=none", "schedule=cosine"), "none lr=0.001 cosine", "none"),
        (
            ("warmup=polynomial", "warmup.power=3", "warmup.clock=env_steps"),
            "polynomial-power3-10%-env_steps lr=0.001 constant",
            "polynomial power3 10% env steps",
        ),
        (("warmup=radam", "schedule=inverse_sqrt"), "radam lr=0.001 inverse_sqrt", "radam"),
        (
            ("learning_rate=0.000123456",),
            "linear-10%-gradient_steps lr=0.0001235 constant",
            "linear 10% gradient steps",
        ),
        (("algo=dqn",), "linear-10%-gradient_steps lr=0.0023 constant", "linear 10% gradient steps"),
        (
            (
                "warmup=custom",
                f"warmup.target={OWN}.my_ramp",
                "schedule=custom",
                f"schedule.target={OWN}.my_schedule",
            ),
            "my_ramp-10%-gradient_steps lr=0.001 my_schedule",
            "my ramp 10% gradient steps",
        ),
    ],
)
def test_the_recorded_arm_is_that_of_the_config(overrides: tuple[str, ...], label: str, short: str) -> None:
    config = resolve(unresolved(*overrides))
    arm = arm_of(config)
    assert arm == recorded(config)
    assert (arm.label, arm.short) == (label, short)


@pytest.mark.parametrize(
    ("name", "warmup"),
    [
        ("slow", "slow-linear-10%-gradient_steps"),
        ("my slow one", "my slow one-linear-10%-gradient_steps"),
        ("a lr=0.001 constant", "a lr=0.001 constant-linear-10%-gradient_steps"),  # what a label ends with
        ("linear lr=0.5 cosine", "linear lr=0.5 cosine-10%-gradient_steps"),
    ],
)
def test_an_arm_with_a_name_of_its_own(name: str, warmup: str) -> None:
    config = resolve(unresolved(warmup__name=name))
    arm = recorded(config)
    assert arm == arm_of(config) == Arm(warmup, 1e-3, "constant")
    assert arm.label == arm_label(config) == f"{warmup} lr=0.001 constant"
    assert arm.short == warmup.replace("-", " ").replace("_", " ")


def test_further_settings_follow_in_label_and_short() -> None:
    arm = recorded(resolve(unresolved("warmup=none")), ("algo.n_steps=64", "algo.gamma=0.9"))
    assert arm.label == "none lr=0.001 constant algo.n_steps=64 algo.gamma=0.9"
    assert arm.short == "none algo.n_steps=64 algo.gamma=0.9"
