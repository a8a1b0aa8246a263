"""Refusal of settings that cannot be trained, before anything is."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rl_warmup import schedules
from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.constants import check_constants
from rl_warmup.config.looks import looks_of
from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import FINITE, Bound, ConfigError, declared, leaves, one_of
from rl_warmup.config.study import check_conditions, contrasts_of
from rl_warmup.schedules.adaptive import KL_ADAPTIVE

T = TypeVar("T")


def check_values(config: RunConfig) -> None:
    """Refuse a value that is out of range by itself; what depends on the length of the run is `resolve`'s.

    Raises:
        ConfigError: naming the setting, its value, and what to use instead.
    """
    require(config.total_timesteps, "total_timesteps")
    for key, value, how in leaves(config):
        if how.bound is not None and value is not None:
            check(key, value, how.bound)
        if how.identity != "never":
            _check_finite(key, value)
    _check_target("schedule", config.schedule.name, config.schedule.target, (*schedules.BASES, KL_ADAPTIVE))
    _check_target("warmup", config.warmup.shape, config.warmup.target, ("none", *schedules.SHAPES))
    check_constants(vars(config.env))
    _check_declared(config)
    algorithm = ALGORITHMS[check("algo.name", config.algo.name, one_of(*ALGORITHMS))]
    if not isinstance(config.algo, algorithm.config):
        raise ConfigError(f"algo.name={config.algo.name} has the settings of another; use algo={config.algo.name}")
    algorithm.check(config.algo)
    _check_optimizer(config)
    _check_adaptive(config)


def check(key: str, value: T, bound: Bound) -> T:
    """`value`, if it is within its bound, else ConfigError."""
    if not bound.holds(value):
        raise ConfigError(f"{key}={value} {bound.refusal}")
    return value


def require(value: T | None, name: str) -> T:
    """`value`, if it is set, else ConfigError."""
    if value is None:
        raise ConfigError(f"{name} is not set; give {name}=")
    return value


def tried(make: Callable[..., T], what: str, *arguments: Any, **named: Any) -> T:
    """What `make` makes of the arguments; its ValueError becomes a ConfigError."""
    try:
        return make(*arguments, **named)
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from error


def _check_finite(key: str, value: Any) -> None:
    """Refuse numbers that no record could hold, also within what is given to an environment or a function."""
    match value:
        case float():
            check(key, value, FINITE)
        case Mapping():
            for name, one in value.items():
                _check_finite(f"{key}.{name}", one)
        case list() | tuple():
            for place, one in enumerate(value):
                _check_finite(f"{key}[{place}]", one)


def _check_adaptive(config: RunConfig) -> None:
    """Refuse a rate that is to follow a KL which there is not, and a target of no use."""
    schedule, algo = config.schedule, config.algo.name
    if schedule.name != KL_ADAPTIVE:
        if schedule.target_kl is not None:
            raise ConfigError(
                f"schedule.target_kl={schedule.target_kl:g} has no meaning for schedule={schedule.name}; use "
                f"schedule={KL_ADAPTIVE}, or algo.target_kl, which ends an update"
            )
        return
    if algo != "ppo":
        raise ConfigError(
            f"schedule={KL_ADAPTIVE} follows the KL of PPO's updates, and {algo} has none; use another schedule"
        )
    require(schedule.target_kl, "schedule.target_kl")


def _check_target(group: str, name: str, target: str | None, built_in: tuple[str, ...]) -> None:
    """Refuse a function of the user's own where there is none, or beside a built-in one."""
    if target is None and name == "custom":
        raise ConfigError(f"{group}=custom needs {group}.target=, the dotted path of a function of your own")
    if target is None:
        check("warmup.shape" if group == "warmup" else "schedule.name", name, one_of(*built_in, "custom"))
    elif name not in ("custom", target.rpartition(".")[2]):
        raise ConfigError(f"{group}.target={target} does not go with {group}={name}; use {group}=custom")


def _check_optimizer(config: RunConfig) -> None:
    """Refuse options that the optimizer does not read, the lack of those that it does, and RAdam without its r."""
    options, name = config.algo.optimizer, config.algo.optimizer.name
    if OPTIMIZERS[name].mean_of_relative and config.schedule.name == KL_ADAPTIVE:
        raise ConfigError(
            f"optimizer={name} lowers a planned rate, and schedule={KL_ADAPTIVE} cannot be planned; use another one"
        )
    for key, value in (("beta2", options.beta2), ("eps", options.eps)):
        if OPTIMIZERS[name].second_moments:
            require(value, f"algo.optimizer.{key}")
        elif value is not None:
            raise ConfigError(
                f"algo.optimizer.{key}={value:g} has no meaning for {name}, which keeps no second moments; "
                f"use optimizer={name} without it (algo.optimizer.{key}=null)"
            )
    if name == "radam" and options.beta2 is not None and options.beta2 <= 2 / 3:
        raise ConfigError(
            f"algo.optimizer.beta2={options.beta2:g} is too small for radam, which would never divide by second "
            "moments; use a value above 2/3, or optimizer=sgd with a momentum (algo.optimizer.beta1)"
        )


def _check_declared(config: RunConfig) -> None:
    """Refuse a study that looks for arms by what there is not, or by what does not distinguish arms."""
    study = config.study
    try:
        check_conditions(study.control, study.comparisons)
    except ValueError as error:
        raise ConfigError(f"study.{error}") from error
    if tried(looks_of, "study.looks", study.looks) and not study.control:
        raise ConfigError(
            "study.looks decides when all comparisons with the control are decided, and study.control is not set; "
            "declare one, e.g. study.control='{warmup.name: none}'"
        )
    if study.looks and study.order == "pooled_first":
        raise ConfigError(
            "study.looks has no pooled question, which study.order=pooled_first asks first; use study.order=holm"
        )
    searches = [("study.control", study.control or ())]
    searches += [("study.comparisons", wanted) for wanted in study.comparisons or ()]
    for one in tried(contrasts_of, "study.contrasts", study.contrasts):
        searches.append((f"study.contrasts: {one.name!r}", {key for _, where in one.terms for key in where}))
    known = {key for key, _, _ in leaves(config)}
    not_of_an_arm = {"seed", *(name for name, _, how in declared(RunConfig) if how.identity == "never")}
    for what, key in ((what, key) for what, keys in searches for key in sorted(keys)):
        group = key.partition(".")[0]
        if group in not_of_an_arm:
            raise ConfigError(
                f"{what} looks for {key}, and it does not distinguish arms; "
                "use learning_rate, warmup.name or another setting of an arm"
            )
        if key not in known and group != "algo":  # the algorithms have their own
            raise ConfigError(f"{what} looks for {key}, and there is no such setting")
