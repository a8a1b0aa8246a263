"""The learning rates that an optimizer received, from the table `updates`."""

import polars as pl


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
