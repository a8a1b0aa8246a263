"""Learning curves on one stated shape: normalized, on the planned grid, finite; pure numpy."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


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


def checked(t: ArrayLike, z: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Check the stated shapes, t: [evaluations], z: [runs, evaluations], and return both as float64.

    Raises ValueError for other shapes, steps that do not rise, returns that are not finite.
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
