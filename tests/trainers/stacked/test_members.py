"""A member of a stack is on its own: neighbours, order and number change nothing, not in the last bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.configs import Configure
from helpers.families import FAMILIES, STACKED
from helpers.sinks import ListSink, Rows
from helpers.stacking import stacked, train_into

from rl_warmup import schedules
from rl_warmup.config.learning_rate import planned_base, planned_dose
from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.config.schema import RunConfig
from rl_warmup.trainers.stacked.environments import env_seeds
from rl_warmup.trainers.stacked.train import train

CAR = [  # every episode ends at the time limit
    *(
        "env.id=MountainCar-v0",
        "env.name=car",
        "env.floor=null",
        "env.ceiling=null",
        "env.return_floor=-200",
        "env.return_low=-200",
        "env.return_high=-110",
    ),
    *("env.threshold=-110", "evaluation.episodes=1", "algo.batch_size=32"),
]
SMALL = {
    "ppo": ["algo=ppo", "total_timesteps=512", "algo.n_epochs=4", "algo.batch_size=96", "evaluation.episodes=2"],
    "dqn": [
        "algo=dqn",
        "total_timesteps=300",
        "algo.learning_starts=50",
        "algo.train_freq=32",
        "algo.gradient_steps=8",
        "evaluation.episodes=2",
    ],
    "ppo normalized": [*CAR, "total_timesteps=440", "algo.n_envs=2", "algo.n_steps=110", "algo.normalize=true"],
    "dqn normalized": [
        *CAR,
        "algo=dqn",
        "total_timesteps=210",
        "algo.train_freq=50",
        "algo.learning_starts=50",
        "algo.normalize=true",
    ],
}
QUICK = ["trainer=stacked", "evaluation.count=2", "algo.net_arch=[16,16]"]
ARMS = [
    ["seed=1", "warmup=linear"],
    ["seed=2", "warmup=none", "learning_rate=0.01"],
    ["seed=3", "warmup=exponential", "algo.optimizer.beta2=0.9", "algo.gamma=0.9"],
    ["seed=4", "warmup=constant", "schedule=linear", "algo.max_grad_norm=0.1", "algo.optimizer.weight_decay=0.1"],
]


def _configs(configure: Configure, kind: str, *more: str) -> list[RunConfig]:
    return [configure(*SMALL[kind], *QUICK, *arm, *more) for arm in ARMS]


MOST = [pytest.param(kind, marks=pytest.mark.long if kind == "dqn normalized" else ()) for kind in SMALL]


@pytest.mark.parametrize("kind", MOST)
def test_a_member_does_not_depend_on_the_others(kind: str, configure: Configure) -> None:
    configs = _configs(configure, kind)
    _, together = stacked(configs)
    _, shuffled = stacked([configs[i] for i in (2, 0, 3, 1, 0, 0, 2, 1)])
    _, pair = stacked([configs[3], configs[2]])
    _same(together[2], shuffled[0], shuffled[6], pair[1])
    _same(together[0], shuffled[1], shuffled[4], shuffled[5])
    _same(together[3], shuffled[2], pair[0])


@pytest.mark.parametrize("kind", ["ppo lander", "ppo lander, gSDE", "ppo pendulum", "dqn minigrid"])
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
def test_a_member_does_not_depend_on_its_place(kind: str, configure: Configure) -> None:
    config = configure(*FAMILIES[kind], *STACKED)
    training, rows = stacked([config] * 4)
    _same(*rows)
    assert all(torch.equal(row, training.algorithm.parameters[0]) for row in training.algorithm.parameters)


@pytest.mark.parametrize("kind", ["ppo", "dqn"])
def test_gymnasium_environments_keep_members_apart_too(kind: str, configure: Configure) -> None:
    configs = _configs(configure, kind, "trainer.envs=gymnasium")
    _same(stacked(configs)[1][2], stacked(configs[2:])[1][0])


@pytest.mark.parametrize("kind", MOST)
def test_a_diverged_member_is_recorded_as_diverged_and_leaves_the_others_alone(
    kind: str, configure: Configure
) -> None:
    configs = _configs(configure, kind)
    _, alone = stacked([configs[0], configs[2]])
    sinks = [ListSink() for _ in configs]
    lost = configure(*SMALL[kind], *QUICK, "seed=5", "warmup=none", "learning_rate=1e30")
    train_into([configs[0], lost, configs[2], lost], sinks)
    assert sinks[1].diverged is not None
    assert sinks[1].diverged.startswith("non-finite parameters after gradient step")
    assert len(sinks[1].rows["updates"]) < len(sinks[0].rows["updates"])
    assert sinks[0].diverged is sinks[2].diverged is None
    _same(alone[0], sinks[0].rows)
    _same(alone[1], sinks[2].rows)


def test_a_stack_whose_members_have_all_diverged_stops(configure: Configure) -> None:
    config = configure(*SMALL["ppo"], *QUICK, "warmup=none", "learning_rate=1e30")
    sink = ListSink()
    train([config], [sink])
    assert sink.diverged
    assert len(sink.rows["updates"]) == 1
    assert [row["env_step"] for row in sink.rows["evaluations"]] == [0]


def test_continuous_actions_of_a_diverged_member_stay_finite(configure: Configure) -> None:
    pendulum = ["env.id=Pendulum-v1", "env.name=pendulum", "env.return_floor=-2000", "env.return_low=-1500"]
    pendulum += [
        "env.floor=null",
        "env.ceiling=null",
        "env.return_high=-150",
        "env.threshold=-200",
        *SMALL["ppo"],
        *QUICK,
        "warmup=none",
    ]
    configs = [configure(*pendulum, f"learning_rate={rate}", "seed=1") for rate in (1e30, 1e-3)]
    sinks = [ListSink(), ListSink()]
    train_into(configs, sinks)
    assert sinks[0].diverged
    _same(sinks[1].rows, stacked(configs[1:] * 2)[1][0])


@pytest.mark.parametrize("kind", ["ppo", "dqn"])
def test_seeds_decide_weights_and_environments_and_arms_share_them(kind: str, configure: Configure) -> None:
    base = configure(*SMALL[kind], *QUICK, "warmup=none")
    arm = configure(*SMALL[kind], *QUICK, "warmup=linear", "learning_rate=0.1")
    configs = [replace(base, seed=1), replace(base, seed=2), replace(arm, seed=1), replace(base, seed=2**32 - 1)]
    training, rows = stacked(configs)
    initial = training.stack.initial
    assert torch.equal(initial[0], initial[2])
    for other in (1, 3):
        assert (initial[0] != initial[other]).float().mean() > 0.5
    assert env_seeds(configs[0]) == env_seeds(configs[2]) != env_seeds(configs[1])
    first = [member["evaluations"][0] for member in rows]
    assert first[0] == first[2] != first[1]


SHAPES = (*schedules.RAMPS, "untuned_exponential", "radam", "none")


@pytest.mark.parametrize("kind", ["ppo", "dqn"])
def test_the_rates_that_adam_was_given_are_the_schedule(kind: str, configure: Configure) -> None:
    small = [*SMALL[kind], *QUICK]
    arms = [["warmup=" + shape] for shape in SHAPES]
    arms += [[f"warmup={shape}", "warmup.clock=env_steps", "warmup.length=0.9"] for shape in schedules.RAMPS]
    arms += [[f"schedule={base}", "warmup=linear", "warmup.length=0.3"] for base in schedules.BASES]
    configs = [configure(*small, *arm) for arm in arms]
    _, rows = stacked(configs)
    for config, member in zip(configs, rows, strict=True):
        _delivered(config, member)


@pytest.mark.parametrize("kind", ["ppo", "dqn"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_rates_that_every_optimizer_was_given_are_the_schedule(
    name: str, kind: str, configure: Configure
) -> None:
    often = ["algo.target_update_interval=50"] if kind == "dqn" else []
    small = [*SMALL[kind], *QUICK, *often, f"optimizer={name}"]
    configs = [configure(*small, f"warmup={arm}") for arm in ("linear", "none")]
    configs.append(configure(*small, "warmup.control=delayed", "warmup.length=0.99"))  # the first phase and more
    _, rows = stacked(configs)
    for config, member in zip(configs, rows, strict=True):
        _delivered(config, member)
    assert rows[2]["updates"][0]["relative_update"] == rows[2]["updates"][0]["learning_rate_first"] == 0


def _delivered(config: RunConfig, member: Rows) -> None:
    planned, base, first = planned_dose(config), planned_base(config), 0
    for row in member["updates"]:
        part = slice(first, first := first + row["n_steps"])
        rates = planned[part]
        assert row["gradient_step"] == first
        assert row["learning_rate_first"] == rates[0]
        assert row["learning_rate_last"] == rates[-1]
        assert row["learning_rate_mean"] == pytest.approx(rates.mean(), rel=1e-12)
        assert row["base_learning_rate"] == base[part][0]
        assert row["n_below_99"] == (rates < 0.99 * base[part]).sum()
        if base[part][0] > 0:
            assert row["omega_sum"] == pytest.approx((rates / base[part]).sum(), rel=1e-12)
    assert first == len(planned)


def test_a_stack_is_filled_up_with_members_that_nobody_records(configure: Configure) -> None:
    configs = _configs(configure, "ppo")[:3]
    sinks = [ListSink() for _ in configs]
    train(configs, sinks)
    for sink, rows in zip(sinks, stacked(configs)[1], strict=True):
        _same(sink.rows, rows)


@pytest.mark.long  # test_updates.py compiles, and members are apart above
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own
@pytest.mark.parametrize("kind", ["ppo", "dqn"])
def test_a_compiled_member_does_not_depend_on_the_others_either(kind: str, configure: Configure) -> None:
    configs = _configs(configure, kind)
    four = stacked(configs, compiled=True)[1]
    eight = stacked([configs[i] for i in (3, 2, 1, 0, 2, 2, 3, 0)], compiled=True)[1]
    _same(four[0], eight[3], eight[7])
    _same(four[2], eight[1], eight[4], eight[5])
    for compiled, eager in zip(four, stacked(configs)[1], strict=True):
        first, expected = compiled["updates"][0], eager["updates"][0]
        np.testing.assert_allclose([*first.values()], [*expected.values()], rtol=1e-3, atol=1e-5)


def _same(rows: Rows, *others: Rows) -> None:
    for other in others:
        for table in rows:
            np.testing.assert_equal(other[table], rows[table])
