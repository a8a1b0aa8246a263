"""The random numbers of a stack: functions of a member's seed, a stream and a counter, never of a neighbour."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rl_warmup.trainers.functional import philox

BLOCK = 256  # vector steps of DQN's exploration that are drawn at once


class Draws:
    """Draws of all members, on the stack's device."""

    def __init__(self, seeds: Sequence[int], streams: Mapping[str, int], device: torch.device) -> None:
        """`streams`: the numbers of the streams `exploration` and `minibatches` of a seed."""
        self._keys = {
            stream: torch.tensor([(seed, streams[stream]) for seed in seeds], dtype=torch.int64, device=device)
            for stream in ("exploration", "minibatches")
        }
        self._block: tuple[int, Tensor, Tensor] | None = None

    def exponentials(self, phase: int, shape: Sequence[int]) -> Tensor:  # -> [members, *shape]
        """Exponential draws that choose among discrete actions in the rollout before update phase `phase`."""
        return philox.exponential(self._words("exploration", phase, shape))

    def normals(self, phase: int, shape: Sequence[int]) -> Tensor:  # -> [members, *shape]
        """Standard normal draws that make continuous actions in the rollout before update phase `phase`."""
        return philox.normal(self._words("exploration", phase, shape))

    def matrices(self, phase: int, step: int, shape: Sequence[int]) -> Tensor:  # -> [members, *shape]
        """Standard normal draws of gSDE's noise from vector step `step` on of the rollout before update `phase`."""
        return philox.normal(self._words("exploration", (phase << 32) + step, shape))

    def permutations(self, phase: int, epochs: int, size: int) -> Tensor:  # -> [members, epochs, size]
        """The orders in which the epochs of an update phase go through its rollout."""
        return philox.permutations(self._words("minibatches", phase, (epochs, size)))

    def exploration(self, step: int, n_envs: int, n_actions: int) -> tuple[Tensor, Tensor]:
        """Of vector step `step`: the coins [members] in (0, 1), and uniform actions [members, envs]."""
        block, within = divmod(step, BLOCK)
        if self._block is None or self._block[0] != block:
            words = self._words("exploration", block, (BLOCK, 1 + n_envs))
            self._block = block, philox.uniform(words[:, :, 0]), philox.integers(words[:, :, 1:], n_actions)
        _, coins, random = self._block
        return coins[:, within], random[:, within]

    def replay(self, phase: int, steps: int, batch: int, stored: int) -> Tensor:  # -> [members, steps, batch]
        """Which of the `stored` transitions each gradient step of an update phase learns from."""
        return philox.integers(self._words("minibatches", phase, (steps, batch)), stored)

    def _words(self, stream: str, counter: int, shape: Sequence[int]) -> Tensor:
        count = torch.Size(shape).numel()
        return philox.words(self._keys[stream], counter, count).reshape(-1, *shape)
