"""Stacks of probe environments that are trained in a second."""

from helpers.configs import Configure

from rl_warmup.config.identity import run_folder
from rl_warmup.config.schema import RunConfig
from rl_warmup.records.read import read_info

TINY = ["trainer=stacked", "trainer.envs=gymnasium", "total_timesteps=512", "algo.n_envs=2", "algo.n_steps=32"]


def stack_of(configure: Configure, kind: str, seeds: int = 2, *overrides: str) -> tuple[RunConfig, ...]:
    env = [f"env.id=helpers.probe_envs:probe/{kind}-v0", f"env.name={kind}"]
    return tuple(configure(*TINY, *env, f"seed={seed}", *overrides) for seed in range(seeds))


def statuses(stack: tuple[RunConfig, ...]) -> list[str]:
    return [read_info(run_folder(config))["status"] for config in stack]
