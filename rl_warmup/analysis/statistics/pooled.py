"""One question over several environments: the mean of their mean differences, each weighted equally.

In the runs seen all pairs of all environments are flipped, the pairs of an environment of n with the weight 1/n. Of
the mean, whatever rare runs do, a seed counts once, with the average of its differences over the environments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics import estimators
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.scopes import ALPHA
from rl_warmup.analysis.statistics.sign_flips import DRAWS, SignFlips
from rl_warmup.analysis.statistics.verdicts import Paired

Stratum = Mapping[int, float]  # of an environment: seed -> treatment - control


@dataclass(frozen=True)
class Pooled:
    """The comparison over all environments, and how alike they are; None is what cannot be known."""

    paired: Paired  # n: pairs of all environments
    by_seed: FloatArray  # [n_seeds], average over the environments of each seed that all have: of these is the mean
    agreeing: int  # environments whose mean difference has the sign of the estimate
    p_by_seed: float | None = None  # in the runs seen, where a seed is flipped in all environments at once

    @property
    def n_seeds(self) -> int:
        """Seeds that all environments have."""
        return self.by_seed.size


def flips_of(strata: Sequence[FloatArray]) -> SignFlips:
    """The sign flips of all pairs, whose total is that of the environments' means.

    With n pairs in E environments, those of an environment of m weigh n / (E m): 1 where all have as many.
    """
    n = sum(map(len, strata))
    weights = np.concatenate([np.full(len(one), n / (len(strata) * len(one))) for one in strata])
    return SignFlips.of(np.concatenate(strata), weights)


def averages(strata: Sequence[Stratum]) -> dict[int, float]:
    """Seed -> mean of its differences over the environments, for the seeds that all have.

    >>> averages([{0: 1.0, 1: 2.0}, {1: 4.0, 2: 8.0}])
    {1: 3.0}
    """
    common = [seed for seed in strata[0] if all(seed in one for one in strata)]
    return {seed: float(np.mean([one[seed] for one in strata])) for seed in common}


def pooled(
    strata: Sequence[Stratum], *, smallest_effect: float | None, bounds: Sequence[float | None], binary: bool
) -> Pooled:
    """Compare two arms over environments.

    Args:
        strata: The differences of each environment, 0 within rounding; two or more environments and pairs of each.
        smallest_effect: Half width of the range of equivalence; None: no such test.
        bounds: Largest |difference| in each environment, in the order of `strata`; without one of them nothing is
            known of the mean whatever rare runs do.
        binary: Whether the metric is 0 or 1.

    Raises:
        ValueError: for an environment with fewer than two pairs, or a difference beyond its bound.
    """
    if min(map(len, strata)) < 2:
        raise ValueError(f"{min(map(len, strata))} pairs in an environment: give two or more of each")
    samples = [np.array([*one.values()], dtype=np.float64) for one in strata]
    flips, every = flips_of(samples), np.concatenate(samples)
    means = np.array([one.mean() for one in samples])
    estimate, by_seed = float(means.mean()), np.array([*averages(strata).values()])
    ci_low, ci_high = flips.interval(ALPHA) or (None, None)
    ci90_low, ci90_high = flips.interval(2 * ALPHA) or (None, None)
    n_nonzero, alike = int(np.count_nonzero(every)), len(set(map(len, samples))) == 1
    exact = flips.exact or (binary and alike)
    paired = Paired(
        n=every.size,
        n_nonzero=n_nonzero,
        estimate=estimate,
        sd=float(np.std(by_seed, ddof=1)) if by_seed.size > 1 else None,
        ci_low=ci_low,
        ci_high=ci_high,
        ci90_low=ci90_low,
        ci90_high=ci90_high,
        p_value=estimators.mcnemar_p(every > 0, every < 0) if binary and alike else flips.p_value(),
        p_smallest=max(min(1.0, 2 / 2**n_nonzero), 0.0 if exact else 1 / (1 + DRAWS)),
        **_of_mean(by_seed, estimate, bounds, smallest_effect),
    )
    agreeing = int(np.count_nonzero(np.sign(means) == np.sign(estimate))) if estimate else 0
    p_by_seed = SignFlips.of(by_seed).p_value() if by_seed.size > 1 else None
    return Pooled(paired, by_seed, agreeing, p_by_seed)


def _of_mean(
    by_seed: FloatArray, estimate: float, bounds: Sequence[float | None], smallest_effect: float | None
) -> dict[str, float | None]:
    """What is known of the mean whatever rare runs do; the average of a seed is bounded by that of the bounds."""
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(bounds):
        return {}
    bound = float(np.mean(known))
    if by_seed.size < 2:
        return {"bound": bound}
    test = Dirichlet.of(by_seed, bound)
    low, high = test.interval(ALPHA)
    equivalence = None if smallest_effect is None else test.equivalence_p(smallest_effect)
    # their mean has another sign than that of all pairs: no verdict may rest on the direction
    apart = float(by_seed.mean()) * estimate < 0
    return {
        "bound": bound,
        "p_mean": 1.0 if apart else test.p_value(),
        "mean_ci_low": low,
        "mean_ci_high": high,
        "p_equivalence": equivalence,
    }
