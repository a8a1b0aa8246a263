"""The warmup of a run and its control: filled in, fitted to the run, refused where it cannot be or does nothing."""

import math
from dataclasses import replace

import numpy as np

from rl_warmup import schedules
from rl_warmup.config.checks import tried
from rl_warmup.config.columns import COEFFICIENTS
from rl_warmup.config.learning_rate import (
    coefficients,
    phases_of,
    planned_base,
    planned_dose,
    planned_factors,
)
from rl_warmup.config.schema import RunConfig, WarmupConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.schedules.controls import budget
from rl_warmup.schedules.numbers import steps_of
from rl_warmup.schedules.phases import Phases
from rl_warmup.schedules.warmups import CLOCKS, Shape, shape_of


def resolved_warmup(config: RunConfig) -> WarmupConfig:
    """The warmup of a run whose other settings are resolved.

    Returns:
        With its name, and where the shape has them with length (a count in the unit of its clock), start and power.

    Raises:
        ConfigError: for a value out of range, and for a warmup or a control that does not fit into the run.
    """
    warmup, phases = config.warmup, phases_of(config)
    _check_control(config)
    _check_target(config)
    if warmup.shape == "none" or warmup.control == "off":
        return WarmupConfig(name="none", shape="none")
    function, name = warmup.target or warmup.shape, warmup.name
    shape = tried(shape_of, "warmup", function)
    if name in ("none", "custom", *schedules.SHAPES):
        name = function.rpartition(".")[2]
    if shape.by_beta2:
        optimizer = config.algo.optimizer
        if optimizer.beta2 is None:
            raise ConfigError(
                f"warmup={warmup.shape} follows from Adam's beta2, and optimizer={optimizer.name} keeps no second "
                f"moments; use another optimizer, or one of: {', '.join(schedules.RAMPS)}"
            )
        return _resolve_by_beta2(replace(warmup, name=name), shape, optimizer.beta2, phases)
    if warmup.clock not in CLOCKS:
        raise ConfigError(f"warmup.clock={warmup.clock} is not a clock; use one of: {', '.join(CLOCKS)}")
    total = phases.gradient_steps if warmup.clock == "gradient_steps" else phases.total_timesteps
    power = warmup.power if shape.own else None
    ramp = tried(schedules.ramp, "warmup", function, warmup.start, power)
    found = replace(warmup, name=name, start=ramp.start, power=ramp.power if shape.own else None)
    if warmup.match is None:
        return replace(found, length=_count(warmup, total))
    return replace(found, length=_matched_length(replace(config, warmup=found), total))


def _check_control(config: RunConfig) -> None:
    """Refuse a control of nothing, and repetitions that never come."""
    warmup = config.warmup
    for key in ("control", "repeat", "match"):
        value = getattr(warmup, key)
        if warmup.shape == "none" and value not in (None, "off"):
            raise ConfigError(
                f"warmup.{key}={value} needs a warmup that it is of, and warmup=none has none; use, e.g., "
                f"warmup=linear warmup.{key}={value} (the arm without warmup is warmup=none, or warmup.control=off)"
            )
    if warmup.repeat is not None and warmup.clock == "env_steps":
        raise ConfigError(
            f"warmup.repeat={warmup.repeat} repeats gradient steps and does not go with warmup.clock=env_steps; "
            "use warmup.clock=gradient_steps"
        )
    if warmup.repeat == "rollout" and (target_kl := getattr(config.algo, "target_kl", None)) is not None:
        raise ConfigError(
            f"warmup.repeat=rollout does not go with algo.target_kl={target_kl:g}, which gives rollouts counts of "
            "gradient steps that no plan knows; use a number of gradient steps"
        )
    if warmup.repeat == "target_update" and config.algo.name != "dqn":
        raise ConfigError(
            f"warmup.repeat=target_update: {config.algo.name} has no target network; use warmup.repeat=rollout"
        )


def _check_target(config: RunConfig) -> None:
    """Refuse a warmup of what the algorithm does not have, or of what its control is not about."""
    warmup, algo = config.warmup, config.algo
    for key, usual in (("on", "all"), ("of", "learning_rate")):
        if getattr(warmup, key) != usual and algo.name != "ppo":
            what = "an actor and a critic" if key == "on" else "a clip range and an entropy coefficient"
            raise ConfigError(
                f"warmup.{key}={getattr(warmup, key)}: {algo.name} has not {what}; use warmup.{key}={usual}, "
                "or algo=ppo"
            )
    if warmup.on != "all" and (warmup.of != "learning_rate" or warmup.control == "delayed"):
        other = f"of={warmup.of}" if warmup.of != "learning_rate" else "control=delayed"
        raise ConfigError(
            f"warmup.on={warmup.on} is of learning rates and does not go with warmup.{other}, which is of the "
            "whole agent; use warmup.on=all"
        )
    if warmup.of != "learning_rate" and warmup.control in ("delayed", "moment_only"):
        raise ConfigError(
            f"warmup.control={warmup.control} is about the optimizer's steps and does not go with "
            f"warmup.of={warmup.of}; use reversed, dip or matched"
        )
    if warmup.of == "entropy" and getattr(algo, "ent_coef", None) == 0:
        raise ConfigError(
            "warmup.of=entropy: algo.ent_coef=0 has nothing to warm up; give algo.ent_coef=0.01, or so"
        )


def _resolve_by_beta2(warmup: WarmupConfig, shape: Shape, beta2: float, phases: Phases) -> WarmupConfig:
    length = shape.steps(beta2) if shape.steps else None
    for key, usable in {"length": length, "start": None, "power": None, "match": None}.items():
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


def _matched_length(config: RunConfig, total: int) -> int:
    """The length, as a count, at which the ramp takes away as much of the budget as the one of `warmup.match`."""
    other, warmup = _matched_warmup(config), config.warmup
    wanted = _ramp_budget(config, other)

    def miss(length: int) -> float:
        return _ramp_budget(config, replace(warmup, length=length)) - wanted

    low, high = 1, total
    if miss(total) < 0:
        raise ConfigError(
            f"warmup.match={warmup.match} takes {wanted:.2%} of the summed learning rate, and {warmup.shape} over "
            f"the whole run no more than {wanted + miss(total):.2%}; match a shorter warmup, or use another shape"
        )
    while high - low > 1:  # the budget rises with the length
        middle = (low + high) // 2
        low, high = (low, middle) if miss(middle) >= 0 else (middle, high)
    return min((low, high), key=lambda length: abs(miss(length)))


def _matched_warmup(config: RunConfig) -> WarmupConfig:
    """The warmup that `warmup.match` names, on the clock of the one that is matched."""
    name, _, length = str(config.warmup.match).partition(":")
    try:
        other = WarmupConfig(name, name, float(length) if length else None, config.warmup.clock)
        return resolved_warmup(replace(config, warmup=other))
    except (ValueError, ConfigError) as error:
        raise ConfigError(
            f"warmup.match={config.warmup.match}: {error}; give a shape and its length, like linear:0.1"
        ) from error


def _ramp_budget(config: RunConfig, warmup: WarmupConfig) -> float:
    """Share of the summed learning rate that a warmup takes away, whatever control is asked for."""
    alone = replace(config, warmup=replace(warmup, control=None, repeat=None))
    omega = planned_factors(alone)
    return 0.0 if omega is None else budget(omega, planned_base(alone))


def _does_not_fit(length: int, total: int, clock: str) -> str:
    return (
        f"a warmup of {length} {clock} does not fit into a run of {total}; use a shorter one, a fraction "
        "(warmup.length=0.1), or more total_timesteps"
    )


def refuse_inert(config: RunConfig) -> None:
    """Refuse a warmup (resolved) whose planned learning rates all equal those of `warmup=none`, or all are 0.

    Raises:
        ConfigError: with the reason and what would work.
    """
    warmup, phases = config.warmup, phases_of(config)
    if warmup.shape == "none":
        return
    dose, base = planned_dose(config), planned_base(config)
    if warmup.of != "learning_rate":
        dose, base = (coefficients(config, COEFFICIENTS[warmup.of], warm) for warm in (True, False))
    if not dose.any():
        raise ConfigError(
            f"warmup={warmup.name} warmup.control={warmup.control} has a learning rate of 0 at all "
            f"{phases.gradient_steps} gradient steps, since the warmup never ends; use a shorter one"
        )
    if not np.allclose(dose, base, rtol=1e-9, atol=0):
        return
    why, what = "the first gradient step is already at the peak", "use a warmup.length of 2 steps or more"
    if warmup.clock == "env_steps":
        why = f"the first update comes after {phases.env_step[0]} environment steps, when the warmup is over"
        what = f"use warmup.length above {phases.env_step[0]} env_steps, or warmup.clock=gradient_steps"
    if warmup.length == 1:  # 1.0, a share?
        total = config.total_timesteps if warmup.clock == "env_steps" else phases.gradient_steps
        what += f"; the whole run is warmup.length={total}"
    over = "" if warmup.length is None else f" over {warmup.length:g} {warmup.clock}"
    kind = warmup.shape if warmup.control is None else f"{warmup.shape} ({warmup.control})"
    if warmup.of != "learning_rate":
        why, what = "at the first gradient step of every update phase the factor is 1", "use a longer one"
    raise ConfigError(
        f"the warmup {kind}{over} is inert: {why}, so that all {len(dose)} planned "
        f"{'learning rates' if warmup.of == 'learning_rate' else 'values'} equal those of warmup=none; {what}"
    )
