"""The learning rates that an optimizer received: the columns of the table `updates`, and their sum over a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import polars as pl


def dose_columns(rates: ArrayLike, base: ArrayLike) -> dict[str, NDArray[Any]]:
    """What an optimizer received in an update phase, read from it after every gradient step.

    omega = rate / base at each step, taken as 1 where the base is 0. Sums run in the order of the steps, so that
    one run and many at once round alike.

    Args:
        rates: [steps, ...] learning rate of every step, at least one.
        base: [...] learning rate without warmup.

    Returns:
        The columns of `updates` by name, [...] each.

    >>> columns = dose_columns([0.0, 0.5, 1.0, 1.0], 1.0)
    >>> float(columns["learning_rate_mean"]), int(columns["n_below_99"]), float(columns["omega_sum"])
    (0.625, 2, 2.5)
    """
    rates, base = np.asarray(rates, dtype=np.float64), np.asarray(base, dtype=np.float64)
    omega = np.divide(rates, base, out=np.ones_like(rates), where=base > 0)
    return {
        "learning_rate_first": rates[0],
        "learning_rate_last": rates[-1],
        "learning_rate_mean": rates.cumsum(0)[-1] / len(rates),
        "base_learning_rate": base,
        "n_below_99": (rates < 0.99 * base).sum(0),
        "omega_sum": omega.cumsum(0)[-1],
    }


def dose_of(updates: pl.DataFrame | None) -> dict[str, float] | None:
    """What an optimizer received, from the table `updates` of its run; None if that is not known.

    budget = 1 - sum(rate)/sum(base rate) over the gradient steps: the share that the warmup took away.
    """
    if updates is None or updates.is_empty():
        return None
    steps = updates["n_steps"]
    given = float((updates["learning_rate_mean"] * steps).sum())
    base = float((updates["base_learning_rate"] * steps).sum())
    return {
        "gradient_steps": float(steps.sum()),
        "n_below_99": float(updates["n_below_99"].sum()),
        "budget": round(1 - given / base, 12) + 0.0 if base else 0.0,  # without the sums' rounding errors
        "learning_rate_mean": given / float(steps.sum()),
        "learning_rate_first": float(updates["learning_rate_first"][0]),
        "learning_rate_last": float(updates["learning_rate_last"][-1]),
    }
