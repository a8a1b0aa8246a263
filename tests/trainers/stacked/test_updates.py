"""Gradient steps and whole updates of a stack against Stable-Baselines3, from the same state and batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from helpers.configs import Configure, probe
from helpers.families import FAMILIES, STACKED
from helpers.sb3_draws import Follower, follow
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.envs.seeds import STREAMS
from rl_warmup.trainers.functional.draws import Draws
from rl_warmup.trainers.functional.optimizers import Moments
from rl_warmup.trainers.optimizers import moments_of
from rl_warmup.trainers.sb3 import train as sb3
from rl_warmup.trainers.stacked import dqn, ppo
from rl_warmup.trainers.stacked.sizes import CHUNK
from rl_warmup.trainers.stacked.stack import Stack

CASES = {
    "ppo": ["algo=ppo", "total_timesteps=1024", "algo.batch_size=100", "algo.n_epochs=5", "algo.ent_coef=0.01"],
    "dqn": [
        "algo=dqn",
        "total_timesteps=384",
        "algo.learning_starts=100",
        "algo.train_freq=64",
        "algo.gradient_steps=32",
    ],
}
NOISE = [
    *probe("noise"),
    "trainer.envs=gymnasium",
    "algo.extractor=small_cnn",
    "algo.net_arch=[16]",
    "tuned_learning_rate=3e-4",
]
CASES |= {f"{algo} images": [*CASES[algo], *NOISE] for algo in ("ppo", "dqn")}
QUICK = ["trainer=stacked", "evaluation.count=2", "evaluation.episodes=1"]


@dataclass
class GradientStep:
    """What Stable-Baselines3 had before a gradient step, and its weights after it."""

    batch: list[Tensor]
    state: list[Tensor]  # parameters, first and second moment
    clip_range: float
    after: Tensor | None = None


@contextmanager
def _watching(seen: list[GradientStep]) -> Iterator[None]:
    """Listen to every batch and every step of the optimizer."""
    build, get, sample = sb3.build_model, RolloutBuffer.get, ReplayBuffer.sample
    batches: list[list[Tensor]] = []

    def minibatches(self: RolloutBuffer, *args: Any) -> Iterator[Any]:
        discrete = isinstance(self.action_space, Discrete)
        for batch in get(self, *args):
            batches.append(
                [
                    batch.observations.float(),
                    batch.actions.long().flatten() if discrete else batch.actions,
                    batch.old_log_prob,
                    batch.advantages,
                    batch.returns,
                ]
            )
            yield batch

    def replayed(self: ReplayBuffer, *args: Any, **kwargs: Any) -> Any:
        drawn = sample(self, *args, **kwargs)
        rest = [drawn.actions.float(), drawn.rewards, drawn.dones]
        images, numbers = [drawn.observations, drawn.next_observations], torch.cat(rest, 1)
        as_bytes = images[0].element_size() == 1
        rows = torch.cat([*(image.flatten(1) for image in images), *rest], 1)
        batches.append([*images, numbers] if as_bytes else [rows])
        return drawn

    def watched(config: RunConfig, env: Any) -> PPO | DQN:
        model = build(config, env)
        optimizer = model.policy.optimizer
        trained = [p for group in optimizer.param_groups for p in group["params"]]

        def before(*_: Any) -> None:
            parameters = parameters_to_vector(trained).detach().clone()
            kept = [moments_of(optimizer.state.get(p, {}), p) for p in trained]
            moments = [parameters_to_vector(moment).clone() for moment in zip(*kept, strict=True)]
            batch = batches.pop()
            if isinstance(model, DQN):
                batch.append(parameters_to_vector(model.q_net_target.parameters()).detach().clone())
            clip = model.clip_range(model._current_progress_remaining) if isinstance(model, PPO) else 0.0
            seen.append(GradientStep(batch, [parameters, *moments], clip))

        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(
            lambda *_: setattr(seen[-1], "after", parameters_to_vector(trained).detach().clone())
        )
        return model

    with (
        mock.patch.object(sb3, "build_model", watched),
        mock.patch.object(RolloutBuffer, "get", minibatches),
        mock.patch.object(ReplayBuffer, "sample", replayed),
    ):
        yield


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # the last one is to be short
@pytest.mark.parametrize(
    ("algo", "scale", "compiled"),
    [
        pytest.param(
            algo, scale, compiled, marks=pytest.mark.long if compiled and (scale > 1 or "images" in algo) else ()
        )
        for algo in CASES
        for scale in (1, 16)
        for compiled in (False, True)
    ],
)
def test_every_gradient_step_is_that_of_stable_baselines3(
    algo: str, scale: int, compiled: bool, configure: Configure
) -> None:
    """From Stable-Baselines3's own state before each step, also far above the tuned rate: within 1% of the rate."""
    config = configure(*CASES[algo], *QUICK, f"learning_rate_scale={scale}", "warmup=linear", "warmup.length=0.5")
    seen: list[GradientStep] = []
    with _watching(seen):
        run = follow(config)
    learner, rates = _learner(config, run, compiled)
    assert len(seen) == len(rates) >= 40
    for k, step in enumerate(seen):
        if step.clip_range == 0 and config.algo.name == "ppo":
            continue  # the end of the clip schedule: the last bit of a ratio of 1 decides what is clipped
        mine = _step(learner, config, step, rates[k : k + 1])
        assert step.after is not None
        error = (mine - step.after).abs().max()
        assert error <= 1e-2 * rates[k, 0, 0] + 1e-7, (k, float(error), float(rates[k, 0, 0]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # the last one is to be short
@pytest.mark.parametrize("algo", CASES)
def test_a_whole_update_is_that_of_stable_baselines3(algo: str, configure: Configure) -> None:
    """At the tuned rate, warmed up: all epochs and minibatches of an update from one state, weights to 1e-5."""
    config = configure(*CASES[algo], *QUICK, "warmup=linear", "warmup.length=0.5")
    seen: list[GradientStep] = []
    with _watching(seen):
        run = follow(config)
    learner, rates = _learner(config, run, compiled=False)
    ends = np.cumsum(phases_of(config).n_steps).tolist()
    assert len(ends) >= 4
    for first, last in pairwise([0, *ends]):
        if seen[first].clip_range == 0 and config.algo.name == "ppo":
            continue
        _take(learner, seen[first])
        for k in range(first, last):
            _update(learner, config, seen[k], rates[k : k + 1])
        after = seen[last - 1].after
        assert after is not None
        assert (after - seen[first].state[0]).abs().max() > 1e-4
        assert (learner.parameters[1] - after).abs().max() <= 1e-5


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # the last one is to be short
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if "pixels" in case else ()) for case in FAMILIES]
)
def test_updates_are_those_of_stable_baselines3_in_every_kind_of_environment(
    case: str, configure: Configure
) -> None:
    """Every gradient step from Stable-Baselines3's own state within 1% of the rate, whole updates to 1e-5."""
    config = configure(*FAMILIES[case], *STACKED, "seed=4")
    seen: list[GradientStep] = []
    with _watching(seen):
        run = follow(config)
    learner, rates = _learner(config, run, compiled=False)
    ends = np.cumsum([row["n_steps"] for row in run.rows["updates"]]).tolist()
    assert len(ends) >= 2
    for first, last in pairwise([0, *ends]):
        for k in range(first, last):
            assert (_step(learner, config, seen[k], rates[k : k + 1]) - seen[k].after).abs().max() <= 1e-2 * rates[
                k, 0, 0
            ]
        _take(learner, seen[first])
        for k in range(first, last):
            _update(learner, config, seen[k], rates[k : k + 1])
        assert (seen[last - 1].after - seen[first].state[0]).abs().max() > 1e-4
        assert (learner.parameters[1] - seen[last - 1].after).abs().max() <= 1e-5


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own
@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")  # the last one is to be short
@pytest.mark.parametrize(
    "case",
    [
        *("ppo pendulum, gSDE", "ppo pendulum, layer norm", "ppo pendulum, early stops"),
        *("ppo minigrid, L2", "ppo minigrid, adamw", "ppo minigrid, sgd", "dqn minigrid, squared loss"),
        *("dqn minigrid, radam", "dqn minigrid, rmsprop delayed", "dqn minigrid, gi_adam"),
    ],
)
def test_a_compiled_update_is_that_of_stable_baselines3(case: str, configure: Configure) -> None:
    config = configure(*FAMILIES[case], *STACKED, "seed=4", *(["algo.batch_size=48"] if "ppo" in case else []))
    seen: list[GradientStep] = []
    with _watching(seen):
        run = follow(config)
    learner, rates = _learner(config, run, compiled=True)
    for k, step in enumerate(seen):
        assert (_step(learner, config, step, rates[k : k + 1]) - step.after).abs().max() <= 1e-2 * rates[k, 0, 0]


def _learner(config: RunConfig, run: Follower, compiled: bool) -> tuple[Any, Tensor]:
    policy, device = run.model.policy, torch.device("cpu")
    stack = Stack([config] * CHUNK, policy.observation_space, policy.action_space, device, compiled)
    kind = ppo.PPO if config.algo.name == "ppo" else dqn.DQN
    ends = np.cumsum([0, *(row["n_steps"] for row in run.rows["updates"])])  # of the steps that were taken
    rates = [stack.rates(i, np.full(CHUNK, ends[i]))[: ends[i + 1] - ends[i]] for i in range(len(ends) - 1)]
    return kind(stack, Draws([0] * CHUNK, STREAMS, device)).learner, torch.cat(rates)


def _step(learner: Any, config: RunConfig, step: GradientStep, rates: Tensor) -> Tensor:
    _take(learner, step)
    _update(learner, config, step, rates)
    assert torch.equal(learner.parameters[0], learner.parameters[-1])
    return learner.parameters[1]


def _take(learner: Any, step: GradientStep) -> None:
    learner.parameters.copy_(_members(step.state[0]))
    learner.moments = Moments(*map(_members, step.state[1:]))


def _update(learner: Any, config: RunConfig, step: GradientStep, rates: Tensor) -> None:
    algo: Any = config.algo
    values = [step.clip_range, algo.ent_coef, algo.vf_coef] if algo.name == "ppo" else [algo.gamma]
    indices = _members(torch.arange(len(step.batch[0])))
    learner.update(rates, _members(torch.tensor(values)), [indices], [_members(x) for x in step.batch])


def _members(tensor: Tensor) -> Tensor:
    return tensor.expand(CHUNK, *tensor.shape).contiguous()
