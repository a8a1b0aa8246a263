"""Sharpness against quadratics whose eigenvalues are known, and against the full Hessian of a small network."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from rl_warmup.trainers.functional.curvature import (
    PASSES,
    Rates,
    critical_sharpness,
    gradient,
    hessian,
    preconditioner,
    scaled,
    stability_limit,
    top_eigenvalue,
)
from rl_warmup.trainers.functional.optimizers import RULES
from rl_warmup.trainers.functional.step_rates import Options

EIGENVALUES = torch.tensor([[5.0, 3.0, 1.0, 0.5, -2.0], [40.0, 39.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
MEMBERS, SIZE = EIGENVALUES.shape


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _turned(eigenvalues: Tensor) -> Tensor:  # [members, n] -> [members, n, n]
    """Symmetric matrices with these eigenvalues and directions at random."""
    turn = torch.linalg.qr(_random(*eigenvalues.shape, eigenvalues.shape[1]))[0]
    return turn @ torch.diag_embed(eigenvalues) @ turn.mT


MATRIX = _turned(EIGENVALUES)


def _quadratic(parameters: Tensor) -> Tensor:  # 0.5 x'Ax + b'x of each member
    return 0.5 * torch.einsum("mi,mij,mj->m", parameters, MATRIX, parameters) + parameters.sum(1)


def test_a_products_of_a_quadratic_are_its_matrix() -> None:
    point, vector = _random(MEMBERS, SIZE), _random(MEMBERS, SIZE, seed=1)
    slope, product = hessian(_quadratic, point)
    torch.testing.assert_close(slope, torch.einsum("mij,mj->mi", MATRIX, point) + 1)
    torch.testing.assert_close(slope, gradient(_quadratic, point))
    torch.testing.assert_close(product(vector), torch.einsum("mij,mj->mi", MATRIX, vector))


def test_lanczos_finds_the_largest_eigenvalue_of_every_member() -> None:
    _, product = hessian(_quadratic, _random(MEMBERS, SIZE))
    found = top_eigenvalue(product, _random(MEMBERS, SIZE), SIZE)
    torch.testing.assert_close(found, EIGENVALUES[:, 0])


def test_lanczos_goes_on_where_its_vectors_are_used_up() -> None:
    """Negative eigenvalues alone, a start that is an eigenvector, more products than parameters."""
    eigenvalues = -EIGENVALUES.abs() - 1
    matrix = _turned(eigenvalues)
    own = torch.linalg.eigh(matrix).eigenvectors[..., 0]  # of the smallest

    def product(vector: Tensor) -> Tensor:
        return torch.einsum("mij,mj->mi", matrix, vector)

    torch.testing.assert_close(top_eigenvalue(product, own, 4), eigenvalues.amin(1))
    torch.testing.assert_close(top_eigenvalue(product, _random(MEMBERS, SIZE), 3 * SIZE), eigenvalues.amax(1))


def test_few_products_are_within_a_twentieth_on_a_spectrum_like_that_of_a_network() -> None:
    """Many small eigenvalues and a few large ones."""
    eigenvalues = torch.cat(
        [torch.tensor([[10.0, 6.0, 4.0]]), torch.linspace(1, -0.2, 200).unsqueeze(0)], 1
    ).double()
    matrix = _turned(eigenvalues)
    found = top_eigenvalue(lambda v: torch.einsum("mij,mj->mi", matrix, v), _random(1, 203))
    assert 9.5 <= found.item() <= 10 + 1e-9


def _network(parameters: Tensor) -> Tensor:
    """Mean squared error of a network of 3, 4 and 1 units, from 21 parameters a member."""
    inputs, wanted = _random(20, 3, seed=5), _random(20, seed=6)
    first, bias, second, last = parameters.split([12, 4, 4, 1], dim=1)
    hidden = torch.tanh(inputs @ first.unflatten(1, (3, 4)) + bias.unsqueeze(1))
    return ((hidden @ second.unsqueeze(2)).squeeze(2) + last - wanted).square().mean(1)


def test_the_preconditioned_sharpness_of_a_network_is_that_of_its_full_hessian() -> None:
    point, divisor = _random(3, 21, seed=2), _random(3, 21, seed=3).exp()
    slope, product = hessian(_network, point)
    found = top_eigenvalue(scaled(product, divisor.rsqrt()), slope * divisor.rsqrt(), 21)
    for member in range(3):
        full = torch.autograd.functional.hessian(lambda p: _network(p.unsqueeze(0))[0], point[member])
        expected = torch.linalg.eigvals(torch.diag(1 / divisor[member]) @ full).real.max()
        assert found[member].item() == pytest.approx(expected.item(), rel=1e-9)


def _step_where_it_exceeds(line: Tensor, direction: Tensor, steps: Tensor) -> float:
    """The first of many steps at which the loss of a network is above its start."""
    losses = torch.stack([_network((line - s * direction).unsqueeze(0))[0] for s in steps])
    return float(steps[(losses > _network(line.unsqueeze(0))).nonzero()[0]])


@pytest.mark.parametrize("first", [1e-3, 0.1, 30.0])
def test_critical_sharpness_of_a_network_is_where_a_fine_line_search_finds_it(first: float) -> None:
    point = _random(3, 21, seed=2)
    direction = gradient(_network, point)
    found = critical_sharpness(_network, point, direction, torch.full((3,), first, dtype=torch.float64))
    for member in range(3):
        step = _step_where_it_exceeds(point[member], direction[member], torch.logspace(-3, 2, 5000))
        assert 2 / found[member].item() == pytest.approx(step, rel=0.3 if first == 1e-3 else 0.1)


def test_critical_sharpness_of_a_quadratic_is_the_rayleigh_quotient_along_the_step() -> None:
    """With g / P it is that of P^-1/2 H P^-1/2, never above its largest eigenvalue; exact by its own formula."""
    point, divisor = _random(MEMBERS, SIZE, seed=4), _random(MEMBERS, SIZE, seed=5).exp()
    slope, product = hessian(_quadratic, point)
    start = slope * divisor.rsqrt()
    bent = scaled(product, divisor.rsqrt())
    quotient = (start * bent(start)).sum(1) / start.square().sum(1)
    assert (quotient > 0).all()
    found = critical_sharpness(_quadratic, point, slope / divisor, torch.full((MEMBERS,), 0.1).double())
    assert (found / quotient - 1).abs().max() < 0.1
    assert (found <= 1.1 * top_eigenvalue(bent, start, SIZE)).all()


def test_critical_sharpness_takes_nine_evaluations_and_members_do_not_see_each_other() -> None:
    calls = 0

    def counted(parameters: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.tensor([1.0, 400.0, 1e-7, -1.0]) * parameters.square().sum(1)

    point, first = torch.ones(4, 2, dtype=torch.float64), torch.full((4,), 1.0, dtype=torch.float64)
    found = critical_sharpness(counted, point, torch.ones(4, 2), first)
    assert calls == PASSES + 1 < 10
    np.testing.assert_allclose(found[:3], 1.0, rtol=0.05)  # |1 - s| > 1 from s = 2 on, whatever the scale
    assert math.isinf(found[3]) or math.isnan(found[3])  # it rises from the start


def test_what_is_not_finite_is_nan_and_spoils_no_neighbour() -> None:
    point = torch.ones(2, 3, dtype=torch.float64)
    point[0, 1] = torch.nan

    def loss(parameters: Tensor) -> Tensor:
        return (torch.tensor([1.0, 2.0, 3.0]) * parameters.square()).sum(1)

    slope, product = hessian(loss, point)
    sharpness = top_eigenvalue(product, slope, 3)
    critical = critical_sharpness(loss, point, slope, torch.ones(2, dtype=torch.float64))
    assert sharpness[0].isnan()
    assert critical[0].isnan()
    assert sharpness[1].item() == pytest.approx(6.0)
    assert 2 < critical[1] < 6.3


OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, betas=(0.8, 0.95), eps=1e-3),
    "radam": partial(torch.optim.RAdam, betas=(0.8, 0.95), eps=1e-3),
    "rmsprop": partial(torch.optim.RMSprop, alpha=0.95, momentum=0.8, eps=1e-3),
    "sgd": partial(torch.optim.SGD, momentum=0.8),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_the_momentum_over_the_preconditioner(name: str) -> None:
    """Torch's own step, before and after RAdam rectifies; of RMSprop without momentum, which it divides before."""
    own = torch.nn.Parameter(_random(4))
    optimizer = OPTIMIZERS[name]([own], lr=0.01, **({"momentum": 0.0} if name == "rmsprop" else {}))
    for step in range(1, 12):
        before = own.detach().clone()
        own.grad = _random(4, seed=step)
        optimizer.step()
        state = optimizer.state[own]
        first = state.get("exp_avg", state.get("momentum_buffer", own.grad))
        second = state.get("exp_avg_sq", state.get("square_avg", torch.zeros(4, dtype=torch.float64)))
        divisor = preconditioner(second.unsqueeze(0), _rates(name, 0.01, 0.8, step))[0]
        torch.testing.assert_close(own.detach(), before - 0.01 * first / divisor)


def _rates(name: str, rate: float, beta1: float, count: int) -> Rates:
    options = Options(*(np.array([x]) for x in (beta1, 0.95, 1e-3, 0.0)))
    columns = RULES[name].rates(np.array([[rate]]), options, np.array([[count]]))
    return type(columns)(*(torch.from_numpy(np.array(x[:, 0])) for x in columns))


@pytest.mark.parametrize(("name", "weight"), [("adam", lambda beta: 1 - beta), ("sgd", lambda beta: 1.0)])
def test_beyond_the_stability_limit_an_optimizer_leaves_a_quadratic_and_below_it_does_not(
    name: str, weight: Callable[[float], float]
) -> None:
    """Preconditioned by 1, on the loss h x² / 2: m <- b m + w h x, x <- x - lr m."""
    for beta in (0.0, 0.5, 0.9):
        limit = stability_limit(_rates(name, 0.1, beta, 1)).item()
        for bend, leaves in ((0.99 * limit, False), (1.01 * limit, True)):
            x, m = 1.0, 0.0
            for _ in range(5000):
                m = beta * m + weight(beta) * bend * x
                x -= 0.1 * m
                if abs(x) > 1e6:
                    break
            assert (abs(x) > 1e6) == leaves, (beta, bend)
