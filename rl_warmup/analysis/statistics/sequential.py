"""Group-sequential sign flips: the sign-flip test of paired differences, looked at after each batch of pairs.

The observed differences and M random sign vectors of all planned pairs are exchangeable if the arms are. At look k
the vectors with the largest totals over the first n_k pairs drop out, as many in all as the level spent so far
allows; the test stops for a difference where the observed vector is one of them. So it stops anywhere with no more
than the probability that is spent there, however many looks there are.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics.sign_flips import ROUNDING, Alternative, sample
from rl_warmup.analysis.statistics.spending import Spending
from rl_warmup.analysis.statistics.subsets import subset_sums

ALL_VECTORS = 16  # planned pairs up to which all 2^n sign vectors count
DRAWS = 99_999  # random ones above that; the observed vector is one more
DOUBLINGS = 20  # of four standard errors, within which an interval ends or does not
HALVINGS = 10  # for each end of an interval

Bytes = NDArray[np.uint8]


@lru_cache(maxsize=4)
def flipped(pairs: int, draws: int = DRAWS) -> Bytes:  # [bytes, vectors]
    """Which of the planned pairs each sign vector flips, a bit for each pair; the first vector flips none.

    All 2^pairs vectors for few pairs; else random ones that depend on `pairs` and `draws` only.
    """
    if pairs <= ALL_VECTORS:
        return np.arange(2**pairs, dtype="<u4").view(np.uint8).reshape(-1, 4).T[: math.ceil(pairs / 8)].copy()
    random = np.random.default_rng(pairs).integers(0, 256, (math.ceil(pairs / 8), draws), dtype=np.uint8)
    return np.concatenate([np.zeros_like(random[:, :1]), random], axis=1)


def totals(values: FloatArray, counts: Sequence[int], flips: Bytes) -> FloatArray:  # [pairs] -> [looks, vectors]
    """Sum over the first n_k values, for each look k, with the signs of each vector."""
    sums, found, begin = np.zeros(flips.shape[1]), [], 0
    for end in counts:
        batch = np.zeros(8 * flips.shape[0])
        batch[begin:end] = values[begin:end]
        for byte in range(begin // 8, math.ceil(end / 8)):
            eight = batch[8 * byte : 8 * byte + 8]
            sums = sums + (eight.sum() - 2 * subset_sums(eight))[flips[byte]]
        found.append(sums)
        begin = end
    return np.array(found)


@dataclass(frozen=True)
class Sequential:
    """The totals of all sign vectors at the looks taken so far, and those that may drop out at each."""

    spending: Spending
    extremes: FloatArray  # [looks, vectors], the larger the more extreme; the observed vector is the first
    ranked: tuple[NDArray[np.intp], ...]  # for each look the most extreme vectors, in falling order
    tie: float  # totals this close are equal

    @classmethod
    def of(
        cls,
        differences: ArrayLike,
        spending: Spending,
        alternative: Alternative = "two-sided",
        *,
        center: float = 0.0,
        level: float = 1.0,
        draws: int = DRAWS,
    ) -> "Sequential":
        """The test of differences [pairs], in the order in which the pairs were added, against mean = center.

        Args:
            alternative: `greater` speaks against mean <= center, `less` against mean >= center.
            level: The largest that will be asked for; a small one saves time.
            draws: Random sign vectors, for simulations that need fewer.

        Raises:
            ValueError: if the number of pairs is none at which a look is planned.
        """
        d = sample(differences, "differences") - center
        counts = taken(spending, d.size)
        sums = totals(d, counts, flipped(spending.counts[-1], draws))
        extremes = np.abs(sums) if alternative == "two-sided" else sums if alternative == "greater" else -sums
        tie = ROUNDING * float((np.abs(d + center) + abs(center)).sum())
        return cls._of(spending, extremes, tie, level)

    @classmethod
    def _of(cls, spending: Spending, extremes: FloatArray, tie: float, level: float) -> "Sequential":
        """Rank at each look as many vectors as may have dropped out by then, and one."""
        depths = [budget + 1 for budget in _budgets(spending, level, extremes.shape[1])]
        return cls(spending, extremes, tuple(map(_most_extreme, extremes, depths)), tie)

    def beyond(self, level: float) -> list[bool]:
        """For each look, whether the observed total is among those that drop out there at this level.

        With B_k = floor(spent_k · vectors), as many drop out at look k as are not tied with one that stays and do
        not make more than B_k in all.
        """
        out = np.zeros(self.extremes.shape[1], dtype=bool)
        found, used = [], 0
        for values, ranked, budget in zip(
            self.extremes, self.ranked, _budgets(self.spending, level, out.size), strict=False
        ):
            alive = ranked[: budget + 1]
            alive = alive[~out[alive]]
            allowed = budget - used
            if allowed < alive.size:
                alive = alive[:allowed][values[alive[:allowed]] > values[alive[allowed]] + self.tie]
            found.append(bool(alive.size and (alive == 0).any()))
            alive = alive[alive != 0]  # it stays, to be seen at the next look, too
            out[alive] = True
            used += alive.size
        return found

    def crossing(self, level: float) -> int | None:
        """The look, from 1 on, at which the test stops for a difference at this level."""
        found = self.beyond(level)
        return found.index(True) + 1 if True in found else None

    def p_values(self, level: float = 0.05, tests: int = 32) -> list[float]:
        """Sequential p at each look taken: the smallest level at which it has stopped by then, in 1/vectors.

        Holm's and any other correction of these p at a look is that correction of the group-sequential tests; as
        they only fall from look to look, what is rejected stays rejected. 1 where no level is enough: before the
        last planned look no more than a part of a level is spent. Ties could let it stop at a level and not at a
        larger one: p is at most level/j, j up to `tests`, only where it stops at that level, too.

        Source: Maurer & Bretz 2013, doi 10.1080/19466315.2013.807748.
        """
        vectors, last = self.extremes.shape[1], len(self.extremes)
        stop = cache(lambda step: self.crossing(step / vectors) or last + 1)
        asked = {math.floor(level / test * vectors * (1 + 1e-9)) for test in range(1, tests + 1)} - {0}
        found, step = [], vectors
        for look in range(1, last + 1):
            step = bisect_left(range(1, step), True, key=lambda step: stop(step) <= look) + 1
            found.append(max([step, *(one + 1 for one in asked if stop(one) > look)]) / vectors)
        return found


def taken(spending: Spending, pairs: int) -> tuple[int, ...]:
    """The planned looks up to this number of pairs.

    Raises:
        ValueError: if none is planned at it.
    """
    if pairs not in spending.counts:
        raise ValueError(f"{pairs} pairs are no planned look: looks are planned at {list(spending.counts)} pairs")
    return spending.counts[: spending.counts.index(pairs) + 1]


def repeated_interval(
    differences: ArrayLike, spending: Spending, level: float = 0.05, draws: int = DRAWS
) -> tuple[float, float]:
    """All centers that the test of the last look taken does not reject, given the looks before: for the mean of D.

    The intervals of all looks together hold the center with probability 1 - level, wherever a study stops. An
    end that no center is beyond, as with few pairs, is infinite.

    Source: Jennison & Turnbull 1989, J. R. Stat. Soc. B 51, 305-361.
    """
    d = sample(differences, "differences")
    counts, flips = taken(spending, d.size), flipped(spending.counts[-1], draws)
    sums, ones = totals(d, counts, flips), totals(np.ones_like(d), counts, flips)
    size = float(np.abs(d).sum())

    def inside(center: float) -> bool:
        extremes, tie = np.abs(sums - center * ones), ROUNDING * (size + d.size * abs(center))
        return not Sequential._of(spending, extremes, tie, level).beyond(level)[-1]

    mean, error = float(d.mean()), float(d.std()) / math.sqrt(d.size)
    step = max(4 * error, ROUNDING * max(size, 1.0))
    return _end(inside, mean, -step), _end(inside, mean, step)


def _end(inside: Callable[[float], bool], mean: float, step: float) -> float:
    """Where the centers that are inside end, from the mean on, which is inside, in the direction of step."""
    near, far = mean, mean + step
    for _ in range(DOUBLINGS):
        if not inside(far):
            break
        near, far = far, mean + 2 * (far - mean)
    else:
        return math.copysign(math.inf, step)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        near, far = (middle, far) if inside(middle) else (near, middle)
    return far


def _budgets(spending: Spending, level: float, vectors: int) -> list[int]:
    """How many vectors may have dropped out by each look; a product that is whole but for rounding counts so."""
    return [math.floor(part * vectors + 1e-9 * vectors * part) for part in spending.by(level)]


def _most_extreme(values: FloatArray, depth: int) -> NDArray[np.intp]:
    """The vectors with the `depth` largest values, in falling order."""
    top = np.argpartition(-values, depth - 1)[:depth] if depth < values.size else np.arange(values.size)
    return top[np.argsort(-values[top])]


def anew_p_values(p_values: Sequence[float], spending: Spending) -> list[float]:
    """Sequential p at each look of a test that is repeated at each, at the level that is spent there.

    Valid for any test of fixed n, as no more than the level is spent over all looks.

    Args:
        p_values: At each look taken.
    """
    levels = [spending.needed(p, look) for look, p in enumerate(p_values)]
    return list(accumulate(levels, min))
