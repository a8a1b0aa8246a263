"""Comparisons of two arms and verdicts of families, from their public parts and by hand."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from helpers import oracles_statistics as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.estimators import correlation, welch_p
from rl_warmup.analysis.statistics.sign_flips import DRAWS, SignFlips
from rl_warmup.analysis.statistics.verdicts import Paired, Verdict, compare, decide

QUICK = settings(deadline=None, max_examples=40)
BOUND = 8.0  # wide enough for every case below
EIGHTHS = st.integers(-16, 16).map(lambda i: i / 8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ---- a comparison ----


def study(n: int, effect: float, sd: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    control = rng(seed).normal(0.6, 0.1, size=n)
    return control + rng(seed + 1).normal(effect, sd, size=n), control


def compared(
    x: object, y: object, effect: float | None = 0.05, binary: bool = False, bound: float | None = BOUND
) -> Paired:
    return compare(x, y, smallest_effect=effect, bound=bound, binary=binary)  # type: ignore[arg-type]


def quick(x: object, y: object) -> Paired:
    return compare(x, y, smallest_effect=0.05, bound=BOUND, binary=False, sensitivity=False)  # type: ignore[arg-type]


def words(verdict: Verdict) -> tuple[str, ...]:
    return tuple(map(str, verdict.notes))


@pytest.mark.parametrize("n", [8, 20, 25])
def test_a_comparison_is_made_of_the_public_parts(n: int) -> None:
    x, y = study(n, effect=0.05)
    paired, d = compared(x, y), np.sort(x - y)
    assert (paired.n, paired.n_nonzero) == (n, n)
    assert (paired.estimate, paired.sd) == pytest.approx((d.mean(), d.std(ddof=1)))
    flips = SignFlips.of(d)
    assert paired.p_value == flips.p_value()
    assert (paired.ci_low, paired.ci_high) == flips.interval(0.05)
    assert (paired.ci90_low, paired.ci90_high) == flips.interval(0.10)
    of_mean = Dirichlet.of(d, BOUND)
    assert (paired.bound, paired.p_mean) == (BOUND, of_mean.p_value())
    assert (paired.mean_ci_low, paired.mean_ci_high) == of_mean.interval(0.05)
    assert paired.p_equivalence == of_mean.equivalence_p(0.05)
    assert paired.iqm == pytest.approx(oracle.iqm(d.tolist()))
    assert paired.p_welch == pytest.approx(welch_p(x, y))
    assert paired.pairing_correlation == pytest.approx(correlation(x, y))
    assert paired.p_smallest == (2 / 2**n if flips.exact else 1 / (1 + DRAWS))
    assert compared(x, y) == paired  # draws depend on n alone


def test_without_a_bound_nothing_is_known_of_the_mean() -> None:
    x, y = study(60, effect=0.3)
    found, unknown = compared(x, y), compared(x, y, bound=None)
    of_mean = ["bound", "p_mean", "mean_ci_low", "mean_ci_high", "p_equivalence"]
    of_mean += ["p_phan", "phan_low", "phan_high", "p_betting", "betting_low", "betting_high"]
    assert unknown == dataclasses.replace(found, **dict.fromkeys(of_mean))
    (verdict,) = decide([(unknown, "higher", 0.05)])
    assert (verdict.verdict, verdict.headline) == ("inconclusive", "better in the runs seen")
    assert (verdict.p_mean_adjusted, verdict.p_equivalence_adjusted) == (None, None)
    with pytest.raises(ValueError, match="bound"):
        compared(x, y, bound=0.2)


def test_without_sensitivity_analyses_the_rest_is_the_same() -> None:
    x, y = study(25, effect=0.05)
    left_out = ["iqm_ci_low", "iqm_ci_high", "p_unpaired", "p_welch"]
    left_out += ["p_phan", "phan_low", "phan_high", "p_betting", "betting_low", "betting_high"]
    assert quick(x, y) == dataclasses.replace(compared(x, y), **dict.fromkeys(left_out))
    assert all(getattr(compared(x, y), name) is not None for name in left_out)


@QUICK
@given(st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=2, max_size=10), st.data())
def test_symmetries_of_a_comparison(pairs: list[tuple[float, float]], data: st.DataObject) -> None:
    x, y = np.array(pairs).T
    paired, swapped = quick(x, y), quick(y, x)
    order = data.draw(st.permutations(range(len(pairs))))
    assert quick(x[order], y[order]) == paired
    assert swapped.p_value == paired.p_value
    assert (swapped.p_mean, swapped.p_equivalence) == pytest.approx((paired.p_mean, paired.p_equivalence))
    assert (swapped.mean_ci_low, swapped.mean_ci_high) == pytest.approx((-paired.mean_ci_high, -paired.mean_ci_low))
    assert swapped.estimate == pytest.approx(-paired.estimate)
    assert swapped.iqm == pytest.approx(-paired.iqm, abs=1e-12)
    if paired.ci_low is not None:
        assert (swapped.ci_low, swapped.ci_high) == pytest.approx((-paired.ci_high, -paired.ci_low))
        assert paired.ci_low <= paired.ci90_low <= paired.estimate <= paired.ci90_high <= paired.ci_high
    moved = quick(x + 3, y)
    assert moved.estimate == pytest.approx(paired.estimate + 3)
    assert moved.ci90_low == (None if paired.ci90_low is None else pytest.approx(paired.ci90_low + 3))
    assert all(math.isfinite(v) for v in dataclasses.astuple(paired) if v is not None)


@pytest.mark.parametrize("n", [24, 60])
def test_the_order_of_seeds_does_not_reach_random_draws(n: int) -> None:
    x, y = study(n, effect=0.03)
    order = rng(4).permutation(n)
    assert compared(x[order], y[order]) == compared(x, y)


def test_differences_within_rounding_are_none() -> None:
    paired = compared([0.1 + 0.2] * 9 + [1.0], [0.3] * 9 + [0.5])
    assert (paired.n_nonzero, paired.p_value, paired.p_smallest) == (1, 1.0, 1.0)
    same = compared([0.1 + 0.2] * 20, [0.3] * 20)
    assert (same.p_value, same.estimate, same.ci_low, same.ci_high) == (1.0, 0.0, 0.0, 0.0)


def test_a_binary_metric_is_tested_by_mcnemar_for_every_n() -> None:
    x, y = [0.0] * 30 + [1.0] * 10, [1.0] * 40
    paired = compared(x, y, None, binary=True, bound=1.0)
    assert paired.p_value == pytest.approx(2 / 2**30)
    assert paired.p_smallest == 2 / 2**30
    assert paired.p_equivalence is None


@pytest.mark.parametrize(("n", "word"), [(58, "inconclusive"), (59, "equivalent")])
def test_failures_can_be_equivalent_from_59_pairs_without_any(n: int, word: str) -> None:
    paired = compared([0.0] * n, [0.0] * n, 0.05, binary=True, bound=1.0)
    assert paired.p_equivalence == pytest.approx(0.95**n)  # one failure more has no part in the mean but its weight
    assert decide([(paired, "lower", 0.05)])[0].headline == word


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pairs_say_nothing(n: int) -> None:
    paired = compared([1.0] * n, [0.5] * n)
    assert paired == Paired(n=n, n_nonzero=n, bound=BOUND)
    (verdict,) = decide([(paired, "higher", 0.05)])
    assert (verdict.headline, verdict.p_adjusted, verdict.p_mean_adjusted) == ("inconclusive", None, None)
    assert words(verdict) == (f"{n} complete pairs: no inference with fewer than two",)


@pytest.mark.parametrize(
    ("x", "y", "effect", "match"),
    [
        ([1.0, 2.0], [1.0], 0.05, "2 treatment and 1 control runs"),
        ([1.0, float("nan")], [1.0, 2.0], 0.05, "treatment holds nan: score diverged"),
        ([1.0, 2.0], [1.0, float("inf")], 0.05, "control holds inf"),
        ([[1.0, 2.0]], [1.0, 2.0], 0.05, r"shape \(1, 2\): give one number for each run"),
        ([1.0, 2.0], [1.0, 2.0], 0.0, r"smallest effect 0\.0"),
        ([1.0, 2.0], [1.0, 2.0], float("nan"), "smallest effect nan"),
    ],
)
def test_bad_input_is_refused(x: object, y: object, effect: float, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        compared(x, y, effect)


# ---- a verdict ----


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize(("n", "scope"), [(20, " in the runs seen"), (120, "")])
def test_better_and_worse_follow_the_metric(sign: int, better: str, n: int, scope: str) -> None:
    x, y = study(n, effect=0.3 * sign)
    (verdict,) = decide([(compared(x, y), better, 0.05)])
    word = "better" if (sign > 0) == (better == "higher") else "worse"
    assert (verdict.headline, verdict.verdict_in_runs_seen) == (f"{word}{scope}", word)
    assert verdict.notes == ()


def test_equivalent_comes_first_even_where_significant() -> None:
    x, y = study(80, effect=0.01, sd=0.004)
    (verdict,) = decide([(compared(x, y, bound=1.0), "higher", 0.05)])
    assert verdict.p_adjusted < 0.001
    assert (verdict.verdict, verdict.verdict_in_runs_seen) == ("equivalent", "inconclusive")
    assert words(verdict) == ("significant but smaller than 0.05",)
    (null,) = decide([(compared(*study(80, effect=0.0, sd=0.004, seed=4), bound=1.0), "higher", 0.05)])
    assert null.p_adjusted > 0.05
    assert (null.verdict, words(null)) == ("equivalent", ())
    # without a smallest effect the same numbers are better
    assert decide([(compared(x, y, None), "higher", None)])[0].headline == "better in the runs seen"


@pytest.mark.parametrize("n", [10, 20, 40])
def test_what_is_too_small_to_matter_is_not_better_before_it_can_be_equivalent(n: int) -> None:
    (verdict,) = decide([(compared(*study(n, effect=0.01, sd=0.004), bound=1.0), "higher", 0.05)])
    assert verdict.p_adjusted < 0.05
    assert verdict.headline == "inconclusive"
    assert words(verdict)[-1] == "significant but smaller than 0.05; too few pairs to call it equivalent"


def test_equivalence_needs_the_adjusted_p() -> None:
    close = next(e for e in np.linspace(0.02, 0.2, 181) if Dirichlet.of(np.zeros(80), 1.0).equivalence_p(e) <= 0.03)
    alone = compared([0.0] * 80, [0.0] * 80, close, bound=1.0)
    assert decide([(alone, "higher", close)])[0].verdict == "equivalent"
    assert [v.verdict for v in decide([(alone, "higher", close)] * 2)] == ["inconclusive"] * 2


P_VALUES = st.lists(st.floats(0, 1) | st.just(0.01), min_size=1, max_size=8)


@settings(deadline=None, max_examples=6)  # statsmodels collects garbage at every correction
@given(P_VALUES, P_VALUES, P_VALUES)
def test_the_kinds_of_p_are_adjusted_each_over_those_that_have_one(
    p: list[float], q: list[float], r: list[float]
) -> None:
    family = [
        Paired(20, 20, 0.1, 1.0, p_value=a, p_equivalence=b, p_mean=c, p_smallest=0.0)
        for a, b, c in itertools.zip_longest(p, q, r)
    ]
    verdicts = decide([(paired, "higher", None) for paired in family])
    assert [v.p_adjusted for v in verdicts][: len(p)] == pytest.approx(oracle.holm(p))
    assert [v.p_equivalence_adjusted for v in verdicts][: len(q)] == pytest.approx(oracle.holm(q))
    assert [v.p_mean_adjusted for v in verdicts][: len(r)] == pytest.approx(oracle.holm(r))
    assert all(v.p_adjusted is None for v in verdicts[len(p) :])
    explored = decide([(paired, "higher", None) for paired in family], "fdr_bh")
    assert [v.p_adjusted for v in explored][: len(p)] == pytest.approx(multipletests(p, method="fdr_bh")[1])
    for verdict, paired in zip(verdicts, family, strict=True):
        yes = [
            one is not None and one <= 0.05
            for one in (verdict.p_adjusted, verdict.p_mean_adjusted, verdict.p_equivalence_adjusted)
        ]
        assert verdict.verdict_in_runs_seen == ("better" if yes[0] else "inconclusive"), paired
        assert verdict.verdict == ("equivalent" if yes[2] else "better" if yes[1] else "inconclusive"), paired


@pytest.mark.parametrize(("tests", "enough"), [(1, 6), (3, 7), (6, 8), (24, 10)])
def test_too_few_nonzero_differences_are_said_to_be_too_few(tests: int, enough: int) -> None:
    # the best case of n differences, all of one sign, beside pairs that tie at the ceiling
    for n, possible in ((enough - 1, False), (enough, True)):
        paired = compared([1.0] * (n + 4), [0.5] * n + [1.0] * 4)
        verdicts = decide([(paired, "higher", 0.05)] * tests)
        said = [any(note.kind == "no significance" for note in v.notes) for v in verdicts]
        assert said == [not possible] * tests
        assert [v.verdict_in_runs_seen == "better" for v in verdicts] == [possible] * tests
    assert words(decide([(compared([1.0] * 5, [0.5] * 5), "higher", 0.05)] * 3)[0]) == (
        "pilot: 5 pairs, fewer than 20",
        "significance was not possible: 5 non-zero differences give no p below 0.062, and this family needs 0.017",
    )


def test_a_family_of_the_registry_s_metrics() -> None:
    x, y = study(20, effect=0.3)
    family = [
        (
            compare(
                (x < 0.85).astype(float) if m.binary else x,
                (y < 0.85).astype(float) if m.binary else y,
                smallest_effect=m.smallest_effect,
                bound=2.0,
                binary=m.binary,
            ),
            m.better,
            m.smallest_effect,
        )
        for m in with_role("confirmatory")
    ]
    names = [m.name for m in with_role("confirmatory")]
    verdicts = dict(zip(names, decide(family), strict=True))
    assert {name: v.verdict_in_runs_seen for name, v in verdicts.items()} == {
        "final": "better",
        "area": "better",
        "shortfall": "worse",
        "not_learned": "better",
    }


def test_unknown_names_are_refused() -> None:
    paired = compared([1.0, 2.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="unknown direction 'up': use higher or lower"):
        decide([(paired, "up", 0.05)])
    with pytest.raises(ValueError, match="unknown correction 'bonferroni': use holm or fdr_bh"):
        decide([(paired, "higher", 0.05)], "bonferroni")  # type: ignore[arg-type]
    assert decide([]) == []
