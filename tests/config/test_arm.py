"""The arm of a run in parts: as its config has it, and as its record gives it back."""

import json
from dataclasses import replace

import pytest
from helpers.composing import unresolved

from rl_warmup.config.arm import Arm
from rl_warmup.config.identity import arm_of, identity
from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.study import clock_total, flat

OWN = "helpers.own_schedules"


def recorded(config: RunConfig) -> Arm:
    """From run.json, as it is after it was written and read."""
    warmup, settings = json.loads(json.dumps([vars(config.warmup), flat(identity(config))]))
    settings |= {f"warmup.{key}": value for key, value in warmup.items()}
    return Arm.of(warmup, clock_total(settings), settings["learning_rate"], settings["schedule.name"])


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
    assert arm == arm_of(config)
    assert arm.label == f"{warmup} lr=0.001 constant"
    assert arm.short == warmup.replace("-", " ").replace("_", " ")


def test_further_settings_follow_in_label_short_and_words() -> None:
    arm = replace(recorded(resolve(unresolved("warmup=none"))), rest=("algo.n_steps=64", "algo.gamma=0.9"))
    assert arm.label == "none lr=0.001 constant algo.n_steps=64 algo.gamma=0.9"
    assert arm.short == "none algo.n_steps=64 algo.gamma=0.9"
    assert arm.words == "no warmup, algo.n_steps=64, algo.gamma=0.9"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("warmup=untuned_linear",), "untuned linear warmup"),
        (("warmup=linear", "warmup.start=0.2"), "linear warmup over 10% of the gradient steps, start0.2"),
        (
            ("warmup=linear", "warmup.length=777", "warmup.clock=env_steps"),
            "linear warmup over 777 environment steps",
        ),
        (("warmup=polynomial", "warmup.power=3"), "polynomial power3 warmup over 10% of the gradient steps"),
        (
            ("warmup=linear", "warmup.name=my_10% env steps"),
            "my 10% env steps linear warmup over 10% of the gradient steps",
        ),
    ],
)
def test_an_arm_in_words(overrides: tuple[str, ...], words: str) -> None:
    assert recorded(resolve(unresolved(*overrides))).words == words
