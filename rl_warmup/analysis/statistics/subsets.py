"""All 2^n subsets of n numbers, counted and ranked without being listed: every subset is two halves' subsets.

The sums over the subsets of one half are sorted once for each question; how many of them go with a subset of the
other half is then one binary search, so that 2^(n/2) searches answer for 2^n subsets.

Source of the split: Horowitz & Sahni 1974, doi 10.1145/321812.321823.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from rl_warmup.analysis import FloatArray

FEW = 1024  # so many subsets are listed rather than narrowed down further
CLOSE = 1e-14  # means this close, relative to the largest value, are one


def subset_sums(values: ArrayLike) -> FloatArray:  # [n] -> [2^n]
    """Sum over every subset; entry b is the sum of the values_i whose bit i is set in b.

    >>> subset_sums([1.0, 10.0]).tolist()
    [0.0, 1.0, 10.0, 11.0]
    """
    values = np.asarray(values, dtype=np.float64)
    sums = np.zeros(2**values.size)
    for i, value in enumerate(values):
        np.add(sums[: 2**i], value, out=sums[2**i : 2 ** (i + 1)])
    return sums


@dataclass(frozen=True)
class Subsets:
    """The subsets of n values by the sums over, and the sizes of, the subsets of their two halves."""

    values: FloatArray  # [n]
    sums: tuple[FloatArray, FloatArray]  # [2^(n/2)] each, of either half
    sizes: tuple[FloatArray, FloatArray]

    @classmethod
    def of(cls, values: FloatArray, weights: FloatArray | None = None) -> "Subsets":  # values: [n]
        """Split every other value to either half; weights, which sum to n, weigh sums, sizes and means."""
        weights = np.ones_like(values) if weights is None else weights
        sums, sizes = ((subset_sums(of[::2]), subset_sums(of[1::2])) for of in (weights * values, weights))
        return cls(values, sums, sizes)

    def count(self, center: float, bound: float) -> int:
        """How many subsets S, the empty one too, have sum_S weight (value - center) <= bound."""
        first, second = (sums - center * sizes for sums, sizes in zip(self.sums, self.sizes, strict=True))
        second.sort()
        return int(np.searchsorted(second, bound - np.sort(first), side="right").sum())

    def kth_mean(self, k: int, rounding: float = 0.0) -> float:
        """k-th smallest mean over the non-empty subsets, k from 1 on; a sum of at most `rounding` is 0.

        Counts narrow it down: ranks are almost a normal distribution function of the means, so that one step by
        linear interpolation of its quantiles does what many bisections do.

        Raises:
            ValueError: unless 1 <= k < 2^n.

        >>> Subsets.of(np.array([1.0, 2.0, 4.0])).kth_mean(3)  # 1, 1.5, 2, 7/3, 2.5, 3, 4
        2.0
        """
        n = self.values.size
        if not 1 <= k < 2**n:
            raise ValueError(f"rank {k} of {2**n - 1} subset means: give one from 1 to that")
        scale = float(np.abs(self.values).max())
        margin = CLOSE * scale
        low, high = float(self.values.min()) - 2 * margin, float(self.values.max()) + 2 * margin
        below, up_to = 0, 2**n - 1  # means <= low, means <= high
        aim, step = k, 0
        while up_to - below > FEW and high - low > 4 * margin:
            z_low, z_aim, z_high = ndtri((np.array([below, aim, up_to]) + 0.5) / 2**n)
            share = 0.5 if step % 3 == 0 else np.clip((z_aim - z_low) / (z_high - z_low), 0.01, 0.99)
            middle, step = low + float(share) * (high - low), step + 1
            found = self.count(middle, 0.0) - 1
            if found >= k:
                high, up_to, aim = middle, found, max(below, k - FEW // 4)  # next, from the other side
            else:
                low, below, aim = middle, found, min(up_to, k + FEW // 4)
        return self._ranked(low, high, k - below, up_to - below, rounding)

    def _ranked(self, low: float, high: float, rank: int, expected: int, rounding: float) -> float:
        """The rank-th smallest of the means in (low, high]; any of them where they are many, and so all alike."""
        middle, reach = (low + high) / 2, (high - low) / 2 * self.values.size
        first, second = (sums - middle * sizes for sums, sizes in zip(self.sums, self.sizes, strict=True))
        order = np.argsort(second)
        slack = 1e-15 * float(np.abs(self.values).sum())
        start = np.searchsorted(second, -first - reach - slack, side="left", sorter=order)
        end = np.searchsorted(second, -first + reach + slack, side="right", sorter=order)
        lengths = end - start if expected <= FEW else np.minimum(end - start, 1)
        one = np.repeat(np.arange(first.size), lengths)
        place = np.arange(one.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        other = order[start[one] + place]
        sums, sizes = self.sums[0][one] + self.sums[1][other], self.sizes[0][one] + self.sizes[1][other]
        filled = sizes > 0
        sums, sizes = sums[filled], sizes[filled]
        inside = (sums - low * sizes > 0) & (sums - high * sizes <= 0)
        means = np.where(np.abs(sums) <= rounding, 0.0, sums) / sizes
        if expected > FEW or not inside.any():
            return float(means[np.argmin(np.abs(means - middle))])
        means = means[inside]
        rank = min(rank, means.size)
        return float(np.partition(means, rank - 1)[rank - 1])
