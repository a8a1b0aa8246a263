"""Runs that start from a trained agent: which one that is, and the run that trains it."""

from dataclasses import replace
from pathlib import Path

from rl_warmup.config.checks import require
from rl_warmup.config.identity import digest, identity, run_folder, study_folder
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import InitConfig, RunConfig, ScheduleConfig, StudyConfig, WarmupConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.config.study import NOT_IN_CELL

SOURCES = "sources"
"""Folder, in that of a study, of the runs that train the agents its runs start from."""
NETWORK = ("net_arch", "extractor", "activation", "layer_norm", "normalize", "use_sde")
"""Settings of an algorithm by which an agent fits into another's network."""


def starts_from_agent(config: RunConfig) -> bool:
    """Whether a run (resolved) starts from a trained agent, not from scratch."""
    return config.init.source is not None or config.init.run is not None


def source_of(config: RunConfig) -> RunConfig | None:
    """The run that trains the agent a run starts from, both resolved; None from scratch, or from a given run.

    It has the run's algorithm, seed and unchanged environment, `init.timesteps` steps and a constant learning rate,
    the tuned one unless `init.learning_rate` is given, without warmup. Arms that differ in rate, schedule, warmup,
    physics, and in what they keep of the agent, share it.
    """
    init, tuned = config.init, config.tuned_learning_rate
    if init.timesteps is None:
        return None
    rate = require(init.learning_rate, "init.learning_rate")
    return replace(
        config,
        env=replace(config.env, physics={}),
        trainer=replace(config.trainer, envs=init.envs),
        schedule=ScheduleConfig(),
        warmup=WarmupConfig(name="none", shape="none"),
        init=InitConfig(),
        tracking=replace(config.tracking, name="disabled"),
        study=StudyConfig(name=SOURCES),
        learning_rate=rate,
        learning_rate_scale=None if tuned is None else rate / tuned,
        total_timesteps=init.timesteps,
        runs_dir=str(study_folder(config)),
        diagnostics="basic",
        keep="last",
        keep_replay=init.replay == "kept",
    )


def source_folder(config: RunConfig) -> Path:
    """Folder of the run whose agent a run (resolved) starts from."""
    source = source_of(config)
    return Path(require(config.init.run, "init.run")) if source is None else run_folder(source)


def source_digest(config: dict[str, object], env_step: int | None = None) -> str:
    """What an agent is called, wherever it was trained.

    Args:
        config: canonical config of its run.
        env_step: steps that it had done, if it is that of a seed; None for those of all seeds at their ends.
    """
    dropped = NOT_IN_CELL if env_step is None else ("device",)
    own = {key: value for key, value in config.items() if key not in dropped}
    return digest(own if env_step is None else {**own, "agent": env_step})


def resolved_init(config: RunConfig, rate: float, envs: str | None) -> InitConfig:
    """`init` of a config whose other settings are resolved.

    Args:
        rate: learning rate of an agent's own run where none is given.
        envs: who makes its environments.

    Raises:
        ConfigError: for what does not go together.
    """
    init = config.init
    if init.run is None and init.timesteps is None:
        return InitConfig(source_only=init.source_only)
    _check_source(init)
    _check_kept(config)
    if init.timesteps is None:
        return replace(init, source=None, physics={})
    init = replace(init, learning_rate=init.learning_rate or rate, envs=envs, physics={})
    source = source_of(replace(config, init=init))
    assert source is not None
    return replace(init, source=source_digest(identity(source)))


def check_critic_only(config: RunConfig) -> None:
    """Refuse a first phase of the critic alone that leaves the actor no steps, or goes with no warmup of that kind.

    Raises:
        ConfigError: for a run that is resolved up to that.
    """
    first, warmup, steps = config.init.critic_only, config.warmup, phases_of(config).gradient_steps
    if not first:
        return
    what = f"init.critic_only={first}"
    if first >= steps:
        raise ConfigError(f"{what} leaves the actor none of the run's {steps} gradient steps; use fewer")
    for key, refused in (("clock", "env_steps"), ("control", "delayed"), ("on", "actor"), ("on", "critic")):
        if warmup.shape != "none" and getattr(warmup, key) == refused:
            raise ConfigError(
                f"{what} does not go with warmup.{key}={refused}: the warmup begins behind it, by gradient "
                "steps and of all parameters; leave out one of them"
            )
    if warmup.clock == "gradient_steps" and warmup.length is not None and warmup.length > steps - first:
        raise ConfigError(
            f"a warmup of {warmup.length:g} gradient_steps does not fit into the {steps - first} that {what} "
            "leaves; use a shorter one"
        )


def _check_source(init: InitConfig) -> None:
    if init.run is not None and init.timesteps is not None:
        raise ConfigError(
            f"init.run={init.run} and init.timesteps={init.timesteps} exclude each other: give the run of an "
            "agent, or the environment steps for which the sweep trains one for every seed"
        )
    for name in ("learning_rate", "envs"):
        if init.run is not None and getattr(init, name) is not None:
            raise ConfigError(
                f"init.{name}={getattr(init, name)} is of an agent that the sweep trains; leave it out beside "
                "init.run"
            )


def _check_kept(config: RunConfig) -> None:
    """Refuse what an algorithm cannot keep of an agent, or cannot train of it first."""
    init, algo = config.init, config.algo.name
    if init.replay == "kept" and algo != "dqn":
        raise ConfigError(
            f"init.replay=kept does not go with algo={algo}, which has no replay buffer: each of its rollouts is "
            "learned from and forgotten; leave it out"
        )
    if init.critic_only and algo != "ppo":
        raise ConfigError(
            f"init.critic_only={init.critic_only} does not go with algo={algo}, which has no actor beside its "
            "critic; leave it out"
        )
