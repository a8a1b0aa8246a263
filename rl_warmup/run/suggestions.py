"""What was probably meant, where a command line cannot be composed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.conf import known_envs
from rl_warmup.config.settings import ConfigError

_VERSION = re.compile(r"-v\d+$")  # of a Gymnasium id
_WRAPPERS = "[a.Wrapper, {another.Wrapper: {argument: value}}]"
_WRITTEN = {
    "env.kwargs": "{name: value}",
    "env.envpool": "{name: value}",
    "env.wrappers": _WRAPPERS,
    "env.training_wrappers": _WRAPPERS,
}
"""How the settings that are no single value are written."""


def refuse_unknown(config: Any, path: str = "") -> None:
    """Refuse keys that the schema does not have: Hydra lets them in with a `+` before them."""
    known = [field.name for field in fields(config)]
    for name, value in vars(config).items():
        if name not in known:
            near = _nearest(name, known)
            way = f"did you mean {path}{near}?" if near else "leave it out, or see --help"
            raise ConfigError(f"+{path}{name}={value}: there is no such key; {way}")
        if is_dataclass(value):
            refuse_unknown(value, f"{path}{name}.")


def explained(error: Exception) -> str:
    """The message of an error of Hydra or OmegaConf: one line with a suggestion for unknown options and keys."""
    cause = error.__cause__
    first, *_ = str(error).splitlines()
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} cannot be read ({first}); what holds spaces, brackets or quotes is written in "
            "single quotes in a shell, and the keys of a dictionary without any: 'env.kwargs={name: value}'"
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        path = error.missing_cfg_file
        group, _, option = path.rpartition("/") if path.startswith("hydra/") else path.partition("/")
        return f"{first}; {_option(group, option, error.options)}"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and isinstance(cause.parent_node, DictConfig):
        known: Any = OmegaConf.to_container(cause.parent_node._get_root())
        if owner := _algorithm_of(str(cause.full_key)):
            return f"{first.rstrip('.')}: it is a setting of algo={owner} alone"
        near = _key(str(cause.full_key), list(_keys(known)))
        return f"{first.rstrip('.')}: there is no such key; {f'did you mean {near}?' if near else 'see --help'}"
    message = str(error).partition("\nConfig search path")[0].rstrip()
    if not isinstance(cause, OmegaConfBaseException):
        return message
    reason = str(cause).splitlines()[0].rstrip(".")
    whole = re.search(r"Value '(.*)' of type 'float' could not be converted to Integer", reason)
    if whole and float(whole[1]).is_integer():
        reason += f"; write {float(whole[1]):.0f}"
    for key, example in _WRITTEN.items():
        if re.search(rf" {key}=", message):
            reason += f"; write '{key}={example}'"
    return f"{message}: {reason}"


def _algorithm_of(key: str) -> str | None:
    """The algorithm that has this setting."""
    group, _, name = key.partition(".")
    owners = (algo for algo, own in ALGORITHMS.items() if name in {field.name for field in fields(own.config)})
    return next(owners, None) if group == "algo" else None


def _option(group: str, option: str, options: Sequence[str]) -> str:
    if group == "env":
        return _env(option, options)
    near = _nearest(option.lower(), options)
    return f"did you mean {group}={near}?" if near else f"use one of {', '.join(options)}"


def _env(option: str, options: Sequence[str]) -> str:
    """The environment that is built in, or how any other is asked for by its id."""
    built_in = {str(env["id"]).lower(): name for name, env in known_envs().items()}
    near = built_in.get(option.lower()) or _nearest(_VERSION.sub("", option).lower(), options)
    by_id = f"env=gym env.id={option}" if _VERSION.search(option) else "env=gym env.id=..."
    if option.lower() in built_in or (near and not _VERSION.search(option)):
        return f"did you mean env={near}?"
    if near:
        return f"did you mean env={near}? The Gymnasium environment of this id is {by_id}"
    if _VERSION.search(option):
        return f"a Gymnasium environment is given by its id: {by_id}"
    return f"use one of {', '.join(options)}, or any Gymnasium environment by its id, {by_id}"


def _keys(config: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")


def _key(unknown: str, keys: Sequence[str]) -> str | None:
    """The key that is written most like `unknown`, or whose last part is."""
    keys = [key for key in keys if not unknown.startswith(f"{key}.") and "._" not in key]
    shorter = {key.rpartition(".")[2]: key for key in reversed(keys) if not key.startswith("hydra.")}
    last = _nearest(unknown.rpartition(".")[2], list(shorter))
    return _nearest(unknown, keys) or (shorter[last] if last else None)


def _nearest(word: str, words: Sequence[str]) -> str | None:
    """The one of `words` that is written most like `word`, if one is close."""
    return next(iter(get_close_matches(word, words, 1)), None)
