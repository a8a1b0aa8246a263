"""Comparisons of two arms and verdicts of families, from their public parts and by hand."""

import dataclasses
import math

import numpy as np
import pytest
from helpers import oracles_statistics as oracle
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.statistics.estimators import correlation, welch_p
from rl_warmup.analysis.statistics.sign_flips import SignFlips
from rl_warmup.analysis.statistics.verdicts import Paired, Verdict, compare, decide, pairs_to_decide

QUICK = settings(deadline=None, max_examples=40)
EIGHTHS = st.integers(-16, 16).map(lambda i: i / 8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# ---- a comparison ----


def study(n: int, effect: float, sd: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    control = rng(seed).normal(0.6, 0.1, size=n)
    return control + rng(seed + 1).normal(effect, sd, size=n), control


def compared(x: object, y: object, effect: float | None = 0.05, binary: bool = False) -> Paired:
    return compare(x, y, smallest_effect=effect, binary=binary, rng=rng())  # type: ignore[arg-type]


def words(verdict: Verdict) -> tuple[str, ...]:
    return tuple(map(str, verdict.notes))


@pytest.mark.parametrize("n", [8, 20, 25])
def test_a_comparison_is_made_of_the_public_parts(n: int) -> None:
    x, y = study(n, effect=0.05)
    paired, d = compared(x, y), np.sort(x - y)
    assert (paired.n, paired.n_nonzero) == (n, n)
    assert (paired.estimate, paired.sd) == pytest.approx((d.mean(), d.std(ddof=1)))
    flips = SignFlips.of(d, rng())
    assert paired.p_value == flips.p_value()
    assert (paired.ci_low, paired.ci_high) == flips.interval(0.05)
    assert (paired.ci90_low, paired.ci90_high) == flips.interval(0.10)
    assert paired.p_equivalence == flips.tost_p(0.05)
    assert paired.iqm == pytest.approx(oracle.iqm(d.tolist()))
    assert paired.p_welch == pytest.approx(welch_p(x, y))
    assert paired.pairing_correlation == pytest.approx(correlation(x, y))
    assert paired.p_smallest == (2 / 2**n if n <= 20 else 1 / 10_001)
    assert compared(x, y) == paired  # the generator is the only randomness


def test_without_sensitivity_analyses_the_rest_is_the_same() -> None:
    x, y = study(25, effect=0.05)
    left_out = ("iqm_ci_low", "iqm_ci_high", "p_unpaired", "p_welch")
    quick = compare(x, y, smallest_effect=0.05, binary=False, rng=rng(), sensitivity=False)
    assert quick == dataclasses.replace(compared(x, y), **dict.fromkeys(left_out))
    assert all(getattr(compared(x, y), name) is not None for name in left_out)


@QUICK
@given(st.lists(st.tuples(EIGHTHS, EIGHTHS), min_size=2, max_size=10), st.data())
def test_symmetries_of_a_comparison(pairs: list[tuple[float, float]], data: st.DataObject) -> None:
    x, y = np.array(pairs).T
    paired, swapped = compared(x, y), compared(y, x)
    order = data.draw(st.permutations(range(len(pairs))))
    assert compared(x[order], y[order]) == paired
    assert (swapped.p_value, swapped.p_equivalence) == (paired.p_value, paired.p_equivalence)
    assert swapped.estimate == pytest.approx(-paired.estimate)
    assert swapped.iqm == pytest.approx(-paired.iqm, abs=1e-12)
    if paired.ci_low is not None:
        assert (swapped.ci_low, swapped.ci_high) == pytest.approx((-paired.ci_high, -paired.ci_low))
        assert paired.ci_low <= paired.ci90_low <= paired.estimate <= paired.ci90_high <= paired.ci_high
    moved = compared(x + 3, y)
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
    paired = compared(x, y, None, binary=True)
    assert paired.p_value == pytest.approx(2 / 2**30)
    assert paired.p_smallest == 2 / 2**30
    assert paired.p_equivalence is None
    assert compared(x, y, 0.05, binary=True).p_equivalence is None


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pairs_say_nothing(n: int) -> None:
    paired = compared([1.0] * n, [0.5] * n)
    assert paired == Paired(n=n, n_nonzero=n)
    (verdict,) = decide([(paired, "higher", 0.05)])
    assert (verdict.verdict, verdict.p_adjusted, verdict.n_to_decide) == ("inconclusive", None, None)
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
def test_better_and_worse_follow_the_metric(sign: int, better: str) -> None:
    x, y = study(20, effect=0.3 * sign)
    (verdict,) = decide([(compared(x, y), better, 0.05)])
    assert verdict.verdict == ("better" if (sign > 0) == (better == "higher") else "worse")
    assert (verdict.n_to_decide, verdict.notes) == (None, ())


def test_equivalent_comes_first_even_where_significant() -> None:
    x, y = study(20, effect=0.01, sd=0.004)
    paired = compared(x, y)
    (verdict,) = decide([(paired, "higher", 0.05)])
    assert paired.p_value < 0.001
    assert verdict.verdict == "equivalent"
    assert words(verdict) == ("collapse rates under 14% are not excluded by 20 pairs",)
    (many,) = decide([(compared(*study(59, effect=0.0, sd=0.01)), "higher", 0.05)])
    assert words(many) == ("collapse rates under 5% are not excluded by 59 pairs",)
    # without a smallest effect the same numbers are better
    assert decide([(compared(x, y, None), "higher", None)])[0].verdict == "better"


def test_equivalence_needs_twenty_pairs() -> None:
    (verdict,) = decide([(compared(*study(19, effect=0.0, sd=0.004, seed=6)), "higher", 0.05)])
    assert verdict.p_equivalence_adjusted < 0.001
    assert verdict.verdict == "inconclusive"
    assert words(verdict)[0] == "pilot: 19 pairs, fewer than 20"


def test_equivalence_needs_the_interval_and_the_adjusted_p() -> None:
    x, y = study(20, effect=0.0, sd=0.1, seed=3)
    close = next(e for e in np.linspace(0.03, 0.2, 171) if SignFlips.of(x - y, rng()).tost_p(e) <= 0.04)
    alone = compared(x, y, close)
    assert decide([(alone, "higher", close)])[0].verdict == "equivalent"
    assert [v.verdict for v in decide([(alone, "higher", close)] * 2)] == ["inconclusive"] * 2
    wide = dataclasses.replace(alone, ci90_high=close)
    assert decide([(wide, "higher", close)])[0].verdict == "inconclusive"


P_VALUES = st.lists(st.floats(0, 1) | st.just(0.01), min_size=1, max_size=8)


@settings(deadline=None, max_examples=15)
@given(P_VALUES, P_VALUES)
def test_both_kinds_of_p_are_adjusted_over_those_that_have_one(p: list[float], q: list[float]) -> None:
    size = max(len(p), len(q))
    family = [
        Paired(20, 20, 0.1, 1.0, p_value=a, p_equivalence=b, p_smallest=0.0)
        for a, b in zip([*p, *[None] * (size - len(p))], [*q, *[None] * (size - len(q))], strict=True)
    ]
    verdicts = decide([(paired, "higher", None) for paired in family])
    assert [v.p_adjusted for v in verdicts][: len(p)] == pytest.approx(oracle.holm(p))
    assert [v.p_equivalence_adjusted for v in verdicts][: len(q)] == pytest.approx(oracle.holm(q))
    assert all(v.p_adjusted is None for v in verdicts[len(p) :])
    explored = decide([(paired, "higher", None) for paired in family], "fdr_bh")
    assert [v.p_adjusted for v in explored][: len(p)] == pytest.approx(multipletests(p, method="fdr_bh")[1])
    for verdict, paired in zip(verdicts, family, strict=True):
        significant = verdict.p_adjusted is not None and verdict.p_adjusted <= 0.05
        assert verdict.verdict == ("better" if significant else "inconclusive"), paired


@pytest.mark.parametrize(("tests", "enough"), [(1, 6), (3, 7), (6, 8), (24, 10)])
def test_too_few_nonzero_differences_are_said_to_be_too_few(tests: int, enough: int) -> None:
    # the best case of n differences, all of one sign, beside pairs that tie at the ceiling
    for n, possible in ((enough - 1, False), (enough, True)):
        paired = compared([1.0] * (n + 4), [0.5] * n + [1.0] * 4)
        verdicts = decide([(paired, "higher", 0.05)] * tests)
        said = [any(note.kind == "no significance" for note in v.notes) for v in verdicts]
        assert said == [not possible] * tests
        assert [v.verdict == "better" for v in verdicts] == [possible] * tests
    assert words(decide([(compared([1.0] * 5, [0.5] * 5), "higher", 0.05)] * 3)[0]) == (
        "pilot: 5 pairs, fewer than 20",
        "significance was not possible: 5 non-zero differences give no p below 0.062, and this family needs 0.017",
    )


def test_pairs_to_decide_agrees_with_the_library_s_solver() -> None:
    assert pairs_to_decide(1.0, 0.5) == 34
    for sd, effect, tests in ((0.1, 0.05, 6), (0.3, 0.05, 24), (1.0, 0.05, 1)):
        solved = TTestPower().solve_power(effect_size=effect / sd, alpha=0.05 / tests, power=0.8)
        assert pairs_to_decide(sd, effect, tests) == math.ceil(solved)
    assert pairs_to_decide(0.05, 0.05) == 20  # 10 would do for the test, not for a verdict
    assert pairs_to_decide(0.0, 0.05) == 20
    assert pairs_to_decide(1e-300, 0.05, 500) == 20
    assert pairs_to_decide(None, 0.05) is None
    assert pairs_to_decide(1.0, None) is None
    assert pairs_to_decide(1e6, 0.05) is None


@QUICK
@given(st.floats(1e-3, 20), st.floats(1.001, 10))
def test_noisier_differences_need_more_pairs(sd: float, factor: float) -> None:
    few, many = (pairs_to_decide(s, 0.05, 12) for s in (sd, sd * factor))
    assume(few is not None and many is not None)
    assert 20 <= few <= many


def test_inconclusive_says_how_many_pairs_would_decide() -> None:
    x, y = study(10, effect=0.0, sd=0.1, seed=3)
    paired = compared(x, y)
    for verdict in decide([(paired, "higher", 0.05)] * 4):
        assert verdict.verdict == "inconclusive"
        assert verdict.n_to_decide == pairs_to_decide(paired.sd, 0.05, 4) > 20
    (unplanned,) = decide([(compared(x, y, None), "higher", None)])
    assert unplanned.n_to_decide is None
    # enough pairs by that count, and an estimate at the edge of what matters
    edge = Paired(40, 40, 0.04, 0.1, p_value=0.06, p_equivalence=0.3, p_smallest=1e-4)
    (verdict,) = decide([(edge, "higher", 0.05)])
    assert verdict.n_to_decide == 34
    assert words(verdict) == ("34 pairs would have shown the smallest effect in 80% of such studies",)


def test_a_family_of_the_registry_s_metrics() -> None:
    x, y = study(20, effect=0.3)
    family = [
        (
            compare(
                (x < 0.85).astype(float) if m.binary else x,
                (y < 0.85).astype(float) if m.binary else y,
                smallest_effect=m.smallest_effect,
                binary=m.binary,
                rng=rng(),
            ),
            m.better,
            m.smallest_effect,
        )
        for m in with_role("confirmatory")
    ]
    names = [m.name for m in with_role("confirmatory")]
    verdicts = dict(zip(names, decide(family), strict=True))
    assert {name: v.verdict for name, v in verdicts.items()} == {
        "final": "better",
        "area": "better",
        "shortfall": "worse",
        "not_learned": "better",
    }
    assert verdicts["not_learned"].p_equivalence_adjusted is None


def test_unknown_names_are_refused() -> None:
    paired = compared([1.0, 2.0], [0.0, 1.0])
    with pytest.raises(ValueError, match="unknown direction 'up': use higher or lower"):
        decide([(paired, "up", 0.05)])
    with pytest.raises(ValueError, match="unknown correction 'bonferroni': use holm or fdr_bh"):
        decide([(paired, "higher", 0.05)], "bonferroni")  # type: ignore[arg-type]
    assert decide([]) == []
