"""Philox against Random123's published answers and a slow version in Python's integers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rl_warmup.trainers.functional import philox

WORD = st.integers(0, 2**32 - 1)


def slow_philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Philox4x32-10 as the paper writes it down."""
    (x0, x1, x2, x3), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * x0, 0xCD9E8D57 * x2
        x0, x1, x2, x3 = (p1 >> 32) ^ x1 ^ k0, p1 % 2**32, (p0 >> 32) ^ x3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [x0, x1, x2, x3]


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [  # Random123, tests/kat_vectors, philox4x32 10
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_slow_version_gives_the_published_answers(counter, key, answer) -> None:
    assert tuple(slow_philox(counter, key)) == answer


def test_zeros_give_the_published_answer() -> None:
    words = philox.words(torch.zeros(1, 2, dtype=torch.int64), 0, 4)
    assert words.tolist() == [[0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]]


@given(keys=st.lists(st.tuples(WORD, WORD), min_size=1, max_size=4), counter=st.integers(0, 2**64 - 1))
def test_words_are_those_of_the_slow_version(keys: list[tuple[int, int]], counter: int) -> None:
    words = philox.words(torch.tensor(keys), counter, 11)
    for member, key in enumerate(keys):
        blocks = [slow_philox((b, counter % 2**32, counter >> 32, 0), key) for b in range(3)]
        assert words[member].tolist() == np.concatenate(blocks)[:11].tolist()


def test_a_member_depends_neither_on_the_others_nor_on_how_much_is_drawn() -> None:
    keys = torch.tensor([(5, 1), (6, 1), (5, 2)])
    words = philox.words(keys, 7, 9)
    assert torch.equal(philox.words(keys[[2, 0]], 7, 30)[:, :9], words[[2, 0]])
    assert (words[0] != words[1]).all()
    assert (words[0] != words[2]).all()
    assert (words != philox.words(keys, 8, 9)).all()


BITS = philox.words(torch.tensor([(2026, 3)]), 1, 200_000)[0]
ENDS = torch.tensor([0, 1, 511, 512, 2**32 - 1])


def test_uniform_is_open_at_both_ends_and_flat() -> None:
    assert philox.uniform(ENDS).min() > 0
    assert philox.uniform(ENDS).max() < 1
    assert stats.kstest(philox.uniform(BITS).numpy(), "uniform").pvalue > 1e-3


def test_exponential_and_normal_have_their_distributions_and_no_infinities() -> None:
    assert stats.kstest(philox.exponential(BITS).numpy(), "expon").pvalue > 1e-3
    assert stats.kstest(philox.normal(BITS).numpy(), "norm").pvalue > 1e-3
    for draw in (philox.exponential, philox.normal):
        assert torch.isfinite(draw(ENDS)).all()
    assert (philox.exponential(ENDS) > 0).all()


@pytest.mark.parametrize("bound", [1, 2, 3, 7, 100_000])
def test_integers_are_exact_and_flat(bound: int) -> None:
    drawn = philox.integers(BITS, bound)
    assert drawn.tolist() == [(w * bound) >> 32 for w in BITS.tolist()]
    assert 0 <= philox.integers(ENDS, bound).min() <= philox.integers(ENDS, bound).max() == bound - 1
    if 1 < bound < 10:
        assert stats.chisquare(drawn.bincount(minlength=bound).numpy()).pvalue > 1e-3


def test_permutations_hold_every_index_once_and_every_order_is_as_likely() -> None:
    orders = philox.permutations(BITS[:60_000].reshape(-1, 3))
    assert torch.equal(orders.sort(1).values, torch.arange(3).expand(len(orders), 3))
    codes = (orders * torch.tensor([9, 3, 1])).sum(1)
    _, counts = codes.unique(return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
