"""Configs of tests: made the way the command line makes them, small enough to be trained in a second."""

from collections.abc import Callable

from rl_warmup.config.schema import EnvConfig, RunConfig

Configure = Callable[..., RunConfig]


def by_id(env_id: str) -> EnvConfig:
    """An environment of which no more is told than its id."""
    return EnvConfig(id=env_id)


def probe(kind: str) -> list[str]:
    """Overrides that put the probe environment `kind` in the place of CartPole."""
    return [
        f"env.id=probe/{kind}-v0",
        f"env.name={kind}",
        "env.floor=null",
        "env.ceiling=null",
        "env.return_floor=-1",
        "env.return_low=-1",
        "env.return_high=1",
        "env.threshold=1",
    ]


TINY = {
    "ppo": ["total_timesteps=250", "algo.n_envs=2", "algo.n_steps=16", "algo.batch_size=16", "algo.n_epochs=2"],
    "dqn": [
        "algo=dqn",
        "total_timesteps=250",
        "algo.learning_starts=20",
        "algo.train_freq=16",
        "algo.gradient_steps=3",
        "algo.net_arch=[8]",
    ],
}


SHORT = ["evaluation.count=2", "evaluation.episodes=1"]
