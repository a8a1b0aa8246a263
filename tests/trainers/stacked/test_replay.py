"""Replay buffers of images as bytes hold what rows of numbers hold, and every image once."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from helpers.configs import Configure
from torch import Tensor

from rl_warmup.envs.vector import Transition
from rl_warmup.trainers.stacked.algorithm import Step, to_device
from rl_warmup.trainers.stacked.replay import _Frames, _Rows, make_replay
from rl_warmup.trainers.stacked.stack import Stack
from rl_warmup.trainers.stacked.train import stacked_rows

MEMBERS, SLOTS = 4, 13
PIXELS = gym.spaces.Box(0, 255, (2, 3, 5), np.uint8)
FEATURES = gym.spaces.Box(0, 1, (2, 3, 5), bool)


def _stack(configure: Configure, envs: int, space: gym.Space[Any]) -> Stack:
    sizes = [f"algo.n_envs={envs}", "total_timesteps=10_000", f"algo.buffer_size={SLOTS * envs}"]
    run = ("trainer=stacked", "algo=dqn", "warmup=none", "evaluation.count=2", *sizes)
    configs = [configure(*run, f"seed={seed}") for seed in range(MEMBERS)]
    return Stack(configs, space, gym.spaces.Discrete(3), torch.device("cpu"), compiled=False)


def _steps(stack: Stack, ending: float) -> Iterator[tuple[Tensor, Tensor, Step]]:
    """Observations, actions and what they brought, without end; a share of the steps ends an episode."""
    random, space = np.random.default_rng(0), PIXELS if stack.observed is torch.uint8 else FEATURES
    envs = stack.config.algo.n_envs

    def images() -> Any:
        drawn = random.integers(space.high.astype(int) + 1, size=(MEMBERS * envs, *space.shape))
        return drawn.astype(space.dtype)

    shown = images()
    while True:
        following, final = images(), images()
        terminated, truncated = random.random((2, MEMBERS * envs)) < 1 - (1 - ending) ** 0.5
        ended = terminated | truncated
        final[~ended] = following[~ended]
        rewards = random.normal(size=MEMBERS * envs)
        transition = Transition(following, final, rewards, terminated, truncated & ~terminated)
        actions = torch.from_numpy(random.integers(3, size=(MEMBERS, envs)))
        yield _shaped(stack, shown), actions, to_device(transition, stack)
        shown = following


def _shaped(stack: Stack, observations: Any) -> Tensor:
    return torch.from_numpy(observations).reshape(MEMBERS, -1, *stack.observation_shape)


def _buffers(stack: Stack) -> tuple[_Rows, _Frames]:
    bytes_once = make_replay(stack, SLOTS)
    assert isinstance(bytes_once, _Frames)
    return _Rows(stack, SLOTS), bytes_once


def _samples(replay: _Rows | _Frames, envs: int) -> list[Tensor]:
    """Every transition, the members in two parts, as float32."""
    indices = torch.arange(replay.stored * envs).expand(MEMBERS // 2, -1)
    parts = []
    for members in (slice(0, MEMBERS // 2), slice(MEMBERS // 2, MEMBERS)):
        data = [*(table[members] for table in replay.whole), *replay.gather(members, indices)]
        assert len(data) == replay.sampled
        parts.append(replay.sample(indices, data))
    return [torch.cat(columns).float() for columns in zip(*parts, strict=True)]


def _assert_equal(rows: _Rows, frames: _Frames, envs: int) -> None:
    assert rows.stored == frames.stored > 0
    for mine, expected in zip(_samples(frames, envs), _samples(rows, envs), strict=True):
        assert torch.equal(mine, expected)


@pytest.mark.parametrize("ending", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(("envs", "space"), [(1, PIXELS), (3, PIXELS), (2, FEATURES)])
def test_bytes_stored_once_are_sampled_as_rows_are(
    envs: int, space: gym.Space[Any], ending: float, configure: Configure
) -> None:
    """While it fills, full, and overwritten three times; also behind a restart and from a checkpoint."""
    stack = _stack(configure, envs, space)
    rows, frames = _buffers(stack)
    for number, (observations, actions, step) in enumerate(_steps(stack, ending)):
        if number in (0, 20):  # the environments are made, or made once more
            frames.begin(observations)
        rows.add(observations, actions, step)
        frames.add(observations, actions, step)
        _assert_equal(rows, frames, envs)
        if number in (5, 20, 30):
            tables = {name: table.clone() for name, table in frames.tables().items()}
            _, frames = _buffers(stack)
            frames.restore(tables, number + 1)
            _assert_equal(rows, frames, envs)
        if number == 4 * SLOTS:
            break


def test_an_image_is_stored_once(configure: Configure) -> None:
    """And what episodes end with has no more room than a quarter above what is needed at once."""
    stack = _stack(configure, 1, PIXELS)
    _, frames = _buffers(stack)
    for number, (observations, actions, step) in enumerate(_steps(stack, 0.5)):
        if number == 0:
            frames.begin(observations)
        frames.add(observations, actions, step)
        if number == 1000:
            break
    tables = frames.tables()
    assert tables["frames"].dtype == tables["finals"].dtype == torch.uint8
    assert tables["frames"].shape == (MEMBERS, SLOTS + 1, 1, *PIXELS.shape)
    assert tables["finals"].shape[1] == 16  # grows by 16 at first; 13 slots never need more


def test_members_of_several_stacks_resume_together(configure: Configure) -> None:
    """Though their episodes ended at other times, so that their stacks had other room for it."""
    stack = _stack(configure, 2, PIXELS)
    rows, frames = _buffers(stack)
    others = _buffers(stack)[1]
    for number, ((observations, actions, step), (o, a, s)) in enumerate(
        zip(_steps(stack, 0.1), _steps(stack, 0.9), strict=True)
    ):
        if number == 0:
            frames.begin(observations), others.begin(o)
        rows.add(observations, actions, step)
        frames.add(observations, actions, step)
        others.add(o, a, s)
        if number == 12:
            break
    found = [frames.tables(), others.tables()]
    assert found[0]["finals"].shape != found[1]["finals"].shape
    mixed = {name: stacked_rows([found[i // 2][name][i] for i in range(MEMBERS)]) for name in found[0]}
    resumed = _buffers(stack)[1]
    resumed.restore(mixed, 13)
    for mine, first, second in zip(*(_samples(buffer, 2) for buffer in (resumed, frames, others)), strict=True):
        assert torch.equal(mine, torch.cat([first[:2], second[2:]]))
