"""Adam and clipping of many members against torch's own, member by member, in float64."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rl_warmup import schedules
from rl_warmup.trainers.functional.optimizers import Moments, StepRates, adam, bias_correction, clip_by_norm

MEMBERS, SIZE, STEPS = 4, 7, 50
BETA1, BETA2 = np.array([0.9, 0.5, 0.0, 0.99]), np.array([0.999, 0.9, 0.99, 0.9])
EPS = np.array([1e-8, 1e-5, 1e-3, 1e-8])
RATES = np.linspace(1e-3, 0.3, MEMBERS)[:, None] * schedules.step_factor("linear", length=20)(np.arange(STEPS))


def _data(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    parameters = torch.randn(MEMBERS, SIZE, generator=generator, dtype=torch.float64)
    return parameters, torch.randn(STEPS, MEMBERS, SIZE, generator=generator, dtype=torch.float64)


def _run(parameters: Tensor, gradients: Tensor, rates: np.ndarray, eps: np.ndarray = EPS) -> Tensor:
    """Parameters [steps, members, size] after every step."""
    steps = np.arange(1, len(gradients) + 1)
    corrections = [bias_correction(beta, steps) for beta in (BETA1, BETA2)]
    moments, path = Moments(torch.zeros_like(parameters), torch.zeros_like(parameters)), []
    for k, gradient in enumerate(gradients):
        values = (rates[:, k], BETA1, BETA2, eps, corrections[0][:, k], corrections[1][:, k])
        parameters, moments = adam(parameters, moments, gradient, StepRates(*map(torch.tensor, values)))
        path.append(parameters)
    return torch.stack(path)


def _torch_path(kind, member: int, gradients: Tensor, rates: np.ndarray, parameters: Tensor, eps: float) -> Tensor:
    own = nn.Parameter(parameters[member].clone())
    optimizer = kind([own], lr=1.0, betas=(BETA1[member], BETA2[member]), eps=eps)
    path = []
    for k, gradient in enumerate(gradients):
        optimizer.param_groups[0]["lr"] = rates[member, k]
        own.grad = gradient[member].clone()
        optimizer.step()
        path.append(own.detach().clone())
    return torch.stack(path)


def test_every_member_is_torchs_adam() -> None:
    parameters, gradients = _data()
    path = _run(parameters, gradients, RATES)
    for member in range(MEMBERS):
        expected = _torch_path(torch.optim.Adam, member, gradients, RATES, parameters, EPS[member])
        torch.testing.assert_close(path[:, member], expected, atol=1e-9, rtol=1e-9)


def test_the_radam_factor_on_adam_is_torchs_radam_once_it_rectifies() -> None:
    """Before that torch takes steps of momentum alone; it adds eps elsewhere, so eps is next to nothing here."""
    parameters, gradients = _data(1)
    factors = np.stack([schedules.step_factor("radam", beta2=beta)(np.arange(STEPS)) for beta in BETA2])
    path = torch.cat([parameters[None], _run(parameters, gradients, 0.01 * factors, np.full(MEMBERS, 1e-30))])
    for member in range(MEMBERS):
        rates = np.full((MEMBERS, STEPS), 0.01)
        expected = _torch_path(torch.optim.RAdam, member, gradients, rates, parameters, 1e-30)
        t, rho = np.arange(1, STEPS + 1), 2 / (1 - BETA2[member]) - 1
        rectified = rho - 2 * t * BETA2[member] ** t / (1 - BETA2[member] ** t) > 5
        assert rectified[6:].all()
        mine = path.diff(dim=0)[1:, member][rectified[1:]]
        torch.testing.assert_close(mine, expected.diff(dim=0)[rectified[1:]], atol=1e-12, rtol=1e-9)


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


def test_a_member_that_is_not_finite_leaves_the_others_alone() -> None:
    parameters, gradients = _data(3)
    path = _run(parameters, gradients, RATES)
    broken = gradients.clone()
    broken[5:, 1] = torch.nan
    broken[5:, 2] = torch.inf
    assert torch.equal(_run(parameters, broken, RATES)[:, [0, 3]], path[:, [0, 3]])
    clipped, norms = clip_by_norm(broken[6], torch.ones(MEMBERS, dtype=torch.float64))
    assert norms[1].isnan()
    assert torch.equal(
        clipped[[0, 3]], clip_by_norm(gradients[6], torch.ones(MEMBERS, dtype=torch.float64))[0][[0, 3]]
    )


def test_bias_corrections_are_exact_for_betas_near_one() -> None:
    steps = np.array([1, 2, 1000])
    found = bias_correction(np.array([0.0, 0.9, 1 - 1e-9]), steps)
    np.testing.assert_allclose(found[0], 1, rtol=0)
    np.testing.assert_allclose(found[1], [0.1, 0.19, 1], rtol=1e-14)
    assert found[2] == pytest.approx([1e-9, 2e-9 - 1e-18, 999_999.5e-12], rel=1e-6)
