"""From a composed configuration to one that can be trained: validation, derived counts, planned dose."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from rl_warmup import schedules
from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.checks import check, check_values, tried
from rl_warmup.config.constants import changed_env
from rl_warmup.config.hardware import resolved_device
from rl_warmup.config.learning_rate import phases_of, planned_base
from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.config.schema import RunConfig, ScheduleConfig, TrainerConfig
from rl_warmup.config.settings import POSITIVE, ConfigError
from rl_warmup.config.transfer import check_critic_only, resolved_init, source_of
from rl_warmup.config.warmups import refuse_inert, resolved_warmup
from rl_warmup.schedules.phases import Phases, evaluation_grid

UNTUNED_TIMESTEPS = 100_000
"""Environment steps where no budget was published or given."""


def resolve(config: RunConfig, elsewhere: bool = False) -> RunConfig:
    """The same run with every derived value filled in; what cannot be trained as asked is refused.

    Args:
        elsewhere: whether another machine trains; a CUDA device must be here otherwise.

    Returns:
        With env.name and physics, total_timesteps, learning_rate, learning_rate_scale, warmup.length (as a count in
        the unit of its clock) and start, device, trainer.envs and init.

    Raises:
        ConfigError: for a value out of range, a warmup that does not fit into the run, or one that is inert.
    """
    config = replace(config, total_timesteps=_total_timesteps(config))
    check_values(config)
    rate, tuned = _learning_rate(config), config.tuned_learning_rate
    env = replace(config.env, name=config.env.name or config.env.id, physics=_physics(config))
    source_envs = _source_envs(config)
    config = replace(
        config,
        learning_rate=rate,
        learning_rate_scale=None if tuned is None else rate / tuned,
        device=resolved_device(config.device, elsewhere),
        env=env,
        trainer=_trainer(replace(config, env=env)),
        schedule=_schedule(config.schedule),
    )
    config = replace(config, init=resolved_init(config, _usual_rate(config), source_envs))
    phases = phases_of(config)
    if phases.gradient_steps == 0:
        raise ConfigError(
            f"total_timesteps={config.total_timesteps} leaves no gradient step: {config.algo.name} first learns "
            "later; use more steps (or, for DQN, a smaller algo.learning_starts)"
        )
    _refuse_crowded(config, phases)
    _refuse_same_as_adam(config, phases)
    config = replace(config, warmup=resolved_warmup(config))
    check_critic_only(config)
    if not planned_base(config).any():
        raise ConfigError(
            f"schedule={config.schedule.name} is 0 at every update of a run of {config.total_timesteps} "
            "environment steps; use more total_timesteps or schedule=constant"
        )
    refuse_inert(config)
    _check_source(config)
    return config


def _physics(config: RunConfig) -> dict[str, Any]:
    """What is changed of the environment; whether it has such attributes is seen when it is made."""
    physics = {**config.env.physics, **config.init.physics}
    for name, value in physics.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"init.physics.{name}={value} is not usable; use a finite number, or true or false")
    return physics


def _source_envs(config: RunConfig) -> str | None:
    """Who makes the environments of the agent's own run, whose physics are not changed."""
    trainer = replace(config.trainer, envs=config.init.envs or config.trainer.envs)
    return _trainer(replace(config, env=replace(config.env, physics={}), trainer=trainer)).envs


def _check_source(config: RunConfig) -> None:
    """Refuse an agent that cannot be trained as asked."""
    source = source_of(config)
    if source is not None:
        try:
            resolve(source)
        except ConfigError as error:
            raise ConfigError(f"the agent of init.timesteps={config.init.timesteps}: {error}") from error


def _schedule(schedule: ScheduleConfig) -> ScheduleConfig:
    """With the name of a custom schedule, which is that of its function."""
    if schedule.target is None:
        return schedule
    tried(schedules.Base, "schedule", schedule.target, 1.0)
    return replace(schedule, name=schedule.target.rpartition(".")[2])


def _refuse_crowded(config: RunConfig, phases: Phases) -> None:
    """Refuse more evaluations than there are distinct steps to make them at."""
    count, n_envs = config.evaluation.count, config.algo.n_envs
    if (np.diff(evaluation_grid(phases, count, n_envs)) <= 0).any():
        raise ConfigError(
            f"evaluation.count={count} evaluations do not fit into {phases.total_timesteps} environment steps, "
            f"{n_envs} at a time; use fewer"
        )


def _refuse_same_as_adam(config: RunConfig, phases: Phases) -> None:
    """Refuse Adam-Rel, and its control, where the objective never changes between gradient steps."""
    name = config.algo.optimizer.name
    kind = OPTIMIZERS[name]
    if (kind.relative or kind.mean_of_relative) and not phases.new_objective[1:].any():
        raise ConfigError(
            f"optimizer={name} is inert: no update comes after a new objective (a rollout of ppo, a copy of dqn's "
            f"target network) in {config.total_timesteps} environment steps; use more, or a smaller algo.n_steps "
            "or algo.target_update_interval"
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
        product = check("learning_rate_scale", 1.0 if scale is None else scale, POSITIVE) * _usual_rate(config)
        rate = float(f"{product:.12g}")  # 3 x 0.00063 and 0.00189 are one arm
    return check("learning_rate", rate, POSITIVE)


def _usual_rate(config: RunConfig) -> float:
    """The tuned learning rate, else Stable-Baselines3's default."""
    tuned = config.tuned_learning_rate
    return ALGORITHMS[config.algo.name].learning_rate if tuned is None else tuned


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
