"""Members of a stack live through the runs of Stable-Baselines3 whose random draws they are fed."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from helpers.configs import Configure
from helpers.families import FAMILIES, STACKED
from helpers.following import same_episodes, same_updates
from helpers.sb3_draws import FollowedDraws, follow
from helpers.stacking import stacked
from torch.nn.utils import parameters_to_vector

from rl_warmup.config.learning_rate import phases_of, step_factor
from rl_warmup.schedules.adaptive import kl_adapted
from rl_warmup.trainers.stacked.agents import agent_of

SHORT = ["evaluation.count=4", "evaluation.episodes=2", "trainer=stacked", "trainer.envs=gymnasium"]
CASES = {
    "ppo cartpole": ["total_timesteps=1536", "schedule=linear"],  # where nothing but the last bit decides, rate 0
    "ppo acrobot": ["algo=ppo", "env=acrobot", "total_timesteps=1536", "algo.n_envs=2"],  # normalised, time limits
    "dqn cartpole": [
        "algo=dqn",
        "total_timesteps=500",
        "algo.learning_starts=100",
        "algo.train_freq=64",
        "algo.gradient_steps=32",
    ],
    "dqn acrobot": [
        "algo=dqn",
        "env=acrobot",
        "total_timesteps=400",  # in longer ones a ReLU unit may die by the last bit, and its weights then part ways
        "algo.learning_starts=100",
        "algo.train_freq=20",
    ],
    "dqn normalized": [
        "algo=dqn",
        "total_timesteps=512",
        "algo.n_envs=2",
        "algo.normalize=true",
        "algo.train_freq=32",
        "algo.learning_starts=100",
        "algo.gradient_steps=32",
    ],
}
CASES["ppo pendulum"] = [
    *("env.id=Pendulum-v1", "env.name=pendulum", "env.return_floor=-2000", "env.return_low=-1500"),
    *(
        "env.floor=null",
        "env.ceiling=null",
        "env.return_high=-150",
        "env.threshold=-200",
        "learning_rate=3e-4",
        "total_timesteps=1024",
        "algo.n_envs=2",
    ),
    *(
        "algo.n_steps=128",
        "algo.batch_size=64",
        "algo.n_epochs=4",
        "algo.ent_coef=0.01",
        "algo.clip_range_schedule=constant",
    ),
]
SDE = ["algo.use_sde=true", "algo.log_std_init=-1"]
CASES["ppo pendulum sde"] = [*CASES["ppo pendulum"], *SDE, "algo.sde_sample_freq=48", "algo.activation=relu"]
CASES["ppo pendulum sde, one environment"] = [
    *CASES["ppo pendulum"],
    *SDE,
    "algo.n_envs=1",
    "algo.ortho_init=false",
]
TAXI = [  # whole numbers, which networks see one-hot
    *("env.id=Taxi-v4", "env.name=taxi", "env.return_floor=-2000", "env.return_low=-800", "env.return_high=8"),
    *("env.floor=null", "env.ceiling=null", "env.threshold=8", "learning_rate=1e-3", "algo.normalize=false"),
]
CASES["ppo taxi"] = [*TAXI, "total_timesteps=384", "algo.n_envs=2", "algo.n_steps=64"]
CASES["ppo taxi"] += ["algo.batch_size=64", "algo.n_epochs=2"]  # in longer ones unused inputs part by the last bit
CASES["dqn taxi"] = [*CASES["dqn cartpole"], *TAXI, "algo.net_arch=[32]"]
LONG = ("ppo acrobot", "dqn acrobot", "dqn taxi")
CONTINUOUS = 1e-3  # the runs with them are short and slow: a pendulum near its top magnifies the last bit
ARMS = {
    "none": ["warmup=none", "seed=3"],
    "linear": ["warmup=linear", "warmup.length=0.3", "schedule=linear", "seed=4"],
    "env clock": ["warmup=exponential", "warmup.clock=env_steps", "warmup.length=0.5", "seed=3"],
}


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.long if c in LONG else ()) for c in CASES])
def test_a_member_follows_stable_baselines3(case: str, configure: Configure) -> None:
    configs = [configure(*SHORT, *CASES[case], *arm) for arm in ARMS.values()]
    runs = [follow(config) for config in configs]
    training, rows = stacked(configs, draws=FollowedDraws(runs))
    for member, (config, run) in enumerate(zip(configs, runs, strict=True)):
        mine = rows[member]
        same_episodes(mine, run.rows, tolerance=CONTINUOUS if "pendulum" in case else 1e-9)
        same_updates(mine, run.rows)
        policy = run.model.policy.q_net if config.algo.name == "dqn" else run.model.policy
        expected = parameters_to_vector(policy.parameters()).detach()
        torch.testing.assert_close(training.algorithm.parameters[member], expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if "pixels" in case else ()) for case in FAMILIES]
)
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # the last one is to be short
def test_a_member_follows_stable_baselines3_in_every_kind_of_environment(case: str, configure: Configure) -> None:
    config = configure(*FAMILIES[case], *STACKED, "seed=3")
    run = follow(config)
    training, (mine,) = stacked([config], draws=FollowedDraws([run]))
    limit = gym.spec(config.env.id).max_episode_steps
    assert limit in [row["length"] for row in mine["episodes"]]
    same_episodes(
        mine, run.rows, tolerance=CONTINUOUS if isinstance(run.model.action_space, gym.spaces.Box) else 1e-9
    )
    same_updates(mine, run.rows)
    policy = run.model.policy.q_net if config.algo.name == "dqn" else run.model.policy
    expected = parameters_to_vector(policy.parameters()).detach()
    nearly = 1e-3 if "pixels" in case else 1e-5  # of a million ReLU units, one or the other flips by the last bit
    torch.testing.assert_close(training.algorithm.parameters[0], expected, atol=nearly, rtol=0)


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # the last one is to be short
def test_members_stop_their_updates_where_stable_baselines3_does(configure: Configure) -> None:
    """Each at a minibatch of its own; the learning rates and Adam's corrections follow the steps that it took."""
    arms = [["seed=3", "algo.optimizer.beta2=0.9"], ["seed=4", "schedule=linear"], ["seed=5", "warmup=none"]]
    configs = [configure(*FAMILIES["ppo pendulum, early stops"], *STACKED, *arm) for arm in arms]
    runs = [follow(config) for config in configs]
    training, rows = stacked(configs, draws=FollowedDraws(runs))
    for member, run in enumerate(runs):
        same_episodes(rows[member], run.rows, tolerance=CONTINUOUS)
        same_updates(rows[member], run.rows)
        expected = parameters_to_vector(run.model.policy.parameters()).detach()
        torch.testing.assert_close(training.algorithm.parameters[member], expected, atol=1e-5, rtol=0)
        agent = agent_of(training.stack, training.algorithm, member, 288, 3)
        theirs = run.model.policy.optimizer.state_dict()["state"][0]["step"]
        assert agent.optimizer["state"][0]["step"] == theirs == rows[member]["updates"][-1]["gradient_step"]
    taken = [[row["n_steps"] for row in member["updates"]] for member in rows]
    assert len(set(map(tuple, taken))) == 3
    assert all(0 < sum(steps) < phases_of(configs[0]).gradient_steps for steps in taken)
    for config, member, steps in zip(configs, rows, taken, strict=True):
        done, factor = 0, step_factor(config) or (lambda k: np.ones_like(k, dtype=float))
        for row, n in zip(member["updates"], steps, strict=True):
            rates = row["base_learning_rate"] * np.asarray(factor(done + np.arange(n)))
            given = [row[f"learning_rate_{name}"] for name in ("first", "mean", "last")]
            np.testing.assert_allclose(given, [rates[0], rates.mean(), rates[-1]], rtol=1e-12)
            done += n


COMPOSED = {
    "Adam-Rel's counts, a rate that adapts": [
        *("optimizer=adam_rel", "warmup.control=moment_only", "schedule=kl_adaptive"),
        "schedule.target_kl=0.0002",
    ],
    "a delayed start": ["warmup.control=delayed", "warmup.length=12"],
    "the critic alone, LayerNorm": ["warmup.on=critic", "algo.layer_norm=true", "optimizer=gi_adam"],
}


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # the last one is to be short
@pytest.mark.parametrize("case", COMPOSED)
def test_early_stops_compose_with_other_arms(case: str, configure: Configure) -> None:
    config = configure(*FAMILIES["ppo pendulum, early stops"], *STACKED, "seed=5", *COMPOSED[case])
    run = follow(config)
    training, (mine,) = stacked([config], draws=FollowedDraws([run]))
    same_episodes(mine, run.rows, tolerance=CONTINUOUS)
    same_updates(mine, run.rows)
    expected = parameters_to_vector(run.model.policy.parameters()).detach()
    torch.testing.assert_close(training.algorithm.parameters[0], expected, atol=1e-5, rtol=0)
    assert min(row["n_steps"] for row in mine["updates"]) < phases_of(config).n_steps[0]


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # the last one is to be short
def test_an_update_may_stop_before_its_first_step(configure: Configure) -> None:
    """Nothing is learned, and the rows of both trainers say so."""
    given = configure(*FAMILIES["ppo pendulum, early stops"], *STACKED, "seed=3")
    config = replace(given, algo=replace(given.algo, target_kl=-1.0))  # any KL is beyond it
    run = follow(config)
    training, (mine,) = stacked([config], draws=FollowedDraws([run]))
    same_updates(mine, run.rows)
    assert torch.equal(training.algorithm.parameters, training.stack.initial)
    for row in mine["updates"]:
        assert row["n_steps"] == row["gradient_step"] == row["relative_update"] == row["omega_sum"] == 0
        assert np.isnan(row["learning_rate_mean"])
        assert np.isnan(row["grad_norm_mean"])
        assert np.isfinite(row["loss"])


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # the last one is to be short
def test_rates_follow_the_kl_of_updates_in_both_trainers(configure: Configure) -> None:
    """Times the warmup, on either clock, beside a member whose rate does not adapt."""
    adaptive = ["schedule=kl_adaptive", "schedule.target_kl=0.0002"]
    arms = [["seed=3", *adaptive], ["seed=4", "warmup.clock=env_steps", *adaptive], ["seed=5", "schedule=linear"]]
    given = [*FAMILIES["ppo pendulum"], *STACKED, "total_timesteps=576"]
    configs = [configure(*given, *arm) for arm in arms]
    runs = [follow(config) for config in configs]
    training, rows = stacked(configs, draws=FollowedDraws(runs))
    for member, run in enumerate(runs):
        same_episodes(rows[member], run.rows, tolerance=CONTINUOUS)
        same_updates(rows[member], run.rows)
        expected = parameters_to_vector(run.model.policy.parameters()).detach()
        torch.testing.assert_close(training.algorithm.parameters[member], expected, atol=1e-5, rtol=0)
    for member in rows[:2]:
        base, found = 3e-4, [3e-4]
        for row in member["updates"]:
            assert row["base_learning_rate"] == base
            base = kl_adapted(base, row["approx_kl"], target=0.0002)
            found.append(base)
        assert min(np.diff(found)) < 0 < max(np.diff(found))
        assert member["updates"][0]["learning_rate_last"] < 3e-4
        assert member["updates"][-1]["learning_rate_last"] == member["updates"][-1]["base_learning_rate"]
