"""The tree of hypotheses against a closed test that lists all intersections, and against a graph of any shape."""

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from rl_warmup.analysis.statistics.gatekeeping import gatekept

QUICK = settings(deadline=None, max_examples=50)
Parents = list[int | None]


@st.composite
def families(draw: st.DrawFn) -> tuple[list[float], Parents]:
    """Up to three trees of up to three hypotheses under a parent; p values with ties, at both ends too."""
    parents: Parents = []
    for size in draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)):
        root = len(parents)
        parents += [None, *[root] * size]
    p = st.integers(0, 40).map(lambda count: count / 400) | st.floats(0, 1)
    return [draw(p) for _ in parents], parents


def weights_of(members: Sequence[int], parents: Parents) -> dict[int, Fraction]:
    """Bonferroni's weights in the intersection of some hypotheses."""
    root = [place if parent is None else parent for place, parent in enumerate(parents)]
    trees = {root[member] for member in members}
    weights = {}
    for member in members:
        rivals = [other for other in members if root[other] == root[member] and parents[other] is not None]
        if parents[member] is None:
            weights[member] = Fraction(1, len(trees))
        else:
            weights[member] = Fraction(0) if root[member] in members else Fraction(1, len(trees) * len(rivals))
    return weights


def closed(p: Sequence[float], parents: Parents) -> list[Fraction]:
    """The adjusted p of a closed test: the largest p of all intersections that a hypothesis is in."""
    places = range(len(p))
    adjusted = [Fraction(0)] * len(p)
    for size in range(1, len(p) + 1):
        for members in itertools.combinations(places, size):
            weights = weights_of(members, parents)
            assert sum(weights.values()) == 1
            own = min(Fraction(p[one]) / weights[one] for one in members if weights[one])
            for one in members:
                adjusted[one] = max(adjusted[one], min(own, Fraction(1)))
    return adjusted


def graph(p: Sequence[float], parents: Parents, epsilon: Fraction = Fraction(1, 10**12)) -> list[Fraction]:
    """Algorithm 2 of Bretz et al. 2009 on its graph: weights and transitions, updated at every rejection."""
    places = list(range(len(p)))
    roots = [place for place in places if parents[place] is None]
    under = {root: [place for place in places if parents[place] == root] for root in roots}
    weight = {place: Fraction(int(place in roots), len(roots)) for place in places}
    edge = {pair: Fraction(0) for pair in itertools.permutations(places, 2)}
    for root in roots:
        for member in (root, *under[root]):
            others = [one for one in under[root] if one != member]
            away = [one for one in roots if one != root]
            for one in others:
                edge[member, one] = (1 if member == root or not away else 1 - epsilon) / Fraction(len(others))
            if not others or member != root:
                for one in away:
                    edge[member, one] = (epsilon if others else Fraction(1)) / len(away)
    adjusted, reached = {}, Fraction(0)
    while places:
        ratio = {one: Fraction(p[one]) / weight[one] for one in places if weight[one]}
        gone = min(ratio, key=lambda one: ratio[one])
        adjusted[gone] = reached = max(reached, min(ratio[gone], Fraction(1)))
        places.remove(gone)
        weight |= {one: weight[one] + weight[gone] * edge[gone, one] for one in places}
        old = dict(edge)
        for one, other in itertools.permutations(places, 2):
            loop = old[one, gone] * old[gone, one]
            through = old[one, other] + old[one, gone] * old[gone, other]
            edge[one, other] = through / (1 - loop) if loop < 1 else Fraction(0)
    return [adjusted[place] for place in range(len(p))]


@QUICK
@given(families())
def test_it_is_the_closed_test(family: tuple[list[float], Parents]) -> None:
    assert gatekept(*family) == pytest.approx([float(p) for p in closed(*family)], rel=1e-12, abs=1e-15)


@QUICK
@given(families())
def test_it_is_the_graph_of_bretz(family: tuple[list[float], Parents]) -> None:
    assert gatekept(*family) == pytest.approx([float(p) for p in graph(*family)], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("p", [[0.2], [0.01, 0.04, 0.03, 0.02], [0.0, 1.0, 0.5, 0.5, 1e-9, 0.011]])
def test_without_parents_it_is_holm(p: list[float]) -> None:
    assert gatekept(p, [None] * len(p)) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)


@QUICK
@given(families())
def test_none_is_rejected_before_its_parent(family: tuple[list[float], Parents]) -> None:
    adjusted = gatekept(*family)
    for p, parent in zip(adjusted, family[1], strict=True):
        assert parent is None or (p or 0.0) >= (adjusted[parent] or 0.0)


def test_two_questions_of_two_environments_by_hand() -> None:
    """Half of the level each; a question that is answered everywhere leaves the other the whole of it."""
    parents: Parents = [None, 0, 0, None, 3, 3]
    assert gatekept([0.01, 0.005, 0.004, 0.03, 0.001, 0.02], parents) == pytest.approx(
        [0.02, 0.02, 0.02, 0.03, 0.03, 0.03]
    )
    open_one = gatekept([0.01, 0.02, 0.004, 0.03, 0.001, 0.002], parents)  # .02 needs .025, as one of two trees
    assert open_one == pytest.approx([0.02, 0.04, 0.02, 0.04, 0.04, 0.04])


def test_a_question_that_cannot_be_tested_holds_nothing_back() -> None:
    assert gatekept([None, 0.01, None, 0.03], [None, 0, 0, 0]) == [None, 0.02, None, 0.03]
    assert gatekept([], []) == []
    with pytest.raises(ValueError, match="hypothesis 2 is under 1, which is under another"):
        gatekept([0.1, 0.1, 0.1], [None, 0, 1])


@pytest.mark.parametrize(
    "effects",
    [
        np.zeros((2, 3)),
        np.array([[4.0, -2.0, -2.0], [0, 0, 0]]),  # a pooled question that is true although no environment's is
        np.array([[4.0, 4.0, 0.0], [4.0, 0.0, -4.0]]),
        np.array([[9.0, 9.0, 9.0], [0, 0, 0]]),  # a tree that is rejected and passes its level on
    ],
)
def test_no_true_hypothesis_is_rejected_more_often_than_the_level(effects: np.ndarray) -> None:
    """Two questions of three environments; the pooled one is of the mean, so it depends on all under it."""
    rng, studies, wrong = np.random.default_rng(0), 4000, 0
    parents: Parents = [None, 0, 0, 0, None, 4, 4, 4]
    truth = np.concatenate([effects.mean(axis=1, keepdims=True), effects], axis=1).ravel()
    shared = rng.standard_normal((studies, 1, 3))  # the questions are of the same runs
    z = effects + (shared + rng.standard_normal((studies, 2, 3))) / np.sqrt(2)
    together = np.concatenate([z.sum(axis=2, keepdims=True) / np.sqrt(3), z], axis=2).reshape(studies, -1)
    for p in 2 * stats.norm.sf(np.abs(together)):
        adjusted = gatekept(p.tolist(), parents)
        wrong += any((one or 0.0) <= 0.05 for one, is_true in zip(adjusted, truth == 0, strict=True) if is_true)
    assert wrong / studies <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)
