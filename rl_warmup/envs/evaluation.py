"""Evaluation of a policy, on seeds that are the same in all arms."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rl_warmup.envs.seeds import stream_seed
from rl_warmup.envs.vector import Array, VectorEnvs


def evaluation_seeds(seed: int, index: int, episodes: int) -> list[int]:
    """Seeds of the episodes of evaluation number `index` of a run with `seed`; arms that share it share them."""
    return [stream_seed(seed, "evaluation", index, episode) for episode in range(episodes)]


def evaluate(
    envs: VectorEnvs, act: Callable[[Array, NDArray[np.int64]], Array]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Play one episode in every environment, side by side.

    Args:
        envs: environments, which are reset first.
        act: maps observations [envs, ...] and the indices [active] of the episodes that have not ended to their
            actions [active, ...], and draws nothing from the run's streams. What an ended episode showed last stays
            among the observations.

    Returns:
        Undiscounted sums of the environment's own rewards, and lengths, [envs] each.
    """
    observations = envs.reset()
    returns, lengths = np.zeros(len(observations)), np.zeros(len(observations), dtype=np.int64)
    active = np.arange(len(observations))
    while len(active):
        observations[active], rewards, ended = envs.step_some(act(observations, active), active)
        returns[active] += rewards
        lengths[active] += 1
        active = active[~ended]
    return returns, lengths
