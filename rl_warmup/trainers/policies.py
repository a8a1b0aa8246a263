"""The networks of both trainers: Stable-Baselines3's policies, built with the settings of a run."""

from typing import Any

import gymnasium as gym
import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor, nn

from rl_warmup.config.schema import AlgoConfig, PPOConfig, RunConfig
from rl_warmup.envs.seeds import stream_seed
from rl_warmup.trainers.optimizers import optimizer_of


class SmallCNN(BaseFeaturesExtractor):
    """Features of small images: 16 convolutions 3x3 with ReLU, then 128 ReLU units.

    Source: the networks of MinAtar, Young and Tian, arXiv 1903.03176, section 4.
    """

    def __init__(self, observation_space: gym.spaces.Box, features_dim: int = 128) -> None:
        super().__init__(observation_space, features_dim)
        channels, height, width = observation_space.shape
        self.cnn = nn.Sequential(nn.Conv2d(channels, 16, kernel_size=3), nn.ReLU(), nn.Flatten())
        self.linear = nn.Sequential(nn.Linear(16 * (height - 2) * (width - 2), features_dim), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:  # [batch, channels, height, width] -> [batch, features]
        """Features of a batch of observations."""
        features: Tensor = self.linear(self.cnn(observations))
        return features


class LayerNormActorCriticPolicy(ActorCriticPolicy):
    """PPO's policy with `algo.layer_norm`."""

    def _build_mlp_extractor(self) -> None:
        super()._build_mlp_extractor()
        both = self.mlp_extractor
        both.policy_net, both.value_net = with_layer_norm(both.policy_net), with_layer_norm(both.value_net)


class LayerNormDQNPolicy(DQNPolicy):
    """DQN's policy with `algo.layer_norm`, also in its target network."""

    def make_q_net(self) -> QNetwork:
        """A network of Q values."""
        network = super().make_q_net()
        network.q_net = with_layer_norm(network.q_net)
        return network


def with_layer_norm(layers: nn.Sequential) -> nn.Sequential:
    """`layers` with a LayerNorm between every linear one and the activation after it; no weight is drawn."""
    found: list[nn.Module] = []
    for index, layer in enumerate(layers, start=1):
        found.append(layer)
        if isinstance(layer, nn.Linear) and index < len(layers):
            found.append(nn.LayerNorm(layer.out_features))
    return nn.Sequential(*found)


EXTRACTORS: dict[str, type[BaseFeaturesExtractor]] = {
    "flatten": FlattenExtractor,
    "small_cnn": SmallCNN,
    "nature_cnn": NatureCNN,
}
ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def policy_class(algo: AlgoConfig) -> type[ActorCriticPolicy] | type[DQNPolicy]:
    """The class of the policy in Stable-Baselines3."""
    if isinstance(algo, PPOConfig):
        return LayerNormActorCriticPolicy if algo.layer_norm else ActorCriticPolicy
    return LayerNormDQNPolicy if algo.layer_norm else DQNPolicy


def policy_arguments(algo: AlgoConfig) -> dict[str, Any]:
    """What Stable-Baselines3 takes as `policy_kwargs`; the optimizer's options are pinned in every arm."""
    kind, options = optimizer_of(algo.optimizer)
    own = {}
    if isinstance(algo, PPOConfig):
        own = {"ortho_init": algo.ortho_init, "log_std_init": algo.log_std_init}
    return {
        "net_arch": list(algo.net_arch),
        "activation_fn": ACTIVATIONS[algo.activation],
        "features_extractor_class": EXTRACTORS[algo.extractor],
        "optimizer_class": kind,
        "optimizer_kwargs": options,
        **own,
    }


def is_critic(name: str) -> bool:
    """Whether a parameter of a PPO policy is the critic's alone."""
    return name.startswith(("mlp_extractor.value_net.", "value_net."))


def initial_policy(
    config: RunConfig, observation_space: gym.Space[Any], action_space: gym.Space[Any]
) -> BasePolicy:
    """The policy of a run before its first gradient step, with the weights that Stable-Baselines3 gives it.

    The global random state is left as it was.
    """
    algo = config.algo
    given: dict[str, Any] = policy_arguments(algo)
    if isinstance(algo, PPOConfig):
        given["use_sde"] = algo.use_sde
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(config.seed, "weights"))
        return policy_class(algo)(observation_space, action_space, lambda _: 0.0, **given)  # type: ignore[arg-type]
