"""Every rule of an optimizer, and clipping, of many members: against torch's own and slow loops, in float64."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rl_warmup import schedules
from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.trainers.functional.optimizers import RULES, Moments, clip_by_norm
from rl_warmup.trainers.functional.step_rates import Options

MEMBERS, SIZE, STEPS = 4, 7, 50
BETA1, BETA2 = np.array([0.9, 0.5, 0.0, 0.99]), np.array([0.999, 0.9, 0.99, 0.95])
EPS = np.array([1e-8, 1e-5, 1e-3, 1e-8])
DECAY = np.array([0.01, 0.0, 0.3, 0.1])
RATES = np.linspace(1e-3, 0.3, MEMBERS)[:, None] * schedules.step_factor("linear", length=20)(np.arange(STEPS))
COUNT = np.tile(np.arange(1, STEPS + 1), (MEMBERS, 1))
OPTIONS = Options(BETA1, BETA2, EPS, np.zeros(MEMBERS))
TINY = OPTIONS._replace(eps=np.full(MEMBERS, 1e-30))  # where rules differ by the place of eps

# What torch calls the same rule, by the index of a member.
TORCH: dict[str, Callable[[int], tuple[type[torch.optim.Optimizer], dict[str, Any]]]] = {
    "adam": lambda i: (torch.optim.Adam, {"betas": (BETA1[i], BETA2[i]), "eps": EPS[i]}),
    "adamw": lambda i: (torch.optim.AdamW, {"betas": (BETA1[i], BETA2[i]), "eps": EPS[i]}),
    "radam": lambda i: (torch.optim.RAdam, {"betas": (BETA1[i], BETA2[i]), "eps": EPS[i]}),
    "sgd": lambda i: (torch.optim.SGD, {"momentum": BETA1[i]}),
    "rmsprop": lambda i: (torch.optim.RMSprop, {"momentum": BETA1[i], "alpha": BETA2[i], "eps": EPS[i]}),
}


def _data(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    parameters = torch.randn(MEMBERS, SIZE, generator=generator, dtype=torch.float64)
    return parameters, torch.randn(STEPS, MEMBERS, SIZE, generator=generator, dtype=torch.float64)


def _run(
    name: str,
    parameters: Tensor,
    gradients: Tensor,
    rates: np.ndarray = RATES,
    options: Options = OPTIONS,
    count: np.ndarray = COUNT,
    decays: bool = False,
    moments: Moments | None = None,
) -> Tensor:
    """Parameters [steps, members, size] after every step."""
    rule = replace(RULES[name], decays=decays)
    table = torch.from_numpy(rule.table(rates, options, count))
    moments, path = moments or Moments(torch.zeros_like(parameters), torch.zeros_like(parameters)), []
    for k, gradient in enumerate(gradients):
        parameters, moments = rule.update(parameters, moments, gradient, table[:, k].unbind(1))
        path.append(parameters)
    return torch.stack(path)


def _torch_path(optimizer: Any, options: dict[str, Any], gradients: Tensor, rates: Any, start: Tensor) -> Tensor:
    """The same for one member, by torch."""
    own, path = nn.Parameter(start.clone()), []
    steps = optimizer([own], lr=1.0, **options)
    for k, gradient in enumerate(gradients):
        steps.param_groups[0]["lr"] = float(rates[k])
        own.grad = gradient.clone()
        steps.step()
        path.append(own.detach().clone())
    return torch.stack(path)


def test_every_optimizer_has_a_rule() -> None:
    assert RULES.keys() == OPTIMIZERS.keys()


@pytest.mark.parametrize("decays", [False, True])
@pytest.mark.parametrize("name", TORCH)
def test_a_rule_is_torchs_for_every_member(name: str, decays: bool) -> None:
    parameters, gradients = _data()
    decay = DECAY if decays else np.zeros(MEMBERS)
    path = _run(name, parameters, gradients, options=OPTIONS._replace(weight_decay=decay), decays=decays)
    for member in range(MEMBERS):
        kind, options = TORCH[name](member)
        options["weight_decay"] = decay[member]
        expected = _torch_path(kind, options, gradients[:, member], RATES[member], parameters[member])
        torch.testing.assert_close(path[:, member], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_weight_decay_of_another_member_changes_nothing(name: str) -> None:
    parameters, gradients = _data(5)
    alone = _run(name, parameters, gradients)
    beside = _run(name, parameters, gradients, options=OPTIONS._replace(weight_decay=DECAY), decays=True)
    assert torch.equal(beside[:, 1], alone[:, 1])
    assert (beside[:, 0] != alone[:, 0]).any()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("decays", [False, True])
def test_no_step_is_taken_where_the_count_is_0(name: str, decays: bool) -> None:
    """Not in the last bit, whatever the rate and the gradient are: the steps around it are as without it."""
    parameters, gradients = _data(6)
    parameters, gradients = parameters.float(), gradients.float()
    options = OPTIONS._replace(weight_decay=DECAY)
    rule, taken = replace(RULES[name], decays=decays), np.arange(STEPS) % 7 > 2  # the first steps too
    count = np.where(taken, np.cumsum(taken), 0) * np.ones((MEMBERS, 1), dtype=np.int64)
    table = torch.from_numpy(rule.table(RATES + 0.1, options, count))
    assert torch.equal(table[:, ~taken, 0], torch.zeros(MEMBERS, int((~taken).sum()), dtype=torch.float64))
    moments, dense = Moments(torch.zeros_like(parameters), torch.zeros_like(parameters)), []
    for k, gradient in enumerate(gradients):
        before = (parameters, *moments)
        parameters, moments = rule.update(parameters, moments, gradient, table[:, k].unbind(1))
        if taken[k]:
            dense.append(parameters)
        else:
            assert all(map(torch.equal, before, (parameters, *moments)))
    kept = {"rates": (RATES + 0.1)[:, taken], "count": COUNT[:, : taken.sum()]}
    start = _data(6)[0].float()
    assert torch.equal(
        torch.stack(dense),
        _run(name, start, gradients[torch.from_numpy(taken)], options=options, decays=decays, **kept),
    )


def test_members_may_skip_different_steps() -> None:
    parameters, gradients = _data(7)
    count = COUNT.copy()
    count[1, 10:20], count[1, 20:] = 0, COUNT[1, 10:-10]
    path, plain = (_run("adam", parameters, gradients, count=counted) for counted in (count, COUNT))
    assert torch.equal(path[:, [0, 2, 3]], plain[:, [0, 2, 3]])
    assert torch.equal(path[19, 1], plain[9, 1])
    assert not torch.equal(path[-1, 1], plain[-1, 1])


# ---- rules that torch does not have, number by number as their authors write them ----


def _loop(gradients: Tensor, start: float, member: int, what: str) -> list[float]:
    """One parameter of a member by Adam's formula, changed as `what` says."""
    b1, b2, eps = float(BETA1[member]), float(BETA2[member]), float(EPS[member])
    p, m, v, t, path = start, 0.0, 0.0, 0, []
    for k, g in enumerate(gradients.tolist()):
        t = 1 if what == "adam_rel" and k % 8 == 0 else t + 1
        if what == "gi_adam" and k == 0:
            v = g**2
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        m_hat, v_hat = (m, v) if what == "adam_uncorrected" else (m / (1 - b1**t), v / (1 - b2**t))
        p -= RATES[member, k] * m_hat / (math.sqrt(v_hat) + eps)
        path.append(p)
    return path


@pytest.mark.parametrize("name", ["adam_uncorrected", "gi_adam", "adam_rel"])
def test_a_rule_is_its_authors_formula(name: str) -> None:
    parameters, gradients = _data(2)
    count = COUNT if name != "adam_rel" else (COUNT - 1) % 8 + 1
    path = _run(name, parameters, gradients, count=count)
    for member in range(MEMBERS):
        expected = _loop(gradients[:, member, 3], float(parameters[member, 3]), member, name)
        np.testing.assert_allclose(path[:, member, 3], expected, atol=1e-9, rtol=1e-9)


def test_gi_adam_begins_with_a_rate_that_is_lower_by_the_root_of_what_beta2_leaves() -> None:
    parameters, gradients = _data(3)
    first = [_run(name, parameters, gradients, options=TINY)[0] - parameters for name in ("gi_adam", "adam")]
    expected = first[1] * torch.from_numpy(np.sqrt(1 - BETA2))[:, None]
    torch.testing.assert_close(first[0], expected, atol=1e-12, rtol=1e-9)


def test_adam_without_bias_correction_is_adam_with_a_factor_on_the_rate() -> None:
    parameters, gradients = _data(4)
    factor = (1 - BETA1[:, None] ** COUNT) / np.sqrt(1 - BETA2[:, None] ** COUNT)
    path = _run("adam_uncorrected", parameters, gradients, options=TINY)
    expected = _run("adam", parameters, gradients, rates=RATES * factor, options=TINY)
    torch.testing.assert_close(path, expected, atol=1e-12, rtol=1e-9)
    usual = np.arange(1, 30)
    usual_factor = (1 - 0.9**usual) / np.sqrt(1 - 0.999**usual)
    assert usual_factor[0] == pytest.approx(3.16, abs=0.01)
    assert (usual_factor.max(), usual_factor.argmax()) == (pytest.approx(6.57, abs=0.01), 11)


def test_radam_is_adam_once_its_count_is_large() -> None:
    parameters, gradients = _data(8)
    old = Moments(0.1 * torch.ones_like(parameters), torch.ones_like(parameters))
    late = {"count": COUNT + 1_000_000, "moments": old}
    radam, adam = (_run(name, parameters, gradients, **late) for name in ("radam", "adam"))
    torch.testing.assert_close(radam, adam, atol=1e-9, rtol=1e-9)


def test_the_radam_factor_on_adam_is_radam_once_it_rectifies() -> None:
    """Before that it takes steps of momentum alone; it adds eps elsewhere, so eps is next to nothing here."""
    parameters, gradients = _data(1)
    factors = np.stack([schedules.step_factor("radam", beta2=beta)(np.arange(STEPS)) for beta in BETA2])
    rates = np.full((MEMBERS, STEPS), 0.01)
    mine = _run("adam", parameters, gradients, rates=rates * factors, options=TINY)
    theirs = _run("radam", parameters, gradients, rates=rates, options=TINY)
    for member in range(MEMBERS):
        t, rho = np.arange(1, STEPS + 1), 2 / (1 - BETA2[member]) - 1
        rectified = rho - 2 * t * BETA2[member] ** t / (1 - BETA2[member] ** t) > 5
        assert rectified[6:].all()
        steps = [path.diff(dim=0)[:, member][rectified[1:]] for path in (mine, theirs)]
        torch.testing.assert_close(*steps, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_a_member_that_is_not_finite_leaves_the_others_alone(name: str) -> None:
    parameters, gradients = _data(3)
    path = _run(name, parameters, gradients)
    broken = gradients.clone()
    broken[5:, 1] = torch.nan
    broken[5:, 2] = torch.inf
    assert torch.equal(_run(name, parameters, broken)[:, [0, 3]], path[:, [0, 3]])


# ---- clipping ----


def test_clipping_is_torchs_of_every_member_by_itself() -> None:
    _, gradients = _data(2)
    gradient = gradients[0] * torch.tensor([0.1, 1.0, 10.0, 0.0], dtype=torch.float64).unsqueeze(1)
    limits = torch.tensor([0.5, 1.0, 2.0, 0.5], dtype=torch.float64)
    clipped, norms = clip_by_norm(gradient, limits)
    for member in range(MEMBERS):
        own = nn.Parameter(torch.zeros(SIZE, dtype=torch.float64))
        own.grad = gradient[member].clone()
        norm = torch.nn.utils.clip_grad_norm_([own], float(limits[member]))
        torch.testing.assert_close(norms[member], norm, atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(clipped[member], own.grad, atol=1e-12, rtol=1e-12)


def test_clipping_a_member_that_is_not_finite_leaves_the_others_alone() -> None:
    _, gradients = _data(3)
    broken, limits = gradients[6].clone(), torch.ones(MEMBERS, dtype=torch.float64)
    broken[1], broken[2] = torch.nan, torch.inf
    clipped, norms = clip_by_norm(broken, limits)
    assert norms[1].isnan()
    assert torch.equal(clipped[[0, 3]], clip_by_norm(gradients[6], limits)[0][[0, 3]])
