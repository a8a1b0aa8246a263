"""From the records of a run to one number per run and metric, and the table of all metrics.

A curve is normalized by fixed constants of its environment, never by its own range: 0 is a random policy, 1
the reference. The unit of replication is the run: episodes are averaged before a metric of the curve sees them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

from rl_warmup.analysis.metrics import diagnostics, stability
from rl_warmup.analysis.metrics.curve import (
    area,
    best,
    final,
    not_learned,
    shortfall,
    time_to_threshold,
)

RETURN_EFFECT = 0.05  # smallest effect that matters, for what is measured in normalized return
TIME_EFFECT = 0.05  # and for times, in shares of the budget

Role = Literal["confirmatory", "exploratory", "descriptive"]  # descriptive: shown, never tested
Source = Literal["curve", "episodes", "updates"]


@dataclass(frozen=True)
class Metric:
    """One number per run: how it is computed, its unit, the better direction, the smallest effect to matter.

    `function` takes by `source`: curve (t [evaluations], z [runs, evaluations], threshold), both normalized, for
    all runs at once -> [runs]; episodes and updates (the table of one run, its config) -> float. nan is what is
    undefined for a run, which no confirmatory metric is. Without a smallest effect two arms can never be called
    equivalent on this metric. `noise_floor`: whether what the sampling of evaluation episodes makes of it
    is reported beside it; only for metrics of the curve.
    """

    name: str
    function: Callable[..., Any]
    unit: str
    better: Literal["higher", "lower"]
    description: str
    smallest_effect: float | None = None
    binary: bool = False
    role: Role = "exploratory"
    source: Source = "curve"
    noise_floor: bool = False


def _metric(
    function: Callable[..., Any],
    unit: str,
    better: Literal["higher", "lower"],
    description: str,
    smallest_effect: float | None = None,
    **more: Any,
) -> Metric:
    """A metric that is called as its function."""
    return Metric(function.__name__, function, unit, better, description, smallest_effect, **more)


_confirmatory = partial(_metric, role="confirmatory")
_stability = partial(_metric, noise_floor=True)
_inside = partial(_metric, role="descriptive", source="updates")
_RETURN, _SLOPE, _BUDGET = "normalized return", "normalized return per budget", "share of the budget"
_BELOW = "worst fifth of the second half, below the best so far or the threshold"

# Confirmatory ones first; an entry here is all that a new metric takes.
_TABLE = (
    _confirmatory(final, _RETURN, "higher", "mean of the last tenth of the run", RETURN_EFFECT),
    _confirmatory(area, _RETURN, "higher", "mean over the whole run", RETURN_EFFECT),
    _confirmatory(shortfall, _RETURN, "lower", _BELOW, RETURN_EFFECT, noise_floor=True),
    _confirmatory(not_learned, "share of runs", "lower", "final return below half the reference", binary=True),
    _metric(best, _RETURN, "higher", "best evaluation", RETURN_EFFECT),
    _metric(
        diagnostics.online_return,
        _RETURN,
        "higher",
        "training episodes, by length",
        RETURN_EFFECT,
        source="episodes",
    ),
    _metric(time_to_threshold, _BUDGET, "lower", "first evaluation at the threshold; never: 1", TIME_EFFECT),
    _stability(stability.drawdown_cvar, _RETURN, "lower", "worst 5% of the falls below the best so far"),
    _stability(stability.drawdown_max, _RETURN, "lower", "largest fall below the best so far"),
    _stability(stability.difference_iqr, _SLOPE, "lower", "interquartile range of the changes of return"),
    _stability(stability.difference_mad, _SLOPE, "lower", "median absolute deviation of the changes of return"),
    _stability(stability.difference_std, _SLOPE, "lower", "standard deviation of the changes of return"),
    _stability(stability.difference_cvar, _SLOPE, "higher", "worst 5% of the changes of return"),
    _stability(
        stability.collapses, "collapses", "lower", "falls by half the reference, three evaluations or longer"
    ),
    _metric(
        stability.recovered, "share of collapses", "higher", "collapses that were made good", role="descriptive"
    ),
    _inside(diagnostics.loss_spikes, "share of phases", "lower", "loss above the rolling median + 6 MAD"),
    _inside(diagnostics.grad_norm, "L2 norm", "lower", "mean gradient norm before clipping"),
    _inside(diagnostics.clipped_share, "share of steps", "lower", "gradient steps that were clipped"),
    _inside(
        diagnostics.early_relative_update, "share", "lower", "change of the parameters a phase, first 1% of steps"
    ),
    _inside(diagnostics.approx_kl, "nats", "lower", "PPO: KL divergence from old to new policy"),
    _inside(diagnostics.clip_fraction, "share of samples", "lower", "PPO: samples with a clipped ratio"),
    _inside(diagnostics.q_max_abs, "discounted return", "lower", "DQN: largest |Q|"),
    _inside(
        diagnostics.soft_divergence, "share of runs", "lower", "DQN: |Q| above any policy's worth", binary=True
    ),
    _inside(diagnostics.n_below_99, "gradient steps", "lower", "steps below 99% of the base learning rate"),
    _inside(diagnostics.budget_lost, "share", "lower", "part of the base learning rates' sum that was taken away"),
    _inside(diagnostics.learning_rate_mean, "learning rate", "lower", "mean delivered learning rate"),
)
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _TABLE})
