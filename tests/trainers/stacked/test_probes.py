"""Environments whose right answer is known, for stacks of PPO and of DQN."""

import numpy as np
import pytest
import torch
from helpers.configs import Configure, probe
from helpers.sinks import by_sb3
from helpers.stacking import stacked
from torch import Tensor

from rl_warmup.trainers.stacked.dqn import DQN
from rl_warmup.trainers.stacked.ppo import PPO
from rl_warmup.trainers.stacked.train import StackTraining

FAST = {
    "ppo": ["total_timesteps=3000", "algo.n_envs=4", "algo.n_steps=16", "algo.batch_size=64", "algo.n_epochs=10"],
    "dqn": [
        "algo=dqn",
        "total_timesteps=1500",
        "algo.learning_starts=100",
        "algo.train_freq=4",
        "algo.gradient_steps=2",
    ],
}
QUICK = [
    "learning_rate=0.003",
    "algo.net_arch=[32]",
    "algo.gamma=0.9",
    "evaluation.count=2",
    "evaluation.episodes=3",
]
ARMS = [["warmup=none", "seed=1"], ["warmup=linear", "seed=2"]]


def _trained(kind: str, algo: str, configure: Configure, *more: str) -> tuple[StackTraining, list[list[float]]]:
    """The training of two arms, and the returns of each one's last evaluation."""
    common = [*probe(kind), *FAST[algo], *QUICK, "trainer=stacked", "trainer.envs=gymnasium", *more]
    training, rows = stacked([configure(*common, *arm) for arm in ARMS])
    return training, [member["evaluations"][-1]["returns"] for member in rows]


def _values(training: StackTraining, *observations: list[float]) -> Tensor:  # -> [members, observations]
    """V, or the largest Q, of observations."""
    algorithm = training.algorithm
    seen = torch.tensor(observations).expand(len(ARMS), -1, -1)
    if isinstance(algorithm, PPO):
        return algorithm.network.values(algorithm.learner.named, seen)
    assert isinstance(algorithm, DQN)
    return algorithm.network(algorithm.learner.named, seen).amax(-1)


@pytest.mark.parametrize("algo", FAST)
@pytest.mark.parametrize("kind", ["action", "delayed"])
def test_the_best_action_is_found(kind: str, algo: str, configure: Configure) -> None:
    _, returns = _trained(kind, algo, configure)
    assert returns == [[1.0] * 3] * 2


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
@pytest.mark.long  # the two below find values too: DQN's, and PPO's
def test_values_of_rewards_that_nothing_changes(algo: str, configure: Configure) -> None:
    constant, _ = _trained("constant", algo, configure)
    np.testing.assert_allclose(_values(constant, [0.0, 1.0]), 1, atol=0.05)
    signed, _ = _trained("signed", algo, configure)
    np.testing.assert_allclose(_values(signed, [-1.0], [1.0]), [[-1, 1]] * 2, atol=0.1)


@pytest.mark.parametrize("algo", [pytest.param("ppo", marks=pytest.mark.long), "dqn"])
def test_rewards_that_come_later_are_discounted(algo: str, configure: Configure) -> None:
    """The reward 1 comes one step after the first: V is 0.9, then 1."""
    training, _ = _trained("delayed", algo, configure, "total_timesteps=5000")
    found = _values(training, [0.0, 1.0])
    np.testing.assert_allclose(found, 0.9, atol=0.12)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", pytest.param("dqn", marks=pytest.mark.long)])
def test_values_go_on_behind_a_time_limit(algo: str, configure: Configure) -> None:
    """V = 1 / (1 - 0.9) = 10 with bootstrapping at the limit of 5 steps; without it no more than 4.1."""
    training, _ = _trained("limit", algo, configure, "total_timesteps=15000", "algo.net_arch=[]")
    np.testing.assert_allclose(_values(training, [1.0]), 10, atol=1)


def test_the_best_continuous_action_is_found(configure: Configure) -> None:
    _, returns = _trained("continuous", "ppo", configure, "total_timesteps=6000")
    assert np.min(returns) > 1 - 0.15**2


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", pytest.param("dqn", marks=pytest.mark.long)])
def test_images_are_told_apart(algo: str, configure: Configure) -> None:
    """By a convolutional network, in both trainers."""
    more = ["algo.extractor=small_cnn", "learning_rate=0.001"]
    _, returns = _trained("image", algo, configure, *more)
    assert returns == [[1.0] * 3] * 2
    config = configure(*probe("image"), *FAST[algo], *QUICK[1:], *more, "warmup=none")
    assert by_sb3(config).rows["evaluations"][-1]["returns"] == [1.0] * 3
