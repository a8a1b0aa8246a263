"""From Hydra's composed config to a resolved, checked `RunConfig`."""

import copy
import re
from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.checks import check
from rl_warmup.config.conf import conf_dir
from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import SEED, RunConfig
from rl_warmup.config.settings import ConfigError, leaves
from rl_warmup.config.transfer import source_of
from rl_warmup.envs.spaces import check_env
from rl_warmup.records.provenance import command
from rl_warmup.records.words import first_line
from rl_warmup.run.sources import with_source
from rl_warmup.run.suggestions import explained, refuse_unknown

CONFIG_NAME = "config"
"""The YAML file of conf/ that is composed, unless --config-name says otherwise."""

_PLAIN_SEED = re.compile(r"seed=\d+")


def resolved(config: DictConfig, study_name: str) -> RunConfig:
    """The run that `config` describes, with `study_name` where the study has no name of its own.

    Raises:
        ConfigError: if it cannot be trained as asked.
    """
    return _checked(_built(_without_hydra(config)), study_name)


def _without_hydra(config: DictConfig) -> DictConfig:
    plain = copy.deepcopy(config)
    with open_dict(plain):
        plain.pop("hydra", None)
    return plain


def _built(config: DictConfig) -> RunConfig:
    try:
        run = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise ConfigError(first_line(error)) from error
    assert isinstance(run, RunConfig)
    refuse_unknown(run)
    return run


def _checked(run: RunConfig, study_name: str, elsewhere: bool = False) -> RunConfig:
    try:
        run = resolve(replace(run, study=replace(run.study, name=run.study.name or study_name)), elsewhere)
    except MemoryError as error:
        raise ConfigError(f"total_timesteps={run.total_timesteps} is too much to be planned: {error}") from error
    check_env(run)
    if not run.init.source_only:
        return with_source(run)
    source = source_of(run)
    if source is None:
        raise ConfigError(
            "init.source_only=true trains the agents of runs that have init.timesteps; this one has not"
        )
    return source


def configured(overrides: Sequence[str], study_name: str, config_dir: Path | None = None) -> RunConfig:
    """The run that `overrides` describe, written as on the command line; for use outside Hydra's own main.

    `config_dir` is a folder of further YAML files, as Hydra's --config-dir.

    Raises:
        ConfigError: if it cannot be composed, or not be trained as asked.
    """
    register_schema()
    refuse_rewritten(overrides)
    if config_dir is not None and not config_dir.is_dir():
        raise ConfigError(f"--config-dir={config_dir} is not a folder")
    folder = str((config_dir or Path()).resolve()).replace("'", r"\'")
    added = [f"hydra.searchpath=['file://{folder}']"] if config_dir else []
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir().resolve())):
            config = compose(CONFIG_NAME, overrides=[*added, *overrides])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explained(error)) from error
    return resolved(config, study_name)


def command_of(hydra: Any) -> str:
    """The command line that a composed config came from, with Hydra's flags that choose its files.

    Args:
        hydra: the node `hydra` of the config.
    """
    sources, cwd = {source.provider: source for source in hydra.runtime.config_sources}, Path(hydra.runtime.cwd)
    flags, main = [], sources["main"]
    if Path(main.path).resolve() != conf_dir().resolve():
        flags += ["--config-path", main.path if main.schema == "file" else f"{main.schema}://{main.path}"]
    if "command-line" in sources:
        folder = Path(sources["command-line"].path)
        flags += ["--config-dir", str(folder.relative_to(cwd) if folder.is_relative_to(cwd) else folder)]
    if hydra.job.config_name != CONFIG_NAME:
        flags += ["--config-name", hydra.job.config_name]
    return command(hydra.overrides.hydra, hydra.overrides.task, flags)


class SweepComposer:
    """Composes the jobs of a sweep: Hydra once a combination of groups, the checks once for all seeds of an arm.

    What it returns is shared between jobs, and not to be changed.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self._loader, self._config = loader, config
        self._elsewhere = OmegaConf.select(config, "hydra.launcher.via") is not None
        self._base = cache(self._compose)
        self._arm = cache(self._compose_arm)
        self._is_group = cache(lambda key: bool(loader.get_group_options(key)))
        self._parse = cache(OverridesParser.create().parse_override)

    def __call__(self, overrides: Sequence[str]) -> RunConfig:
        """The run of one job.

        Raises:
            ConfigError: if it cannot be trained as asked.
        """
        seeds = [text for text in overrides if _PLAIN_SEED.fullmatch(text)]
        run = self._arm(*(text for text in overrides if text not in seeds))
        if not seeds:
            return run
        seed = int(seeds[-1].partition("=")[2])
        check("seed", seed, SEED)
        return replace(run, seed=seed)

    def _compose_arm(self, *overrides: str) -> RunConfig:
        values = [text for text in overrides if self._sets_a_value(text)]
        try:
            config, run = self._base(*(text for text in overrides if text not in values))
            for text in values:
                override = self._parse(text)
                key = override.key_or_group
                # converts and checks the value; the next job overwrites it
                OmegaConf.update(config, key, override.value())
                run = _with(run, key.split("."), OmegaConf.select(config, key))
        except (ConfigError, OmegaConfBaseException):
            _, run = self._compose(*overrides)  # Hydra says better what is wrong with it
        return _checked(run, "sweep", self._elsewhere)

    def _compose(self, *overrides: str) -> tuple[DictConfig, RunConfig]:  # takes Hydra a tenth of a second
        try:
            config = _without_hydra(self._loader.load_sweep_config(self._config, list(overrides)))
        except HydraException as error:
            raise ConfigError(explained(error)) from error
        return config, _built(config)

    def _sets_a_value(self, text: str) -> bool:
        override = self._parse(text)
        key, value = override.key_or_group, override.value()
        plain = override.type is OverrideType.CHANGE and override.package is None and "${" not in text
        return plain and not self._is_group(key) and not isinstance(value, dict | list)


def _with(node: Any, path: Sequence[str], value: Any) -> Any:
    """A copy of a config in which the value at `path` is another; what does not change is shared."""
    name, *rest = path
    if isinstance(node, dict):
        return {**node, name: _with(node.get(name, {}), rest, value) if rest else value}
    return replace(node, **{name: _with(getattr(node, name), rest, value) if rest else value})


def register_schema() -> None:
    """Make the schema known to Hydra, so that an unknown key or a wrong type is refused when it composes."""
    store, schema = ConfigStore.instance(), OmegaConf.structured(RunConfig)
    for key, value, _ in leaves(RunConfig()):
        if isinstance(value, dict):  # its keys are the user's
            OmegaConf.set_struct(OmegaConf.select(schema, key), False)
    store.store(name="schema", node=schema)
    for name, algorithm in ALGORITHMS.items():
        store.store(group="schema/algo", name=name, node=algorithm.config)


def refuse_rewritten(overrides: Sequence[str]) -> None:
    """Refuse a number or truth value for a text, where Hydra would write it otherwise: 2024_11_28 is 20241128.

    Args:
        overrides: of the command line; what is none is left to Hydra.

    Raises:
        ConfigError: naming the first.
    """
    parser = OverridesParser.create()
    for text in overrides:
        key, _, given = text.partition("=")
        kind = _kind(key.lstrip("+"))
        if kind not in (str, str | None) and not is_dataclass(kind):
            continue
        for word in re.split("[,()]", given):  # of a sweep
            try:
                value = parser.parse_override(f"{key}={word}").value()
            except HydraException:
                break
            if isinstance(value, bool | int | float) and (is_dataclass(kind) or str(value) != word):
                raise ConfigError(f"{text}: Hydra reads {word} as the value {value}; write \"{key}='{word}'\"")


def _kind(key: str) -> Any:
    """The type of the setting or group `key`; None where there is none."""
    kind: Any = RunConfig
    for name in key.split("."):
        kind = get_type_hints(kind).get(name) if is_dataclass(kind) else None
    return kind
