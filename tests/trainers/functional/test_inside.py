"""What an update phase did, against cases whose answer is known."""

import math

import pytest
import torch
from torch import Tensor

from rl_warmup.trainers.functional.inside import (
    angle,
    categorical_kl,
    churn,
    dormant_share,
    effective_rank,
    gaussian_kl,
    noise_scale,
    relative_update,
)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_relative_update_and_angle_of_a_vector_that_is_turned_and_stretched() -> None:
    before = torch.tensor([[3.0, 0.0], [3.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    after = torch.tensor([[3.0, 3.0], [6.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert relative_update(before, after).tolist() == pytest.approx([1.0, 1.0, 2.0])
    assert angle(before, after).tolist() == pytest.approx([45.0, 0.0, 180.0])


def test_an_angle_is_exact_where_its_cosine_rounds_to_one() -> None:
    tiny = 1e-9
    found = angle(torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[math.cos(tiny), math.sin(tiny)]]).double())
    assert found.item() == pytest.approx(math.degrees(tiny), rel=1e-6)


def test_churn_is_the_share_of_states_with_another_action() -> None:
    before = torch.tensor([[[0], [1], [2], [0]], [[0], [0], [0], [0]]])
    after = torch.tensor([[[0], [2], [1], [0]], [[0], [0], [0], [0]]])
    assert churn(before, after).tolist() == [0.5, 0.0]
    several = torch.tensor([[[0, 1], [1, 1]]])
    assert churn(several, torch.tensor([[[0, 1], [1, 0]]])).tolist() == [0.5]


def test_kl_is_that_of_torchs_distributions() -> None:
    p, q = (_random(2, 5, 3, seed=seed).log_softmax(-1) for seed in (0, 1))
    expected = torch.distributions.kl_divergence(*(torch.distributions.Categorical(logits=x) for x in (p, q)))
    torch.testing.assert_close(categorical_kl(p, q), expected)
    numbers = [_random(2, 5, 3, seed=seed) for seed in range(4)]
    normals = [torch.distributions.Normal(numbers[i], numbers[i + 1].exp()) for i in (0, 2)]
    torch.testing.assert_close(gaussian_kl(*numbers), torch.distributions.kl_divergence(*normals).sum(-1))


def test_planted_dormant_and_dead_units_are_found() -> None:
    """Of 10 + 5 units of a member 2 are dead and 3 more are dormant, of the other's one whole layer is dead."""
    first, second = 1 + _random(2, 50, 10).abs(), 1 + _random(2, 50, 5, seed=1).abs()
    first[0, :, 3], second[0, :, 0] = 0.0, 0.0
    first[0, :, 7:9], second[0, :, 2] = 0.01, -0.01
    second[1] = 0.0
    assert dormant_share([first, second], 0.0).tolist() == pytest.approx([2 / 15, 5 / 15])
    assert dormant_share([first, second], 0.025).tolist() == pytest.approx([5 / 15, 5 / 15])


def test_a_feature_map_is_one_unit() -> None:
    maps = torch.ones(1, 4, 8, 3, 3)
    maps[:, :, 2] = 0.0
    maps[:, :, 5, 1:] = 0.0  # seldom, but not dormant
    assert dormant_share([maps], 0.025).tolist() == [1 / 8]


@pytest.mark.parametrize(("states", "units"), [(40, 12), (12, 40)])
def test_effective_rank_of_features_whose_singular_values_are_known(states: int, units: int) -> None:
    left, right = (torch.linalg.qr(_random(n, 3, seed=n))[0] for n in (states, units))
    shares = ([1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [4.0, 0.0, 0.0], [3.0, 1.0, 0.0])
    features = torch.stack([left @ torch.diag(torch.tensor(s).double()) @ right.T for s in shares])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(features).tolist() == pytest.approx([2.0, 3.0, 1.0, math.exp(entropy)], rel=1e-9)


def test_effective_rank_of_nothing_and_of_what_is_not_finite_is_nan() -> None:
    features = torch.stack([torch.zeros(5, 3), torch.full((5, 3), torch.inf), torch.eye(5)[:, :3]]).double()
    found = effective_rank(features)
    assert found[:2].isnan().all()
    assert found[2].item() == pytest.approx(3.0)


def test_noise_scale_of_gradients_with_known_mean_and_covariance() -> None:
    """tr(S) / |G|² over many estimates, numerators and denominators apart; of each alone it is a rough one."""
    mean, spread, rows, batches, times = torch.tensor([0.3, -0.4]), torch.tensor([1.0, 2.0]), 16, 8, 4000
    samples = mean + spread * _random(times, batches, rows, 2)
    gradients = samples.mean(2)
    small, large = gradients.square().sum(2).mean(1), gradients.mean(1).square().sum(1)
    found = noise_scale(small.mean(0, keepdim=True), large.mean(0, keepdim=True), rows, batches)
    assert found.item() == pytest.approx(5 / 0.25, rel=0.05)
    each = noise_scale(small, large, rows, batches)
    assert each.isinf().float().mean() < 0.05  # 128 transitions show a scale of 20
    assert each[each.isfinite()].median().item() == pytest.approx(20, rel=0.3)


def test_noise_without_a_signal_is_infinite_and_a_signal_without_noise_has_none() -> None:
    small, large = torch.tensor([1.0, 1.0, torch.nan]), torch.tensor([0.1, 1.0, 1.0])
    found = noise_scale(small, large, 16, 8)
    assert found[0].isinf()
    assert found[1].item() == 0.0
    assert found[2].isnan()
