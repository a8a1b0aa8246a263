"""Controls, repetitions, matched lengths and presets of a warmup, from the command line to the planned dose."""

import numpy as np
import pytest
from helpers.composing import unresolved

from rl_warmup.config.identity import arm_of, identity, run_id
from rl_warmup.config.learning_rate import phases_of, planned_base, planned_dose, planned_factors, skipped_steps
from rl_warmup.config.resolve import resolve
from rl_warmup.config.settings import ConfigError
from rl_warmup.schedules import RAMPS
from rl_warmup.schedules.controls import CONTROLS, budget


def planned(*overrides):
    config = resolve(unresolved(*overrides))
    assert resolve(config) == config
    return config, planned_factors(config)


@pytest.mark.parametrize("clock", ["gradient_steps", "env_steps"])
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_is_planned_from_the_factors_of_its_warmup(control, algo, clock):
    warmup = [f"algo={algo}", "schedule=linear", "warmup=cosine", f"warmup.clock={clock}", "warmup.length=0.3"]
    warm, omega = planned(*warmup)
    config, factors = planned(*warmup, f"warmup.control={control}")
    base = planned_base(warm)
    np.testing.assert_array_equal(factors, CONTROLS[control](omega, base))
    np.testing.assert_allclose(planned_dose(config), factors * base, rtol=1e-15)
    assert identity(config)["warmup"] == identity(warm)["warmup"] | {"control": control}
    assert skipped_steps(config) == (round((1 - omega).sum()) if control == "delayed" else 0)
    assert arm_of(config).label == f"{control}-cosine-30%-{clock} lr={config.learning_rate:g} linear"


@pytest.mark.parametrize(
    ("chosen", "label", "words"),
    [
        ("warmup.on=critic", "linear-of-critic-10%-gradient_steps", "linear warmup of the critic over 10% of the"),
        ("warmup.of=clip_range", "linear-of-clip_range-10%-gradient_steps", "linear warmup of the clip range over"),
        ("warmup.repeat=30", "linear-10%-gradient_steps-every-30", "again every 30 gradient steps"),
        ("warmup.control=dip", "dip-linear-10%-gradient_steps", "gradient steps, in the middle of the run"),
    ],
)
def test_an_arm_is_readable(chosen, label, words):
    arm = arm_of(resolve(unresolved(chosen)))
    assert arm.label == f"{label} lr=0.001 constant"
    assert words in arm.words


def test_off_is_the_arm_without_a_warmup():
    off, none = resolve(unresolved("warmup.control=off")), resolve(unresolved("warmup=none"))
    assert run_id(off) == run_id(none)


def test_the_identity_of_a_plain_warmup_is_what_it_was():
    config = resolve(unresolved())
    assert identity(config)["warmup"] == {"shape": "linear", "length": 782, "clock": "gradient_steps", "start": 0.0}


@pytest.mark.parametrize(
    ("algo", "repeat", "period"),
    [("ppo", "rollout", 20), ("ppo", "30", 30), ("dqn", "rollout", 128), ("dqn", "300", 300)],
)
def test_a_ramp_is_repeated(algo, repeat, period):
    config, omega = planned(f"algo={algo}", "warmup.length=10", f"warmup.repeat={repeat}")
    ramp = np.minimum(1, np.arange(1, period + 1) / 10)
    np.testing.assert_allclose(omega[: 2 * period], [*ramp, *ramp])
    every = "rollout" if repeat == "rollout" else repeat
    assert f"-gradient_steps-every-{every} " in arm_of(config).label
    phases = phases_of(config)
    assert period != 20 or phases.n_steps[0] == 20


def test_a_ramp_is_repeated_at_every_copy_of_the_target_network():
    settings = ["algo=dqn", "algo.train_freq=4", "algo.gradient_steps=2", "algo.target_update_interval=40"]
    config, omega = planned(*settings, "warmup.length=5", "warmup.repeat=target_update")
    phases = phases_of(config)
    first = phases.first_steps[phases.new_objective][:3]
    # learning starts after 1000 steps, where the network has just been copied, and ends a phase every 4 steps
    assert phases.env_step[0] == 1004
    assert first.tolist() == [0, 18, 38]  # copied at 1040 and 1080: nine, then ten phases later
    for start in first:
        np.testing.assert_allclose(omega[start : start + 6], [0.2, 0.4, 0.6, 0.8, 1, 1])
    assert arm_of(config).words.endswith("again at every target update")


@pytest.mark.parametrize("schedule", ["constant", "linear"])
@pytest.mark.parametrize("shape", [shape for shape in RAMPS if shape != "linear"])
def test_a_matched_shape_takes_the_budget_of_the_other(shape, schedule):
    wanted, omega = planned(f"schedule={schedule}", "warmup=linear", "warmup.length=0.1")
    config, matched = planned(f"schedule={schedule}", f"warmup={shape}", "warmup.match=linear:0.1")
    base = planned_base(config)
    step = 1 / len(base)  # of the length: the budgets of its neighbours differ by as much
    assert abs(budget(matched, base) - budget(omega, planned_base(wanted))) < 2 * step
    for length in (config.warmup.length - 1, config.warmup.length + 1):
        _, other = planned(f"schedule={schedule}", f"warmup={shape}", f"warmup.length={length}")
        assert abs(budget(other, base) - budget(omega, base)) >= abs(budget(matched, base) - budget(omega, base))


def test_a_warmup_may_match_one_that_beta2_defines():
    config, omega = planned("warmup=linear", "warmup.match=untuned_exponential")
    _, other = planned("warmup=untuned_exponential")
    base = planned_base(config)
    assert budget(omega, base) == pytest.approx(budget(other, base), abs=1e-4)


@pytest.mark.parametrize(
    ("preset", "shape", "length", "schedule"),
    [
        ("dreamer", "linear", 1000, "constant"),
        ("amago", "linear", 500, "constant"),
        ("muzero", "linear", 78, "constant"),
        ("llm", "linear", 235, "cosine"),
        ("pqn", "radam", None, "constant"),
    ],
)
def test_presets_are_what_their_source_does(preset, shape, length, schedule):
    config = resolve(unresolved(f"warmup={preset}"))
    found = config.warmup.name, config.warmup.shape, config.warmup.length, config.schedule.name
    assert found == (preset, shape, length, schedule)
    assert preset in arm_of(config).label


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["warmup=none", "warmup.control=matched"], "warmup.control=matched needs a warmup that it is of"),
        (["warmup=none", "warmup.repeat=rollout"], "warmup.repeat=rollout needs a warmup"),
        (["warmup=none", "warmup.match=linear:0.1"], "warmup.match=linear:0.1 needs a warmup"),
        (["warmup.control=backwards"], "warmup.control=backwards is not known; use one of: reversed, dip, delayed"),
        (["warmup.repeat=target_update"], "ppo has no target network; use warmup.repeat=rollout"),
        (
            ["warmup.repeat=rollout", "algo.target_kl=0.01"],
            "warmup.repeat=rollout does not go with algo.target_kl=0.01, .*; use a number of gradient steps",
        ),
        (["warmup.repeat=0"], "warmup.repeat=0 repeats nothing"),
        (["warmup.repeat=often"], "warmup.repeat=often repeats nothing"),
        (["warmup.repeat=30", "warmup.clock=env_steps"], "does not go with warmup.clock=env_steps"),
        (["warmup=cosine", "warmup.match=0.1"], "warmup.match=0.1: .*give a shape and its length, like linear:0.1"),
        (["warmup=cosine", "warmup.match=linear"], "give a shape and its length, like linear:0.1"),
        (["warmup=cosine", "warmup.match=linear:x"], "give a shape and its length, like linear:0.1"),
        (["warmup=cosine", "warmup.match=linear:9999999"], "does not fit into a run"),
        (["warmup=sqrt", "warmup.match=polynomial:0.9"], "match a shorter warmup, or use another shape"),
        (["warmup=radam", "warmup.match=linear:0.1"], "has no meaning for warmup=radam"),
        (["warmup=radam", "warmup.control=moment_only"], "learning rate of 0 at all .* the warmup never ends"),
        (["algo=dqn", "warmup.on=actor"], "warmup.on=actor: dqn has not an actor and a critic; use warmup.on=all"),
        (["algo=dqn", "warmup.of=clip_range"], "dqn has not a clip range and an entropy coefficient"),
        (["warmup.on=head"], "warmup.on=head is not known; use one of: all, actor, critic"),
        (["warmup.on=critic", "warmup.of=clip_range"], "does not go with warmup.of=clip_range"),
        (["warmup.on=critic", "warmup.control=delayed"], "does not go with warmup.control=delayed"),
        (["warmup.of=clip_range", "warmup.control=moment_only"], "use reversed, dip or matched"),
        (["warmup.of=entropy"], "algo.ent_coef=0 has nothing to warm up"),
        (["warmup.of=clip_range", "warmup.length=1"], "the factor is 1, so that all 391 planned values equal"),
        (["warmup.length=1", "warmup.control=reversed"], r"linear \(reversed\) over 1 gradient_steps is inert"),
        (["warmup.length=1", "warmup.control=delayed"], r"linear \(delayed\) over 1 gradient_steps is inert"),
    ],
)
def test_what_cannot_be_is_refused_in_words(overrides, message):
    with pytest.raises(ConfigError, match=message):
        resolve(unresolved(*overrides))
