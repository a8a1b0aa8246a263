"""A stack never leaves its device: it runs on torch's meta device, and asks no tensor for its values."""

from collections.abc import Sequence
from unittest import mock

import gymnasium as gym
import numpy as np
import pytest
import torch
from helpers.configs import Configure
from helpers.sinks import ListSink
from helpers.stacking import train_into
from torch.utils._python_dispatch import TorchDispatchMode

from rl_warmup.config.schema import RunConfig
from rl_warmup.envs.seeds import STREAMS
from rl_warmup.trainers.functional.draws import Draws
from rl_warmup.trainers.stacked import dqn, learner, ppo
from rl_warmup.trainers.stacked.algorithm import Algorithm, Step
from rl_warmup.trainers.stacked.dqn import DQN
from rl_warmup.trainers.stacked.ppo import PPO
from rl_warmup.trainers.stacked.stack import Stack

CASES = {
    "ppo": ["algo=ppo", "algo.n_steps=4", "algo.batch_size=12", "algo.n_epochs=4", "total_timesteps=96"],
    "ppo continuous": ["algo=ppo", "algo.n_steps=4", "algo.n_epochs=4", "total_timesteps=96"],
    "ppo normalized": ["algo=ppo", "algo.n_steps=4", "algo.normalize=true", "total_timesteps=96"],
    "ppo image": ["algo=ppo", "algo.n_steps=4", "algo.n_epochs=4", "total_timesteps=96"],
    "dqn": [
        "algo=dqn",
        "algo.train_freq=4",
        "algo.gradient_steps=2",
        "algo.learning_starts=0",
        "total_timesteps=64",
    ],
    "dqn normalized": [
        "algo=dqn",
        "algo.train_freq=4",
        "algo.learning_starts=0",
        "algo.normalize=true",
        "algo.gradient_steps=2",
    ],
}
CASES["dqn image"] = CASES["dqn"]
CASES["ppo layer norm"] = [*CASES["ppo"], "algo.layer_norm=true", "algo.max_grad_norm=null"]
CASES["dqn layer norm"] = [*CASES["dqn"], "algo.layer_norm=true", "algo.loss=mse"]
QUICK = ["trainer=stacked", "warmup=none", "evaluation.count=2", "evaluation.episodes=1"]
IMAGE = gym.spaces.Box(0, 255, (1, 10, 10), np.uint8)


def _algorithm(case: str, configure: Configure, device: str) -> Algorithm:
    observations = IMAGE if "image" in case else gym.spaces.Box(-1.0, 1.0, (4,), np.float32)
    actions = gym.spaces.Box(-1.0, 1.0, (2,), np.float32) if "continuous" in case else gym.spaces.Discrete(2)
    configs: Sequence[RunConfig] = [configure(*CASES[case], *QUICK, f"seed={seed}") for seed in range(4)]
    if "image" in case:
        for config in configs:
            config.algo.extractor = "small_cnn"
    stack = Stack(configs, observations, actions, torch.device(device), compiled=False)
    kind = DQN if configs[0].algo.name == "dqn" else PPO
    return kind(stack, Draws([config.seed for config in configs], STREAMS, torch.device(device)))


def _live(algorithm: Algorithm, case: str, device: str, phases: int = 1) -> torch.Tensor:
    """Per phase four vector steps, an evaluation and an update; the metrics of the last one's gradient steps."""
    shape, envs = (1, 10, 10) if "image" in case else (4,), 8 if "ppo" in case else 1
    random = torch.Generator().manual_seed(1)

    def drawn(*size: int) -> torch.Tensor:
        return torch.rand(4, envs, *size, generator=random).to(device)

    def observed() -> torch.Tensor:
        return (255 * drawn(*shape)).to(torch.uint8) if "image" in case else drawn(*shape)

    flags, ended = torch.zeros(4, envs, device=device), np.array([[0, 0], [2, envs - 1]])
    algorithm.begin(observed())
    for phase in range(phases):
        for _ in range(4):
            algorithm.act()
            algorithm.observe(Step(observed(), observed(), drawn(), flags, flags, any_truncated=True, ended=ended))
        algorithm.greedy(observed())
        outcome = algorithm.update(phase)
    assert outcome.steps.device == outcome.phase.device == torch.device(device)
    return outcome.steps


@pytest.mark.parametrize("case", CASES)
def test_a_whole_phase_runs_on_the_meta_device(case: str, configure: Configure) -> None:
    """A tensor made on the CPU by mistake cannot be combined with tensors there."""
    algorithm = _algorithm(case, configure, "meta")
    steps = _live(algorithm, case, "meta")
    assert algorithm.parameters.is_meta
    assert steps.shape[1:] == (4, len(algorithm.metrics) + 2)


class NoQuestions(TorchDispatchMode):
    """Fails where a value on the device decides what the host does, or how long a tensor is."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name()
        assert not any(word in name for word in self.FORBIDDEN), name
        if "index" in name:
            flat = [x for arg in args for x in (arg if isinstance(arg, (list, tuple)) else [arg])]
            assert not any(isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in flat), name
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("case", CASES)
def test_neither_rollout_nor_update_asks_the_device(case: str, configure: Configure) -> None:
    algorithm = _algorithm(case, configure, "cpu")
    with NoQuestions():
        steps = _live(algorithm, case, "cpu")
    assert torch.isfinite(steps[:, :, -1]).all()
    with pytest.raises(AssertionError, match="_local_scalar_dense"), NoQuestions():
        steps.sum().item()


@pytest.mark.parametrize("case", ["ppo", "dqn"])
def test_a_vector_step_copies_once_each_way(case: str, configure: Configure) -> None:
    config = configure(*CASES[case], *QUICK)
    there, back = [0], [0]
    from_numpy, cpu = torch.from_numpy, torch.Tensor.cpu

    def counted_there(*args):
        there[0] += 1
        return from_numpy(*args)

    def counted_back(*args):
        back[0] += 1
        return cpu(*args)

    with (
        mock.patch.object(torch, "from_numpy", counted_there),
        mock.patch.object(torch.Tensor, "cpu", counted_back),
    ):
        sink = ListSink()
        training = train_into([config], [sink])
    steps = config.total_timesteps // config.algo.n_envs
    evaluated = sum(max(row["lengths"]) for row in sink.rows["evaluations"])
    first_observation = 1
    assert there[0] == steps + evaluated + first_observation
    assert back[0] == steps + evaluated + len(training.stack.phases.n_steps)


# ---- on a GPU, where there is one ----

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
PHASES = 2  # of more: in the last one PPO's clip range is nearly 0, and rounding decides what is clipped


@needs_gpu
@pytest.mark.parametrize("case", CASES)
def test_a_gpu_learns_what_a_cpu_does(case: str, configure: Configure) -> None:
    of_device = {device: _algorithm(case, configure, device) for device in ("cpu", "cuda:0")}
    metrics = [_live(algorithm, case, device, PHASES).cpu() for device, algorithm in of_device.items()]
    torch.testing.assert_close(*metrics, rtol=1e-3, atol=1e-5)
    assert torch.equal(*(of_step[:, :, -1] for of_step in metrics))  # the learning rate
    torch.testing.assert_close(*(algorithm.parameters.cpu() for algorithm in of_device.values()), rtol=0, atol=1e-5)


@needs_gpu
@pytest.mark.parametrize("case", CASES)
def test_cuda_graphs_change_nothing(case: str, configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = _algorithm(case, configure, "cuda:0")
    metrics = _live(algorithm, case, "cuda:0", PHASES)
    for module in (dqn, learner, ppo):
        monkeypatch.setattr(module, "graphed", lambda function, device: function)
    plain = _algorithm(case, configure, "cuda:0")
    assert torch.equal(_live(plain, case, "cuda:0", PHASES), metrics)
    assert torch.equal(plain.parameters, algorithm.parameters)


@needs_gpu
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_member_on_a_gpu_does_not_depend_on_its_neighbours(algo: str, configure: Configure) -> None:
    """To the last bit; at another place, or in a stack of another size, the vendor's kernels round differently."""
    runs = [configure(*CASES[algo], *QUICK, "device=cuda:0", f"seed={seed}") for seed in range(7)]
    here, there = ([ListSink() for _ in range(4)] for _ in range(2))
    train_into(runs[:4], here)
    train_into([runs[0], *runs[4:]], there)
    assert there[0].rows == here[0].rows
