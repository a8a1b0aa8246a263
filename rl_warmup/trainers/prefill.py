"""`algo.prefill`: statistics of normalization from random play, before a run begins."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from rl_warmup.config.schema import RunConfig
from rl_warmup.envs.protocol import Array, VectorEnvs
from rl_warmup.envs.seeds import side_by_side, stream_seed
from rl_warmup.trainers.functional.normalization import Normalizer


def prefill(
    normalizer: Normalizer,
    configs: Sequence[RunConfig],
    make: Callable[[Sequence[int]], VectorEnvs],
    device: torch.device,
) -> None:
    """Take `algo.prefill` environment steps of uniformly random actions into the statistics of every member.

    They are taken in environments of their own, as many a member as it is trained in, with seeds of their own.

    Args:
        normalizer: of the members, whose configs are given.
        make: makes one environment a seed, as the members are trained in.
        device: of the normalizer.
    """
    algo, members = configs[0].algo, len(configs)

    def taken(values: Array) -> Tensor:  # [members * envs, ...] -> [members, envs, ...]
        shaped = values.astype(np.float32).reshape(members, algo.n_envs, *values.shape[1:])
        return torch.from_numpy(shaped).to(device)

    firsts = [stream_seed(config.seed, "prefill", 1) for config in configs]
    envs = make([seed for first in firsts for seed in side_by_side(first, algo.n_envs)])
    try:
        normalizer.begin(taken(envs.reset()))
        actions = _random_actions(envs, [config.seed for config in configs], algo.n_envs)
        for _ in range(-(-algo.prefill // algo.n_envs)):
            step = envs.step(next(actions))
            dones = step.terminated | step.truncated
            normalizer.step(taken(step.observations), taken(step.rewards), taken(dones))
    finally:
        envs.close()


def _random_actions(
    envs: VectorEnvs, seeds: Sequence[int], n_envs: int
) -> Iterator[Array]:  # [members * envs, ...]
    """Uniform draws from the action space, of every member by a generator of its own."""
    spaces = [deepcopy(envs.action_space) for _ in seeds]
    for space, seed in zip(spaces, seeds, strict=True):
        space.seed(stream_seed(seed, "prefill", 2))
    while True:
        yield np.stack([space.sample() for space in spaces for _ in range(n_envs)])
