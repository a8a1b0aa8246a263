"""The environment that a config describes: found, wrapped, and held to what it declares."""

from collections.abc import Callable, Mapping
from functools import partial
from pkgutil import resolve_name
from typing import Any

import gymnasium as gym

from rl_warmup.config.schema import EnvConfig
from rl_warmup.envs.declared import AsDeclared
from rl_warmup.envs.physics import with_physics


def make(env: EnvConfig, checked: bool = False, training: bool = False, **kwargs: Any) -> gym.Env[Any, Any]:
    """One environment of Gymnasium, in its wrappers; what it gives has to be finite, see `finite.check`.

    Args:
        checked: with Gymnasium's warnings of what an environment does against its interface.
        training: in `training_wrappers`, too.
        kwargs: beside those of the config, e.g. `render_mode`.

    Raises:
        gym.error.Error: if there is no such environment, or a wrapper does not go around it.
        ImportError: if the package of the environment is not installed.
    """
    register(env)
    unchecked = None if checked else True
    bare = partial(gym.make, env.id, disable_env_checker=unchecked, **{**env.kwargs, **kwargs})
    made = with_physics(bare, env.physics) if env.physics else bare()
    for wrapper in [*env.wrappers, *(env.training_wrappers if training else [])]:
        made = _wrapped(made, *path_and_arguments(wrapper))
    return AsDeclared(made, env.id)


def register(env: EnvConfig) -> None:
    """Import `env.module`; where it is a function, it is called, if the id is not registered yet."""
    if env.module is not None:
        found = resolve_name(env.module)
        if callable(found) and env.id not in gym.registry:
            found()


def path_and_arguments(wrapper: Any) -> tuple[str, Mapping[str, Any]]:
    """Dotted path and keyword arguments of an entry of `env.wrappers`; YAML has no tuples, and wrappers no lists.

    >>> path_and_arguments("a.B"), path_and_arguments({"a.B": {"shape": [84, 84]}})
    (('a.B', {}), ('a.B', {'shape': (84, 84)}))
    """
    if isinstance(wrapper, str):
        return wrapper, {}
    ((path, arguments),) = wrapper.items()
    given = (arguments or {}).items()
    return path, {key: tuple(value) if isinstance(value, list) else value for key, value in given}


def _wrapped(env: gym.Env[Any, Any], path: str, arguments: Mapping[str, Any]) -> gym.Env[Any, Any]:
    """The environment in a wrapper; an error names it."""
    try:
        wrapper: Callable[..., gym.Env[Any, Any]] = resolve_name(path)
        return wrapper(env, **arguments)
    except Exception as error:
        raise gym.error.Error(f"its wrapper {path} raised {type(error).__name__}: {error}") from error
