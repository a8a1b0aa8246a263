"""Learning curves on one stated shape, and the metrics of return; only two of them use the threshold."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rl_warmup.analysis import FloatArray


def normalise(y: ArrayLike, low: float, high: float) -> FloatArray:  # y: any shape
    """Scale returns by constants of the environment, z = (y - low) / (high - low), without clipping.

    Args:
        low: Return of a random policy.
        high: Return of the reference.

    Raises:
        ValueError: unless both are finite and low < high.

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
    floor: float | None,
) -> FloatArray:  # [grid]
    """Put a diverged run's curve on the whole grid; what is missing or not finite is worth `floor`, or nan without.

    Raises:
        ValueError: if a recorded step is repeated or not on the grid, or if `floor` is not finite.

    >>> fill_diverged([0, 10, 20], [0, 10], [5.0, float("nan")], floor=-1.0).tolist()
    [5.0, -1.0, -1.0]
    """
    grid, steps, returns = np.asarray(t_grid), np.asarray(t), np.asarray(y, dtype=np.float64)
    if steps.shape != returns.shape:
        raise ValueError(f"{steps.shape} steps for {returns.shape} returns: give one step for each return")
    if floor is not None and not np.isfinite(floor):
        raise ValueError(f"return floor {floor!r}: give the worst attainable return, a finite number")
    strange = np.setdiff1d(steps, grid)
    if strange.size or np.unique(steps).size != steps.size:
        raise ValueError(f"steps {steps.tolist()} repeat or miss the grid {grid.tolist()}: give each once")
    filled = np.full(grid.shape, np.nan if floor is None else float(floor))
    seen = np.isfinite(returns)
    filled[np.searchsorted(grid, steps[seen])] = returns[seen]
    return filled


def checked(t: ArrayLike, z: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check the stated shapes, t: [evaluations], z: [runs, evaluations], and return both as float64.

    Raises:
        ValueError: for other shapes, steps that do not rise, returns that are not finite.
    """
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


LEARNED = 0.5  # normalized return below which a run has not learned


def final(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Mean of the last max(2, ceil(K/10)) of the K evaluations of each run, in normalized return."""
    _, z = checked(t, z)
    last = max(2, -(-z.shape[1] // 10))
    return np.asarray(z[:, -last:].mean(axis=1))


def area(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Trapezoid rule over environment steps, divided by t_K - t_1, in normalized return."""
    t, z = checked(t, z)
    return np.asarray(np.trapezoid(z, t, axis=1) / (t[-1] - t[0]))


def shortfall(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Mean of the worst fifth of the s_k, k in the last ceil(K/2), in normalized return.

    s_k = max(0, min(max(max_{j<=k} z_j, threshold), max(1, threshold)) - z_k). The fifth of ceil(K/2) evaluations
    may be a fraction: the last one counted has the rest as its weight. A drawdown would reward runs that never
    learn; the threshold counts that as a loss. The best so far counts up to the reference, or the threshold if
    that is higher: a run that is never below it has no shortfall, however it varies above.

    Raises:
        ValueError: for a threshold that is not finite.
    """
    _, z = checked(t, z)
    if not np.isfinite(threshold):
        raise ValueError(f"threshold {threshold!r}: give a finite normalized return")
    best_so_far = np.maximum.accumulate(z, axis=1)
    below = np.maximum(np.clip(best_so_far, threshold, max(1.0, threshold)) - z, 0.0)
    half = -(-z.shape[1] // 2)
    worst_first = -np.sort(-below[:, -half:], axis=1)
    mass = half / 5
    weights = np.clip(mass - np.arange(half), 0.0, 1.0)
    return np.asarray(worst_first @ (weights / mass))


def not_learned(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """1.0 for each run whose `final` is below one half, 0.0 for the others."""
    return (final(t, z, threshold) < LEARNED).astype(np.float64)


def best(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """Largest evaluation of each run, in normalized return."""
    return np.asarray(checked(t, z)[1].max(axis=1))


def reached(z: ArrayLike, threshold: float) -> NDArray[np.bool_]:
    """Whether each run's return was at the threshold or above in some evaluation, z: [runs, evaluations]."""
    return np.asarray((np.asarray(z) >= threshold).any(axis=1))


def time_to_threshold(t: ArrayLike, z: ArrayLike, threshold: float) -> FloatArray:
    """First t_k with z_k >= threshold as a share of the budget t_K; 1.0 for a run that never gets there.

    So a run is right-censored at the budget, and the mean over runs is the mean restricted to it.
    """
    t, z = checked(t, z)
    first = t[np.argmax(z >= threshold, axis=1)] / t[-1]
    return np.where(reached(z, threshold), first, 1.0)


# Between what a metric lies where the curves lie in [z_min, z_max].


def bounds_of_return(z_min: float, z_max: float, threshold: float) -> tuple[float, float]:
    """Of a mean or an extreme of returns."""
    return z_min, z_max


def bounds_of_fall(z_min: float, z_max: float, threshold: float) -> tuple[float, float]:
    """Of a distance below the best so far."""
    return 0.0, z_max - z_min


def bounds_of_shortfall(z_min: float, z_max: float, threshold: float) -> tuple[float, float]:
    """Of `shortfall`, whose best so far is capped."""
    return 0.0, max(1.0, threshold) - z_min


def bounds_of_share(z_min: float, z_max: float, threshold: float) -> tuple[float, float]:
    """Of a share, of runs or of the budget."""
    return 0.0, 1.0
