"""The sign-flip test of paired differences, the interval that inverts it, and equivalence; pure numpy.

The null hypothesis is exchangeability within a pair: every sign vector of D is equally likely. A p value
counts sign vectors, an interval holds the centers that the test does not reject. Up to 20 pairs all sign vectors
count, which by halves costs no more than some thousand steps.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics.subsets import Subsets

Alternative = Literal["two-sided", "greater", "less"]

EXACT_PAIRS = 20  # up to here all 2^n sign vectors are counted
DRAWS = 10_000  # above, this many random ones
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


@dataclass(frozen=True)
class Draws:
    """Random subsets of the differences."""

    total: float  # sum of the differences
    pairs: int
    sums: FloatArray  # [draws], of the differences over the subset
    sizes: FloatArray  # [draws]

    @classmethod
    def of(cls, differences: FloatArray, rng: Generator) -> "Draws":
        """Draw every pair into a subset with probability one half."""
        flipped = rng.integers(0, 2, size=(DRAWS, differences.size)).astype(np.float64)
        return cls(float(differences.sum()), differences.size, flipped @ differences, flipped.sum(axis=1))

    def count(self, center: float, bound: float) -> int:
        """How many subsets S have sum_S (difference - center) <= bound."""
        return int(np.count_nonzero(self.sums - center * self.sizes <= bound))

    def means(self, rounding: float) -> tuple[FloatArray, int]:
        """Means over the subsets and their complements that are not empty, and how many are."""
        sums = np.concatenate([self.sums, self.total - self.sums])
        sizes = np.concatenate([self.sizes, self.pairs - self.sizes])
        filled = sizes > 0
        sums = np.where(np.abs(sums) <= rounding, 0.0, sums)
        return sums[filled] / sizes[filled], int(np.count_nonzero(~filled))


@dataclass(frozen=True)
class SignFlips:
    """The sign-flip distribution of paired differences, from the sums over the pairs that are flipped.

    With A the flipped pairs and D centered at c, the flipped total is sum(D - c) - 2 sum_A(D - c). Up to
    n = 20, A runs over all 2^n subsets; above, over 10 000 random ones, and the observed vector is one more.
    """

    differences: FloatArray  # [n], sorted
    flipped: Subsets | Draws

    @property
    def exact(self) -> bool:
        """Whether all sign vectors count."""
        return isinstance(self.flipped, Subsets)

    @classmethod
    def of(cls, differences: ArrayLike, rng: Generator) -> "SignFlips":
        """Sort the differences [n], so that the order of seeds cannot matter, and sum over the subsets."""
        d = np.sort(sample(differences, "differences"))
        if d.size < 1:
            raise ValueError("no differences: give at least one pair")
        return cls(d, Subsets.of(d) if d.size <= EXACT_PAIRS else Draws.of(d, rng))

    def p_value(self, center: float = 0.0, alternative: Alternative = "two-sided") -> float:
        """Share of the sign vectors with a total of D - center at least as extreme as the observed one.

        `greater` speaks against mean <= center, `less` against mean >= center. Ties count, so the observed
        vector does; random draws are counted as (1 + extreme) / (1 + draws).

        Source of the +1: Phipson & Smyth 2010, doi 10.2202/1544-6115.1585.
        """
        total = float((self.differences - center).sum())
        tie = ROUNDING * float((np.abs(self.differences) + abs(center)).sum())
        draws = 2**self.differences.size if self.exact else DRAWS
        # the flipped total is as extreme where the sum over A is at most `low`, or at least `high`
        low, high = min(total, 0.0) + tie, max(total, 0.0) - tie
        if alternative == "greater":
            extreme = self.flipped.count(center, tie)
        elif alternative == "less":
            extreme = draws - self.flipped.count(center, np.nextafter(-tie, -np.inf))
        elif low >= high:
            extreme = draws
        else:
            above = draws - self.flipped.count(center, np.nextafter(high, -np.inf))
            extreme = self.flipped.count(center, low) + above
        return extreme / draws if self.exact else (1 + extreme) / (1 + draws)

    def interval(self, alpha: float = 0.05) -> tuple[float, float] | None:
        """All centers that the two-sided test does not reject at level alpha: an interval for the mean of D.

        Exact: k-th smallest and k-th largest mean of the 2^n - 1 non-empty subsets, k = floor(alpha/2 2^n).
        Drawn: of the drawn subsets and their complements, k = floor(alpha (draws + 1)); without complements
        the ends would not agree with the two-sided p. An empty subset lies beyond both. None: unbounded.

        Source: Hartigan 1969, doi 10.1080/01621459.1969.10501057.
        """
        d, rounding = self.differences, ROUNDING * float(np.abs(self.differences).sum())
        if isinstance(self.flipped, Subsets):
            k = math.floor(alpha / 2 * 2**d.size)
            if k < 1:
                return None
            ends = self.flipped.kth_mean(k, rounding), -Subsets.of(-d).kth_mean(k, rounding)
        else:
            means, empty = self.flipped.means(rounding)
            k = math.floor(alpha * (DRAWS + 1)) - empty
            if k < 1:
                return None
            parted = np.partition(means, [k - 1, means.size - k])
            ends = float(parted[k - 1]), float(parted[-k])
        mean = float(d.mean())  # inside by construction; rounding must not leave it out
        return min(ends[0], mean) + 0.0, max(ends[1], mean) + 0.0

    def tost_p(self, smallest_effect: float) -> float:
        """Equivalence: the larger p of the tests against mean <= -smallest_effect and mean >= smallest_effect.

        At most .05 exactly where the 90% interval lies inside ±smallest_effect (n <= 20).

        Source: Schuirmann 1987.
        """
        return max(self.p_value(-smallest_effect, "greater"), self.p_value(smallest_effect, "less"))


def positive_effect(smallest_effect: float) -> float:
    """A smallest effect that matters.

    Raises:
        ValueError: unless it is finite and above 0.
    """
    if not (math.isfinite(smallest_effect) and smallest_effect > 0):
        raise ValueError(f"smallest effect {smallest_effect!r}: give a finite number above 0, or None")
    return smallest_effect
