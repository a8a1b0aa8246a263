"""Every algorithm of Stable-Baselines3 and sb3-contrib as a small model, and what it is trained for."""

import sb3_contrib
import stable_baselines3
from stable_baselines3.common.base_class import BaseAlgorithm

ON_POLICY = {"policy": "MlpPolicy", "env": "CartPole-v1", "n_steps": 16}
EPOCHS = {**ON_POLICY, "batch_size": 16, "n_epochs": 2}
OFF_POLICY = {
    **{"policy": "MlpPolicy", "learning_starts": 10, "train_freq": 4, "gradient_steps": 2, "batch_size": 8},
    "buffer_size": 500,
}
CONTINUOUS, DISCRETE = {**OFF_POLICY, "env": "Pendulum-v1"}, {**OFF_POLICY, "env": "CartPole-v1"}
ARGUMENTS = {
    "PPO": EPOCHS,
    "A2C": ON_POLICY,
    "DQN": DISCRETE,
    "SAC": CONTINUOUS,
    "TD3": CONTINUOUS,
    "DDPG": CONTINUOUS,
    "RecurrentPPO": {**EPOCHS, "policy": "MlpLstmPolicy"},
    "MaskablePPO": EPOCHS,
    "TRPO": {**ON_POLICY, "batch_size": 16},
    "QRDQN": DISCRETE,
    "TQC": CONTINUOUS,
    "CrossQ": {**CONTINUOUS, "policy_delay": 3},
    "ARS": {"policy": "LinearPolicy", "env": "CartPole-v1"},
}
TOTAL = 96  # environment steps


def classes() -> dict[str, type[BaseAlgorithm]]:
    """Every algorithm that the two packages export, by name."""
    found = {
        name: value
        for package in (stable_baselines3, sb3_contrib)
        for name, value in vars(package).items()
        if isinstance(value, type) and issubclass(value, BaseAlgorithm)
    }
    return dict(sorted(found.items()))


def small_model(name: str, **arguments: object) -> BaseAlgorithm:
    small = {} if name == "ARS" else {"policy_kwargs": {"net_arch": [8]}, "seed": 0, "device": "cpu"}
    if name == "MaskablePPO":
        from sb3_contrib.common.envs import InvalidActionEnvDiscrete

        arguments = {"env": InvalidActionEnvDiscrete(dim=4, n_invalid_actions=1), **arguments}
    return classes()[name](**{**ARGUMENTS[name], **small, **arguments})
