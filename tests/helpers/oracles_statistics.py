"""Slow, obvious versions of the statistics: loops over all sign vectors, all subsets, all evaluations."""

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from scipy import stats


def flipped_totals(differences: Sequence[float], center: float = 0.0) -> list[Fraction]:
    """Total of D - center under every sign vector, in exact arithmetic; the observed vector comes first."""
    shifted = [Fraction(d) - Fraction(center) for d in differences]
    signs = itertools.product((1, -1), repeat=len(shifted))
    return [sum((s * d for s, d in zip(vector, shifted, strict=True)), Fraction(0)) for vector in signs]


def sign_flip_p(differences: Sequence[float], center: float = 0.0, alternative: str = "two-sided") -> float:
    totals = flipped_totals(differences, center)
    observed = totals[0]
    extreme = {
        "two-sided": [abs(t) >= abs(observed) for t in totals],
        "greater": [t >= observed for t in totals],
        "less": [t <= observed for t in totals],
    }[alternative]
    return sum(extreme) / len(totals)


def subset_means(differences: Sequence[float]) -> Iterator[Fraction]:
    for size in range(1, len(differences) + 1):
        for subset in itertools.combinations(map(Fraction, differences), size):
            yield sum(subset, Fraction(0)) / size


def sign_flip_interval(differences: Sequence[float], alpha: Fraction) -> tuple[float, float] | None:
    means = sorted(subset_means(differences))
    k = math.floor(alpha / 2 * 2 ** len(differences))
    return (float(means[k - 1]), float(means[-k])) if k else None


def listed_subsets(differences: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and size of all 2^n subsets, one after the other: slow in memory, and for twenty pairs too."""
    bits = (np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences))) & 1
    return bits @ np.asarray(differences, dtype=float), bits.sum(axis=1)


def listed_p(differences: Sequence[float], center: float, alternative: str) -> float:
    """As sign_flip_p, in floating point, with ties up to 1e-12 of the summed sizes."""
    sums, sizes = listed_subsets(differences)
    flipped, total = sums - center * sizes, sum(differences) - center * len(differences)
    tie = 1e-12 * sum(abs(d) + abs(center) for d in differences)
    extreme = {
        "two-sided": np.abs(total - 2 * flipped) >= abs(total) - 2 * tie,
        "greater": flipped <= tie,
        "less": flipped >= -tie,
    }[alternative]
    return float(extreme.mean())


def listed_interval(differences: Sequence[float], alpha: float) -> tuple[float, float] | None:
    sums, sizes = listed_subsets(differences)
    means = np.sort(sums[1:] / sizes[1:])
    k = math.floor(alpha / 2 * sums.size)
    return (float(means[k - 1]), float(means[-k])) if k else None


def survival(times: Sequence[float], reached: Sequence[bool], at: float) -> float:
    """Kaplan-Meier's product, over all times up to `at`, watching whoever has neither left nor got there."""
    share = 1.0
    for time in sorted(set(times)):
        if time <= at:
            watched = sum(other >= time for other in times)
            there = sum(other == time and got for other, got in zip(times, reached, strict=True))
            share *= 1 - there / watched
    return share


def levene(x: Sequence[float], y: Sequence[float]) -> float:
    """F of the distances to the own median."""
    z = [[abs(v - float(np.median(one))) for v in one] for one in (x, y)]
    n, means, grand = len(x) + len(y), [sum(d) / len(d) for d in z], sum(z[0] + z[1]) / (len(x) + len(y))
    between = sum(len(d) * (m - grand) ** 2 for d, m in zip(z, means, strict=True))
    within = sum((v - m) ** 2 for d, m in zip(z, means, strict=True) for v in d)
    return (n - 2) * between / within


def iqm(values: Sequence[float]) -> float:
    cut = len(values) // 4
    kept = sorted(values)[cut : len(values) - cut]
    return sum(kept) / len(kept)


def bca_interval(values: Sequence[float], draws: list[float], alpha: float) -> tuple[float, float]:
    """BCa interval of the IQM from given bootstrap draws of it (Efron 1987)."""
    normal = stats.norm()
    center = iqm(values)
    below = sum(1.0 for draw in draws if draw < center) + 0.5 * sum(draw == center for draw in draws)
    z0 = normal.ppf(below / len(draws))
    left_out = [iqm([v for j, v in enumerate(values) if j != i]) for i in range(len(values))]
    mean = sum(left_out) / len(left_out)
    skew = sum((mean - v) ** 3 for v in left_out) / (6 * sum((mean - v) ** 2 for v in left_out) ** 1.5)
    ends = []
    for z in (normal.ppf(alpha / 2), normal.ppf(1 - alpha / 2)):
        share = normal.cdf(z0 + (z0 + z) / (1 - skew * (z0 + z)))
        ends.append(sorted(draws)[int(share * len(draws))])
    return ends[0], ends[1]


def holm(p_values: Sequence[float]) -> list[float]:
    """Step down: the i-th smallest of m times m - i + 1, never below an earlier one, at most 1."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def shortfall(z: Sequence[float], threshold: float) -> float:
    """Worst fifth of the second half, each evaluation split into five equal pieces."""
    half = math.ceil(len(z) / 2)
    cap = max(1.0, threshold)
    below = [max(0.0, min(max(*z[: k + 1], threshold), cap) - z[k]) for k in range(len(z))][-half:]
    pieces = sorted((s for s in below for _ in range(5)), reverse=True)[:half]
    return sum(pieces) / half


def dirichlet_p(differences: Sequence[float | Fraction], bound: float, center: float | Fraction = 0.0) -> float:
    """P(sum of (D_i - center) g_i <= (bound + center) g_0) in exact arithmetic, for values that all differ.

    A sum of l_j g_j is negative with probability sum over l_j < 0 of the product over k of l_j / (l_j - l_k).
    """
    scales = [Fraction(d) - Fraction(center) for d in differences] + [-Fraction(bound) - Fraction(center)]
    total = Fraction(0)
    for j, scale in enumerate(scales):
        if scale < 0:
            total += math.prod(
                (scale / (scale - other) for k, other in enumerate(scales) if k != j), start=Fraction(1)
            )
    return float(total)


def dirichlet_counted(
    differences: Sequence[float], bound: float, center: float, draws: int, rng: np.random.Generator
) -> float:
    """Share of random weights that give the differences, and one more of -bound, a mean of at most center."""
    weights = rng.dirichlet(np.ones(len(differences) + 1), size=draws)
    return float(np.mean(weights @ np.append(differences, -bound) <= center))


def integer_flips_p(differences: Sequence[int]) -> float:
    """Two-sided p of all sign vectors, for any number of integers: how often each total comes, pair by pair."""
    ways = {0: 1}
    for d in differences:
        after: dict[int, int] = {}
        for total, number in ways.items():
            for moved in (total + d, total - d):
                after[moved] = after.get(moved, 0) + number
        ways = after
    extreme = sum(number for total, number in ways.items() if abs(total) >= abs(sum(differences)))
    return extreme / 2 ** len(differences)
