"""From Hydra's composed config to a resolved, checked `RunConfig`."""

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from rl_warmup.config import ConfigError, RunConfig, conf_dir, register_schema
from rl_warmup.envs import check_env
from rl_warmup.resolve import resolve


def resolved(config: DictConfig, study_name: str) -> RunConfig:
    """The run that `config` describes, with `study_name` where the study has no name of its own.

    Raises:
        ConfigError: if it cannot be trained as asked.
    """
    plain = copy.deepcopy(config)
    with open_dict(plain):
        plain.pop("hydra", None)
    try:
        run = OmegaConf.to_object(plain)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    assert isinstance(run, RunConfig)
    _refuse_unknown(run)
    run.study.name = run.study.name or study_name
    run = resolve(run)
    check_env(run)
    return run


def configured(overrides: Sequence[str], study_name: str) -> RunConfig:
    """The run that `overrides` describe, written as on the command line; for use outside Hydra's own main.

    Raises:
        ConfigError: if it cannot be composed, or not be trained as asked.
    """
    register_schema()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir().resolve())):
            config = compose("config", overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        cause = f": {str(error.__cause__).splitlines()[0]}" if error.__cause__ else ""
        raise ConfigError(str(error).partition("\nConfig search path")[0] + cause) from error
    return resolved(config, study_name)


def _refuse_unknown(config: Any, path: str = "") -> None:
    """Refuse keys that the schema does not have: Hydra lets them in with a `+` before them."""
    known = {field.name for field in fields(config)}
    for name, value in vars(config).items():
        if name not in known:
            raise ConfigError(f"+{path}{name}={value}: there is no such key; leave it out, or see --help")
        if is_dataclass(value):
            _refuse_unknown(value, f"{path}{name}.")


def check_writable(folder: Path) -> None:
    """Refuse a folder in which nothing can be recorded.

    Raises:
        ConfigError: naming the folder and the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"runs_dir: nothing can be recorded in {folder}: {error.strerror}; use another"
        ) from error
