"""From a composed configuration to one that can be trained: validation, derived counts, planned dose."""

import math
from dataclasses import replace

import numpy as np

from rl_warmup import schedules
from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.checks import check, check_values, tried
from rl_warmup.config.constants import changed_env
from rl_warmup.config.hardware import resolved_device
from rl_warmup.config.learning_rate import phases_of, planned_base, planned_dose
from rl_warmup.config.schema import RunConfig, ScheduleConfig, TrainerConfig, WarmupConfig
from rl_warmup.config.settings import POSITIVE, ConfigError
from rl_warmup.schedules.numbers import steps_of
from rl_warmup.schedules.phases import Phases, evaluation_grid
from rl_warmup.schedules.warmups import CLOCKS, Shape, shape_of

UNTUNED_TIMESTEPS = 100_000
"""Environment steps where no budget was published or given."""


def resolve(config: RunConfig, elsewhere: bool = False) -> RunConfig:
    """The same run with every derived value filled in; what cannot be trained as asked is refused.

    Args:
        elsewhere: whether another machine trains; a CUDA device must be here otherwise.

    Returns:
        With env.name, total_timesteps, learning_rate, learning_rate_scale, warmup.length (as a count in the unit of
        its clock) and start, device and trainer.envs.

    Raises:
        ConfigError: for a value out of range, a warmup that does not fit into the run, or one that is inert.
    """
    config = replace(config, total_timesteps=_total_timesteps(config))
    check_values(config)
    rate, tuned = _learning_rate(config), config.tuned_learning_rate
    config = replace(
        config,
        learning_rate=rate,
        learning_rate_scale=None if tuned is None else rate / tuned,
        device=resolved_device(config.device, elsewhere),
        env=replace(config.env, name=config.env.name or config.env.id),
        trainer=_trainer(config),
        schedule=_schedule(config.schedule),
    )
    phases = phases_of(config)
    if phases.gradient_steps == 0:
        raise ConfigError(
            f"total_timesteps={config.total_timesteps} leaves no gradient step: {config.algo.name} first learns "
            "later; use more steps (or, for DQN, a smaller algo.learning_starts)"
        )
    _refuse_crowded(config, phases)
    config = replace(config, warmup=_resolve_warmup(config, phases))
    if not planned_base(config).any():
        raise ConfigError(
            f"schedule={config.schedule.name} is 0 at every update of a run of {config.total_timesteps} "
            "environment steps; use more total_timesteps or schedule=constant"
        )
    _refuse_inert(config, phases)
    return config


def _schedule(schedule: ScheduleConfig) -> ScheduleConfig:
    """With the name of a custom schedule, which is that of its function."""
    if schedule.target is None:
        return schedule
    tried(schedules.Base, "schedule", schedule.target, 1.0)
    return replace(schedule, name=schedule.target.rpartition(".")[2])


def _resolve_warmup(config: RunConfig, phases: Phases) -> WarmupConfig:
    warmup, name = config.warmup, config.warmup.name
    if warmup.shape == "none":
        return WarmupConfig(name="none", shape="none")
    function = warmup.target or warmup.shape
    shape = tried(shape_of, "warmup", function)
    if name in ("none", "custom", *schedules.SHAPES):
        name = function.rpartition(".")[2]
    if shape.by_beta2:
        return _resolve_by_beta2(replace(warmup, name=name), shape, config.algo.optimizer.beta2, phases)
    if warmup.clock not in CLOCKS:
        raise ConfigError(f"warmup.clock={warmup.clock} is not a clock; use one of: {', '.join(CLOCKS)}")
    total = phases.gradient_steps if warmup.clock == "gradient_steps" else phases.total_timesteps
    length, power = _count(warmup, total), warmup.power if shape.own else None
    ramp = tried(schedules.ramp, "warmup", function, warmup.start, power)
    power = ramp.power if shape.own else None
    return replace(warmup, name=name, length=length, start=ramp.start, power=power)


def _resolve_by_beta2(warmup: WarmupConfig, shape: Shape, beta2: float, phases: Phases) -> WarmupConfig:
    length = shape.steps(beta2) if shape.steps else None
    for key, usable in {"length": length, "start": None, "power": None}.items():
        if getattr(warmup, key) not in (None, usable):
            raise ConfigError(
                f"warmup.{key}={getattr(warmup, key)} has no meaning for warmup={warmup.shape}, which is defined "
                f"by the step count and beta2={beta2:g} alone; leave it out"
            )
    if warmup.clock not in (None, "gradient_steps"):
        raise ConfigError(
            f"warmup.clock={warmup.clock} does not go with warmup={warmup.shape}; it counts gradient_steps"
        )
    tried(schedules.step_factor, "warmup", warmup.shape, beta2=beta2)
    if length is not None and length > phases.gradient_steps:
        raise ConfigError(_does_not_fit(length, phases.gradient_steps, "gradient_steps"))
    return replace(warmup, length=length, clock="gradient_steps")


def _count(warmup: WarmupConfig, total: int) -> int:
    """`warmup.length` as a count of its clock's unit."""
    length = warmup.length
    if length is None or not math.isfinite(length) or length <= 0:
        raise ConfigError(
            f"warmup.length={length} is not a length; use a fraction of the run below 1 or a count of "
            f"{warmup.clock} from 1 on (no warmup at all is warmup=none)"
        )
    if length >= 1 and length != round(length):
        raise ConfigError(f"warmup.length={length:g} is neither a fraction below 1 nor a whole count of steps")
    if length > total:
        raise ConfigError(_does_not_fit(int(length), total, str(warmup.clock)))
    return steps_of(length, total)


def _does_not_fit(length: int, total: int, clock: str) -> str:
    return (
        f"a warmup of {length} {clock} does not fit into a run of {total}; use a shorter one, a fraction "
        "(warmup.length=0.1), or more total_timesteps"
    )


def _refuse_crowded(config: RunConfig, phases: Phases) -> None:
    """Refuse more evaluations than there are distinct steps to make them at."""
    count, n_envs = config.evaluation.count, config.algo.n_envs
    if (np.diff(evaluation_grid(phases, count, n_envs)) <= 0).any():
        raise ConfigError(
            f"evaluation.count={count} evaluations do not fit into {phases.total_timesteps} environment steps, "
            f"{n_envs} at a time; use fewer"
        )


def _refuse_inert(config: RunConfig, phases: Phases) -> None:
    """Refuse a warmup whose planned learning rates all equal those of `warmup=none`."""
    warmup = config.warmup
    if warmup.shape == "none" or not np.allclose(planned_dose(config), planned_base(config), rtol=1e-9, atol=0):
        return
    why, what = "the first gradient step is already at the peak", "use a warmup.length of 2 steps or more"
    if warmup.clock == "env_steps":
        why = f"the first update comes after {phases.env_step[0]} environment steps, when the warmup is over"
        what = f"use warmup.length above {phases.env_step[0]} env_steps, or warmup.clock=gradient_steps"
    if warmup.length == 1:  # 1.0, a share?
        total = config.total_timesteps if warmup.clock == "env_steps" else phases.gradient_steps
        what += f"; the whole run is warmup.length={total}"
    raise ConfigError(
        f"the warmup {warmup.shape} over {warmup.length:g} {warmup.clock} is inert: {why}, so that all "
        f"{phases.gradient_steps} planned learning rates equal those of warmup=none; {what}"
    )


def _total_timesteps(config: RunConfig) -> int | None:
    untuned = config.tuned_learning_rate is None
    return UNTUNED_TIMESTEPS if config.total_timesteps is None and untuned else config.total_timesteps


def _learning_rate(config: RunConfig) -> float:
    """The peak: as given, else the tuned one, else Stable-Baselines3's default."""
    rate, scale, tuned = config.learning_rate, config.learning_rate_scale, config.tuned_learning_rate
    if rate is not None and scale is not None and (tuned is None or not math.isclose(rate, scale * tuned)):
        raise ConfigError(f"learning_rate={rate:g} and learning_rate_scale={scale:g} exclude each other; give one")
    if rate is None:
        usual = ALGORITHMS[config.algo.name].learning_rate if tuned is None else tuned
        product = check("learning_rate_scale", 1.0 if scale is None else scale, POSITIVE) * usual
        rate = float(f"{product:.12g}")  # 3 x 0.00063 and 0.00189 are one arm
    return check("learning_rate", rate, POSITIVE)


def _trainer(config: RunConfig) -> TrainerConfig:
    """With who makes the environments, where that is a choice."""
    trainer, own = config.trainer, changed_env(config.env)
    if trainer.name == "stacked":
        same = config.env.envpool is not None and not own
        if own and trainer.envs == "envpool":
            raise ConfigError(
                f"trainer.envs=envpool does not go with {own}, which is for Gymnasium alone: use "
                "trainer.envs=gymnasium, or an env file of your own (docs/environments.md)"
            )
        return replace(trainer, envs=trainer.envs or ("envpool" if same else "gymnasium"))
    if trainer.envs == "envpool":
        raise ConfigError(
            f"trainer.envs=envpool does not go with trainer={trainer.name}, whose environments are Gymnasium's; "
            "leave it out, or use trainer=stacked"
        )
    return replace(trainer, envs=None, compile=None)
