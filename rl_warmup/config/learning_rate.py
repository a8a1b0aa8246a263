"""The learning rate of a run: its phases, its base schedule, its warmup, and the dose that follows."""

from functools import partial

from rl_warmup import schedules
from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.checks import require
from rl_warmup.config.schema import RunConfig
from rl_warmup.schedules.bases import Schedule
from rl_warmup.schedules.numbers import Array
from rl_warmup.schedules.phases import Phases, planned_learning_rates
from rl_warmup.schedules.warmups import Factor


def phases_of(config: RunConfig) -> Phases:
    """Update phases that the run will have."""
    total = require(config.total_timesteps, "total_timesteps")
    return ALGORITHMS[config.algo.name].phases(total, partial(getattr, config.algo))


def base_schedule(config: RunConfig) -> Schedule:
    """Learning rate without warmup, of the share of environment steps done."""
    peak, target = require(config.learning_rate, "learning_rate"), config.schedule.target
    return schedules.BASES[config.schedule.name](peak) if target is None else schedules.Base(target, peak)


def env_schedule(config: RunConfig) -> Schedule:
    """What Stable-Baselines3 is given: the base schedule, times the warmup where its clock is env_steps."""
    base, warmup = base_schedule(config), config.warmup
    if warmup.clock != "env_steps":
        return base
    share = require(warmup.length, "warmup.length") / require(config.total_timesteps, "total_timesteps")
    return schedules.warmup(base, warmup.target or warmup.shape, share, warmup.start, warmup.power)


def step_factor(config: RunConfig) -> Factor | None:
    """Warmup factor of gradient step k where the warmup's clock is gradient_steps, else None."""
    warmup, beta2 = config.warmup, config.algo.optimizer.beta2
    if warmup.shape == "none" or warmup.clock == "env_steps":
        return None
    length = None if warmup.length is None else int(warmup.length)
    return schedules.step_factor(warmup.target or warmup.shape, length, warmup.start, warmup.power, beta2)


def planned_dose(config: RunConfig) -> Array:  # [gradient steps]
    """Learning rate that every gradient step of the run will be given."""
    return planned_learning_rates(phases_of(config), env_schedule(config), step_factor(config))


def planned_base(config: RunConfig) -> Array:  # [gradient steps]
    """Learning rate that every gradient step would be given without warmup."""
    return planned_learning_rates(phases_of(config), base_schedule(config), None)
