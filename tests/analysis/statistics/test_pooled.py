"""The pooled comparison against loops over all sign vectors and subsets, and against each of its parts."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rl_warmup.analysis.statistics import dirichlet, sign_flips, verdicts
from rl_warmup.analysis.statistics.pooled import Pooled, averages, flips_of, pooled
from rl_warmup.analysis.statistics.scopes import ALPHA

QUICK = settings(deadline=None, max_examples=30)
EIGHTHS = st.integers(-16, 16).map(lambda i: i / 8)
STRATA = st.lists(st.lists(EIGHTHS, min_size=2, max_size=4), min_size=2, max_size=3)
Samples = Sequence[Sequence[float]]


def weighted(strata: Samples) -> list[tuple[Fraction, Fraction]]:
    """Every difference with its weight in the mean of the environments' means."""
    return [(Fraction(d), Fraction(1, len(strata) * len(one))) for one in strata for d in one]


def listed_p(strata: Samples, center: float = 0.0) -> float:
    shifted = [weight * (d - Fraction(center)) for d, weight in weighted(strata)]
    totals = [abs(sum(map(Fraction.__mul__, shifted, map(Fraction, signs)))) for signs in _signs(len(shifted))]
    return sum(total >= abs(sum(shifted)) for total in totals) / len(totals)


def _signs(n: int) -> itertools.product:
    return itertools.product((1, -1), repeat=n)


def listed_interval(strata: Samples, alpha: Fraction) -> tuple[float, float] | None:
    means = []
    for chosen in itertools.product((False, True), repeat=len(weighted(strata))):
        part = list(itertools.compress(weighted(strata), chosen))
        if part:
            means.append(sum(d * w for d, w in part) / sum(w for _, w in part))
    means.sort()
    k = math.floor(alpha / 2 * (len(means) + 1))
    return (float(means[k - 1]), float(means[-k])) if k else None


def by_seed(strata: Samples) -> list[dict[int, float]]:
    return [dict(enumerate(one)) for one in strata]


def ask(strata: Samples, bound: float | None = 3.0, effect: float | None = 0.5, binary: bool = False) -> Pooled:
    return pooled(by_seed(strata), smallest_effect=effect, bounds=[bound] * len(strata), binary=binary)


@QUICK
@given(STRATA, st.sampled_from([0.0, 0.5, -0.25]))
def test_p_counts_the_sign_vectors_of_all_pairs(strata: list[list[float]], center: float) -> None:
    flips = flips_of([np.array(one) for one in strata])
    assert flips.p_value(center) == listed_p(strata, center)


@QUICK
@given(STRATA)
def test_the_interval_is_that_of_all_subsets(strata: list[list[float]]) -> None:
    flips = flips_of([np.array(one) for one in strata])
    for alpha in (Fraction(1, 20), Fraction(1, 4)):
        expected = listed_interval(strata, alpha)
        assert flips.interval(float(alpha)) == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_an_environment_counts_once_whatever_its_pairs() -> None:
    found = ask([[1.0] * 3, [0.0] * 9]).paired
    assert (found.n, found.n_nonzero, found.estimate) == (12, 3, 0.5)
    assert found.p_value == 2 / 2**3  # the nine zeros carry nothing
    assert found.p_smallest == 2 / 2**3


@QUICK
@given(st.lists(st.lists(EIGHTHS, min_size=4, max_size=4), min_size=2, max_size=3), st.randoms())
def test_with_as_many_pairs_everywhere_it_is_the_test_of_all_pairs(strata: list[list[float]], random) -> None:
    flips = sign_flips.SignFlips.of([d for one in strata for d in one])
    found = ask(strata).paired
    assert (found.p_value, (found.ci_low, found.ci_high)) == (
        flips.p_value(),
        flips.interval(0.05) or (None, None),
    )
    mixed = [random.sample(one, len(one)) for one in random.sample(strata, len(strata))]
    again = ask(mixed).paired
    assert (again.p_value, again.ci_low) == (found.p_value, found.ci_low)


def test_above_the_pairs_that_can_be_listed_signs_are_drawn_and_agree_with_the_normal() -> None:
    rng = np.random.default_rng(3)
    strata = [rng.normal(0.1, 0.4, size) for size in (40, 25, 60)]
    found = ask([one.tolist() for one in strata]).paired
    variance = sum(float((one**2).sum()) / (3 * one.size) ** 2 for one in strata)
    z = np.mean([one.mean() for one in strata]) / math.sqrt(variance)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(z), abs=0.01)
    assert found.estimate is not None
    assert found.ci_low is not None
    assert found.ci_high is not None
    flips = flips_of(strata)
    for end in (found.ci_low, found.ci_high):
        assert flips.p_value(end) == pytest.approx(0.05, abs=0.002)
    mirrored = ask([(-one).tolist() for one in strata]).paired
    assert (mirrored.p_value, mirrored.ci_high) == pytest.approx((found.p_value, -found.ci_low), rel=1e-9)


def test_a_seed_counts_with_its_average_over_the_environments() -> None:
    """The mean is of the seeds that all environments have; the bound is the mean of the bounds."""
    strata = [{0: 1.0, 1: 0.5, 2: 0.25, 9: -1.0}, {2: 0.75, 1: 0.5, 0: 0.0}]
    assert averages(strata) == {0: 0.5, 1: 0.5, 2: 0.5}
    found = pooled(strata, smallest_effect=0.1, bounds=[1.0, 2.0], binary=False)
    test = dirichlet.Dirichlet.of([0.5, 0.5, 0.5], 1.5)
    assert (found.paired.bound, found.n_seeds, found.paired.n) == (1.5, 3, 7)
    assert found.paired.p_mean == test.p_value() == pytest.approx(2 * (1.5 / 2) ** 3)
    assert (found.paired.mean_ci_low, found.paired.mean_ci_high) == test.interval(0.05)
    assert found.paired.p_equivalence == test.equivalence_p(0.1)
    assert found.p_by_seed == 2 / 2**3


def test_without_bounds_or_common_seeds_nothing_is_known_of_the_mean() -> None:
    strata = [{0: 1.0, 1: 0.5}, {1: 0.75, 2: 0.5}]
    no_bound = pooled(strata, smallest_effect=0.1, bounds=[1.0, None], binary=False)
    one_seed = pooled(strata, smallest_effect=0.1, bounds=[1.0, 1.0], binary=False)
    assert no_bound.paired.bound is None
    assert one_seed.n_seeds == 1
    for found in (no_bound, one_seed):
        assert (found.paired.p_mean, found.paired.p_equivalence, found.p_by_seed) == (None, None, None)
        assert found.paired.p_value == 2 / 2**4
    assert replace(no_bound.paired, bound=1.0) == one_seed.paired
    with pytest.raises(ValueError, match="1 pairs in an environment: give two or more of each"):
        ask([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize(
    ("strata", "agreeing"),
    [
        ([[1.0, 2.0], [3.0, 1.0], [-1.0, -0.5]], 2),
        ([[1.0, 2.0], [0.0, 0.0], [1.0, -1.0]], 1),  # no difference has no sign
        ([[1.0, 1.0], [-1.0, -1.0]], 0),  # and neither has their mean
        ([[-1.0, -2.0], [-3.0, 1.0]], 2),
    ],
)
def test_environments_of_the_same_sign_are_counted(strata: list[list[float]], agreeing: int) -> None:
    assert ask(strata).agreeing == agreeing


def test_runs_that_did_not_learn_are_mcnemars() -> None:
    strata = [[1.0] * 9 + [0.0] * 31, [1.0] * 5 + [-1.0] * 2 + [0.0] * 33]
    found = ask(strata, 1.0, None, binary=True).paired
    assert found.p_value == stats.binomtest(14, 16, 0.5).pvalue
    assert found.p_smallest == 2 / 2**16
    assert found.p_equivalence is None


def test_the_level_holds_where_environments_are_unlike() -> None:
    """No environment differs, their spreads and numbers of pairs do; and effects that cancel are no pooled one."""
    rng, wrong = np.random.default_rng(1), np.zeros(2)
    for _ in range(400):
        strata = [rng.standard_t(3, size) * sd for size, sd in ((6, 0.02), (9, 0.5), (4, 0.1))]
        wrong[0] += flips_of(strata).p_value() <= ALPHA
        strata = [one + shift for one, shift in zip(strata, (0.4, -0.2, -0.2), strict=True)]
        wrong[1] += flips_of(strata).p_value() <= ALPHA
    assert (wrong / 400 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)).all()


def test_where_the_common_seeds_point_the_other_way_nothing_is_shown_of_the_mean() -> None:
    downs, ups = dict.fromkeys(range(3), -0.9), dict.fromkeys(range(10, 40), 1.0)
    strata = [downs | ups, downs, dict.fromkeys(range(3), 0.0) | ups]
    found = pooled(strata, smallest_effect=0.1, bounds=[1.0] * 3, binary=False)
    assert found.paired.estimate is not None
    assert found.paired.estimate > 0
    assert found.paired.p_mean == 1.0


@pytest.mark.parametrize(
    ("p_question", "headline", "note"),
    [
        (0.001, "better in the runs seen", ""),
        (0.2, "inconclusive", "not tested: its pooled question is open"),
    ],
)
def test_a_comparison_is_tested_once_its_question_is_answered(p_question: float, headline: str, note: str) -> None:
    one = verdicts.Paired(n=30, n_nonzero=30, estimate=0.2, p_value=0.002, p_smallest=1e-5)
    family = [(replace(one, p_value=p_question), "higher", 0.05), (one, "higher", 0.05)]
    of_question, verdict = verdicts.decide(family, parents=[None, 0])
    assert (verdict.headline, "; ".join(map(str, verdict.notes))) == (headline, note)
    assert verdict.p_adjusted == max(p_question, 0.002)
    assert of_question.p_adjusted == p_question


def test_equivalence_has_a_tree_of_its_own() -> None:
    one = verdicts.Paired(n=90, n_nonzero=90, estimate=0.01, p_value=0.7, p_smallest=1e-5, p_equivalence=0.001)
    open_one = replace(one, p_equivalence=0.3)
    _, first, second = verdicts.decide(
        [(pair, "higher", 0.05) for pair in (one, one, open_one)], parents=[None, 0, 0]
    )
    assert first.verdict == "equivalent"
    assert first.p_equivalence_adjusted == 0.002
    assert [str(note) for note in second.notes] == ["not tested for a difference: its pooled question is open"]
