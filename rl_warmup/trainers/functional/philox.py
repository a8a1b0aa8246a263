"""Random numbers as a pure function of key and counter: Philox4x32-10 on tensors, on any device.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; words equal those of Random123.
"""

import math

import torch
from torch import Tensor

MASK = 0xFFFFFFFF
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10


def words(keys: Tensor, counter: int, count: int) -> Tensor:
    """Words of 32 bits: words 4b to 4b+3 are Philox of (b, low and high half of `counter`, 0).

    Args:
        keys: (seed, stream) of each member, [members, 2] int64 below 2^32.
        counter: in [0, 2^64).
        count: words a member; the first do not depend on how many are asked for.

    Returns:
        [members, count] int64 in [0, 2^32).
    """
    blocks = torch.arange(-(-count // 4), device=keys.device)
    key0, key1 = keys[:, :1], keys[:, 1:]
    x0 = blocks.expand(len(keys), -1)
    x1, x2, x3 = torch.full_like(x0, counter & MASK), torch.full_like(x0, counter >> 32), torch.zeros_like(x0)
    for _ in range(ROUNDS):
        product0, product1 = x0 * MULTIPLIERS[0], x2 * MULTIPLIERS[1]  # wrap around, but keep all 64 bits
        high0, high1 = (product0 >> 32) & MASK, (product1 >> 32) & MASK
        x0, x1, x2, x3 = high1 ^ x1 ^ key0, product1 & MASK, high0 ^ x3 ^ key1, product0 & MASK
        key0, key1 = (key0 + WEYL[0]) & MASK, (key1 + WEYL[1]) & MASK
    return torch.stack([x0, x1, x2, x3], dim=2).flatten(1)[:, :count]


def uniform(bits: Tensor) -> Tensor:
    """Words as float32 in (0, 1), both ends excluded: (floor(w / 2^9) + 1/2) / 2^23."""
    return ((bits >> 9).float() + 0.5) * 2.0**-23


def exponential(bits: Tensor) -> Tensor:
    """Words as float32 draws of the exponential distribution with rate 1, above 0: -log(uniform)."""
    return -uniform(bits).log()


def normal(bits: Tensor) -> Tensor:
    """Words as float32 draws of the standard normal distribution: the quantile function of (w + 1/2) / 2^32."""
    share = (bits.double() + 0.5) * 2.0**-32
    drawn: Tensor = math.sqrt(2) * torch.special.erfinv(2 * share - 1)
    return drawn.float()


def integers(bits: Tensor, bound: int) -> Tensor:
    """Words as int64 in [0, bound), each value with probability 1/bound to within 2^-32: floor(w·bound / 2^32)."""
    return (bits * bound) >> 32


def permutations(bits: Tensor) -> Tensor:
    """Words [..., n] as permutations of 0 to n-1 along the last axis: the order that sorts them."""
    return bits.argsort(dim=-1, stable=True)
