"""The optimizers of Stable-Baselines3 models: the one made of our rules against torch's own, and what they keep."""

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from helpers.composing import unresolved
from torch import nn

from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import OptimizerConfig
from rl_warmup.trainers.functional.optimizers import RULES, Moments
from rl_warmup.trainers.functional.step_rates import Options
from rl_warmup.trainers.optimizers import RuleOptimizer, moments_of, optimizer_of, state_of
from rl_warmup.trainers.policies import policy_arguments

STEPS = 60
BETAS = [(0.9, 0.999), (0.0, 0.95), (0.7, 0.9)]
TORCH: dict[str, Any] = {
    "adam": lambda b, eps: (torch.optim.Adam, {"betas": b, "eps": eps}),
    "adamw": lambda b, eps: (torch.optim.AdamW, {"betas": b, "eps": eps}),
    "radam": lambda b, eps: (torch.optim.RAdam, {"betas": b, "eps": eps}),
    "sgd": lambda b, eps: (torch.optim.SGD, {"momentum": b[0]}),
    "rmsprop": lambda b, eps: (torch.optim.RMSprop, {"momentum": b[0], "alpha": b[1], "eps": eps}),
}


def _network(dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).to(dtype)


def _train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int = STEPS, first: int = 0) -> None:
    """Steps on random regressions, at rates that change."""
    for k in range(first, first + steps):
        draw = torch.Generator().manual_seed(k)
        x, y = (torch.randn(8, size, generator=draw, dtype=torch.float64) for size in (3, 2))
        dtype = next(network.parameters()).dtype
        optimizer.param_groups[0]["lr"] = 0.01 * (1 + k % 5)
        optimizer.zero_grad()
        ((network(x.to(dtype)) - y.to(dtype)) ** 2).mean().backward()
        optimizer.step()


def _same(one: nn.Module, other: nn.Module, **tolerance: float) -> None:
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, **tolerance)


# ---- an optimizer made of a rule ----


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", BETAS)
@pytest.mark.parametrize("name", TORCH)
def test_an_optimizer_of_a_rule_is_torchs(name: str, betas: tuple[float, float], decay: float) -> None:
    kind, options = TORCH[name](betas, 1e-6)
    mine, theirs = _network(), _network()
    _train(theirs, kind(theirs.parameters(), lr=1.0, weight_decay=decay, **options))
    _train(mine, RuleOptimizer(mine.parameters(), 1.0, name, betas, 1e-6, decay))
    _same(mine, theirs, atol=1e-9, rtol=1e-9)


def test_a_parameter_without_a_gradient_takes_no_step() -> None:
    """Neither does its count, as in torch: it is there when the parameter takes its first."""
    mine, theirs = _network(), _network()
    optimizers = RuleOptimizer(mine.parameters(), 0.1, "adam"), torch.optim.Adam(theirs.parameters(), lr=0.1)
    for network, optimizer in zip((mine, theirs), optimizers, strict=True):
        network[0].requires_grad_(False)
        _train(network, optimizer, 5)
        assert len(optimizer.state) == 2
        network[0].requires_grad_(True)
        _train(network, optimizer, 5, first=5)
    _same(mine, theirs, atol=1e-9, rtol=1e-9)


def test_a_closure_is_evaluated_and_its_loss_returned() -> None:
    network = _network()
    optimizer, before = RuleOptimizer(network.parameters(), 0.1, "gi_adam"), copy.deepcopy(network)

    def closure() -> torch.Tensor:
        loss = network(torch.ones(1, 3, dtype=torch.float64)).square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == before(torch.ones(1, 3, dtype=torch.float64)).square().sum()
    assert not torch.equal(network[0].weight, before[0].weight)


def test_a_restart_sets_the_count_of_the_rule_back_and_leaves_the_moments() -> None:
    network = _network()
    optimizer = RuleOptimizer(network.parameters(), 0.1, "adam_rel")
    _train(network, optimizer, 7)
    before = copy.deepcopy([state["exp_avg"] for state in optimizer.state.values()])
    optimizer.restart()
    assert all(map(torch.equal, before, (state["exp_avg"] for state in optimizer.state.values())))
    like = copy.deepcopy(network)
    theirs = torch.optim.Adam(like.parameters(), lr=0.1)
    for mine, other in zip(network.parameters(), like.parameters(), strict=True):
        state = optimizer.state[mine]
        moments = {key: state[key].clone() for key in ("exp_avg", "exp_avg_sq")}
        theirs.state[other] = {"step": torch.tensor(0.0), **moments}
    _train(network, optimizer, 5, first=7)
    _train(like, theirs, 5, first=7)
    _same(network, like, atol=1e-9, rtol=1e-9)
    assert [(int(state["step"]), state["count"]) for state in optimizer.state.values()] == [(12, 5)] * 4


@pytest.mark.parametrize("name", RULES)
def test_a_saved_optimizer_continues_bit_for_bit(name: str) -> None:
    whole, first = _network(torch.float32), _network(torch.float32)
    _train(whole, RuleOptimizer(whole.parameters(), 1.0, name, (0.9, 0.9), 1e-8, 0.01), 9)
    optimizer = RuleOptimizer(first.parameters(), 1.0, name, (0.9, 0.9), 1e-8, 0.01)
    _train(first, optimizer, 4)
    torch.save(optimizer.state_dict(), file := io.BytesIO())
    file.seek(0)
    resumed = RuleOptimizer(first.parameters(), 1.0, "adam")
    resumed.load_state_dict(torch.load(file, weights_only=True))
    _train(first, resumed, 5, first=4)
    _same(first, whole, atol=0, rtol=0)


# ---- what Stable-Baselines3 is given ----


def _options(name: str, *more: str) -> OptimizerConfig:
    return resolve(unresolved(f"optimizer={name}", *more)).algo.optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_torchs_own_or_made_of_its_rule(name: str) -> None:
    kind, options = optimizer_of(_options(name, "algo.optimizer.weight_decay=0.02", "algo.optimizer.beta1=0.5"))
    of_torch = {"adam": "Adam", "adam_rel_mean": "Adam", "adamw": "AdamW", "radam": "RAdam", "sgd": "SGD"}
    assert kind.__name__ == {**of_torch, "rmsprop": "RMSprop"}.get(name, "RuleOptimizer")
    group = kind(_network().parameters(), lr=0.1, **options).param_groups[0]
    assert group["weight_decay"] == 0.02
    assert group.get("momentum", group.get("betas", (0,))[0]) == 0.5
    assert group.get("rule", name) == name
    if name not in ("sgd", "rmsprop"):
        assert (group["betas"], group["eps"]) == ((0.5, 0.999), 1e-5)
    if name == "rmsprop":
        assert (group["alpha"], group["eps"]) == (0.99, 1e-5)


@pytest.mark.parametrize(("algo", "eps"), [("ppo", 1e-5), ("dqn", 1e-8)])
def test_adams_eps_stays_pinned(algo: str, eps: float) -> None:
    given = policy_arguments(resolve(unresolved(f"algo={algo}")).algo)
    assert given["optimizer_class"] is torch.optim.Adam
    expected = {"betas": (0.9, 0.999), "eps": eps, "weight_decay": 0.0}
    assert given["optimizer_kwargs"] == expected


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_of_a_stack_is_what_the_optimizer_keeps_itself(name: str, momentum: float) -> None:
    """After the same steps, in both directions: to the optimizer's state, and from it back to the moments."""
    options = _options(name, f"algo.optimizer.beta1={momentum}")
    kind, arguments = optimizer_of(options)
    network = _network()
    optimizer = kind(network.parameters(), lr=1.0, **arguments)
    starts = [parameter.detach().clone().reshape(1, -1) for parameter in network.parameters()]
    kept = [Moments(torch.zeros_like(start), torch.zeros_like(start)) for start in starts]
    rule, numbers = RULES[name], (options.beta1, options.beta2, options.eps, 0.0)
    given = Options(*(np.array([number], dtype=np.float64) for number in numbers))
    for k in range(6):
        _train(network, optimizer, 1, first=k)
        rate = np.array([[optimizer.param_groups[0]["lr"]]])
        row = torch.from_numpy(rule.table(rate, given, np.array([[k + 1]]))[:, 0]).unbind(1)
        for i, parameter in enumerate(network.parameters()):
            starts[i], kept[i] = rule.update(starts[i], kept[i], parameter.grad.reshape(1, -1), row)
    for moments, parameter in zip(kept, network.parameters(), strict=True):
        state = optimizer.state[parameter]
        shaped = Moments(*(moment.view_as(parameter) for moment in moments))
        expected = state_of(options, shaped, 6, 6)
        assert {key for key, value in state.items() if value is not None} == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(torch.as_tensor(state[key]), torch.as_tensor(value), atol=1e-9, rtol=1e-9)
        back = moments_of(state, parameter)
        again = state_of(options, back, 6, 6)
        assert all(torch.equal(torch.as_tensor(again[key]), torch.as_tensor(state[key])) for key in expected)
