"""Evaluation: one episode of a policy in each of many environments."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rl_warmup.envs.protocol import Array, VectorEnvs


class EndlessEpisode(Exception):
    """An evaluation episode that does not end."""


def evaluate(
    envs: VectorEnvs, act: Callable[[Array, NDArray[np.int64]], Array], max_steps: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Play one episode in every environment, side by side.

    Args:
        envs: environments, which are reset first.
        act: maps observations [envs, ...] and the indices [active] of the episodes that have not ended to their
            actions [active, ...], and draws nothing from the run's streams. What an ended episode showed last stays
            among the observations.
        max_steps: after which an episode is taken for one that never ends.

    Returns:
        Undiscounted sums of the environment's own rewards, and lengths, [envs] each.

    Raises:
        EndlessEpisode: naming the environment and the way out.
    """
    observations = envs.reset()
    returns, lengths = np.zeros(len(observations)), np.zeros(len(observations), dtype=np.int64)
    active = np.arange(len(observations))
    for _ in range(max_steps):
        observations[active], rewards, ended = envs.step_some(act(observations, active), active)
        returns[active] += rewards
        lengths[active] += 1
        active = active[~ended]
        if not len(active):
            return returns, lengths
    raise EndlessEpisode(
        f"an evaluation episode of env.id={envs.env_id} has not ended after {max_steps} steps; give it a "
        "time limit (max_episode_steps of gymnasium.register), or use more evaluation.max_steps"
    )
