"""The agent that a run starts from, read from the files that its own run kept, and the environment it knows."""

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rl_warmup.config.identity import identity
from rl_warmup.config.recorded import recorded
from rl_warmup.config.schema import EnvConfig, RunConfig
from rl_warmup.config.transfer import source_folder, starts_from_agent
from rl_warmup.records import models, read
from rl_warmup.records.schema import RecordError
from rl_warmup.trainers.agents import Agent


@dataclass(frozen=True)
class Source:
    """A trained agent, and where it was trained."""

    agent: Agent
    env: EnvConfig

    @property
    def taken(self) -> tuple[int, int]:
        """Steps that its optimizer has taken, and its rule's own count of them; 0 where it keeps none."""
        states = self.agent.optimizer["state"].values()
        steps = max((int(state.get("step", 0)) for state in states), default=0)
        return steps, max((int(state.get("count", steps)) for state in states), default=0)

    @property
    def counts(self) -> tuple[float, ...]:
        """What it has seen: steps of its statistics and in its replay buffer; the same for members of a stack."""
        seen = [] if self.agent.moments is None else [float(count) for *_, count in self.agent.moments.values()]
        return (*seen, 0 if self.agent.replay is None else len(self.agent.replay["rewards"]))

    def home(self, config: RunConfig) -> RunConfig:
        """The run with the environment that the agent was trained in in place of its own, for evaluations."""
        same = identity(self.env) == identity(config.env)
        envs = config.trainer.envs if same or config.trainer.envs is None else "gymnasium"
        return replace(config, env=self.env, trainer=replace(config.trainer, envs=envs))


def sources_for(configs: Sequence[RunConfig]) -> list[Source] | None:
    """What every run starts from; None if they start from scratch, as runs of one stack do together.

    Raises:
        RecordError: if an agent is not there, or not the one that its record names.
    """
    if not starts_from_agent(configs[0]):
        return None
    loaded: dict[tuple[Path, bool, bool], Source] = {}
    found = []
    for config in configs:
        key = source_folder(config), config.init.optimizer == "kept", config.init.replay == "kept"
        if key not in loaded:
            loaded[key] = _load(*key)
        found.append(loaded[key])
    return found


def _load(folder: Path, with_optimizer: bool, with_replay: bool) -> Source:
    model = read.read_info(folder).get("model")
    if not model or not models.is_as_recorded(folder, model["sha256"]):
        raise RecordError(f"{folder}: the agent to start from is not there, or not the one that run.json names")
    with zipfile.ZipFile(folder / models.MODEL) as archive:  # Stable-Baselines3's, without what it has pickled
        policy, optimizer = map(_tensors, map(archive.read, ("policy.pth", "policy.optimizer.pth")))
    agent = Agent(policy, optimizer if with_optimizer else {"state": {}}, {}, _moments(folder / models.STATISTICS))
    if with_replay:
        with np.load(folder / models.REPLAY, allow_pickle=False) as stored:
            agent = replace(agent, replay={name: stored[name] for name in stored.files})
    return Source(agent, recorded(EnvConfig, read.read_config(folder)["env"]))


def _tensors(content: bytes) -> Mapping[str, Any]:
    tensors: Mapping[str, Any] = torch.load(BytesIO(content), weights_only=True, map_location="cpu")
    return tensors


def _moments(path: Path) -> Mapping[str, Any] | None:
    """Those of a pickled VecNormalize, see `Agent.moments`."""
    if not path.exists():
        return None
    normalizer = pickle.loads(path.read_bytes())
    named = {name: getattr(normalizer, name) for name in ("obs_rms", "ret_rms")}
    return {name: (moments.mean, moments.var, moments.count) for name, moments in named.items()}
