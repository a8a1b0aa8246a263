"""What was probably meant by a command line that Hydra cannot compose."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

_VERSION = re.compile(r"-v\d+$")  # of a Gymnasium id


def explained(error: Exception) -> str:
    """The message of an error of Hydra or OmegaConf: one line with a suggestion for unknown options and keys."""
    cause = error.__cause__
    first, *_ = str(error).splitlines()
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        path = error.missing_cfg_file
        group, _, option = path.rpartition("/") if path.startswith("hydra/") else path.partition("/")
        return f"{first}; {_option(group, option, error.options)}"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and isinstance(cause.parent_node, DictConfig):
        known: Any = OmegaConf.to_container(cause.parent_node._get_root())
        near = _key(str(cause.full_key), list(_keys(known)))
        return f"{first.rstrip('.')}: there is no such key; {f'did you mean {near}?' if near else 'see --help'}"
    message = str(error).partition("\nConfig search path")[0]
    return f"{message}: {str(cause).splitlines()[0]}" if isinstance(cause, OmegaConfBaseException) else message


def _option(group: str, option: str, options: Sequence[str]) -> str:
    if near := nearest(_VERSION.sub("", option).lower(), options):
        return f"did you mean {group}={near}?"
    if group == "env" and _VERSION.search(option):
        name = _VERSION.sub("", re.split("[/:]", option)[-1]).lower()
        return (
            f"{option} is a Gymnasium id: use env.id={option} env.name={name}, and give what env= would set: "
            "env.return_floor, env.return_low, env.return_high, env.threshold, env.reward_max, learning_rate, "
            "total_timesteps"
        )
    return f"use one of {', '.join(options)}"


def _keys(config: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")


def _key(unknown: str, keys: Sequence[str]) -> str | None:
    """The key that is written most like `unknown`, or whose last part is."""
    keys = [key for key in keys if not unknown.startswith(f"{key}.") and "._" not in key]
    shorter = {key.rpartition(".")[2]: key for key in reversed(keys) if not key.startswith("hydra.")}
    last = nearest(unknown.rpartition(".")[2], list(shorter))
    return nearest(unknown, keys) or (shorter[last] if last else None)


def nearest(word: str, words: Sequence[str]) -> str | None:
    """The one of `words` that is written most like `word`, if one is close."""
    return next(iter(get_close_matches(word, words, 1)), None)
