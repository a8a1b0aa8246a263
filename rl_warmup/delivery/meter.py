"""The dose: the learning rates that an optimizer really received, read from it after every step."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rl_warmup.config.columns import GROUPS
from rl_warmup.delivery.hook import optimizers_of, steps_taken


def dose_columns(rates: ArrayLike, base: ArrayLike) -> dict[str, NDArray[Any]]:
    """What an optimizer received in an update phase, read from it after every gradient step.

    omega = rate / base at each step, taken as 1 where the base is 0. Sums run in the order of the steps, so that
    one run and many at once round alike.

    Args:
        rates: [steps, ...] learning rate of every step; without any, what is read from them is nan, or sums to 0.
        base: [...] learning rate without warmup.

    Returns:
        The columns of `updates` by name, [...] each.

    >>> columns = dose_columns([0.0, 0.5, 1.0, 1.0], 1.0)
    >>> float(columns["learning_rate_mean"]), int(columns["n_below_99"]), float(columns["omega_sum"])
    (0.625, 2, 2.5)
    """
    rates, base = np.asarray(rates, dtype=np.float64), np.asarray(base, dtype=np.float64)
    if not len(rates):
        return dose_columns(np.full((1, *base.shape), np.nan), base) | {"omega_sum": np.zeros_like(base)}
    omega = np.divide(rates, base, out=np.ones_like(rates), where=base > 0)
    return {
        "learning_rate_first": rates[0],
        "learning_rate_last": rates[-1],
        "learning_rate_mean": rates.cumsum(0)[-1] / len(rates),
        "base_learning_rate": base,
        "n_below_99": (rates < 0.99 * base).sum(0),
        "omega_sum": omega.cumsum(0)[-1],
    }


class DoseMeter:
    """Reads the learning rate from an optimizer after every step: what was delivered, whoever set it.

    Args:
        source: a torch optimizer, or a model of Stable-Baselines3 or sb3-contrib.
        optimizers: names of those of the model to read; None for all. A torch optimizer is called `optimizer`.
        steps: that were taken before; None for the optimizer's own count, not 0 where a training is resumed.
    """

    def __init__(self, source: Any, optimizers: Sequence[str] | None = None, steps: int | None = None) -> None:
        found = {"optimizer": source} if hasattr(source, "param_groups") else optimizers_of(source, optimizers)
        self._rates: dict[str, list[Any]] = {name: [] for name in found}
        self.steps = steps_taken(next(iter(found.values()))) if steps is None else steps
        hooks = {name: partial(self._read, rates) for name, rates in self._rates.items()}
        self._handles = [found[name].register_step_post_hook(hook) for name, hook in hooks.items()]

    @property
    def rates(self) -> dict[str, NDArray[np.float64]]:
        """Rate of every step by optimizer: [steps], or [steps, groups] where it has several parameter groups."""
        return {name: np.array(rates, dtype=np.float64) for name, rates in self._rates.items()}

    def summary(self) -> dict[str, dict[str, float]]:
        """Count of steps, first, last, largest and mean rate and their sum, the dose, by optimizer."""
        return {
            name: {
                "steps": len(rates),
                "first": float(rates[0].mean()),
                "last": float(rates[-1].mean()),
                "largest": float(rates.max()),
                "mean": float(rates.mean()),
                "dose": float(rates.sum() / rates[0].size),
            }
            for name, rates in self.rates.items()
            if len(rates)
        }

    def remove(self) -> None:
        """Stop reading."""
        for handle in self._handles:
            handle.remove()

    def _read(self, rates: list[Any], optimizer: Any, args: Any, kwargs: Any) -> None:
        found = [float(group["lr"]) for group in optimizer.param_groups]
        rates.append(found[0] if len(found) == 1 else found)

    def end_phase(self, base: float, part: str | None = None) -> dict[str, float]:
        """The `dose_columns` of the update phase that just ended, of the only optimizer, with the steps.

        Args:
            part: the one of `GROUPS` that they are of, where those are the parameter groups; None for one group.
        """
        (kept,) = self._rates.values()
        rates = kept.copy() if part is None else [rate[GROUPS.index(part)] for rate in kept]
        every = kept or [[math.nan] * len(GROUPS)]  # an update may stop before its first step
        parts = {} if part is None else dict(zip(GROUPS, np.mean(every, axis=0).tolist(), strict=True))
        kept.clear()
        self.steps += len(rates)
        dose = {name: column.item() for name, column in dose_columns(rates, base).items()}
        means = {f"learning_rate_mean_{name}": mean for name, mean in parts.items()}
        return {"gradient_step": self.steps, "n_steps": len(rates), **dose, **means}
