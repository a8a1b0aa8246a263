"""What resolving fills in, by hand; and what it refuses, one message a test."""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest
from helpers.composing import unresolved
from hypothesis import given
from hypothesis import strategies as st

from rl_warmup import schedules
from rl_warmup.config.identity import arm_of, identity
from rl_warmup.config.learning_rate import (
    optimizer_counts,
    phases_of,
    planned_base,
    planned_dose,
    skipped_steps,
    step_factor,
)
from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError

PPO: tuple[str, ...] = ()  # tuned on CartPole: 391 updates of 20 steps, the first after 256 environment steps
SGD = ("optimizer=sgd",)
DQN = ("algo=dqn",)  # tuned on CartPole: 193 updates of 128 steps, the first after 1024 environment steps


def refused(message: str, *overrides: str, **values: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(unresolved(*overrides, **values))


# ---- what is filled in ----


@pytest.mark.parametrize(
    ("algorithm", "clock", "length", "count"),
    [
        (PPO, "gradient_steps", 0.1, 782),
        (PPO, "gradient_steps", 0.05, 391),
        (PPO, "gradient_steps", 391.0, 391),
        (PPO, "gradient_steps", 0.0004, 3),  # 3.128
        (PPO, "gradient_steps", 7820.0, 7820),
        (PPO, "env_steps", 0.1, 10_000),
        (PPO, "env_steps", 100_000.0, 100_000),
        (DQN, "gradient_steps", 0.1, 2470),  # 2470.4 of 24704
        (DQN, "env_steps", 0.1, 5000),
        (DQN, "env_steps", 1025.0, 1025),
    ],
)
def test_length_becomes_a_count_of_its_clock(
    algorithm: tuple[str, ...], clock: str, length: float, count: int
) -> None:
    warmup = resolve(unresolved(*algorithm, warmup__clock=clock, warmup__length=length)).warmup
    assert (warmup.length, warmup.clock) == (count, clock)


def test_a_fraction_is_of_the_budget_asked_for_not_of_the_steps_really_taken() -> None:
    config = resolve(unresolved(total_timesteps=300, warmup__clock="env_steps", warmup__length=0.95))
    assert (config.warmup.length, phases_of(config).env_steps) == (285, 512)


@pytest.mark.parametrize("shape", schedules.RAMPS)
def test_start_and_power_become_those_of_the_shape(shape: str) -> None:
    warmup = resolve(unresolved(warmup__shape=shape, warmup__start=None, warmup__power=None)).warmup
    assert warmup.start == {"exponential": 0.01, "constant": 0.1}.get(shape, 0.0)
    assert warmup.power == (2.0 if shape == "polynomial" else None)


def test_power_is_dropped_where_the_shape_has_none() -> None:
    assert resolve(unresolved(warmup__power=3.0)).warmup.power is None
    assert resolve(unresolved("warmup=polynomial", warmup__power=3.0)).warmup.power == 3.0


def test_no_warmup_keeps_nothing_of_one() -> None:
    warmup = resolve(unresolved("warmup=none", warmup__length=0.3, warmup__clock="env_steps")).warmup
    assert dataclasses.asdict(warmup) == {
        "name": "none",
        "shape": "none",
        "length": None,
        "clock": None,
        "start": None,
        "power": None,
        "target": None,
        "control": None,
        "repeat": None,
        "match": None,
        "on": "all",
        "of": "learning_rate",
    }


def test_the_arm_is_named_by_its_shape_unless_it_has_a_name_of_its_own() -> None:
    assert resolve(unresolved("warmup=linear", warmup__shape="cosine")).warmup.name == "cosine"
    assert resolve(unresolved("warmup=linear", warmup__name="mine")).warmup.name == "mine"
    with_ramp = {"warmup__shape": "linear", "warmup__clock": "gradient_steps", "warmup__length": 0.1}
    assert resolve(unresolved("warmup=none", **with_ramp)).warmup.name == "linear"


@pytest.mark.parametrize(("beta2", "length"), [(0.999, 2000), (0.99, 200), (0.95, 40)])
def test_untuned_linear_takes_its_length_from_beta2(beta2: float, length: int) -> None:
    config = resolve(unresolved("warmup=untuned_linear", algo__optimizer__beta2=beta2))
    assert (config.warmup.length, config.warmup.clock) == (length, "gradient_steps")
    below = planned_dose(config) < planned_base(config)
    assert below.sum() == length - 1
    assert below[: length - 1].all()


@pytest.mark.parametrize("shape", ["untuned_exponential", "radam"])
def test_adam_ramps_have_a_clock_but_no_length(shape: str) -> None:
    warmup = resolve(unresolved(f"warmup={shape}")).warmup
    assert (warmup.length, warmup.start, warmup.clock) == (None, None, "gradient_steps")
    assert resolve(unresolved(f"warmup={shape}", warmup__clock=None)).warmup == warmup


def test_adam_ramps_follow_their_own_beta2() -> None:
    config = resolve(unresolved("warmup=untuned_exponential", algo__optimizer__beta2=0.9))
    k = np.arange(5)
    assert planned_dose(config)[:5] == pytest.approx(1e-3 * (1 - np.exp(-(k + 1) * 0.1)))


@pytest.mark.parametrize(
    ("values", "rate", "scale"),
    [
        ({}, 1e-3, 1.0),
        ({"learning_rate_scale": 16.0}, 0.016, 16.0),
        ({"learning_rate": 0.004}, 0.004, 4.0),
        ({"learning_rate": 0.004, "learning_rate_scale": 4.0}, 0.004, 4.0),
        ({"learning_rate": 0.004, "tuned_learning_rate": None}, 0.004, None),
    ],
)
def test_learning_rate_and_its_scale(values: dict[str, Any], rate: float, scale: float | None) -> None:
    config = resolve(unresolved(**values))
    assert (config.learning_rate, config.learning_rate_scale) == (pytest.approx(rate), scale)


def test_the_argument_is_left_as_it_was() -> None:
    config, before = unresolved(), unresolved()
    resolve(config)
    assert config == before


@pytest.mark.parametrize("algorithm", [PPO, DQN])
@pytest.mark.parametrize("clock", ["gradient_steps", "env_steps"])
@pytest.mark.parametrize("shape", schedules.RAMPS)
def test_resolving_twice_changes_nothing(shape: str, clock: str, algorithm: tuple[str, ...]) -> None:
    values = {"warmup__clock": clock, "warmup__length": 0.237, "learning_rate_scale": 3.0}
    once = resolve(unresolved(*algorithm, f"warmup={shape}", **values))
    assert resolve(once) == once


@pytest.mark.parametrize("warmup", ["none", "untuned_exponential", "radam"])
def test_resolving_twice_changes_nothing_without_a_length(warmup: str) -> None:
    once = resolve(unresolved(f"warmup={warmup}", learning_rate=7e-4))
    assert resolve(once) == once


@given(fraction=st.floats(1e-3, 0.999))
def test_a_fraction_and_its_count_are_the_same_warmup(fraction: float) -> None:
    by_fraction = resolve(unresolved(warmup__length=fraction))
    count = float(by_fraction.warmup.length or 0)
    assert count == pytest.approx(fraction * 7820, abs=0.5)
    assert resolve(unresolved(warmup__length=count)) == by_fraction


# ---- the planned dose ----


def test_gradient_clock_rises_at_every_step_and_the_environment_clock_at_every_phase() -> None:
    steps = resolve(unresolved(warmup__length=40.0))
    assert planned_dose(steps)[:42] == pytest.approx(1e-3 * np.minimum(1, (np.arange(42) + 1) / 40))
    phases = resolve(unresolved(warmup__clock="env_steps", warmup__length=1024.0))
    assert planned_dose(phases)[:100] == pytest.approx(1e-3 * np.repeat([0.25, 0.5, 0.75, 1, 1], 20))
    assert step_factor(phases) is None


def test_dqn_loses_what_the_environment_clock_counts_before_it_learns() -> None:
    config = resolve(unresolved(*DQN, warmup__clock="env_steps", warmup__length=2048.0))
    assert planned_dose(config)[[0, 128, 512]] == pytest.approx(2.3e-3 * np.array([0.5, 0.625, 1.0]))


def test_the_control_is_the_base_schedule() -> None:
    control = resolve(unresolved("warmup=none", "schedule=linear"))
    warm = resolve(unresolved("schedule=linear"))
    assert planned_dose(control).tolist() == planned_base(control).tolist() == planned_base(warm).tolist()


# ---- inert warmups, at the boundary and one beyond ----


@pytest.mark.parametrize(("algorithm", "first"), [(PPO, 256), (DQN, 1024)])
@pytest.mark.parametrize("shape", schedules.RAMPS)
def test_environment_clock_over_before_the_first_update_is_inert(
    shape: str, algorithm: tuple[str, ...], first: int
) -> None:
    values = {"warmup__shape": shape, "warmup__start": None, "warmup__clock": "env_steps"}
    message = (
        rf"{shape} over {first} env_steps is inert: the first update comes after {first} environment "
        rf"steps.*use warmup.length above {first} env_steps, or warmup.clock=gradient_steps"
    )
    refused(message, *algorithm, warmup__length=float(first), **values)
    beyond = resolve(unresolved(*algorithm, warmup__length=first + 1.0, **values))
    assert planned_dose(beyond)[0] < planned_base(beyond)[0]


@pytest.mark.parametrize("algorithm", [PPO, DQN])
@pytest.mark.parametrize("shape", schedules.RAMPS)
def test_a_single_gradient_step_is_inert(shape: str, algorithm: tuple[str, ...]) -> None:
    values = {"warmup__shape": shape, "warmup__start": None}
    message = rf"{shape} over 1 gradient_steps is inert: the first gradient step is already at the peak.*2 steps"
    refused(message, *algorithm, warmup__length=1.0, **values)
    beyond = resolve(unresolved(*algorithm, warmup__length=2.0, **values))
    assert planned_dose(beyond)[0] < planned_base(beyond)[0]
    assert planned_dose(beyond)[1] == planned_base(beyond)[1]


def test_a_fraction_that_ends_with_the_first_rollout_is_inert() -> None:
    refused("is inert.*all 7820 planned", warmup__clock="env_steps", warmup__length=0.00256)


def test_a_fraction_of_less_than_a_step_is_one_step_and_inert() -> None:
    refused("over 1 gradient_steps is inert", warmup__length=1e-9)


# ---- refusals ----

nan, inf = math.nan, math.inf


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"total_timesteps": 100}, "evaluation.count=20 evaluations do not fit into 100 environment steps, 8 at"),
        (
            {"total_timesteps": 256, "schedule__name": "linear"},
            "schedule=linear is 0 at every update of a run of 256",
        ),
        ({"learning_rate": 0.0}, r"learning_rate=0.0 is not usable; use a finite number above 0"),
        ({"learning_rate": nan}, r"learning_rate=nan is not usable"),
        ({"learning_rate_scale": -1.0}, r"learning_rate_scale=-1.0 is not usable"),
        ({"learning_rate_scale": inf}, r"learning_rate_scale=inf is not usable"),
        (
            {"learning_rate": 2e-3, "learning_rate_scale": 3.0},
            r"learning_rate=0.002 and learning_rate_scale=3 exclude",
        ),
        ({"learning_rate": 1.0, "learning_rate_scale": 1.0, "tuned_learning_rate": None}, r"exclude each other"),
        ({"warmup__clock": None}, r"warmup.clock=None is not a clock; use one of: gradient_steps, env_steps"),
        ({"warmup__clock": "seconds"}, r"warmup.clock=seconds is not a clock"),
        (
            {"warmup__length": None},
            r"warmup.length=None is not a length.*count of gradient_steps from 1 on.*warmup=none",
        ),
        ({"warmup__length": 0.0}, r"warmup.length=0.0 is not a length"),
        ({"warmup__length": -5.0}, r"warmup.length=-5.0 is not a length"),
        ({"warmup__length": inf}, r"warmup.length=inf is not usable; use a finite number"),
        ({"warmup__length": nan}, r"warmup.length=nan is not usable; use a finite number"),
        ({"warmup__length": 2.5}, r"warmup.length=2.5 is neither a fraction below 1 nor a whole count of steps"),
        (
            {"warmup__length": 7821.0},
            r"a warmup of 7821 gradient_steps does not fit into a run of 7820; use a shorter",
        ),
        (
            {"warmup__length": 100_001.0, "warmup__clock": "env_steps"},
            r"a warmup of 100001 env_steps does not fit into a run of 100000",
        ),
        ({"warmup__start": 1.0}, r"warmup: start=1.0 of the linear warmup: give a factor in \[0, 1\)"),
        ({"warmup__start": -0.1}, r"warmup: start=-0.1 of the linear warmup"),
        ({"warmup__start": 0.0, "warmup__shape": "exponential"}, r"warmup: start=0.0 of the exponential warmup"),
        ({"warmup__power": 0.0, "warmup__shape": "polynomial"}, r"warmup: power=0.0: give a finite number above 0"),
    ],
    ids=lambda value: " ".join(f"{key}={one}" for key, one in value.items()) if isinstance(value, dict) else "",
)
def test_ppo_refuses(values: dict[str, Any], message: str) -> None:
    refused(message, **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"algo__learning_starts": 50_176},
            r"total_timesteps=50000 leaves no gradient step: dqn first learns later",
        ),
        ({"total_timesteps": 768}, r"total_timesteps=768 leaves no gradient step"),
        ({"warmup__length": 24_705.0}, r"a warmup of 24705 gradient_steps does not fit into a run of 24704"),
    ],
    ids=lambda value: " ".join(f"{key}={one}" for key, one in value.items()) if isinstance(value, dict) else "",
)
def test_dqn_refuses(values: dict[str, Any], message: str) -> None:
    refused(message, *DQN, **values)


@pytest.mark.parametrize("shape", schedules.ADAM_RAMPS)
def test_shapes_of_beta2_are_refused_where_there_are_no_second_moments(shape: str) -> None:
    refused(f"warmup={shape} follows from Adam's beta2, and optimizer=sgd keeps no second", *SGD, f"warmup={shape}")


@pytest.mark.parametrize("name", ["adam_rel", "adam_rel_mean"])
def test_relative_counts_are_refused_where_the_objective_never_changes(name: str) -> None:
    inert = rf"optimizer={name} is inert: no update comes after a new objective"
    refused(inert, f"optimizer={name}", total_timesteps=256)
    refused(inert, f"optimizer={name}", *DQN, algo__target_update_interval=60_000)
    assert resolve(unresolved(f"optimizer={name}", total_timesteps=512)).algo.optimizer.name == name
    assert resolve(unresolved(f"optimizer={name}", *DQN)).algo.optimizer.name == name


def test_an_optimizer_counts_its_steps_and_none_that_it_does_not_take() -> None:
    assert optimizer_counts(resolve(unresolved())).tolist() == list(range(1, 7821))
    delayed = resolve(unresolved("warmup.control=delayed", "warmup.length=41"))  # half of 41 steps are lost
    assert skipped_steps(delayed) == 20
    assert optimizer_counts(delayed)[[0, 19, 20, 21, -1]].tolist() == [0, 0, 1, 2, 7800]


def test_adam_rel_counts_from_every_rollout_and_every_copy_of_the_target_network() -> None:
    counts = optimizer_counts(resolve(unresolved("optimizer=adam_rel")))
    assert counts.tolist() == [*range(1, 21)] * 391
    delayed = ("optimizer=adam_rel", "warmup.control=delayed", "warmup.length=61")  # 30 steps, a rollout and a half
    counts = optimizer_counts(resolve(unresolved(*delayed)))
    assert counts[:60].tolist() == [0] * 30 + [*range(1, 11), *range(1, 21)]
    own = {"algo__train_freq": 4, "algo__gradient_steps": 2, "algo__learning_starts": 5, "total_timesteps": 40}
    config = resolve(unresolved(*DQN, "optimizer=adam_rel", "warmup=none", **own, algo__target_update_interval=10))
    # updates after 8, 12, ..., 40 steps; copies after 10, 20, 30 and 40
    assert optimizer_counts(config).tolist() == [1, 2, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 1, 2]


def test_the_control_of_adam_rel_is_adam_at_its_mean_factor() -> None:
    config, plain = (resolve(unresolved(*own)) for own in (["optimizer=adam_rel_mean"], []))
    factor = np.mean([(1 - 0.999**t) ** 0.5 / (1 - 0.9**t) for t in range(1, 21)])
    assert factor == pytest.approx(0.172, abs=5e-4)
    np.testing.assert_allclose(planned_base(config), planned_base(plain) * factor, rtol=1e-12)
    np.testing.assert_allclose(planned_dose(config), planned_dose(plain) * factor, rtol=1e-12)
    assert optimizer_counts(config).tolist() == optimizer_counts(plain).tolist()


def test_a_beta2_that_radam_cannot_use_is_refused() -> None:
    refused("warmup: beta2=0.5", "warmup=radam", algo__optimizer__beta2=0.5)


def test_untuned_linear_is_resolved_twice_without_a_change() -> None:
    once = resolve(unresolved("warmup=untuned_linear"))
    assert resolve(once) == once


def test_a_rate_and_the_scale_that_gives_it_are_one_arm() -> None:
    acrobot = ("algo=dqn", "env=acrobot")
    scaled = resolve(unresolved(*acrobot, learning_rate_scale=3.0))
    assert scaled.learning_rate == resolve(unresolved(*acrobot, learning_rate=0.00189)).learning_rate == 0.00189


def test_dqn_whose_last_rollout_is_its_first_update_is_trained() -> None:
    assert phases_of(resolve(unresolved(*DQN, total_timesteps=769))).gradient_steps == 128


@pytest.mark.parametrize("shape", schedules.ADAM_RAMPS)
@pytest.mark.parametrize(("key", "value"), [("length", 0.1), ("start", 0.5), ("power", 2.0)])
def test_adam_ramps_refuse_what_they_cannot_use(shape: str, key: str, value: float) -> None:
    message = rf"warmup.{key}={value} has no meaning for warmup={shape}.*beta2=0.999 alone; leave it out"
    refused(message, f"warmup={shape}", **{f"warmup__{key}": value})


@pytest.mark.parametrize("shape", schedules.ADAM_RAMPS)
def test_adam_ramps_refuse_the_environment_clock(shape: str) -> None:
    message = rf"warmup.clock=env_steps does not go with warmup={shape}; it counts gradient_steps"
    refused(message, f"warmup={shape}", warmup__clock="env_steps")


def test_untuned_linear_that_just_fits_and_one_that_does_not() -> None:
    assert resolve(unresolved("warmup=untuned_linear", total_timesteps=25_600)).warmup.length == 2000
    message = r"a warmup of 2000 gradient_steps does not fit into a run of 1980; .* more total_timesteps"
    refused(message, "warmup=untuned_linear", total_timesteps=25_344)


def test_messages_are_one_line() -> None:
    bad: list[RunConfig] = [unresolved(seed=-1), unresolved(warmup__length=0.0), unresolved(warmup__length=1.0)]
    for config in bad:
        with pytest.raises(ConfigError) as caught:
            resolve(config)
        assert not re.search(r"\n", str(caught.value))


def test_the_shape_alone_may_be_swept_and_brings_its_own_start() -> None:
    for shape in schedules.RAMPS:
        warmup = resolve(unresolved("warmup=linear", warmup__shape=shape)).warmup
        assert (warmup.name, warmup.start) == (shape, schedules.SHAPES[shape].start)


OWN = "helpers.own_schedules"


@pytest.mark.parametrize("clock", ["gradient_steps", "env_steps"])
def test_a_shape_and_a_schedule_of_ones_own(clock: str) -> None:
    custom = [
        "warmup=custom",
        f"warmup.target={OWN}.my_ramp",
        "schedule=custom",
        f"schedule.target={OWN}.my_schedule",
    ]
    config = resolve(unresolved(*custom, warmup__clock=clock))
    assert resolve(config) == config
    assert arm_of(config).label == f"my_ramp-10%-{clock} lr=0.001 my_schedule"
    assert identity(config)["warmup"]["target"] == f"{OWN}.my_ramp"
    assert identity(config)["schedule"] == {"name": "my_schedule", "target": f"{OWN}.my_schedule"}
    base, dose = planned_base(config), planned_dose(config)
    assert base[0] < 1e-3
    assert base[-1] == dose[-1] == pytest.approx(5e-4)
    assert dose[0] < base[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["warmup=custom"], "warmup=custom needs warmup.target=, the dotted path"),
        (["schedule=custom"], "schedule=custom needs schedule.target=, the dotted path"),
        ([f"+warmup.target={OWN}.my_ramp"], "does not go with warmup=linear; use warmup=custom"),
        ([f"+schedule.target={OWN}.my_schedule"], "does not go with schedule=constant; use schedule=custom"),
        (["warmup=custom", f"warmup.target={OWN}.falls"], "warmup: .*falls falls: at 0.499"),
        (["schedule=custom", f"schedule.target={OWN}.my_ramp"], "schedule: .*my_ramp rises: at"),
    ],
)
def test_what_is_no_shape_or_schedule_of_ones_own_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(unresolved(*overrides))
