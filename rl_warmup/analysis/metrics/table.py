"""The table of the built-in metrics. The unit of replication is the run: each gives one number per run."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args

from rl_warmup.analysis.metrics import curve, diagnostics, stability
from rl_warmup.analysis.metrics.diagnostics import dose, phase_mean, step_mean

RETURN_EFFECT = 0.05  # smallest effect that matters, for what is measured in normalized return
TIME_EFFECT = 0.05  # and for times, in shares of the budget
RATE_EFFECT = 0.05  # and for shares of runs

Role = Literal["confirmatory", "exploratory", "descriptive"]  # descriptive: shown, never tested
Source = Literal["curve", "episodes", "updates"]
Need = Literal[
    "reference", "threshold"
]  # constants of the environment: low and high by which returns are normalized
NORMALIZED = "normalized return"  # what a unit begins with, where it is the environment's own without a reference


class Scaled(Protocol):
    """What the bounds of a metric depend on, as `Scale` has it."""

    @property
    def threshold(self) -> float:
        """In the unit of the curves."""

    @property
    def z_min(self) -> float | None:
        """Lower bound of the curves; None: not known."""

    @property
    def z_max(self) -> float | None:
        """Upper bound."""


@dataclass(frozen=True)
class Metric:
    """One number per run: how it is computed, its unit, the better direction, the smallest effect to matter."""

    name: str
    function: Callable[..., Any]  # of the curves of all runs, or of the table `source` of one, as the package says
    unit: str
    better: Literal["higher", "lower"]
    description: str
    smallest_effect: float | None = None  # without one, two arms can never be called equivalent on this metric
    binary: bool = False
    role: Role = "exploratory"  # a confirmatory one is defined for every run
    source: Source = "curve"
    noise_floor: bool = False  # whether what the sampling of evaluation episodes makes of it is reported beside it
    needs: tuple[Need, ...] | None = None  # without which it is undefined; None: all, unless it is of `updates`
    # of z_min, z_max and the threshold: between what it lies; None: not known, and no verdict holds for its mean
    within: Callable[[float, float, float], tuple[float, float]] | None = None

    @property
    def needed(self) -> tuple[Need, ...]:
        """The constants without which it is undefined."""
        if self.needs is None:
            return () if self.source == "updates" else get_args(Need)
        return self.needs

    def bounds(self, scale: Scaled) -> tuple[float, float] | None:
        """Between what it lies for curves on this scale; None: not known."""
        if self.within is None:
            return None
        z_min, z_max = (math.nan if end is None else end for end in (scale.z_min, scale.z_max))
        low, high = self.within(z_min, z_max, scale.threshold)
        return (low, high) if low < high else None

    def unit_of(self, normalized: bool) -> str:
        """Its unit, where returns are normalized and where they are not."""
        return self.unit if normalized else self.unit.removeprefix("normalized ")


def _metric(
    function: Callable[..., Any],
    unit: str,
    description: str,
    better: Literal["higher", "lower"] = "lower",
    smallest_effect: float | None = None,
    needs: tuple[Need, ...] = (),
    **more: Any,
) -> Metric:
    """A metric that is called as its function."""
    name = function.__name__
    return Metric(name, function, unit, better, description, smallest_effect, needs=needs, **more)


def _column(name: str, function: Callable[..., float], unit: str, description: str, column: str = "") -> Metric:
    """A metric of a column of `updates`, by default the one that is called as the metric."""
    function = partial(function, column=column or name)
    return Metric(name, function, unit, "lower", description, role="descriptive", source="updates")


_confirmatory = partial(_metric, role="confirmatory")
_of_return, _of_fall, _of_share = curve.bounds_of_return, curve.bounds_of_fall, curve.bounds_of_share
_stability = partial(_metric, noise_floor=True)
_episodes = partial(_metric, source="episodes")
_descriptive = partial(_metric, role="descriptive")
_inside = partial(_descriptive, source="updates")
_SOLVED: tuple[Need, ...] = ("threshold",)
_LEARNED: tuple[Need, ...] = ("reference",)
_RETURN, _SLOPE, _BUDGET = NORMALIZED, f"{NORMALIZED} per budget", "share of the budget"
_BELOW = "worst fifth of the second half, below the best so far (at most the reference) or the threshold"

# Confirmatory ones first; an entry here is all that a new metric takes.
_TABLE = (
    _confirmatory(
        curve.final, _RETURN, "mean of the last tenth of the run", "higher", RETURN_EFFECT, within=_of_return
    ),
    _confirmatory(curve.area, _RETURN, "mean over the whole run", "higher", RETURN_EFFECT, within=_of_return),
    _confirmatory(
        curve.shortfall,
        _RETURN,
        _BELOW,
        "lower",
        RETURN_EFFECT,
        noise_floor=True,
        needs=(*_LEARNED, *_SOLVED),
        within=curve.bounds_of_shortfall,
    ),
    _confirmatory(
        curve.not_learned,
        "share of runs",
        "final return below half the reference",
        "lower",
        RATE_EFFECT,
        binary=True,
        needs=_LEARNED,
        within=_of_share,
    ),
    _metric(curve.best, _RETURN, "best evaluation", "higher", RETURN_EFFECT, within=_of_return),
    _episodes(
        diagnostics.online_return,
        _RETURN,
        "training episodes, by length",
        "higher",
        RETURN_EFFECT,
        within=_of_return,
    ),
    _metric(
        curve.time_to_threshold,
        _BUDGET,
        "first evaluation at the threshold; never: 1",
        "lower",
        TIME_EFFECT,
        _SOLVED,
        within=_of_share,
    ),
    _stability(stability.drawdown_cvar, _RETURN, "worst 5% of the falls below the best so far", within=_of_fall),
    _stability(stability.drawdown_max, _RETURN, "largest fall below the best so far", within=_of_fall),
    _stability(stability.difference_iqr, _SLOPE, "interquartile range of the changes of return"),
    _stability(stability.difference_mad, _SLOPE, "median absolute deviation of the changes of return"),
    _stability(stability.difference_std, _SLOPE, "standard deviation of the changes of return"),
    _stability(stability.difference_cvar, _SLOPE, "worst 5% of the changes of return", "higher"),
    _stability(
        stability.collapses, "collapses", "falls by half the reference, three evaluations or longer", needs=_LEARNED
    ),
    _descriptive(
        stability.recovered, "share of collapses", "collapses that were made good", "higher", needs=_LEARNED
    ),
    _inside(diagnostics.loss_spikes, "share of phases", "loss above the rolling median + 6 MAD"),
    _column("grad_norm", step_mean, "L2 norm", "mean gradient norm before clipping", "grad_norm_mean"),
    _column("clipped_share", step_mean, "share of steps", "gradient steps that were clipped"),
    _inside(diagnostics.early_relative_update, "share", "change of the parameters a phase, first 1% of steps"),
    _column("approx_kl", phase_mean, "nats", "PPO: KL divergence from old to new policy"),
    _column("clip_fraction", phase_mean, "share of samples", "PPO: samples with a clipped ratio"),
    _inside(diagnostics.q_max_abs, "discounted return", "DQN: largest |Q|"),
    _inside(diagnostics.soft_divergence, "share of runs", "DQN: |Q| above any policy's worth", binary=True),
    _column("n_below_99", dose, "gradient steps", "steps below 99% of the base learning rate"),
    _column("budget_lost", dose, "share", "part of the base learning rates' sum that was taken away", "budget"),
    _column("learning_rate_mean", dose, "learning rate", "mean delivered learning rate"),
)
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _TABLE})
