"""What an update phase did to the policies and networks of all members; nothing is ever averaged over members."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def relative_update(before: Tensor, after: Tensor) -> Tensor:  # [members, parameters] each -> [members]
    """|after - before| / |before|, of one layer or of all of them."""
    change: Tensor = (after - before).norm(dim=1) / before.norm(dim=1)
    return change


def angle(before: Tensor, after: Tensor) -> Tensor:  # [members, parameters] each -> [members]
    """Degrees between two vectors: 2·atan2(|a - b|, |a + b|) of a and b with length 1, exact also if it is small.

    Source: Kahan, "How Futile are Mindless Assessments of Roundoff in Floating-Point Computation?"
    """
    a, b = (vector / vector.norm(dim=1, keepdim=True) for vector in (before, after))
    return 2 * torch.atan2((a - b).norm(dim=1), (a + b).norm(dim=1)) * (180 / math.pi)


def churn(before: Tensor, after: Tensor) -> Tensor:  # [members, states, components] int each -> [members]
    """Share of the states whose greedy action is another.

    Source: Schaul et al., arXiv 2206.00730.
    """
    return (before != after).any(2).double().mean(1)


def categorical_kl(before: Tensor, after: Tensor) -> Tensor:  # [..., actions] each -> [...]
    """KL(before || after) = sum_a p_a·(log p_a - log q_a) from log-probabilities."""
    return (before.exp() * (before - after)).sum(-1)


def gaussian_kl(
    mean: Tensor,  # [..., actions]
    log_std: Tensor,  # [..., actions]
    after_mean: Tensor,  # [..., actions]
    after_log_std: Tensor,  # [..., actions]
) -> Tensor:  # [...]
    """KL(before || after) of independent normal actions, summed over them."""
    spread = (2 * (log_std - after_log_std)).exp()
    shift = ((mean - after_mean) / after_log_std.exp()).square()
    return (after_log_std - log_std + (spread + shift - 1) / 2).sum(-1)


def dormant_share(layers: Sequence[Tensor], threshold: float) -> Tensor:  # -> [members]
    """Share of the units with mean |h| / (mean of that over the layer) <= threshold; all of a layer that is 0.

    Args:
        layers: outputs [members, states, units, ...] of each layer; a feature map is one unit.

    Source: Sokar et al., arXiv 2302.12902, definition 3.1.
    """
    found = []
    for outputs in layers:
        size = outputs.abs().reshape(*outputs.shape[:3], -1).mean((1, 3))  # [members, units]
        found.append(size <= threshold * size.mean(1, keepdim=True))
    return torch.cat(found, dim=1).double().mean(1)


def effective_rank(features: Tensor) -> Tensor:  # [members, states, units] -> [members]
    """exp(H(s / sum s)), s the singular values and H the entropy: 1 to the number of units; nan of features all 0.

    Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007.
    """
    if features.shape[1] < features.shape[2]:
        features = features.transpose(1, 2)
    gram = features.transpose(1, 2) @ features
    finite = gram.isfinite().all(2).all(1)
    squares = torch.linalg.eigvalsh(torch.where(finite[:, None, None], gram, 0.0))
    noise = torch.finfo(gram.dtype).eps * len(gram[0]) * squares[:, -1:]  # of the squares, by rounding
    values = torch.where(squares > noise, squares, 0.0).sqrt()
    shares = values / values.sum(1, keepdim=True)
    return torch.where(finite, torch.special.entr(shares).sum(1).exp(), torch.nan)


def noise_scale(
    small: Tensor,  # [members] mean of |g|² over gradients of `rows` transitions
    large: Tensor,  # [members] |g|² of the gradient of `batches` times as many, their mean
    rows: int,
    batches: int,
) -> Tensor:  # [members]
    """tr(S) / |G|², from unbiased estimates of both: how many transitions have as much noise as signal.

    |G|² = (B·large - b·small) / (B - b), tr(S) = (small - large) / (1/b - 1/B), B = batches·b, b = rows; inf where
    the noise leaves no signal to be seen.

    Source: McCandlish et al., arXiv 1812.06162, appendix A.1.
    """
    signal = (batches * large - small) / (batches - 1)
    noise = (small - large) * rows * batches / (batches - 1)
    return torch.where(signal > 0, noise / signal, torch.where(signal.isnan(), torch.nan, torch.inf))
