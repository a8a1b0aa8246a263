"""One comparison at every look of a study that has several: p values and intervals that hold at all of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.scopes import ALPHA
from rl_warmup.analysis.statistics.sequential import Sequential, anew_p_values, repeated_interval, taken
from rl_warmup.analysis.statistics.spending import Spending
from rl_warmup.analysis.statistics.verdicts import (
    Paired,
    Verdict,
    compare,
    decide,
    differences_of,
)

EQUIVALENCE_PAIRS = 60  # below, "equivalent in the runs seen" would overlook collapses that are not rare


def compare_at_looks(
    treatment: ArrayLike,  # [n], the metric of each run, in the order of the seeds
    control: ArrayLike,  # [n], the same seeds
    spending: Spending,
    *,
    smallest_effect: float | None,
    bound: float | None,
    binary: bool,
) -> list[Paired]:
    """The comparison at each look up to n pairs, with sequential p: `decide` of all comparisons at a look decides.

    In the runs seen p is that of the group-sequential sign flips. The tests of the mean are repeated at each look,
    at the level spent there. Equivalence in the runs seen is tested by two one-sided group-sequential sign flips at
    the looks from 60 pairs on; zeros and ones that are shifted cannot be exchangeable, so a binary metric has none.

    Raises:
        ValueError: as `compare`; if no look is planned at n pairs.
    """
    x, y = (np.asarray(values, dtype=np.float64) for values in (treatment, control))

    def at(n: int) -> Paired:
        effect = smallest_effect
        return compare(x[:n], y[:n], smallest_effect=effect, bound=bound, binary=binary, sensitivity=False)

    found = [at(n) for n in taken(spending, x.size)]
    d = differences_of(x, y)
    means = [paired.estimate or 0.0 for paired in found]
    seen = _one_direction(Sequential.of(d, spending).p_values(ALPHA), means)
    of_mean = [paired.p_mean for paired in found if paired.p_mean is not None]
    mean = _one_direction(anew_p_values(of_mean, spending), means) if of_mean else [None] * len(found)
    of_equivalence = [paired.p_equivalence for paired in found if paired.p_equivalence is not None]
    equivalence = anew_p_values(of_equivalence, spending) if of_equivalence else [None] * len(found)
    settled = _settled(d, spending, None if binary else smallest_effect)
    return [
        replace(one, p_value=p, p_mean=p_mean, p_equivalence=p_same, p_equivalence_in_runs_seen=p_seen)
        for one, p, p_mean, p_same, p_seen in zip(found, seen, mean, equivalence, settled, strict=True)
    ]


def with_repeated_intervals(
    paired: Paired, looks: Sequence[Paired], differences: ArrayLike, spending: Spending
) -> Paired:
    """The comparison of n pairs with the p of its last look, and intervals that hold whenever the study stops.

    The 90% interval stays that of fixed n, as at the looks before: it forbids better and worse, and shows nothing.
    """
    last = looks[-1]
    paired = replace(
        paired,
        p_value=last.p_value,
        p_mean=last.p_mean,
        p_equivalence=last.p_equivalence,
        p_equivalence_in_runs_seen=last.p_equivalence_in_runs_seen,
    )
    d = np.asarray(differences, dtype=np.float64)
    low, high = (end if np.isfinite(end) else None for end in repeated_interval(d, spending, ALPHA))
    paired = replace(paired, ci_low=low, ci_high=high)
    if paired.bound is None:
        return paired
    level = float(spending.at(ALPHA)[spending.counts.index(d.size)])
    mean_low, mean_high = Dirichlet.of(d, paired.bound).interval(level)
    return replace(paired, mean_ci_low=mean_low, mean_ci_high=mean_high)


def decide_at_looks(
    looks: Sequence[Sequence[Paired]],  # [comparisons][looks]
    last: Sequence[Paired],  # [comparisons], with repeated intervals
    better: Sequence[str],
    effects: Sequence[float | None],
) -> tuple[list[Verdict], list[int | None]]:
    """The verdicts at the last look, and the pairs at the look that decided each; None: open.

    At each look all comparisons are corrected together, by Holm. Their p only fall, so that what is rejected
    stays so.
    """
    before = [list(members) for members in zip(*(one[:-1] for one in looks), strict=True)]
    rounds = [decide(list(zip(round_, better, effects, strict=True))) for round_ in (*before, last)]
    counts = [paired.n for paired in looks[0]] if looks else []
    decided_at: list[int | None] = []
    for verdicts in zip(*rounds, strict=True):
        open_at = [place for place, one in enumerate(verdicts) if one.headline == "inconclusive"]
        first = max(open_at, default=-1) + 1
        decided_at.append(counts[first] if first < len(counts) else None)
    return rounds[-1], decided_at


def _settled(d: FloatArray, spending: Spending, smallest_effect: float | None) -> list[float | None]:
    """Sequential p of equivalence in the runs seen at each look; None before 60 pairs, or without an effect."""
    looks = taken(spending, d.size)
    late = tuple(n for n in spending.counts if n >= EQUIVALENCE_PAIRS)
    if smallest_effect is None or d.size not in late:
        return [None] * len(looks)
    from_60 = Spending(late, spending.rule)
    above = Sequential.of(d, from_60, "greater", center=-smallest_effect).p_values(ALPHA)
    below = Sequential.of(d, from_60, "less", center=smallest_effect).p_values(ALPHA)
    p_values = [max(pair) for pair in zip(above, below, strict=True)]
    return [None] * (len(looks) - len(p_values)) + p_values


def _one_direction(p_values: Sequence[float], means: Sequence[float]) -> list[float]:
    """Sequential p, but 1 where the mean has meanwhile another sign than at the look that made p so small."""
    first = [p_values.index(p) for p in p_values]
    return [p if means[look] * mean >= 0 else 1.0 for p, mean, look in zip(p_values, means, first, strict=True)]
