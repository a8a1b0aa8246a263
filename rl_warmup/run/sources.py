"""The agents that runs start from: found where a run is given one, awaited where another run trains it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import yaml

from rl_warmup.config.recorded import recorded, recorded_algo
from rl_warmup.config.schema import AlgoConfig, EnvConfig, RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.config.transfer import NETWORK, source_digest, source_folder, starts_from_agent
from rl_warmup.envs.spaces import spaces
from rl_warmup.records import models, read
from rl_warmup.records.kept import find_run, why_no_agent
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import first_line


def with_source(config: RunConfig) -> RunConfig:
    """A run (resolved) with the folder and the digest of the agent that it is given; others as they are.

    Raises:
        ConfigError: if there is no such agent, or it does not fit the run; with both sides.
    """
    if config.init.run is None:
        return config
    given = f"init.run={config.init.run}"
    try:
        folder = find_run(config.init.run, Path(config.runs_dir)).absolute()
        info, values = read.read_info(folder), read.read_config(folder)
        if (lacking := _lacking(config, folder, info)) is not None:
            raise ConfigError(f"{given} has no agent to start from: {lacking}")
        own = recorded(EnvConfig, values["env"]), recorded_algo(values["algo"]), values.get("trainer") or {}
    except (RecordError, OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(f"{given}: {first_line(error)}") from error
    for what, there, here in _differences(config, *own):
        raise ConfigError(
            f"{given} does not fit this run: {what} is {there} there and {here} here; use the same, or another"
        )
    source = source_digest(info["config"], int(info["model"]["env_step"]))
    return replace(config, init=replace(config.init, run=str(folder), source=source))


def unready(config: RunConfig) -> str | None:
    """Why a run cannot start, since the agent that it starts from is not there; None if it can."""
    if not starts_from_agent(config):
        return None
    folder = source_folder(config)
    try:
        lacking = _lacking(config, folder, read.read_info(folder))
    except RecordError as error:
        lacking = str(error) if folder.exists() else "it was not begun"
    return None if lacking is None else f"the run of the agent that it starts from, {folder}: {lacking}"


def source_info(config: RunConfig) -> dict[str, Any]:
    """What run.json says of the agent that a run starts from; nothing from scratch."""
    if not starts_from_agent(config):
        return {}
    folder = source_folder(config)
    try:
        model = read.read_info(folder)["model"]
    except RecordError:
        model = None
    return {"source": {"run": str(folder), **(model or {})}}


def _lacking(config: RunConfig, folder: Path, info: dict[str, Any]) -> str | None:
    """What the run in `folder` lacks for another one to start from its agent."""
    if not info.get("model") or not models.present(folder):
        unfinished = info["status"] == "failed"
        return read.unfinished(read.Record(folder, info)) if unfinished else why_no_agent(folder, info)
    if config.init.replay == "kept" and not (folder / models.REPLAY).exists():
        return "it kept no replay buffer; keep_replay=true keeps one, init.replay=empty starts without"
    return None


def _differences(
    config: RunConfig, env: EnvConfig, algo: AlgoConfig, trainer: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """By what an agent that was trained so does not fit a run, one after the other: a name and both values."""
    own, kept = config.algo, config.init.replay == "kept"
    names = [*NETWORK, *(["n_envs"] if kept else [])] if algo.name == own.name else ["name"]
    pairs = [(f"algo.{name}", getattr(algo, name, None), getattr(own, name, None)) for name in names]
    if config.init.optimizer == "kept":
        pairs.append(("algo.optimizer.name", algo.optimizer.name, own.optimizer.name))
    yield from (pair for pair in pairs if pair[1] != pair[2])
    theirs, ours = spaces(env, trainer.get("envs")), spaces(config.env, config.trainer.envs)
    for what, there, here in zip(("what it is shown", "what it can do"), theirs, ours, strict=True):
        if _kind(there) != _kind(here):
            yield what, _kind(there), _kind(here)
    if kept and not isinstance(ours[0], gym.spaces.Box) and trainer.get("name") != config.trainer.name:
        yield "trainer", trainer.get("name"), config.trainer.name  # they keep such observations differently


def _kind(space: gym.Space[Any]) -> str:
    """What matters of a space for a network, e.g. `Box [4] float32`; bounds do not."""
    size = int(space.n) if isinstance(space, gym.spaces.Discrete) else getattr(space, "nvec", space.shape)
    return " ".join(f"{type(space).__name__} {np.asarray(size).tolist()} {space.dtype}".split())
