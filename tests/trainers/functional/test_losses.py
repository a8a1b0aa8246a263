"""The mathematics of the stacked trainer against torch, Stable-Baselines3 and slow loops, member by member."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from stable_baselines3.common.utils import explained_variance
from torch import Tensor
from torch.distributions import Categorical, Normal

from rl_warmup.trainers.functional import losses

M, T, E, B, A = 3, 13, 4, 32, 5
GAMMA = torch.tensor([0.9, 0.99, 0.5], dtype=torch.float64)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 31 * len(shape)))


def flags(*shape: int, seed: int = 0) -> Tensor:
    return (draw(*shape, seed=seed) > 0.8).double()


def close(mine: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(mine, expected, atol=1e-9, rtol=1e-9)


def _rollout() -> tuple[Tensor, ...]:
    return draw(M, T, E), draw(M, T, E, seed=1), flags(M, T, E), draw(M, E), flags(M, E)


def test_gae_with_lambda_0_is_the_td_error_and_with_lambda_1_the_return_less_the_value() -> None:
    rewards, values, starts, last_values, last_dones = _rollout()
    follows = 1 - torch.cat([starts[:, 1:], last_dones.unsqueeze(1)], dim=1)
    following = torch.cat([values[:, 1:], last_values.unsqueeze(1)], dim=1)
    discount = GAMMA.reshape(M, 1, 1)
    close(losses.gae(*_rollout(), GAMMA, 0.0), rewards + discount * follows * following - values)
    monte_carlo, after = [], last_values
    for t in reversed(range(T)):
        after = rewards[:, t] + discount[:, 0] * follows[:, t] * after
        monte_carlo.insert(0, after)
    close(losses.gae(*_rollout(), GAMMA, 1.0), torch.stack(monte_carlo, dim=1) - values)


def test_gae_is_the_slow_loop() -> None:
    rewards, values, starts, last_values, last_dones = _rollout()
    found = losses.gae(rewards, values, starts, last_values, last_dones, GAMMA, 0.95)
    for m in range(M):
        for e in range(E):
            after = 0.0
            for t in reversed(range(T)):
                ends = last_dones[m, e] if t == T - 1 else starts[m, t + 1, e]
                following = last_values[m, e] if t == T - 1 else values[m, t + 1, e]
                delta = rewards[m, t, e] + GAMMA[m] * (1 - ends) * following - values[m, t, e]
                after = delta + GAMMA[m] * 0.95 * (1 - ends) * after
                close(found[m, t, e], after)


def test_gae_is_that_of_stable_baselines3s_buffer() -> None:
    rewards, values, starts, last_values, last_dones = (x.float() for x in _rollout())
    found = losses.gae(rewards, values, starts, last_values, last_dones, GAMMA.float(), 0.9)
    box, discrete = gym.spaces.Box(-1, 1, (1,)), gym.spaces.Discrete(2)
    for m in range(M):
        buffer = RolloutBuffer(T, box, discrete, "cpu", gae_lambda=0.9, gamma=float(GAMMA[m]), n_envs=E)
        for t in range(T):
            zeros = np.zeros((E, 1))
            buffer.add(zeros, zeros, rewards[m, t].numpy(), starts[m, t].numpy(), values[m, t], torch.zeros(E))
        buffer.compute_returns_and_advantage(last_values[m], last_dones[m].numpy())
        np.testing.assert_allclose(found[m], buffer.advantages, atol=1e-6, rtol=1e-6)


def _ppo_arguments() -> tuple[Tensor, ...]:
    log_prob, old = -draw(M, B).abs(), -draw(M, B, seed=1).abs()
    coefficients = (
        torch.tensor(v, dtype=torch.float64) for v in ([0.2, 0.1, 0.0], [0.0, 0.01, 0.1], [0.5, 1.0, 0.0])
    )
    return (
        log_prob,
        old,
        draw(M, B, seed=2),
        draw(M, B, seed=3),
        draw(M, B, seed=4),
        draw(M, B, seed=5),
        *coefficients,
    )


def _sb3_ppo(log_prob, old, advantages, values, returns, entropy, clip, ent_coef, vf_coef) -> tuple[Tensor, ...]:
    """The lines of Stable-Baselines3's PPO.train, for one member."""
    if len(advantages) > 1:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    ratio = torch.exp(log_prob - old)
    clip = float(clip)
    policy = -torch.min(advantages * ratio, advantages * torch.clamp(ratio, 1 - clip, 1 + clip)).mean()
    value = F.mse_loss(returns, values)
    entropy_loss = -torch.mean(entropy)
    fraction = torch.mean((torch.abs(ratio - 1) > clip).double())
    return policy + ent_coef * entropy_loss + vf_coef * value, policy, value, -entropy_loss, fraction


@pytest.mark.parametrize("size", [B, 1], ids=["whole", "what is left of a rollout"])
def test_ppos_loss_and_its_gradient_are_stable_baselines3s(size: int) -> None:
    arguments = tuple(x[:, :size] if x.dim() == 2 else x for x in _ppo_arguments())
    found = losses.ppo_loss(*arguments)
    gradients = torch.func.grad(lambda *x: losses.ppo_loss(*x).loss.sum(), argnums=(0, 3, 5))(*arguments)
    for m in range(M):
        own = [x[m].clone().requires_grad_(i in (0, 3, 5)) for i, x in enumerate(arguments)]
        expected = _sb3_ppo(*own)
        for mine, theirs in zip(found, expected, strict=True):
            close(mine[m], theirs.detach())
        expected[0].backward()
        for mine, i in zip(gradients, (0, 3, 5), strict=True):
            close(mine[m], own[i].grad)


def test_a_ratio_of_exactly_one_passes_its_gradient_as_in_stable_baselines3() -> None:
    """Also where the clip range has fallen to 0."""
    arguments = [x.clone() for x in _ppo_arguments()]
    arguments[0] = arguments[1].clone()
    gradient = torch.func.grad(lambda p: losses.ppo_loss(p, *arguments[1:]).policy_loss.sum())(arguments[0])
    for m in range(M):
        own = [x[m].clone() for x in arguments]
        own[0].requires_grad_()
        _sb3_ppo(*own)[1].backward()
        close(gradient[m], own[0].grad)


def test_targets_and_losses_are_stable_baselines3s_and_torchs() -> None:
    rewards, dones, next_q, predicted = draw(M, B), flags(M, B), draw(M, B, A), 2 * draw(M, B, seed=7)
    targets = losses.q_targets(rewards, dones, next_q, GAMMA)
    for m in range(M):
        best, _ = next_q[m].max(dim=1)
        expected = rewards[m] + (1 - dones[m]) * GAMMA[m] * best
        close(targets[m], expected)
        close(losses.huber(predicted, targets)[m], F.smooth_l1_loss(predicted[m], expected))
        close(losses.mse(predicted, targets)[m], F.mse_loss(predicted[m], expected))


def test_distributions_are_torchs() -> None:
    logits, actions = 3 * draw(M, B, A), torch.arange(M * B).reshape(M, B) % A
    table = losses.categorical(logits)
    close(losses.log_prob_of(table, actions), Categorical(logits=logits).log_prob(actions))
    close(losses.categorical_entropy(table), Categorical(logits=logits).entropy())
    mean, taken, log_std = draw(M, B, A), draw(M, B, A, seed=3), draw(M, 1, A)
    normal = Normal(mean, log_std.exp().expand_as(mean))
    close(losses.gaussian_log_prob(taken, mean, log_std), normal.log_prob(taken).sum(-1))
    close(losses.gaussian_entropy(log_std).expand(M, B), normal.entropy().sum(-1))


def test_state_dependent_exploration_is_stable_baselines3s() -> None:
    """Log-probability and entropy of gSDE, and their gradients: none reaches the features through the noise."""
    latent, weights, log_std = draw(M, B, 7), draw(M, 7, A), draw(M, 7, A, seed=5)
    taken = draw(M, B, A, seed=3)

    def found(latent: Tensor, log_std: Tensor) -> tuple[Tensor, Tensor]:
        noise = losses.state_dependent_log_std(latent, log_std)
        return losses.gaussian_log_prob(taken, latent @ weights, noise), losses.gaussian_entropy(noise)

    mine = found(latent, log_std)
    gradients = torch.func.grad(lambda *x: sum(y.square().sum() for y in found(*x)), argnums=(0, 1))(
        latent, log_std
    )
    for m in range(M):
        features, deviations = latent[m].clone().requires_grad_(), log_std[m].clone().requires_grad_()
        sde = StateDependentNoiseDistribution(A)
        sde.proba_distribution(features @ weights[m], deviations, features)
        theirs = sde.log_prob(taken[m]), sde.entropy()
        for one, expected in zip(mine, theirs, strict=True):
            close(one[m], expected.detach())
        sum(y.square().sum() for y in theirs).backward()
        close(gradients[0][m], features.grad)
        close(gradients[1][m], deviations.grad)


def test_kl_and_explained_variance() -> None:
    ratio, values, returns = draw(M, B), draw(M, B, seed=1), draw(M, B, seed=2)
    returns[2] = 4.0
    close(losses.k3(ratio), ((ratio.exp() - 1) - ratio).mean(1))
    found = losses.explained_variance(values, returns)
    for m in range(M):
        expected = explained_variance(values[m].numpy(), returns[m].numpy())
        np.testing.assert_allclose(float(found[m]), expected, rtol=1e-9)
    assert found[2].isnan()


BATTERY: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "gae": (losses.gae, (*_rollout(), GAMMA, 0.95)),
    "ppo_loss": (losses.ppo_loss, _ppo_arguments()),
    "q_targets": (losses.q_targets, (draw(M, B), flags(M, B), draw(M, B, A), GAMMA)),
    "huber": (losses.huber, (draw(M, B), draw(M, B, seed=1))),
    "mse": (losses.mse, (draw(M, B), draw(M, B, seed=1))),
    "normalize_advantages": (losses.normalize_advantages, (draw(M, B),)),
    "k3": (losses.k3, (draw(M, B),)),
    "explained_variance": (losses.explained_variance, (draw(M, B), draw(M, B, seed=1))),
    "categorical": (losses.categorical, (draw(M, B, A),)),
    "state_dependent_log_std": (losses.state_dependent_log_std, (draw(M, B, A), draw(M, A, 2))),
}


@pytest.mark.parametrize("name", BATTERY)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_member_that_is_not_finite_leaves_the_others_alone(name: str, bad: float) -> None:
    function, arguments = BATTERY[name]
    broken = [x.clone() if isinstance(x, Tensor) else x for x in arguments]
    for x in broken:
        if isinstance(x, Tensor):
            x[1] = bad
    found, expected = (function(*values) for values in (broken, arguments))
    for mine, clean in zip(*((x if isinstance(x, tuple) else (x,)) for x in (found, expected)), strict=True):
        assert torch.equal(mine[[0, 2]], clean[[0, 2]])


@pytest.mark.parametrize("name", BATTERY)
def test_everything_runs_on_the_meta_device(name: str) -> None:
    function, arguments = BATTERY[name]
    found = function(*[x.to("meta") if isinstance(x, Tensor) else x for x in arguments])
    assert all(x.is_meta for x in (found if isinstance(found, tuple) else (found,)))
