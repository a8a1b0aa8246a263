"""Statistics of normalization from random play, against a slow loop over Stable-Baselines3's VecNormalize."""

import copy
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from helpers.configs import SHORT, Configure
from helpers.sinks import by_sb3
from helpers.stacking import stacked
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rl_warmup.config.schema import RunConfig
from rl_warmup.envs.make import make
from rl_warmup.envs.seeds import stream_seed
from rl_warmup.trainers.agents import Moments
from rl_warmup.trainers.sb3 import train as sb3
from rl_warmup.trainers.stacked.algorithm import Algorithm

NORMALIZED = ["algo.normalize=true", "algo.gamma=0.9", "algo.n_envs=2", "warmup=none", "learning_rate=1e-3", *SHORT]
PPO = ["algo.n_steps=32", "algo.batch_size=32", "algo.n_epochs=1", "total_timesteps=64"]
DQN = ["algo=dqn", "total_timesteps=128", "algo.train_freq=16", "algo.learning_starts=80", "algo.batch_size=8"]
DQN += ["algo.gradient_steps=2"]
CASES = {
    "cartpole": [*DQN],
    "pendulum": ["env=pendulum", *PPO, "algo.sde_sample_freq=-1"],
    "acrobot, rewards halved in training": [
        *("env=acrobot", *PPO, "env.training_wrappers=[{gymnasium.wrappers.ClipReward: {min_reward: -0.5}}]"),
    ],
    "minigrid, whole numbers": ["env=minigrid_empty", *PPO],
}


def slowly(config: RunConfig) -> dict[str, Moments]:
    """What VecNormalize knows after 151 steps of two environments."""
    env = VecNormalize(DummyVecEnv([partial(make, config.env, training=True)] * 2), gamma=0.9)
    env.seed(stream_seed(config.seed, "prefill", 1))
    space = copy.deepcopy(env.action_space)
    space.seed(stream_seed(config.seed, "prefill", 2))
    env.reset()
    for _ in range(151):
        env.step(np.stack([space.sample(), space.sample()]))
    return moments_of(env)


def moments_of(env: VecNormalize) -> dict[str, Moments]:
    named = {"obs_rms": env.obs_rms, "ret_rms": env.ret_rms}
    return {name: (np.array(m.mean), np.array(m.var), m.count) for name, m in named.items()}


def by_the_reference(config: RunConfig) -> tuple[dict[str, Moments], Any]:
    """What the reference trainer begins with, and its rows."""
    found, build = [], sb3.build_model

    def kept(config: RunConfig, env: VecNormalize) -> Any:
        found.append(moments_of(env))
        return build(config, env)

    with mock.patch.object(sb3, "build_model", kept):
        rows = by_sb3(config).rows
    return found[0], rows


def by_a_stack(configs: list[RunConfig]) -> tuple[list[dict[str, Moments]], Any]:
    """What the members begin with, and their rows."""
    found: list[dict[str, Moments]] = []
    begin = Algorithm.begin

    def kept(self: Algorithm, observations: torch.Tensor) -> None:
        found.extend(self.moments(member) or {} for member in range(len(configs)))
        begin(self, observations)

    with mock.patch.object(Algorithm, "begin", kept):
        _, rows = stacked(configs)
    return found, rows


@pytest.mark.parametrize("case", CASES)
def test_both_trainers_begin_with_the_statistics_of_a_slow_loop(case: str, configure: Configure) -> None:
    given = [*NORMALIZED, *CASES[case], "algo.prefill=301"]
    configs = [configure(*given, "trainer=stacked", "trainer.envs=gymnasium", f"seed={seed}") for seed in (3, 4)]
    of_members, _ = by_a_stack(configs)
    reference, _ = by_the_reference(configure(*given, "seed=4"))
    for config, mine in zip(configs, of_members, strict=True):
        for name, expected in slowly(config).items():
            for one, other in zip(mine[name], expected, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    for name, moments in reference.items():
        for one, other in zip(moments, of_members[1][name], strict=True):
            np.testing.assert_array_equal(one, other)  # in every bit
    assert of_members[0]["obs_rms"][0].tolist() != of_members[1]["obs_rms"][0].tolist()
    assert of_members[0]["obs_rms"][2] == pytest.approx(2 * 152, abs=1e-3)  # steps in pairs, and the first sight


@pytest.mark.parametrize("trainer", ["sb3", "stacked"])
def test_random_play_counts_nowhere_and_leaves_the_seeds_alone(trainer: str, configure: Configure) -> None:
    """The first evaluation and the first rollout are in the same environments, at the same steps."""
    given = [*NORMALIZED, *CASES["cartpole"], f"trainer={trainer}", "seed=3"]
    runs = [configure(*given, *more) for more in ([], ["algo.prefill=300"])]
    without, filled = ((by_a_stack([c])[1][0] if trainer == "stacked" else by_sb3(c).rows) for c in runs)
    assert [row["env_step"] for row in filled["evaluations"]] == [0, 128]
    assert filled["updates"][0]["env_step"] == without["updates"][0]["env_step"]
    early = [[row for row in rows["episodes"] if row["env_step"] <= 80] for rows in (without, filled)]
    assert early[0] == early[1] != []  # random actions
    assert filled["updates"][0]["loss"] != without["updates"][0]["loss"]
