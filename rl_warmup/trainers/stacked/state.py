"""What each member of a stack keeps to resume, and how the stack's environments are restored."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rl_warmup.config.hardware import env_threads
from rl_warmup.config.schema import RunConfig
from rl_warmup.envs import replay
from rl_warmup.envs.seeds import stream_seed
from rl_warmup.envs.vector import Array, VectorEnvs, make_envs
from rl_warmup.records.checkpoints import Checkpoint
from rl_warmup.trainers.protocol import Sink


def env_seeds(config: RunConfig, resets: int = 0) -> list[int]:
    """Seeds of a member's environments: one after the other, as Stable-Baselines3's VecEnv.seed counts them.

    `resets`: how often they were restarted because they could not be replayed.
    """
    first = stream_seed(config.seed, "environment", *([resets] if resets else []))
    return [(first + i) % 2**31 for i in range(config.algo.n_envs)]


def envs_of(config: RunConfig) -> str:
    """Who makes the environments."""
    assert config.trainer.envs is not None
    return config.trainer.envs


def restored(sinks: Sequence[Sink], members: int) -> list[Checkpoint]:
    """What each of the `members` resumes from, the last recorded one's for those that pad the stack.

    Empty if the stack begins.
    """
    found = [sink.restored for sink in sinks if sink.restored is not None]
    assert len(found) in (0, len(sinks)), "the members of a stack begin at one step"
    return found + found[-1:] * (members - len(found)) if found else []


def begin_envs(configs: Sequence[RunConfig], found: Sequence[Checkpoint]) -> tuple[VectorEnvs, Array, bool]:
    """The environments of a stack, their observations [members * envs, ...], and whether they are as they were.

    Their actions are replayed up to the checkpoints. Where that would take too many steps, or leads elsewhere, they
    are restarted with other seeds.
    """
    backend, env_id = envs_of(configs[0]), configs[0].env.id

    def made(resets: Sequence[int]) -> VectorEnvs:
        seeds = [s for c, n in zip(configs, resets, strict=True) for s in env_seeds(c, n)]
        return make_envs(backend, env_id, seeds, env_threads(configs[0].device, len(seeds)))

    resets = [checkpoint.values["resets"] for checkpoint in found] or [0] * len(configs)
    if not found:
        envs = made(resets)
        return envs, envs.reset(), True
    steps = found[0].env_step - found[0].origin
    logged = min(len(c.arrays["actions"]) for c in found) * configs[0].algo.n_envs
    if logged == steps and len(configs) * steps <= replay.REPLAYED[backend]:
        envs = made(resets)
        observations = envs.reset()
        for actions in np.stack([c.arrays["actions"] for c in found], axis=1):
            observations = envs.step(actions.reshape(-1, *actions.shape[2:])).observations
        if np.array_equal(observations, np.concatenate([c.arrays["shown"] for c in found])):
            return envs, observations, True
        envs.close()
    envs = made([n + 1 for n in resets])
    return envs, envs.reset(), False


def joined_tables(found: Sequence[Checkpoint], device: torch.device) -> dict[str, Tensor]:
    """The members' tensors as tables [members, ...]."""
    return {name: torch.stack([c.tensors[name] for c in found]).to(device) for name in found[0].tensors}


def member_of(tables: dict[str, Tensor], member: int) -> dict[str, Tensor]:
    """One member's rows of tables [members, ...], as tensors of their own."""
    return {name: table[member].detach().cpu().clone() for name, table in tables.items()}
