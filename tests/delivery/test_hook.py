from collections import defaultdict

import numpy as np
import pytest
import torch
from helpers.configs import SHORT, TINY, Configure
from helpers.sinks import by_sb3
from stable_baselines3 import DQN, PPO
from torch.nn.utils import parameters_to_vector
from torch.optim.optimizer import register_optimizer_step_post_hook

from rl_warmup import schedules
from rl_warmup.config.columns import COEFFICIENTS, GROUPS
from rl_warmup.config.learning_rate import coefficients, phases_of, planned_base, planned_dose, planned_factors
from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.delivery.hook import attach_warmup, phases_of_model, steps_taken
from rl_warmup.delivery.schedule import for_sb3
from rl_warmup.schedules.bases import constant, linear
from rl_warmup.schedules.controls import CONTROLS
from rl_warmup.schedules.warmups import warmup


def dose(config):
    """Rows of the table `updates` of a real run."""
    return by_sb3(config).rows["updates"]


def per_phase(config, rates):
    return np.split(rates, np.cumsum(phases_of(config).n_steps)[:-1])


def assert_delivered(config):
    """The optimizer received, step by step, what was planned: counts, rates, and dose against the base."""
    rows, phases = dose(config), phases_of(config)
    assert [row["env_step"] for row in rows] == phases.env_step.tolist()
    assert [row["gradient_step"] for row in rows] == np.cumsum(phases.n_steps).tolist()
    bases = per_phase(config, planned_base(config))
    for row, rates, base in zip(rows, per_phase(config, planned_dose(config)), bases, strict=True):
        np.testing.assert_allclose(
            [row["learning_rate_first"], row["learning_rate_last"], row["learning_rate_mean"]],
            [rates[0], rates[-1], rates.mean()],
            rtol=1e-12,
        )
        assert row["n_below_99"] == (rates < 0.99 * base).sum()
        omega = np.divide(rates, base, out=np.ones_like(rates), where=base > 0)
        assert row["omega_sum"] == pytest.approx(omega.sum(), rel=1e-12)
    return rows


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("clock", ["gradient_steps", "env_steps"])
@pytest.mark.parametrize("shape", schedules.RAMPS)
def test_every_shape_is_delivered_on_both_clocks(shape, clock, algo, configure: Configure):
    chosen = [f"warmup={shape}", f"warmup.clock={clock}", "warmup.length=0.5"]
    rows = assert_delivered(configure(*TINY[algo], *SHORT, *chosen))
    assert rows[0]["n_below_99"] > 0


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("shape", schedules.ADAM_RAMPS)
def test_the_shapes_of_beta2_are_delivered(shape, algo, configure: Configure):
    assert_delivered(configure(*TINY[algo], *SHORT, f"warmup={shape}", "algo.optimizer.beta2=0.9"))


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_is_delivered_its_rates(optimizer, algo, configure: Configure):
    often = ["algo.target_update_interval=50"] if algo == "dqn" else []
    chosen = [f"optimizer={optimizer}", "warmup.length=0.5"]
    rows = assert_delivered(configure(*TINY[algo], *SHORT, *often, *chosen))
    assert rows[0]["n_below_99"] > 0


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("clock", ["gradient_steps", "env_steps"])
@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_is_delivered(control, clock, algo, configure: Configure):
    chosen = [f"warmup.control={control}", f"warmup.clock={clock}", "warmup.length=0.5", "schedule=linear"]
    assert_delivered(configure(*TINY[algo], *SHORT, *chosen))


@pytest.mark.parametrize(("algo", "repeat"), [("ppo", "rollout"), ("ppo", "5"), ("dqn", "target_update")])
def test_every_repetition_is_delivered(algo, repeat, configure: Configure):
    often = ["algo.target_update_interval=50"] if algo == "dqn" else []
    rows = assert_delivered(configure(*TINY[algo], *SHORT, *often, f"warmup.repeat={repeat}", "warmup.length=3"))
    assert sum(row["n_below_99"] > 0 for row in rows) > 2


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("control", ["delayed", "moment_only"])
def test_a_delayed_start_takes_no_step_and_one_of_moments_moves_them(control, algo, configure: Configure):
    config = configure(*TINY[algo], *SHORT, f"warmup.control={control}", "warmup.length=0.5")
    omega, states = planned_factors(config), []

    def read(optimizer, args, kwargs):
        vector = parameters_to_vector([p for group in optimizer.param_groups for p in group["params"]]).detach()
        moments = sum(float(state["exp_avg"].abs().sum()) for state in optimizer.state.values())
        states.append((vector.clone(), moments, steps_taken(optimizer)))

    handle = register_optimizer_step_post_hook(read)
    try:
        dose(config)
    finally:
        handle.remove()
    waits = int((omega == 0).sum())
    assert 0 < waits < len(omega) == len(states)
    first, _, _ = states[0]
    for k, (vector, moments, taken) in enumerate(states):
        assert torch.equal(vector, first) == (k < waits)
        assert (moments > 0) == (k >= waits or control == "moment_only")
        assert taken == (k + 1 if control == "moment_only" else max(0, k + 1 - waits))


@pytest.mark.parametrize("clock", ["gradient_steps", "env_steps"])
@pytest.mark.parametrize("part", GROUPS)
def test_a_warmup_of_a_part_leaves_the_other_at_the_base(part, clock, configure: Configure):
    chosen = [f"warmup.on={part}", f"warmup.clock={clock}", "warmup.length=0.5", "schedule=linear"]
    config = configure(*TINY["ppo"], *SHORT, *chosen)
    rows, (other,) = assert_delivered(config), {*GROUPS} - {part}
    for row in rows:
        assert row[f"learning_rate_mean_{part}"] == pytest.approx(row["learning_rate_mean"], rel=1e-12)
        assert row[f"learning_rate_mean_{other}"] == pytest.approx(row["base_learning_rate"], rel=1e-12)


@pytest.mark.parametrize("control", ["", "warmup.control=reversed", "warmup.control=matched"])
@pytest.mark.parametrize(("of", "name"), COEFFICIENTS.items())
def test_a_warmup_of_a_coefficient_leaves_the_learning_rate(of, name, control, configure: Configure):
    chosen = [f"warmup.of={of}", "warmup.length=0.5", "algo.ent_coef=0.01", "algo.clip_range_schedule=linear"]
    config = configure(*TINY["ppo"], *SHORT, *chosen, *control.split())
    rows, base = assert_delivered(config), coefficients(config, name, warm=False)
    factors = planned_factors(config)[phases_of(config).first_steps]
    np.testing.assert_allclose([row[name] for row in rows], base * factors, rtol=1e-12)
    assert (factors < 1).any()
    assert all(row["learning_rate_mean"] == config.learning_rate for row in rows)


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.parametrize("base", schedules.BASES)
def test_every_base_schedule_is_delivered(base, algo, configure: Configure):
    assert_delivered(configure(*TINY[algo], *SHORT, f"schedule={base}", "warmup=none"))
    assert_delivered(configure(*TINY[algo], *SHORT, f"schedule={base}", "warmup.length=0.5"))


def test_a_rate_of_zero_leaves_the_weights_where_they_are(configure: Configure):
    """RAdam's factor is 0 in the first four steps: what the record says is what the weights felt."""
    rows = dose(configure(*TINY["dqn"], *SHORT, "warmup=radam", "algo.gradient_steps=1", "algo.train_freq=1"))
    assert [row["relative_update"] > 0 for row in rows[:6]] == [False] * 4 + [True] * 2
    assert [row["learning_rate_mean"] > 0 for row in rows[:6]] == [False] * 4 + [True] * 2


def test_for_sb3_clamps_what_stable_baselines3_lets_run_negative():
    learning_rate = for_sb3(linear(1e-3))
    assert learning_rate(1.0) == 1e-3
    assert learning_rate(0.0) == learning_rate(-0.1) == 0.0
    assert learning_rate(1.1) == 1e-3


def spied_rates(model):
    """Learning rates of all steps of `model` from now on, read inside the step itself."""
    seen, original = [], model.policy.optimizer.step

    def step(*args, **kwargs):
        result = original(*args, **kwargs)
        seen.append(model.policy.optimizer.param_groups[0]["lr"])
        return result

    model.policy.optimizer.step = step
    return seen


def small_ppo(learning_rate=1e-3):
    return PPO(
        "MlpPolicy", "CartPole-v1", n_steps=16, batch_size=16, n_epochs=2, learning_rate=learning_rate, seed=0
    )


def test_two_lines_are_enough_on_ones_own_model():
    model = small_ppo(for_sb3(warmup(constant(3e-4), shape="linear", length=0.5)))
    seen = spied_rates(model)
    model.learn(64)
    np.testing.assert_allclose(seen[::2], 3e-4 * np.array([0.5, 1.0, 1.0, 1.0]), rtol=1e-12)

    model = small_ppo()
    attach_warmup(model, "linear", 4)
    seen = spied_rates(model)
    model.learn(64)
    np.testing.assert_allclose(seen, 1e-3 * np.array([0.25, 0.5, 0.75, 1, 1, 1, 1, 1]), rtol=1e-12)


def test_attaching_again_after_loading_goes_on_from_adams_step_count(tmp_path):
    model = small_ppo()
    attach_warmup(model, "linear", 0.5, total_timesteps=128)  # 8 of 16 steps
    model.learn(32)
    assert steps_taken(model.policy.optimizer) == 4
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", env=model.get_env())
    attach_warmup(loaded, "linear", 8)
    seen = spied_rates(loaded)
    loaded.learn(96, reset_num_timesteps=False)
    np.testing.assert_allclose(seen, 1e-3 * np.minimum(1, np.arange(5, 17) / 8), rtol=1e-12)


def test_the_base_may_be_any_callable_and_the_handle_takes_the_warmup_off():
    model = small_ppo(lambda remaining: 1e-3 * remaining)
    handle = attach_warmup(model, "cosine", 1000)
    handle.remove()
    seen = spied_rates(model)
    model.learn(32)
    np.testing.assert_allclose(seen, [5e-4, 5e-4, 0, 0], atol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": "linear"}, "length=None is not a length"),
        ({"shape": "linear", "length": -3}, "length=-3 is not a length"),
        ({"shape": "linear", "length": float("nan")}, "length=nan is not a length"),
        ({"shape": "linear", "length": 0.1}, "give total_timesteps"),
        ({"shape": "linear", "length": 1}, "whole number from 2 on"),
        ({"shape": "linear", "length": 2.5}, "whole number from 2 on"),
        (
            {"shape": "linear", "length": 99, "total_timesteps": 64},
            "99 gradient steps does not fit into the run's 8",
        ),
        ({"shape": "radam", "length": 10}, "length=10 has no meaning for radam"),
        ({"shape": "steep", "length": 10}, "steep"),
    ],
)
def test_what_cannot_be_attached_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        attach_warmup(small_ppo(), **arguments)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: PPO("MlpPolicy", "CartPole-v1", n_steps=24, batch_size=24, n_epochs=3), id="ppo"),
        pytest.param(
            lambda: PPO("MlpPolicy", "CartPole-v1", n_steps=24, batch_size=10, n_epochs=3),
            id="ppo-truncated-minibatch",
            marks=pytest.mark.filterwarnings("ignore:You have specified a mini-batch size"),
        ),
        pytest.param(lambda: DQN("MlpPolicy", "CartPole-v1", learning_starts=50, train_freq=4), id="dqn"),
        pytest.param(
            lambda: DQN("MlpPolicy", "CartPole-v1", learning_starts=0, train_freq=7, gradient_steps=-1),
            id="dqn-all",
        ),
    ],
)
def test_the_plan_is_what_stable_baselines3_does(model):
    model = model()
    phases = phases_of_model(model, 130)
    steps = defaultdict(int)
    model.policy.optimizer.register_step_post_hook(
        lambda *_: steps.__setitem__(model.num_timesteps, steps[model.num_timesteps] + 1)
    )
    model.learn(130)
    assert list(steps) == phases.env_step.tolist()
    assert list(steps.values()) == phases.n_steps.tolist()
    assert model.num_timesteps == phases.env_steps
