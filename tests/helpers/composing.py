"""Configs as the command line composes them, before they are resolved; composed once a test session."""

import copy
from functools import cache
from operator import attrgetter
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from rl_warmup.config.conf import conf_dir
from rl_warmup.config.schema import RunConfig
from rl_warmup.run.compose import register_schema


@cache
def composed(*overrides: str, with_hydra: bool = False) -> DictConfig:
    """What Hydra makes of the command line `overrides`; shared, not to be changed."""
    register_schema()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir().resolve())):
        return compose("config", overrides=list(overrides), return_hydra_config=with_hydra)


def unresolved(*overrides: str, **values: Any) -> RunConfig:
    """The same as a fresh object; `values` are set past Hydra, `__` for a dot: warmup__length=0.2."""
    config = copy.deepcopy(_built(*overrides))
    for key, value in values.items():
        *path, name = key.split("__")
        owner = attrgetter(".".join(path))(config) if path else config
        assert hasattr(owner, name), key
        setattr(owner, name, value)
    return config


@cache
def _built(*overrides: str) -> RunConfig:
    built = OmegaConf.to_object(composed("device=cpu", *overrides))
    assert isinstance(built, RunConfig)
    return built
