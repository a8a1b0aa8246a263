"""The sign-flip test of paired differences, the interval that inverts it, and equivalence; pure numpy.

The null hypothesis is exchangeability within a pair: every sign vector of D is equally likely. A p value counts
sign vectors, an interval holds the centers that the test does not reject. Up to 28 pairs all sign vectors count,
which by halves costs no more than some thousand steps. What it shows is that the arms differ in the runs that were
seen: where rare runs collapse in one arm only, it does not hold its level for the mean (`dirichlet` does).
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics.subsets import Subsets, subset_sums

Alternative = Literal["two-sided", "greater", "less"]

EXACT_PAIRS = 28  # up to here the interval is that of all 2^n sign vectors
EXACT_P_PAIRS = 36  # up to here p counts them all; memory and time double every two pairs
DRAWS = 100_000  # above, this many random ones
ROUNDING = 1e-12  # sums this close, relative to sum |D_i|, are ties


def sample(values: ArrayLike, name: str) -> FloatArray:  # [n]
    """The values as an array.

    Raises:
        ValueError: unless they are one finite number for each run.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}: give one number for each run, shape [n]")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} holds {array[~np.isfinite(array)][0]}: score diverged runs at the floor first")
    return array


@lru_cache(maxsize=8)
def flip_bits(n: int) -> tuple[NDArray[np.uint8], FloatArray]:  # [ceil(n / 8), draws], [draws]
    """Which of n pairs every drawn vector flips, eight to a byte, and how many: the same for every sample of n."""
    bits = np.random.default_rng(n).integers(0, 256, size=(-(-n // 8), DRAWS), dtype=np.uint8)
    bits[-1] &= 2 ** (n - 8 * (len(bits) - 1)) - 1
    return bits, np.bitwise_count(bits).sum(axis=0, dtype=np.float64)


def _sums(values: FloatArray, bits: NDArray[np.uint8]) -> FloatArray:  # [n], as of `flip_bits` -> [draws]
    """Sum of the values that every drawn vector flips."""
    eights = (values[start : start + 8] for start in range(0, values.size, 8))
    parts = [subset_sums(eight)[of_eight] for eight, of_eight in zip(eights, bits, strict=True)]
    return np.asarray(np.sum(parts, axis=0))


@dataclass(frozen=True)
class Draws:
    """Random subsets of the differences."""

    total: float  # sum of the differences
    pairs: int
    sums: FloatArray  # [draws], of the differences over the subset
    sizes: FloatArray  # [draws]

    @classmethod
    def of(cls, differences: FloatArray, weights: FloatArray | None = None) -> "Draws":  # [n], ascending
        """Draw every pair into a subset with probability one half; minus the differences give minus the sums."""
        parts = differences if weights is None else weights * differences
        total, bits = float(parts.sum()), flip_bits(differences.size)
        sign, turn = (1.0, slice(None)) if total >= 0 else (-1.0, slice(None, None, -1))
        sizes = bits[1] if weights is None else _sums(weights[turn], bits[0])
        return cls(total, differences.size, sign * _sums(sign * parts[turn], bits[0]), sizes)

    def count(self, center: float, bound: float) -> int:
        """How many subsets S have sum_S (difference - center) <= bound."""
        return int(np.count_nonzero(self.sums - center * self.sizes <= bound))

    def means(self, rounding: float) -> tuple[FloatArray, int]:
        """Means over the subsets and their complements that are not empty, and how many are."""
        sums = np.concatenate([self.sums, self.total - self.sums])
        sizes = np.concatenate([self.sizes, self.pairs - self.sizes])
        filled = sizes > ROUNDING * self.pairs
        sums = np.where(np.abs(sums) <= rounding, 0.0, sums)
        return sums[filled] / sizes[filled], int(np.count_nonzero(~filled))


@dataclass(frozen=True)
class SignFlips:
    """The sign-flip distribution of paired differences, from the sums over the pairs that are flipped.

    With A the flipped pairs and D centered at c, the flipped total is sum(D - c) - 2 sum_A(D - c). A runs over
    all 2^n subsets, for p up to n = 36 and for the interval up to n = 28. Above, it runs over 100 000 random ones,
    which depend on n and on nothing else, and the observed vector is one more: the same differences always have the
    same p value and interval, whatever their order; minus the differences have the mirrored ones.
    """

    differences: FloatArray  # [n], ascending
    weights: FloatArray | None = None  # [n], they sum to n; None: all 1

    @classmethod
    def of(cls, differences: ArrayLike, weights: FloatArray | None = None) -> "SignFlips":
        """Sort the differences [n], so that the order of seeds cannot matter.

        Args:
            differences: One for each pair.
            weights: How much each counts in the mean that is tested, above 0, scaled to sum to n; None: all alike.

        Raises:
            ValueError: without a pair, or for a difference that is not finite.
        """
        d = sample(differences, "differences")
        if d.size < 1:
            raise ValueError("no differences: give at least one pair")
        if weights is None or np.ptp(weights) == 0:
            return cls(np.sort(d))
        order = np.lexsort((weights, d))
        return cls(d[order], weights[order] * (d.size / weights.sum()))

    @property
    def exact(self) -> bool:
        """Whether p counts all sign vectors."""
        return self.differences.size <= EXACT_P_PAIRS

    @cached_property
    def _subsets(self) -> Subsets:
        return Subsets.of(self.differences, self.weights)

    @cached_property
    def _draws(self) -> Draws:
        return Draws.of(self.differences, self.weights)

    def p_value(self, center: float = 0.0, alternative: Alternative = "two-sided") -> float:
        """Share of the sign vectors with a total of D - center at least as extreme as the observed one.

        `greater` speaks against mean <= center, `less` against mean >= center. Ties count, so the observed
        vector does; random draws are counted as (1 + extreme) / (1 + draws).

        Source of the +1: Phipson & Smyth 2010, doi 10.2202/1544-6115.1585.
        """
        weights = 1.0 if self.weights is None else self.weights
        total = float((weights * (self.differences - center)).sum())
        tie = ROUNDING * float((weights * (np.abs(self.differences) + abs(center))).sum())
        draws = 2**self.differences.size if self.exact else DRAWS
        flipped = self._subsets if self.exact else self._draws
        # the flipped total is as extreme where the sum over A is at most `low`, or at least `high`
        low, high = min(total, 0.0) + tie, max(total, 0.0) - tie
        if alternative == "greater":
            extreme = flipped.count(center, tie)
        elif alternative == "less":
            extreme = draws - flipped.count(center, np.nextafter(-tie, -np.inf))
        elif low >= high:
            extreme = draws
        elif self.exact:
            extreme = 2 * flipped.count(center, low)  # the complements have the sums from `high` on
        else:
            above = draws - flipped.count(center, np.nextafter(high, -np.inf))
            extreme = flipped.count(center, low) + above
        return extreme / draws if self.exact else (1 + extreme) / (1 + draws)

    def interval(self, alpha: float = 0.05) -> tuple[float, float] | None:
        """All centers that the two-sided test does not reject at level alpha: an interval for the mean of D.

        Exact: k-th smallest and k-th largest mean of the 2^n - 1 non-empty subsets, k = floor(alpha/2 2^n).
        Drawn: of the drawn subsets and their complements, k = floor(alpha (draws + 1)); without complements
        the ends would not agree with the two-sided p. An empty subset lies beyond both. None: unbounded.

        Source: Hartigan 1969, doi 10.1080/01621459.1969.10501057.
        """
        d, rounding = self.differences, ROUNDING * float(np.abs(self.differences).sum())
        if d.size <= EXACT_PAIRS:
            k = math.floor(alpha / 2 * 2**d.size)
            if k < 1:
                return None
            ends = self._subsets.kth_mean(k, rounding), -Subsets.of(-d, self.weights).kth_mean(k, rounding)
        else:
            means, empty = self._draws.means(rounding)
            k = math.floor(alpha * (DRAWS + 1)) - empty
            if k < 1:
                return None
            parted = np.partition(means, [k - 1, means.size - k])
            ends = float(parted[k - 1]), float(parted[-k])
        mean = float(np.average(d, weights=self.weights))  # inside by construction; rounding must not leave it out
        return min(ends[0], mean) + 0.0, max(ends[1], mean) + 0.0


def positive_effect(smallest_effect: float) -> float:
    """A smallest effect that matters.

    Raises:
        ValueError: unless it is finite and above 0.
    """
    if not (math.isfinite(smallest_effect) and smallest_effect > 0):
        raise ValueError(f"smallest effect {smallest_effect!r}: give a finite number above 0, or None")
    return smallest_effect
