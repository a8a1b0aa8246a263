"""The learning rate of a run: its phases, its base schedule, its warmup, and the dose that follows.

Likewise of PPO's clip range and entropy coefficient, which are constant within an update phase.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rl_warmup import schedules
from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.checks import require
from rl_warmup.config.columns import COEFFICIENTS
from rl_warmup.config.optimizers import OPTIMIZERS, Optimizer
from rl_warmup.config.schema import RunConfig
from rl_warmup.schedules.adaptive import KL_ADAPTIVE, KLAdaptive
from rl_warmup.schedules.bases import Schedule
from rl_warmup.schedules.controls import CONTROLS, Planned, repeated
from rl_warmup.schedules.corrections import restarted_factor
from rl_warmup.schedules.numbers import Array
from rl_warmup.schedules.phases import Phases, planned_learning_rates
from rl_warmup.schedules.warmups import Factor


def phases_of(config: RunConfig) -> Phases:
    """Update phases that the run will have."""
    total = require(config.total_timesteps, "total_timesteps")
    return ALGORITHMS[config.algo.name].phases(total, partial(getattr, config.algo))


def base_schedule(config: RunConfig) -> Schedule:
    """Learning rate without warmup, of the share of environment steps done; as planned, if it adapts."""
    peak = require(config.learning_rate, "learning_rate") * _rate_factor(config)
    target = config.schedule.target
    if config.schedule.name == KL_ADAPTIVE:
        return schedules.constant(peak)
    return schedules.BASES[config.schedule.name](peak) if target is None else schedules.Base(target, peak)


def adaptive_base(config: RunConfig) -> KLAdaptive | None:
    """The base schedule at the start of a run in which it adapts, else None."""
    if config.schedule.name != KL_ADAPTIVE:
        return None
    target = require(config.schedule.target_kl, "schedule.target_kl")
    return KLAdaptive(require(config.learning_rate, "learning_rate"), target)


def env_schedule(config: RunConfig, base: Schedule | None = None) -> Schedule:
    """What Stable-Baselines3 is given: the base schedule, times a warmup that is but a ramp over env_steps.

    `base`: in the place of the planned one.
    """
    base = base or base_schedule(config)
    return _env_ramp(config, base) if _in_schedule(config) else base


def step_factor(config: RunConfig) -> Factor | None:
    """Factor on the rate of gradient step k, set before it; None without one, or where it is in `env_schedule`."""
    warmup = config.warmup
    if warmup.shape == "none" or warmup.of != "learning_rate" or _in_schedule(config):
        return None
    if warmup.control is None and warmup.repeat is None and not config.init.critic_only:
        return _step_ramp(config)
    omega = planned_factors(config)
    assert omega is not None
    return Planned(omega)


def step_factors(config: RunConfig) -> Array:  # [gradient steps]
    """`step_factor` of every gradient step that is planned, 1 where there is none."""
    factor, steps = step_factor(config), phases_of(config).gradient_steps
    return np.ones(steps) if factor is None else np.asarray(factor(np.arange(steps)))


def planned_factors(config: RunConfig) -> Array | None:  # [gradient steps]
    """Factor omega of every gradient step, of a warmup or of its control, whatever it is on; None without one.

    It begins behind the steps in which the critic alone is trained.
    """
    warmup, phases, first = config.warmup, phases_of(config), config.init.critic_only
    if warmup.shape == "none":
        return None
    if warmup.clock == "env_steps":
        omega = planned_learning_rates(phases, _env_ramp(config, schedules.constant(1.0)), None)
    else:
        omega = np.asarray(_step_ramp(config)(np.arange(phases.gradient_steps - first)))
    if warmup.repeat is not None:
        omega = repeated(omega, np.unique(np.maximum(_starts(warmup.repeat, phases) - first, 0)))
    if warmup.control is not None:
        omega = CONTROLS[warmup.control](omega, planned_base(config)[first:])
    return np.concatenate([np.ones(first), omega])


def skipped_steps(config: RunConfig) -> int:
    """First gradient steps at which no optimizer step is taken: those of a delayed start."""
    if config.warmup.control != "delayed":
        return 0
    omega = planned_factors(config)
    assert omega is not None
    return int((omega == 0).sum())


def coefficients(config: RunConfig, name: str, warm: bool = True) -> Array:  # [phases]
    """PPO's `clip_range` or `ent_coef` in every update phase.

    Args:
        warm: whether with the warmup that is of it; its factor is that of the phase's first gradient step.
    """
    phases, algo, omega = phases_of(config), config.algo, None
    values = np.full(len(phases.n_steps), getattr(algo, name), dtype=np.float64)
    if name == "clip_range" and getattr(algo, "clip_range_schedule") == "linear":  # noqa: B009
        values = np.asarray(schedules.linear(values[0])(phases.progress))
    if warm and COEFFICIENTS.get(config.warmup.of) == name:
        omega = planned_factors(config)
    return values if omega is None else values * omega[phases.first_steps]


def optimizer_counts(config: RunConfig) -> NDArray[np.int64]:  # [gradient steps]
    """The optimizer's own count t = 1, 2, ... at every gradient step; 0 where it takes none.

    That of Adam-Rel restarts with every new objective.
    """
    phases = phases_of(config)
    begins = phases.objective_starts if _kind(config).relative else np.zeros_like(phases.n_steps)
    return _counts_from(np.maximum(begins, skipped_steps(config)), phases)


def _counts_from(begins: NDArray[np.int64], phases: Phases) -> NDArray[np.int64]:  # [gradient steps]
    """1 at step begins[phase], ... of every phase's steps; 0 before."""
    return np.maximum(np.arange(1, phases.gradient_steps + 1) - np.repeat(begins, phases.n_steps), 0)


def _kind(config: RunConfig) -> Optimizer:
    return OPTIMIZERS[config.algo.optimizer.name]


def _rate_factor(config: RunConfig) -> float:
    """Of the constant-rate control of Adam-Rel: the mean factor that its counts amount to; 1 for others."""
    options = config.algo.optimizer
    if not _kind(config).mean_of_relative or options.beta2 is None:
        return 1.0
    phases = phases_of(config)
    count = _counts_from(phases.objective_starts, phases)
    return float(restarted_factor(options.beta1, options.beta2, count).mean())


def planned_dose(config: RunConfig) -> Array:  # [gradient steps]
    """Learning rate that every gradient step of the run will be given."""
    return planned_learning_rates(phases_of(config), env_schedule(config), step_factor(config))


def planned_base(config: RunConfig) -> Array:  # [gradient steps]
    """Learning rate that every gradient step would be given without warmup."""
    return planned_learning_rates(phases_of(config), base_schedule(config), None)


def _in_schedule(config: RunConfig) -> bool:
    """Whether Stable-Baselines3's own schedule delivers the warmup, once per update phase."""
    warmup = config.warmup
    plain = warmup.control is None and warmup.on == "all" and warmup.of == "learning_rate"
    return warmup.clock == "env_steps" and plain


def _env_ramp(config: RunConfig, base: Schedule) -> Schedule:
    warmup = config.warmup
    share = require(warmup.length, "warmup.length") / require(config.total_timesteps, "total_timesteps")
    return schedules.warmup(base, warmup.target or warmup.shape, share, warmup.start, warmup.power)


def _step_ramp(config: RunConfig) -> Factor:
    warmup, beta2 = config.warmup, config.algo.optimizer.beta2 or 0.0  # none: of no shape that reads it
    length = None if warmup.length is None else int(warmup.length)
    return schedules.step_factor(warmup.target or warmup.shape, length, warmup.start, warmup.power, beta2)


def _starts(repeat: str | int, phases: Phases) -> NDArray[np.int64]:
    """Gradient steps at which a repeated ramp starts."""
    if isinstance(repeat, int):
        return np.arange(0, phases.gradient_steps, repeat)
    return phases.first_steps[phases.new_objective] if repeat == "target_update" else phases.first_steps
