"""Stable-Baselines3's VecNormalize for every member of a stack; statistics are float64."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CLIP = 10.0
EPSILON = 1e-8


class RunningMoments:
    """Mean and variance of everything seen so far, [members, *shape].

    Source: stable_baselines3/common/running_mean_std.py (Chan's parallel update, first count 1e-4).
    """

    def __init__(self, members: int, shape: Sequence[int], device: torch.device) -> None:
        self.mean = torch.zeros(members, *shape, dtype=torch.float64, device=device)
        self.var = torch.ones_like(self.mean)
        self.count = 1e-4

    def update(self, batch: Tensor) -> None:  # [members, envs, *shape]
        """Take in what the environments of every member show at one step."""
        batch = as_float(batch)
        mean, var, count = batch.mean(1).double(), batch.var(1, correction=0).double(), batch.shape[1]
        total, delta = self.count + count, mean - self.mean
        spread = self.var * self.count + var * count + delta.square() * (self.count * count / total)
        self.mean = self.mean + delta * (count / total)
        self.var, self.count = spread / total, total

    @property
    def scale(self) -> Tensor:
        """Standard deviation, kept away from 0."""
        return (self.var + EPSILON).sqrt()


class Normalizer:
    """Normalises observations by their moments and rewards by those of the discounted return."""

    def __init__(
        self,
        members: int,
        envs: int,
        shape: Sequence[int],
        gamma: Tensor,  # [members] float64
        device: torch.device,
    ) -> None:
        self._observations = RunningMoments(members, shape, device)
        self._discounted = RunningMoments(members, (), device)
        self._returns = torch.zeros(members, envs, dtype=torch.float64, device=device)
        self._gamma = gamma.unsqueeze(1)

    def begin(self, observations: Tensor) -> None:  # [members, envs, ...]
        """Take the first observations of new episodes."""
        self._returns = self._returns * (1 - torch.ones(self._returns.shape, device=self._returns.device))
        self._observations.update(observations)

    def step(
        self,
        observations: Tensor,  # [members, envs, ...]
        rewards: Tensor,  # [members, envs]
        dones: Tensor,  # [members, envs] 1 where an episode ended
    ) -> Tensor:  # [members, envs]
        """Take a vector step into the statistics; its rewards over the std of the discounted returns, clipped."""
        self._observations.update(observations)
        self._returns = self._returns * self._gamma + rewards
        self._discounted.update(self._returns)
        self._returns = self._returns * (1 - dones)
        return (rewards / self._discounted.scale.unsqueeze(1)).clamp(-CLIP, CLIP).float()

    def normalize(self, observations: Tensor) -> Tensor:  # [members, rows, ...]
        """(s - mean) / std, clipped to [-10, 10], float32."""
        return normalized(observations, self._observations.mean, self._observations.scale)

    def clip(self, observations: Tensor) -> Tensor:  # [members, rows, ...]
        """Observations, what lies more than 10 standard deviations from the mean put there."""
        observations = as_float(observations)
        mean, reach = self._observations.mean.unsqueeze(1), CLIP * self._observations.scale.unsqueeze(1)
        near = (observations - mean).abs() <= reach
        return torch.where(near, observations, observations.clamp(mean - reach, mean + reach).float())

    def tables(self) -> dict[str, Tensor]:
        """Statistics and discounted returns, [members, ...] each."""
        moments = {"observation": self._observations, "discounted": self._discounted}
        named = {f"{name}_{part}": getattr(m, part) for name, m in moments.items() for part in ("mean", "var")}
        return named | {"discounted": self._returns}

    def counts(self) -> dict[str, float]:
        """What the statistics have seen, of every member alike."""
        return {"observation_count": self._observations.count, "discounted_count": self._discounted.count}

    def restore(self, tables: Mapping[str, Tensor], counts: Mapping[str, float]) -> None:
        """Restore what `tables` and `counts` returned."""
        for moments, name in ((self._observations, "observation"), (self._discounted, "discounted")):
            moments.mean, moments.var = tables[f"{name}_mean"], tables[f"{name}_var"]
            moments.count = counts[f"{name}_count"]
        self._returns = tables["discounted"]

    def moments(self, member: int) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64], float]]:
        """Mean, variance and count of a member, by the names that they have in VecNormalize."""
        named = {"obs_rms": self._observations, "ret_rms": self._discounted}
        return {
            name: (m.mean[member].cpu().numpy().copy(), m.var[member].cpu().numpy().copy(), m.count)
            for name, m in named.items()
        }

    def take(self, moments: Sequence[Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], float]]]) -> None:
        """Continue from what `moments` returned of every member; they have seen the same number of steps."""
        for own, name in ((self._observations, "obs_rms"), (self._discounted, "ret_rms")):
            mean, variance, count = zip(*(member[name] for member in moments), strict=True)
            own.mean = torch.as_tensor(np.stack(mean), dtype=torch.float64).to(own.mean.device)
            own.var = torch.as_tensor(np.stack(variance), dtype=torch.float64).to(own.mean.device)
            own.count = float(count[0])

    def statistics(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and std of observations [members, ...], std of discounted returns [members]."""
        return self._observations.mean, self._observations.scale, self._discounted.scale


def normalized(values: Tensor, mean: Tensor, scale: Tensor) -> Tensor:  # [members, rows, ...] and [members, ...]
    """(x - mean) / scale, clipped to [-10, 10], float32."""
    return ((as_float(values) - mean.unsqueeze(1)) / scale.unsqueeze(1)).clamp(-CLIP, CLIP).float()


def as_float(values: Tensor) -> Tensor:
    """Real numbers as they are, whole ones as float32."""
    return values if values.is_floating_point() else values.float()
