"""Stacks in tests: trained in this process, their rows kept in lists."""

from collections.abc import Sequence
from typing import Any

import torch
from helpers.sinks import ListSink, Rows

from rl_warmup.config.schema import RunConfig
from rl_warmup.envs.seeds import STREAMS
from rl_warmup.trainers.functional.draws import Draws
from rl_warmup.trainers.sources import sources_for
from rl_warmup.trainers.stacked.environments import env_seeds, make_stack_envs
from rl_warmup.trainers.stacked.stack import Stack
from rl_warmup.trainers.stacked.train import StackTraining


def stacked(
    configs: Sequence[RunConfig], draws: Any = None, compiled: bool = False
) -> tuple[StackTraining, list[Rows]]:
    """Train a stack of exactly these members; the training, and every member's rows."""
    sinks = [ListSink() for _ in configs]
    return train_into(configs, sinks, draws, compiled), [sink.rows for sink in sinks]


def train_into(
    configs: Sequence[RunConfig], sinks: Sequence[ListSink], draws: Any = None, compiled: bool = False
) -> StackTraining:
    """Train a stack of exactly these members, the first of them recorded by `sinks`."""
    torch.set_num_threads(1)
    config, device = configs[0], torch.device(configs[0].device)
    envs = make_stack_envs(config, [seed for c in configs for seed in env_seeds(c)])
    try:
        spaces = envs.observation_space, envs.action_space
        stack = Stack(configs, *spaces, device, compiled, sources_for(configs))
        training = StackTraining(stack, envs, draws or Draws([c.seed for c in configs], STREAMS, device), sinks)
        training.begin(envs.reset())
        training.run()
    finally:
        envs.close()
    return training
