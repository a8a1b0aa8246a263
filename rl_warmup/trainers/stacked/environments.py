"""The environments of a stack: made, and restored to where its checkpoints were taken."""

from collections.abc import Sequence

import numpy as np

from rl_warmup.config.hardware import env_threads
from rl_warmup.config.schema import RunConfig
from rl_warmup.envs import replay
from rl_warmup.envs.protocol import Array, VectorEnvs
from rl_warmup.envs.seeds import environment_seed, side_by_side
from rl_warmup.envs.vector import make_envs
from rl_warmup.records.checkpoints import Checkpoint


def env_seeds(config: RunConfig, resets: int = 0) -> list[int]:
    """Seeds of a member's environments."""
    return side_by_side(environment_seed(config.seed, resets), config.algo.n_envs)


def make_stack_envs(config: RunConfig, seeds: Sequence[int], training: bool = False) -> VectorEnvs:
    """One environment a seed, made as the settings of a stack say.

    Images are normalised as they are given, with the channels where they are, as in Stable-Baselines3.
    """
    threads, as_given = env_threads(config.device, len(seeds)), config.algo.normalize
    return make_envs(str(config.trainer.envs), config.env, seeds, threads, as_given, training)


def begin_envs(configs: Sequence[RunConfig], found: Sequence[Checkpoint]) -> tuple[VectorEnvs, Array, bool]:
    """Make the environments of a stack, and replay them to where its checkpoints were taken.

    Where that would take too many steps, or leads elsewhere, they are restarted with other seeds.

    Returns:
        The environments, their observations [members * envs, ...], and whether they are as they were.
    """

    def made(resets: Sequence[int]) -> VectorEnvs:
        seeds = [s for c, n in zip(configs, resets, strict=True) for s in env_seeds(c, n)]
        return make_stack_envs(configs[0], seeds, training=True)

    resets = [checkpoint.values["resets"] for checkpoint in found] or [0] * len(configs)
    if not found:
        envs = made(resets)
        return envs, envs.reset(), True
    steps = found[0].env_step - found[0].origin
    logged = min(len(c.arrays["actions"]) for c in found) * configs[0].algo.n_envs
    if logged == steps and len(configs) * steps <= replay.REPLAYED[str(configs[0].trainer.envs)]:
        envs = made(resets)
        observations = envs.reset()
        for actions in np.stack([c.arrays["actions"] for c in found], axis=1):
            observations = envs.step(actions.reshape(-1, *actions.shape[2:])).observations
        if np.array_equal(observations, np.concatenate([c.arrays["shown"] for c in found])):
            return envs, observations, True
        envs.close()
    envs = made([n + 1 for n in resets])
    return envs, envs.reset(), False
