"""How much the runs of a cell differ among themselves, and shares of runs; scipy and statsmodels."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import iqr, median_abs_deviation
from statsmodels.stats.proportion import proportion_confint

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics.estimators import lower_cvar

MEASURES: Mapping[str, Callable[[FloatArray], Any]] = {
    "iqr": iqr,  # percentiles 75 - 25
    "mad": median_abs_deviation,  # median |x - median x|, not rescaled
    "ipr90": lambda x: 100 * iqr(x, rng=(5, 95)),  # as a percentage of the reference's lead over a random policy
    "lower_cvar25": lambda x: lower_cvar(x, 0.25),  # mean of the x <= percentile 25
}


def across(values: ArrayLike) -> dict[str, float | None]:  # values: [runs], a normalized metric
    """Dispersion over seeds by name, linear interpolation; None with fewer than two runs.

    Raises:
        ValueError: for values that are not finite or not one a run.

    Source: Chan et al., arXiv 1912.05663; ipr90: Tanaka & Mahmood, arXiv 2606.06746.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not np.all(np.isfinite(x)):
        raise ValueError(f"values {x.tolist()}: give one finite number for each run")
    return {name: float(measure(x)) if x.size > 1 else None for name, measure in MEASURES.items()}


def share(count: int, n: int) -> tuple[float | None, float | None, float | None]:
    """Share of runs with its 95% Wilson interval, (count / n, low, high); all None without runs.

    Raises:
        ValueError: unless 0 <= count <= n.

    >>> share(0, 20)[0], round(share(0, 20)[2], 3)
    (0.0, 0.161)
    """
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} runs: give a count from 0 to the number of runs")
    if n == 0:
        return None, None, None
    low, high = proportion_confint(count, n, method="wilson")
    return count / n, float(low), float(high)
