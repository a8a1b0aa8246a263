"""The networks of a stack against the Stable-Baselines3 policies that they are made of."""

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from helpers.configs import Configure
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from rl_warmup.config.schema import RunConfig
from rl_warmup.trainers.policies import initial_policy
from rl_warmup.trainers.sb3 import train as sb3
from rl_warmup.trainers.stacked.networks import Layout, Network, rational_tanh, stack_parameters, trained

FLAT = gym.spaces.Box(-3.0, 3.0, (5,), np.float32)
SMALL_IMAGE = gym.spaces.Box(0, 255, (2, 10, 10), np.uint8)
FLOAT_IMAGE = gym.spaces.Box(0.0, 1.0, (4, 10, 10), np.float32)
ATARI = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
DISCRETE, CONTINUOUS = gym.spaces.Discrete(3), gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
POLICIES = [
    ("ppo", FLAT, DISCRETE, {}),
    ("ppo", FLAT, CONTINUOUS, {}),
    ("ppo", FLAT, CONTINUOUS, {"activation": "relu", "log_std_init": -2.0, "ortho_init": False}),
    ("ppo", FLAT, CONTINUOUS, {"use_sde": True}),
    ("dqn", FLAT, DISCRETE, {}),
    ("dqn", FLAT, DISCRETE, {"activation": "tanh"}),
    ("ppo", SMALL_IMAGE, DISCRETE, {"extractor": "small_cnn"}),
    ("dqn", SMALL_IMAGE, DISCRETE, {"extractor": "small_cnn"}),
    ("ppo", FLOAT_IMAGE, CONTINUOUS, {"extractor": "small_cnn"}),
    ("dqn", ATARI, DISCRETE, {"extractor": "nature_cnn"}),
    ("ppo", SMALL_IMAGE, DISCRETE, {}),
    ("ppo", FLAT, DISCRETE, {"layer_norm": True}),
    ("ppo", FLAT, CONTINUOUS, {"layer_norm": True, "use_sde": True}),
    ("dqn", SMALL_IMAGE, DISCRETE, {"layer_norm": True, "extractor": "small_cnn"}),
]


def _policies(
    configure: Configure, algo: str, observations: gym.Space, actions: gym.Space, settings: dict[str, Any]
):
    config = configure(f"algo={algo}", "warmup=none", "trainer=stacked")
    config = replace(config, algo=replace(config.algo, net_arch=[16, 8], **settings))
    return [initial_policy(replace(config, seed=seed), observations, actions) for seed in range(3)]


def _output(policy: BasePolicy, observations: Tensor) -> Tensor:
    """[rows, outputs] of Stable-Baselines3: logits or means and values, or Q."""
    if hasattr(policy, "q_net"):
        return policy.q_net(observations)
    distribution = policy.get_distribution(observations).distribution
    actor = distribution.logits if hasattr(distribution, "logits") else distribution.mean
    return torch.cat([actor, policy.predict_values(observations)], dim=1)


@pytest.mark.parametrize(("algo", "observations", "actions", "settings"), POLICIES)
def test_outputs_are_those_of_stable_baselines3(
    algo, observations, actions, settings, configure: Configure
) -> None:
    policies = _policies(configure, algo, observations, actions, settings)
    observations.seed(0)
    seen = torch.tensor(np.stack([[observations.sample() for _ in range(4)] for _ in policies]))
    layout = Layout(policies[0])
    named = layout.named(stack_parameters(policies))
    if algo == "dqn":
        mine = Network(policies[0], ("q_net.features_extractor", "q_net.q_net"), torch.tanh)(named, seen.float())
    else:
        parts = [("mlp_extractor.policy_net", "action_net"), ("mlp_extractor.value_net", "value_net")]
        networks = [Network(policies[0], ("features_extractor", *names), torch.tanh) for names in parts]
        logits, values = (network(named, seen.float()) for network in networks)
        logits = logits.log_softmax(-1) if actions is DISCRETE else logits
        mine = torch.cat([logits, values], dim=2)
    for member, policy in enumerate(policies):
        with torch.no_grad():
            torch.testing.assert_close(mine[member], _output(policy, seen[member]), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize(("algo", "observations", "actions", "settings"), POLICIES)
def test_a_members_row_is_the_vector_of_its_policy(algo, observations, actions, settings, configure) -> None:
    policies = _policies(configure, algo, observations, actions, settings)
    flat, layout = stack_parameters(policies), Layout(policies[0])
    named = layout.named(flat)
    for name, parameter in trained(policies[1]):
        assert torch.equal(named[name][1], parameter)
    assert torch.equal(layout.flat(named), flat)
    own = policies[2].q_net if algo == "dqn" else policies[2]
    assert torch.equal(flat[2], parameters_to_vector(own.parameters()))


SDE = ["env.id=Pendulum-v1", "algo.use_sde=true", "algo.log_std_init=-2", "algo.ortho_init=false"]


@pytest.mark.parametrize("overrides", [["algo=ppo"], ["algo=dqn"], ["algo=ppo", "env=acrobot"], SDE])
def test_both_trainers_start_a_seed_from_the_same_weights(overrides: list[str], configure: Configure) -> None:
    config = configure(*overrides, "warmup=none", "seed=11")
    model = sb3.build_model(config, env := sb3.training_env(config))
    before = torch.get_rng_state()
    policy = initial_policy(config, env.observation_space, env.action_space)
    assert torch.equal(torch.get_rng_state(), before)
    for (name, mine), (theirs_name, theirs) in zip(trained(policy), trained(model.policy), strict=True):
        assert name == theirs_name
        assert torch.equal(mine, theirs)


def test_rational_tanh_is_tanh_to_float32_precision() -> None:
    x = torch.cat([torch.linspace(-12, 12, 200_001), torch.tensor([0.0, 1e-30, -1e-7, torch.inf, -torch.inf])])
    exact = x.double().tanh()
    assert (rational_tanh(x).double() - exact).abs().max() < 4e-7
    small = x[(x.abs() < 0.1) & (x != 0)]
    assert (rational_tanh(small).double() / small.double().tanh() - 1).abs().max() < 1e-6
    assert rational_tanh(torch.tensor(torch.nan)).isnan()
    gradient = torch.func.grad(lambda v: rational_tanh(v).sum())(x)
    torch.testing.assert_close(gradient.double(), 1 - exact**2, atol=1e-6, rtol=0)


def test_what_cannot_be_stacked_is_refused(configure: Configure) -> None:
    (policy, *_) = _policies(configure, "dqn", FLAT, DISCRETE, {})
    policy.q_net.q_net = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match="BatchNorm1d cannot be stacked; use trainer=sb3"):
        Network(policy, ("q_net.q_net",), torch.tanh)


def test_the_same_config_builds_the_same_cnn_in_the_reference_trainer(configure: Configure) -> None:
    config: RunConfig = configure("algo=dqn", "warmup=none")
    policy = initial_policy(
        replace(config, algo=replace(config.algo, extractor="small_cnn")), SMALL_IMAGE, DISCRETE
    )
    shapes = [tuple(p.shape) for name, p in trained(policy) if "features_extractor" in name]
    assert shapes == [(16, 2, 3, 3), (16,), (128, 16 * 8 * 8), (128,)]
