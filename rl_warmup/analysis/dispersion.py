"""Whether the seeds of one arm lie farther apart than those of another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from rl_warmup.analysis.pairs import Pairing
from rl_warmup.analysis.statistics.estimators import brown_forsythe_p
from rl_warmup.analysis.statistics.verdicts import adjusted

SPREAD_METRICS = ("final", "area")


@dataclass(frozen=True)
class Dispersion:
    """The spread over seeds in treatment and control of a pairing, on one metric."""

    pairing: Pairing
    metric: str
    n: int
    mad_treatment: float  # median of |x - median x|, not rescaled, in the metric's unit
    mad_control: float
    p_value: float | None  # Brown-Forsythe permutation; None where it is undefined
    p_adjusted: float | None = None  # Benjamini-Hochberg over all dispersions of the study


def dispersions_of(pairings: Sequence[Pairing], rng: np.random.Generator) -> tuple[Dispersion, ...]:
    """Compare the spread over the paired seeds, for every pairing of two arms; exploratory, never a verdict."""
    two_arms = [pairing for pairing in pairings if pairing.contrast is None and len(pairing.pairs) > 1]
    found = [_dispersion(pairing, metric, rng) for pairing in two_arms for metric in SPREAD_METRICS]
    p_adjusted = adjusted([one.p_value for one in found], "fdr_bh")
    return tuple(replace(one, p_adjusted=p) for one, p in zip(found, p_adjusted, strict=True))


def _dispersion(pairing: Pairing, metric: str, rng: np.random.Generator) -> Dispersion:
    treatment, control = pairing.values(metric)
    mads = [float(stats.median_abs_deviation(values)) for values in (treatment, control)]
    return Dispersion(pairing, metric, len(treatment), mads[0], mads[1], brown_forsythe_p(treatment, control, rng))
