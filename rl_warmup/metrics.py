"""From learning curves to one number per run; pure numpy.

A curve is normalized by fixed constants of its environment, never by its own range: 0 is a random policy, 1
the reference. The unit of replication is the run: episodes are averaged before anything here sees them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

LEARNED = 0.5  # normalized return below which a run has not learned
RETURN_EFFECT = 0.05  # smallest effect that matters, for everything measured in normalized return


def normalise(
    y: ArrayLike,  # [..., evaluations], returns
    low: float,
    high: float,
) -> FloatArray:  # [..., evaluations]
    """Scale returns by constants of the environment, z = (y - low) / (high - low), without clipping.

    `low` is the return of a random policy, `high` that of the reference.

    Raises ValueError unless both are finite and low < high.

    >>> normalise([0.0, 250.0, 600.0], low=0.0, high=500.0).tolist()
    [0.0, 0.5, 1.2]
    """
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"cannot normalize returns with low={low!r}, high={high!r}: give finite low < high")
    return (np.asarray(y, dtype=np.float64) - low) / (high - low)


def fill_diverged(
    t_grid: ArrayLike,  # [grid], environment steps of the planned evaluations
    t: ArrayLike,  # [evaluations], those that were recorded
    y: ArrayLike,  # [evaluations], returns
    floor: float,
) -> FloatArray:  # [grid]
    """Put a diverged run's curve on the whole grid; what is missing or not finite is worth `floor`.

    Raises ValueError if a recorded step is repeated or not on the grid, or if `floor` is not finite.

    >>> fill_diverged([0, 10, 20], [0, 10], [5.0, float("nan")], floor=-1.0).tolist()
    [5.0, -1.0, -1.0]
    """
    grid, steps, returns = np.asarray(t_grid), np.asarray(t), np.asarray(y, dtype=np.float64)
    if steps.shape != returns.shape:
        raise ValueError(f"{steps.shape} steps for {returns.shape} returns: give one step for each return")
    if not np.isfinite(floor):
        raise ValueError(f"return floor {floor!r}: give the worst attainable return, a finite number")
    strange = np.setdiff1d(steps, grid)
    if strange.size or np.unique(steps).size != steps.size:
        raise ValueError(f"steps {steps.tolist()} repeat or miss the grid {grid.tolist()}: give each once")
    filled = np.full(grid.shape, float(floor))
    seen = np.isfinite(returns)
    filled[np.searchsorted(grid, steps[seen])] = returns[seen]
    return filled


def _curves(t: ArrayLike, z: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check the stated shapes, t: [evaluations], z: [runs, evaluations], and return both as float64."""
    steps, curves = np.asarray(t, dtype=np.float64), np.asarray(z, dtype=np.float64)
    if steps.ndim != 1 or curves.ndim != 2 or curves.shape[1] != steps.size:
        raise ValueError(f"t {steps.shape} and z {curves.shape}: give t [evaluations], z [runs, evaluations]")
    if steps.size < 2 or not np.all(np.diff(steps) > 0):
        raise ValueError(f"evaluation steps {steps.tolist()}: give two or more, strictly increasing")
    if not np.all(np.isfinite(curves)):
        run, evaluation = np.argwhere(~np.isfinite(curves))[0]
        value = curves[run, evaluation]
        raise ValueError(f"run {run} is {value} at evaluation {evaluation}: apply fill_diverged first")
    return steps, curves


def final(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Mean of the last max(2, ceil(K/10)) of the K evaluations of each run, in normalized return.

    t: [evaluations] environment steps; z: [runs, evaluations]; result: [runs]. `threshold` plays no part.
    """
    _, z = _curves(t, z)
    last = max(2, -(-z.shape[1] // 10))
    return np.asarray(z[:, -last:].mean(axis=1))


def area(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Trapezoid rule over environment steps, divided by t_K - t_1, in normalized return.

    t: [evaluations] environment steps; z: [runs, evaluations]; result: [runs]. `threshold` plays no part.
    """
    t, z = _curves(t, z)
    return np.asarray(np.trapezoid(z, t, axis=1) / (t[-1] - t[0]))


def shortfall(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Mean of the worst fifth of s_k = max(max_{j<=k} z_j, threshold) - z_k, k in the last ceil(K/2).

    The fifth of ceil(K/2) evaluations may be a fraction: the last one counted has the rest as its weight. A
    drawdown would reward runs that never learn; the threshold holds them to account.

    t: [evaluations] environment steps; z: [runs, evaluations]; threshold: normalized; result: [runs], in
    normalized return. Raises ValueError for a threshold that is not finite.
    """
    _, z = _curves(t, z)
    if not np.isfinite(threshold):
        raise ValueError(f"threshold {threshold!r}: give a finite normalized return")
    below = np.maximum(np.maximum.accumulate(z, axis=1), threshold) - z
    half = -(-z.shape[1] // 2)
    worst_first = -np.sort(-below[:, -half:], axis=1)
    mass = half / 5
    weights = np.clip(mass - np.arange(half), 0.0, 1.0)
    return np.asarray(worst_first @ (weights / mass))


def not_learned(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """1.0 for each run whose `final` is below one half, 0.0 for the others.

    t: [evaluations] environment steps; z: [runs, evaluations]; result: [runs]. `threshold` plays no part.
    """
    return (final(t, z, threshold) < LEARNED).astype(np.float64)


@dataclass(frozen=True)
class Metric:
    """One number per run: how it is computed, its unit, the better direction, the smallest effect to matter.

    Without a smallest effect two arms can never be called equivalent on this metric.
    """

    name: str
    function: Callable[[ArrayLike, ArrayLike, float], FloatArray]  # (t, z, threshold) -> [runs]
    unit: str
    better: Literal["higher", "lower"]
    smallest_effect: float | None
    binary: bool
    description: str


_CONFIRMATORY = (
    Metric(
        "final",
        final,
        "normalized return",
        "higher",
        RETURN_EFFECT,
        False,
        "mean of the last tenth of the run",
    ),
    Metric("area", area, "normalized return", "higher", RETURN_EFFECT, False, "mean over the whole run"),
    Metric(
        "shortfall",
        shortfall,
        "normalized return",
        "lower",
        RETURN_EFFECT,
        False,
        "worst fifth of the second half, below the best so far or the threshold",
    ),
    Metric(
        "not_learned",
        not_learned,
        "share of runs",
        "lower",
        None,
        True,
        "final return below half the reference",
    ),
)
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _CONFIRMATORY})


def drawdown(y: ArrayLike) -> FloatArray:  # [..., evaluations] -> [..., evaluations]
    """Distance below the best return so far, d_k = max_{j<=k} y_j - y_k, in the unit of y.

    >>> drawdown([1.0, 3.0, 2.0]).tolist()
    [0.0, 0.0, 1.0]

    Source: Chan et al., arXiv 1912.05663.
    """
    y = np.asarray(y, dtype=np.float64)
    return np.asarray(np.maximum.accumulate(y, axis=-1) - y)


def differences(
    t: ArrayLike,  # [evaluations], environment steps
    y: ArrayLike,  # [..., evaluations]
) -> FloatArray:  # [..., evaluations - 1]
    """Slope between neighbors, d_k = (y_{k+1} - y_k) / (t_{k+1} - t_k), k = 1..K-1, per environment step.

    d_k belongs to the time t_{k+1}. Raises ValueError unless t is strictly increasing.

    Source: Chan et al., arXiv 1912.05663.
    """
    gaps = np.diff(np.asarray(t, dtype=np.float64))
    if not np.all(gaps > 0):
        raise ValueError(f"steps {np.asarray(t).tolist()}: give them strictly increasing")
    return np.asarray(np.diff(np.asarray(y, dtype=np.float64), axis=-1) / gaps)


def _tail_mean(x: FloatArray, tail: NDArray[np.bool_]) -> FloatArray:
    return np.asarray(np.mean(x, axis=-1, where=tail))


def _check_share(alpha: float) -> None:
    if not 0 < alpha <= 1:
        raise ValueError(f"tail share alpha={alpha!r}: give a number in (0, 1]")


def lower_cvar(x: ArrayLike, alpha: float = 0.05) -> FloatArray:  # [..., n] -> [...]
    """Mean of the x <= percentile(x, 100 alpha), linear interpolation; the unit is that of x.

    Raises ValueError unless alpha is in (0, 1]. Source: Chan et al., arXiv 1912.05663.
    """
    _check_share(alpha)
    x = np.asarray(x, dtype=np.float64)
    return _tail_mean(x, x <= np.percentile(x, 100 * alpha, axis=-1, keepdims=True))


def upper_cvar(x: ArrayLike, alpha: float = 0.05) -> FloatArray:  # [..., n] -> [...]
    """Mean of the x >= percentile(x, 100 (1 - alpha)), linear interpolation; the unit is that of x.

    Raises ValueError unless alpha is in (0, 1]. Source: Chan et al., arXiv 1912.05663.
    """
    _check_share(alpha)
    x = np.asarray(x, dtype=np.float64)
    return _tail_mean(x, x >= np.percentile(x, 100 * (1 - alpha), axis=-1, keepdims=True))


def _std(d: FloatArray) -> FloatArray:
    return np.asarray(np.std(d, axis=-1, ddof=1))


def _mad(d: FloatArray) -> FloatArray:
    return np.asarray(np.median(np.abs(d - np.median(d, axis=-1, keepdims=True)), axis=-1))


def _iqr(d: FloatArray) -> FloatArray:
    low, high = np.percentile(d, [25, 75], axis=-1)
    return np.asarray(high - low)


DISPERSIONS: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {"std": _std, "mad": _mad, "iqr": _iqr}
)


def dispersion(
    t: ArrayLike,  # [evaluations], environment steps
    y: ArrayLike,  # [..., evaluations]
    kind: str,
    end: float | None = None,
    window: float | None = None,
) -> FloatArray:  # [...]
    """Spread within a run: `kind` of the `differences` whose time is in [end - window + 1, end].

    kind: std (n - 1), mad (median of |d - median d|, not rescaled), iqr (percentiles 75 - 25). `end` defaults
    to the last step, `window` (environment steps) to the whole curve. Unit: that of y per environment step.

    Raises ValueError for another kind and for a window with fewer than two differences.
    Source: Chan et al., arXiv 1912.05663.
    """
    if kind not in DISPERSIONS:
        raise ValueError(f"unknown dispersion {kind!r}: use one of {', '.join(DISPERSIONS)}")
    times = np.asarray(t, dtype=np.float64)[1:]
    last = times[-1] if end is None else end
    first = -np.inf if window is None else last - window + 1
    inside = (times >= first) & (times <= last)
    if np.count_nonzero(inside) < 2:
        raise ValueError(f"window [{first}, {last}] holds fewer than two differences: make it longer")
    return DISPERSIONS[kind](differences(t, y)[..., inside])
