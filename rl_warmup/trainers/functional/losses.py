"""The mathematics of PPO and DQN with a leading members axis; nothing is ever averaged over members."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class PPOLoss(NamedTuple):
    """The loss that is minimised and its parts, [members] each."""

    loss: Tensor
    policy_loss: Tensor
    value_loss: Tensor
    entropy: Tensor
    clip_fraction: Tensor


def gae(
    rewards: Tensor,  # [members, steps, envs]
    values: Tensor,  # [members, steps, envs]
    episode_starts: Tensor,  # [members, steps, envs] 1 where an episode begins with that step
    last_values: Tensor,  # [members, envs]
    last_dones: Tensor,  # [members, envs] 1 where an episode ended with the last step
    gamma: Tensor,  # [members]
    gae_lambda: float,
) -> Tensor:  # [members, steps, envs]
    """Generalised advantage estimates A_t = d_t + gamma·lambda·n_t·A_{t+1}, n_t = 0 where an episode ends.

    d_t = r_t + gamma·n_t·V_{t+1} - V_t.

    Source: Schulman et al., arXiv 1506.02438; stable_baselines3/common/buffers.py.
    """
    assert rewards.ndim == 3, rewards.shape
    assert rewards.shape == values.shape == episode_starts.shape
    discount = gamma.unsqueeze(1)
    follows = 1 - torch.cat([episode_starts[:, 1:], last_dones.unsqueeze(1)], dim=1)
    next_values = torch.cat([values[:, 1:], last_values.unsqueeze(1)], dim=1)
    deltas = rewards + discount.unsqueeze(1) * next_values * follows - values
    advantages, last = [], torch.zeros_like(last_values)
    for t in reversed(range(rewards.shape[1])):
        last = deltas[:, t] + discount * gae_lambda * follows[:, t] * last
        advantages.append(last)
    return torch.stack(advantages[::-1], dim=1)


def normalize_advantages(advantages: Tensor) -> Tensor:  # [members, batch]
    """(A - mean) / (std + 1e-8) of each member's minibatch, std with n - 1; a single transition stays as it is."""
    if advantages.shape[1] == 1:
        return advantages
    centred = advantages - advantages.mean(1, keepdim=True)
    return centred / (advantages.std(1, keepdim=True) + 1e-8)


def ppo_loss(
    log_prob: Tensor,  # [members, batch]
    old_log_prob: Tensor,  # [members, batch]
    advantages: Tensor,  # [members, batch] as estimated; normalised here
    values: Tensor,  # [members, batch]
    returns: Tensor,  # [members, batch]
    entropy: Tensor,  # [members, batch]
    clip_range: Tensor,  # [members]
    ent_coef: Tensor,  # [members]
    vf_coef: Tensor,  # [members]
) -> PPOLoss:
    """PPO's loss: -mean min(rA, clip(r, 1-c, 1+c)A) - ent_coef·mean H + vf_coef·mean (V - R)², r = new/old.

    Source: Schulman et al., arXiv 1707.06347; stable_baselines3/ppo/ppo.py.
    """
    advantages, clip = normalize_advantages(advantages), clip_range.unsqueeze(1)
    ratio = (log_prob - old_log_prob).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    policy_loss = -torch.minimum(advantages * ratio, advantages * clipped).mean(1)
    value_loss = (returns - values).square().mean(1)
    mean_entropy = entropy.mean(1)
    loss = policy_loss - ent_coef * mean_entropy + vf_coef * value_loss
    clip_fraction = ((ratio - 1).abs() > clip).to(ratio.dtype).mean(1)
    return PPOLoss(loss, policy_loss, value_loss, mean_entropy, clip_fraction)


def q_targets(
    rewards: Tensor,  # [members, batch]
    dones: Tensor,  # [members, batch] 1 where the episode ended, 0 also where a time limit cut it off
    next_q: Tensor,  # [members, batch, actions] of the target network
    gamma: Tensor,  # [members]
) -> Tensor:  # [members, batch]
    """r + (1 - done)·gamma·max_a Q'(s', a). Source: stable_baselines3/dqn/dqn.py."""
    return rewards + (1 - dones) * gamma.unsqueeze(1) * next_q.amax(-1)


def huber(predicted: Tensor, target: Tensor) -> Tensor:  # [members, batch] -> [members]
    """Mean of x²/2 where |x| < 1, |x| - 1/2 elsewhere, x = predicted - target; F.smooth_l1_loss."""
    return torch.nn.functional.smooth_l1_loss(predicted, target, reduction="none").mean(1)


def mse(predicted: Tensor, target: Tensor) -> Tensor:  # [members, batch] -> [members]
    """Mean of (predicted - target)²; F.mse_loss."""
    return (predicted - target).square().mean(1)


Q_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"huber": huber, "mse": mse}
"""What DQN's Q values are held against their targets by, see `algo.loss`."""


def categorical(logits: Tensor) -> Tensor:  # [..., actions]
    """Log-probabilities of the actions."""
    return logits.log_softmax(-1)


def log_prob_of(table: Tensor, actions: Tensor) -> Tensor:  # [..., actions] and [...] int64 -> [...]
    """The entry of each action: its log-probability, or its Q."""
    return table.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def categorical_entropy(log_probabilities: Tensor) -> Tensor:  # [..., actions] -> [...]
    """H = -sum_a p_a·log p_a."""
    return -(log_probabilities.exp() * log_probabilities).sum(-1)


def gaussian_log_prob(actions: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:  # [..., actions] -> [...]
    """Log-density of independent normal actions, summed over the last axis."""
    scaled = (actions - mean) / log_std.exp()
    return (-0.5 * scaled.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)


def gaussian_entropy(log_std: Tensor) -> Tensor:  # [..., actions] -> [...]
    """H = sum_i (1 + log 2 pi)/2 + log std_i."""
    return (0.5 + 0.5 * math.log(2 * math.pi) + log_std).sum(-1)


def state_dependent_log_std(
    latent: Tensor,  # [members, rows, features] what the layer of the mean sees
    log_std: Tensor,  # [members, features, actions]
) -> Tensor:  # [members, rows, actions]
    """Log-std of gSDE's actions, log(sum_i z_i²·exp(2L_ia) + 1e-6)/2; the features z get no gradient from it.

    Source: Raffin et al., arXiv 2005.05719; stable_baselines3/common/distributions.py.
    """
    variance = torch.bmm(latent.detach().square(), log_std.exp().square())
    return 0.5 * (variance + 1e-6).log()


def k3(log_ratio: Tensor) -> Tensor:  # [members, n] -> [members]
    """KL(old || new) as the mean of (r - 1) - log r, r = new/old. Source: Schulman, "Approximating KL"."""
    assert log_ratio.ndim == 2, log_ratio.shape
    return (log_ratio.expm1() - log_ratio).mean(1)


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:  # [members, n] each -> [members]
    """1 - var(returns - values) / var(returns), NaN where the returns do not vary."""
    assert values.ndim == 2, values.shape
    assert values.shape == returns.shape
    variance = returns.var(1, correction=0)
    explained = 1 - (returns - values).var(1, correction=0) / variance
    return torch.where(variance == 0, torch.nan, explained)
