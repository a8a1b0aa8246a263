"""How a grid of learning rates is survived: the rate at which half of the runs still learn, and sensitivities.

Pure numpy. log2_rates [rates] rise; success [seeds, rates] is 1 where a run's return counts as learned, else 0,
and a seed's row over the grid is one cluster.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rl_warmup.analysis import FloatArray

Side = Literal["above", "below"]
Finding = Literal["supported", "harms", "refuted", "censored", "undecided", "descriptive"]

HALF_AN_OCTAVE = 0.5  # a ratio of less than that does not matter
FEWEST_SEEDS = 10  # with fewer seeds or rates, or wider steps, the interval of the bootstrap is too narrow
FEWEST_RATES = 5
WIDEST_STEP = 4.0
RESAMPLES = 2000
RIDGE = 0.01  # of the slope and level, so that separated grids have a fit; in runs it weighs next to nothing
NEWTON_STEPS = 30


def eta50(log2_rates: ArrayLike, success: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The learning rate at which half of the runs succeed, success [..., seeds, rates] -> [...] each.

    P(success) = 1 / (1 + exp(-(a + b log2 rate))) by maximum likelihood with a slight ridge, over the rates from
    the one with the highest share of success on (the first of several): below it a run fails for want of speed.

    Returns:
        log2 of the rate, nan where it is outside the grid; and on which side it is. 1: success is half or more at
        all of these rates, or the fit lies above them. -1: it never is, or the fit lies below. 0: inside.

    Raises:
        ValueError: unless there are two or more rising rates and success is 0 or 1.
    """
    x, rows = _checked(log2_rates, success)
    share = rows.mean(axis=-2)
    first = np.argmax(share, axis=-1)
    used = np.arange(x.size) >= first[..., None]
    level, slope = logistic(x, share, used, rows.shape[-2])
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = -level / slope
    lowest = np.min(np.where(used, share, np.inf), axis=-1)
    side = np.where((middle > x[-1]) | ~(slope < 0), 1.0, np.where(middle < x[first], -1.0, 0.0))
    side = np.where(share.max(axis=-1) < 0.5, -1.0, np.where(lowest >= 0.5, 1.0, side))
    return np.where(side == 0, middle, np.nan), side


def logistic(
    x: FloatArray,  # [points]
    share: FloatArray,  # [..., points], of successes
    used: NDArray[np.bool_],  # [..., points]
    runs: int,  # behind each share
) -> tuple[FloatArray, FloatArray]:  # level and slope, [...] each
    """Ridge-penalized logistic fit of shares on x by damped Newton steps, for many data sets at once.

    Maximizes sum runs (share log p + (1 - share) log(1 - p)) - RIDGE (a'^2 + b'^2) / 2 over the points that are
    used, a' and b' being level and slope of x centered and scaled.
    """
    center, scale = float(x.mean()), float(x.std())
    design = np.stack([np.ones_like(x), (x - center) / scale], axis=-1)  # [points, 2]
    weight = runs * used.astype(np.float64)
    beta = np.zeros((*share.shape[:-1], 2))
    for _ in range(NEWTON_STEPS):
        p = 0.5 * (1 + np.tanh((beta @ design.T) / 2))
        gradient = (weight * (share - p)) @ design - RIDGE * beta
        curvature = np.einsum("...g,gi,gj->...ij", weight * p * (1 - p), design, design) + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        beta = beta + np.clip(step, -2.0, 2.0)  # far from the top a full step may overshoot without end
    slope = beta[..., 1] / scale
    return beta[..., 0] - slope * center, slope


@dataclass(frozen=True)
class Shift:
    """By how many octaves a treatment moves the rate at which half of the runs still learn; None: unknown."""

    eta50_treatment: float | None  # a learning rate; None outside the grid
    eta50_control: float | None
    censored_treatment: Side | None  # on which side of the grid it lies
    censored_control: Side | None
    log2_ratio: float | None
    ci_low: float | None  # 95%, None: unbounded
    ci_high: float | None
    finding: Finding


def log2_ratio(
    log2_rates: ArrayLike,
    treatment: ArrayLike,  # [seeds, rates], success
    control: ArrayLike,  # [seeds, rates], the same seeds in the same order
    resamples: int = RESAMPLES,
) -> Shift:
    """log2(eta50 of the treatment / eta50 of the control) with its 95% percentile bootstrap interval.

    Where there are too few seeds or rates for a verdict, see `too_few`, the finding is descriptive.

    A draw takes seeds with replacement, the rows of both arms together. An arm outside the grid in a draw is
    known only to be beyond its end, and one that goes from every seed to none in one step only to be between the
    two rates. So the ratio lies between two bounds: the lower ones give the lower end, the upper ones the upper.
    What is drawn depends on the number of seeds alone.

    Returns:
        Both rates, the ratio, and a finding. supported: the interval lies above 0; harms: below 0; refuted: inside
        ±.5; else censored if an arm or an end of the interval is beyond the grid, undecided if not.

    Raises:
        ValueError: for fewer than two seeds, or unequal shapes.
    """
    if np.shape(treatment) != np.shape(control) or np.ndim(treatment) != 2:
        shapes = f"treatment {np.shape(treatment)} and control {np.shape(control)}"
        raise ValueError(f"{shapes}: give both as [seeds, rates]")
    x, rows = _checked(log2_rates, np.stack([treatment, control]))  # [arms, seeds, rates]
    if rows.shape[1] < 2:
        raise ValueError(f"{rows.shape[1]} seeds: give two or more")
    middles, sides = eta50(x, rows)
    n = rows.shape[1]
    picked = np.random.default_rng(n).integers(n, size=(resamples, n))
    lows, highs = _bounds(x, rows[:, picked])  # rows[:, picked]: [arms, resamples, seeds, rates]
    low = float(np.quantile(lows[0] - highs[1], 0.025, method="lower"))
    high = float(np.quantile(highs[0] - lows[1], 0.975, method="higher"))
    inside = bool((sides == 0).all())
    return Shift(
        eta50_treatment=None if sides[0] else float(2 ** middles[0]),
        eta50_control=None if sides[1] else float(2 ** middles[1]),
        censored_treatment=_SIDES[int(sides[0])],
        censored_control=_SIDES[int(sides[1])],
        log2_ratio=float(middles[0] - middles[1]) if inside else None,
        ci_low=low if np.isfinite(low) else None,
        ci_high=high if np.isfinite(high) else None,
        finding="descriptive" if too_few(x, rows.shape[1]) else _finding(low, high, inside),
    )


def too_few(log2_rates: ArrayLike, seeds: int) -> str:
    """Why a grid is too small for a verdict on its critical rates; empty where it is not.

    >>> too_few([0.0, 3.0, 6.0], seeds=20)
    '3 learning rates, and it takes 5; steps of a factor 8, and at most 4 will do'
    """
    x = np.asarray(log2_rates, dtype=np.float64)
    widest = float(2 ** np.diff(x).max())
    reasons = {
        f"{seeds} seeds, and it takes {FEWEST_SEEDS}": seeds < FEWEST_SEEDS,
        f"{x.size} learning rates, and it takes {FEWEST_RATES}": x.size < FEWEST_RATES,
        f"steps of a factor {widest:.3g}, and at most {WIDEST_STEP:g} will do": widest > WIDEST_STEP * (1 + 1e-6),
    }
    return "; ".join(reason for reason, holds in reasons.items() if holds)


_SIDES: dict[int, Side | None] = {1: "above", 0: None, -1: "below"}


def _bounds(x: FloatArray, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Between what log2 eta50 lies: itself, two neighboring rates, or an end of the grid and infinity."""
    middle, side = eta50(x, rows)
    share = rows.mean(axis=-2)
    first, successes = np.argmax(share, axis=-1), np.count_nonzero(share == 1, axis=-1)
    last = first + successes - 1  # where successes are of all seeds, in one piece, and then of none
    places = np.arange(x.size)
    inside = (places >= first[..., None]) & (places <= last[..., None])
    step = (side == 0) & (successes > 0) & ((share == inside) | (places < first[..., None])).all(axis=-1)
    after = np.minimum(last + 1, x.size - 1)
    low = np.where(side > 0, x[-1], np.where(side < 0, -np.inf, np.where(step, x[last], middle)))
    high = np.where(side > 0, np.inf, np.where(side < 0, x[0], np.where(step, x[after], middle)))
    return low, high


def _finding(low: float, high: float, inside: bool) -> Finding:
    if low > 0:
        return "supported"
    if high < 0:
        return "harms"
    if low > -HALF_AN_OCTAVE and high < HALF_AN_OCTAVE:
        return "refuted"
    return "undecided" if inside and np.isfinite(low) and np.isfinite(high) else "censored"


def lr_sensitivity(mean_final_by_rate: ArrayLike) -> float | None:  # [rates]
    """What a wrong learning rate costs, mean over the grid of (J* - max(J, 0)) / J*, from 0 to 1.

    J: mean normalized final return at a rate, 0 that of a random policy; J*: the best over the grid. None where
    J* is not above 0. The grid is to be even in the logarithm of the rate.

    >>> lr_sensitivity([0.5, 1.0, -0.25])
    0.5

    Raises:
        ValueError: without rates or for values that are not finite.

    Source: Wortsman et al., arXiv 2309.14322.
    """
    means = np.asarray(mean_final_by_rate, dtype=np.float64)
    if means.ndim != 1 or means.size == 0 or not np.all(np.isfinite(means)):
        raise ValueError(f"means {means.tolist()}: give one finite mean for each learning rate")
    best = means.max()
    return float(np.mean(best - np.maximum(means, 0.0)) / best) if best > 0 else None


def phi(scores: ArrayLike) -> float:  # [environments, settings]
    """What tuning per environment gains over one setting for all, mean_e max_h s - max_h mean_e s, at least 0.

    s: score scaled by the environment's `percentile_scaled`.

    Raises:
        ValueError: for fewer than three environments or values that are not finite.

    Source: Adkins et al., arXiv 2412.07165.

    >>> phi([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # 1 - 2/3
    0.33333333333333337
    """
    s = np.asarray(scores, dtype=np.float64)
    if s.ndim != 2 or s.shape[0] < 3 or s.shape[1] < 1 or not np.all(np.isfinite(s)):
        raise ValueError(
            f"scores {s.shape}: give finite ones, [environments, settings], of three environments or more"
        )
    return float(s.max(axis=1).mean() - s.mean(axis=0).max())


def percentile_scaled(values: ArrayLike, runs: ArrayLike) -> FloatArray:  # values: [...], runs: [runs] -> [...]
    """(value - P5) / (P95 - P5), P: percentiles over all runs of the environment; 0 where these are all alike.

    Source: Adkins et al., arXiv 2412.07165.
    """
    low, high = np.percentile(np.asarray(runs, dtype=np.float64), [5, 95])
    above = np.asarray(values, dtype=np.float64) - low
    return np.asarray(above / (high - low) if high > low else np.zeros_like(above))


def _checked(log2_rates: ArrayLike, success: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x, rows = np.asarray(log2_rates, dtype=np.float64), np.asarray(success, dtype=np.float64)
    if x.ndim != 1 or x.size < 2 or not (np.all(np.isfinite(x)) and np.all(np.diff(x) > 0)):
        raise ValueError(f"log2 learning rates {x.tolist()}: give two or more, rising")
    if rows.ndim < 2 or rows.shape[-1] != x.size or rows.shape[-2] == 0:
        raise ValueError(f"success {rows.shape} for {x.size} rates: give [seeds, rates]")
    if not np.all((rows == 0) | (rows == 1)):
        raise ValueError("success is to be 0 or 1 for every run")
    return x, rows
