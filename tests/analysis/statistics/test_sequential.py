"""Oracles: the recursion by plain lists, all sign vectors as data, the test of fixed n, published boundaries."""

import itertools
import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from rl_warmup.analysis.statistics.sequential import (
    Sequential,
    anew_p_values,
    flipped,
    repeated_interval,
    totals,
)
from rl_warmup.analysis.statistics.spending import RULES, Spending

FIVE = (20, 40, 60, 80, 100)


def signs(flips, pairs):  # [bytes, vectors] -> [vectors, pairs]
    return 1 - 2.0 * np.unpackbits(flips, axis=0, count=pairs, bitorder="little").T


def by_lists(statistics, budgets):
    """The look at which the first vector stops, by the words of the recursion; [looks][vectors]."""
    alive, used = list(range(len(statistics[0]))), 0
    for look, budget in enumerate(budgets, start=1):
        rank = {j: sum(statistics[look - 1][i] >= statistics[look - 1][j] for i in alive) for j in alive}
        out = [j for j in alive if rank[j] <= budget - used]
        if 0 in out:
            return look
        alive = [j for j in alive if j not in out]
        used += len(out)
    return None


@pytest.mark.parametrize("pairs", [1, 7, 8, 9, 16])
def test_few_pairs_have_every_sign_vector_once(pairs):
    found = signs(flipped(pairs), pairs)
    assert len({tuple(vector) for vector in found}) == 2**pairs == len(found)
    assert np.all(found[0] == 1)


def test_random_vectors_are_drawn_from_the_number_of_pairs_alone():
    flips = flipped(100)
    assert flips.shape == (13, 100_000)
    assert not flips[:, 0].any()
    assert np.array_equal(flips, flipped.__wrapped__(100))
    assert not np.array_equal(flips[:, 1:], flipped(104)[:, 1:])
    assert np.abs(signs(flips[:, 1:10_001], 100).mean(axis=0)).max() < 5 / math.sqrt(10_000)


@pytest.mark.parametrize("counts", [(3, 10, 13), (20, 40, 100), (8, 16), (100,)])
def test_totals_are_signed_sums(counts):
    rng = np.random.default_rng(3)
    d, flips = rng.normal(size=counts[-1]), flipped(counts[-1], 50)
    expected = [signs(flips, counts[-1])[:, :n] @ d[:n] for n in counts]
    assert totals(d, counts, flips) == pytest.approx(np.array(expected), abs=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("kind", ["normal", "lattice"])
def test_it_stops_where_the_recursion_by_lists_stops(rule, alternative, kind):
    spending, rng = Spending((3, 5, 7), rule), np.random.default_rng(5)
    stops = set()
    for _ in range(10):
        d = rng.normal(0.8, 1, 7) if kind == "normal" else rng.integers(-1, 3, 7).astype(float)
        values = totals(d, spending.counts, flipped(7))
        values = {"two-sided": np.abs(values), "greater": values, "less": -values}[alternative].round(9)
        budgets = [math.floor(part * 128 + 1e-6) for part in spending.by(0.1)]
        stops.add(expected := by_lists(values.tolist(), budgets))
        assert Sequential.of(d, spending, alternative).crossing(0.1) == expected
    assert len(stops) > 1 or alternative == "less"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("level", [0.05, 0.2])
def test_under_all_sign_vectors_it_stops_as_often_as_is_spent_and_not_once_more(rule, level):
    spending, size = Spending((4, 6, 8), rule), np.random.default_rng(8).gamma(2.0, size=8)
    stops = {"greater": [], "two-sided": []}
    for vector in itertools.product([1.0, -1.0], repeat=8):
        for alternative, found in stops.items():
            found.append(Sequential.of(size * vector, spending, alternative, level=level).crossing(level))
    for look, part in enumerate(spending.by(level), start=1):
        allowed = math.floor(256 * part + 1e-6)
        for found in stops.values():
            assert sum(stop is not None and stop <= look for stop in found) <= allowed
    # early looks leave ties, which have the same signs so far, to later ones; at the last there are none but those
    # of a vector and its negative, which have one |total|
    assert sum(stop is not None for stop in stops["greater"]) == allowed
    assert sum(stop is not None for stop in stops["two-sided"]) == 2 * (allowed // 2)


def test_with_ties_it_stops_no_more_often_than_is_spent():
    spending, size = Spending((4, 6, 8), "pocock"), np.array([0, 1, 1, 1, 0, 1, 1, 1.0])
    stops = [
        Sequential.of(size * vector, spending).crossing(0.2) for vector in itertools.product([1.0, -1.0], repeat=8)
    ]
    stopped = sum(stop is not None for stop in stops)
    assert 0 < stopped <= 0.2 * 256


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_one_look_is_the_test_of_fixed_n(alternative):
    rng = np.random.default_rng(11)
    for d in (rng.normal(0.5, 1, 11), rng.integers(-2, 4, 11) / 10, np.ones(11)):
        sums = np.array([np.dot(vector, d) for vector in itertools.product([1.0, -1.0], repeat=11)]).round(9)
        observed = round(float(d.sum()), 9)
        extreme = {
            "two-sided": np.abs(sums) >= abs(observed),
            "greater": sums >= observed,
            "less": sums <= observed,
        }[alternative]
        test = Sequential.of(d, Spending((11,), "pocock"), alternative)
        assert test.p_values() == [np.mean(extreme)]
        for level in (0.01, 0.05, 0.3):
            assert (test.crossing(level) == 1) == (np.mean(extreme) <= level)


@pytest.mark.parametrize(
    ("counts", "rule", "alternative", "published"),
    [
        # one-sided at .05: PharmCat/SeqBounds.jl, README
        ((250, 500, 750, 1000), "obrien_fleming", "greater", [3.74955, 2.53993, 2.01604, 1.72014]),
        # two-sided at .05: R package ldbounds, five looks
        ((200, 400, 600, 800, 1000), "pocock", "two-sided", [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
    ],
)
def test_boundaries_are_the_published_ones(counts, rule, alternative, published):
    d = np.random.default_rng(2).normal(size=counts[-1])
    test = Sequential.of(d, Spending(counts, rule), alternative, level=0.05)
    budgets, out, used = [math.floor(100_000 * part) for part in test.spending.by(0.05)], set(), 0
    for values, n, budget, z in zip(test.extremes, counts, budgets, published, strict=True):
        alive = [j for j in np.argsort(-values)[:budget] if j not in out][: budget - used]
        found = values[alive[-1]] / np.linalg.norm(d[:n])
        nominal = math.erfc(z / math.sqrt(2)) / (1 if alternative == "two-sided" else 2)
        error = math.sqrt(nominal / 100_000) / (math.exp(-z * z / 2) / math.sqrt(2 * math.pi))
        assert found == pytest.approx(z, abs=4 * error + 0.02)
        out |= set(alive)
        used = budget


@pytest.mark.parametrize("rule", RULES)
def test_the_level_holds_where_runs_collapse_in_both_arms(rule):
    rng, studies = np.random.default_rng(17), 200
    spending = Spending(FIVE, rule)
    stopped = 0
    for _ in range(studies):
        arms = rng.normal(0.9, 0.1, (2, 100)) * (rng.random((2, 100)) > 0.15)
        stopped += Sequential.of(arms[0] - arms[1], spending, level=0.05, draws=999).crossing(0.05) is not None
    assert stopped / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)


def test_the_sequential_p_is_the_level_at_which_it_stops():
    rng = np.random.default_rng(23)
    for shift in (0.01, 0.05):
        test = Sequential.of(rng.normal(shift, 0.1, 60), Spending(FIVE, "pocock"), draws=999)
        p_values = test.p_values()
        assert p_values == sorted(p_values, reverse=True)
        for look, p in enumerate(p_values, start=1):
            stops = [(test.crossing(level) or 9) <= look for level in (p, p - 1 / 1000)]
            assert stops == [p < 1, False]


def test_the_sequential_p_of_a_look_does_not_know_the_later_ones():
    d = np.random.default_rng(29).normal(0.02, 0.1, 100)
    of = [Sequential.of(d[:n], Spending(FIVE, "pocock"), draws=999).p_values() for n in FIVE]
    assert [p[-1] for p in of] == of[-1]


def test_before_the_last_look_no_level_may_be_enough():
    test = Sequential.of([0.1, -0.1] * 10, Spending(FIVE, "pocock"), draws=999)
    assert test.crossing(1.0) is None
    assert test.p_values() == [1]


def test_a_difference_that_was_shown_stays_shown():
    d = np.concatenate([np.full(20, 0.1), np.full(80, -0.02)])
    assert Sequential.of(d, Spending(FIVE, "pocock")).crossing(0.05) == 1


def test_an_interval_holds_what_the_last_look_does_not_reject():
    d = np.random.default_rng(31).normal(0.05, 0.1, 60)
    spending = Spending(FIVE, "obrien_fleming")
    low, high = repeated_interval(d, spending, draws=4999)
    for center, rejected in [(low - 1e-3, True), (low + 1e-3, False), (high - 1e-3, False), (high + 1e-3, True)]:
        assert Sequential.of(d, spending, center=center, draws=4999).beyond(0.05)[-1] == rejected
    assert low < d.mean() < high


def test_an_interval_of_one_look_is_that_of_fixed_n_and_of_more_looks_is_wider():
    d = np.random.default_rng(37).normal(0.05, 0.1, 12)
    means = sorted(
        np.mean(subset) for size in range(1, 13) for subset in itertools.combinations(d.tolist(), size)
    )  # Hartigan 1969
    k = math.floor(0.025 * 2**12)
    one = repeated_interval(d, Spending((12,), "pocock"))
    assert one == pytest.approx((means[k - 1], means[-k]), abs=2e-3)
    low, high = repeated_interval(d, Spending((6, 9, 12), "pocock"))
    assert low < one[0] < one[1] < high


def test_too_few_pairs_to_reject_anything_bound_nothing():
    assert repeated_interval(np.array([0.1, 0.2, 0.1]), Spending((3, 6), "pocock")) == (-math.inf, math.inf)


def test_equal_differences_have_an_interval_without_width():
    assert repeated_interval(np.zeros(20), Spending(FIVE, "pocock"), draws=999) == pytest.approx((0, 0), abs=1e-9)


def test_pairs_at_which_no_look_is_planned_are_refused():
    with pytest.raises(ValueError, match=r"30 pairs are no planned look: looks are planned at \[20, 40"):
        Sequential.of(np.ones(30), Spending(FIVE, "pocock"))


def holm_by_crossings(crossings):
    """The look at which each is rejected; crossings: [m][level/1 ... level/m], None for never."""
    found = [None] * len(crossings)
    for look in range(1, 6):
        while new := [
            i for i, row in enumerate(crossings) if found[i] is None and (row[found.count(None) - 1] or 9) <= look
        ]:
            found = [look if i in new else before for i, before in enumerate(found)]
    return found


@pytest.mark.parametrize("rule", RULES)
def test_holm_of_the_p_is_holm_across_looks_by_crossings(rule):
    rng, spending = np.random.default_rng(43), Spending(FIVE, rule)
    found = set()
    for _ in range(2):
        tests = [Sequential.of(rng.normal(mean, 0.1, 100), spending, draws=999) for mean in (0.07, 0.04, 0.03, 0)]
        p_values = np.array([test.p_values() for test in tests])  # [tests, looks]
        rejected = [multipletests(p, 0.05, method="holm")[0] for p in p_values.T]
        looks = [next((k for k, at in enumerate(rejected, start=1) if at[i]), None) for i in range(4)]
        crossings = [[test.crossing((50 // j) / 1000) for j in range(1, 5)] for test in tests]
        assert looks == holm_by_crossings(crossings)
        found |= set(looks)
    assert len(found) > 2


def test_ties_do_not_overspend_the_levels_that_are_asked_for():
    # at 163/1024 bisection alone rejects 4% more vectors than are allowed
    spending, vectors = Spending((4, 7, 10), "pocock"), itertools.product([1.0, -1.0], repeat=10)
    p = np.array([Sequential.of(vector, spending).p_values(163 / 1024, 3) for vector in vectors])
    for step in (163, 81, 54):
        for look, part in enumerate(spending.by(step / 1024)):
            assert np.count_nonzero(p[:, look] <= step / 1024) <= 1024 * part + 1e-6


def test_a_test_that_is_made_anew_at_each_look_is_rejected_by_what_is_spent_there():
    spending = Spending((50, 100), "pocock")  # .62011 and .37989 of any level
    assert anew_p_values([0.031, 0.0189], spending) == pytest.approx([0.031 / 0.62011, 0.0189 / 0.37989], rel=1e-4)
    assert anew_p_values([0.01, 0.9], spending) == pytest.approx([0.01 / 0.62011] * 2, rel=1e-4)
    assert anew_p_values([0.7], spending) == [1.0]


@pytest.mark.parametrize("p", [1e-12, 1e-5, 0.01])
@pytest.mark.parametrize("look", range(5))
def test_what_is_needed_is_the_level_that_spends_it(p, look):
    spending = Spending(FIVE, "obrien_fleming")
    level = spending.needed(p, look)
    assert spending.at(level)[look] == pytest.approx(p, rel=1e-5)
    assert spending.needed(0.9, look) == (1.0 if look else pytest.approx(0.955, abs=1e-3))
