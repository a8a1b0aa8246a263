"""A comparison at every look against what it is made of: tests of fixed n, sequential ones, Holm at each look."""

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.looking import compare_at_looks, decide_at_looks, with_repeated_intervals
from rl_warmup.analysis.statistics.sequential import Sequential, repeated_interval
from rl_warmup.analysis.statistics.spending import Spending
from rl_warmup.analysis.statistics.verdicts import Paired, compare

LOOKS = Spending((20, 40, 60, 80), "pocock")


def arms(shift: float, pairs: int = 80, sd: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    control = np.clip(rng.normal(0.6, sd, pairs), 0, 1)
    return np.clip(control + rng.normal(shift, sd, pairs), 0, 1), control


def looked(x: np.ndarray, y: np.ndarray, effect: float | None = 0.05, binary: bool = False) -> list[Paired]:
    return compare_at_looks(x, y, LOOKS, smallest_effect=effect, bound=1.0, binary=binary)


def test_p_in_the_runs_seen_is_the_sequential_one_and_only_falls() -> None:
    x, y = arms(0.02)
    p_values = [one.p_value for one in looked(x, y)]
    assert p_values == Sequential.of(x - y, LOOKS).p_values()
    assert p_values == sorted(p_values, reverse=True)


def test_p_of_the_mean_is_the_dirichlet_p_over_the_share_that_a_look_spends() -> None:
    x, y = arms(0.3)
    e, shares = math.e - 1, np.array([0.25, 0.5, 0.75, 1.0])
    spent = np.diff(np.log1p(e * shares), prepend=0.0)  # of any level, pocock
    fixed = [Dirichlet.of((x - y)[:n], 1.0).p_value() for n in LOOKS.counts]
    expected = np.minimum.accumulate(np.minimum(1.0, np.array(fixed) / spent))
    assert [one.p_mean for one in looked(x, y)] == pytest.approx(expected.tolist(), rel=1e-6)


def test_equivalence_in_the_runs_seen_is_from_60_pairs_on_and_of_no_binary_metric() -> None:
    x, y = arms(0.0, sd=0.02)
    p_values = [one.p_equivalence_in_runs_seen for one in looked(x, y)]
    assert p_values[:2] == [None, None]
    assert p_values[2] is not None
    assert p_values[2] < 0.001
    assert all(one.p_equivalence_in_runs_seen is None for one in looked(x, y, effect=None))
    zeros = looked(np.round(x), np.round(y), binary=True)
    assert all(one.p_equivalence_in_runs_seen is None for one in zeros)


def test_collapses_keep_equivalence_away() -> None:
    x, y = arms(0.0, sd=0.02)
    x[[5, 31, 47, 66]] = 0.0
    assert (looked(x, y)[-1].p_equivalence_in_runs_seen or 0) > 0.05


def test_a_mean_that_has_turned_takes_its_p_back() -> None:
    x, y = np.full(80, 0.5), np.full(80, 0.5)
    x[:20] += 0.1
    x[20:] -= 0.2
    p_values = [one.p_value for one in looked(x, y)]
    assert p_values[0] is not None
    assert p_values[0] < 1e-3
    assert p_values[1] == 1.0
    assert p_values[3] == 1.0 or (looked(x, y)[3].estimate or 0) < 0


def test_intervals_are_those_of_the_last_look() -> None:
    x, y = arms(0.03)
    x, y = x[:60], y[:60]
    found = compare(x, y, smallest_effect=0.05, bound=1.0, binary=False)
    looks = looked(x, y)
    wide = with_repeated_intervals(found, looks, x - y, LOOKS)
    assert (wide.ci_low, wide.ci_high) == repeated_interval(x - y, LOOKS, 0.05)
    level = float(LOOKS.at(0.05)[2])
    assert (wide.mean_ci_low, wide.mean_ci_high) == Dirichlet.of(x - y, 1.0).interval(level)
    assert (wide.p_value, wide.p_mean, wide.estimate, wide.iqm) == (
        looks[-1].p_value,
        looks[-1].p_mean,
        found.estimate,
        found.iqm,
    )


def test_each_look_decides_by_holm_over_all() -> None:
    samples = [arms(shift, seed=k) for k, shift in enumerate((0.09, 0.035, 0.02))]
    looks = [looked(x, y, effect=0.001) for x, y in samples]
    last = [
        with_repeated_intervals(found[-1], found, x - y, LOOKS)
        for found, (x, y) in zip(looks, samples, strict=True)
    ]
    verdicts, decided_at = decide_at_looks(looks, last, ["higher"] * 3, [0.001] * 3)
    p = np.array([[one.p_value for one in found] for found in looks])  # [comparisons, looks]
    rejected = [multipletests(at, 0.05, method="holm")[0] for at in p.T]
    first = [next((LOOKS.counts[k] for k, at in enumerate(rejected) if at[i]), None) for i in range(3)]
    assert decided_at == first
    assert len(set(first)) > 1
    assert verdicts[0].headline.startswith("better")


def test_equivalent_in_the_runs_seen_is_a_verdict_and_a_decision() -> None:
    x, y = arms(0.0, sd=0.05)
    looks = looked(x, y)
    last = with_repeated_intervals(looks[-1], looks, x - y, LOOKS)
    (verdict,), (at,) = decide_at_looks([looks], [last], ["higher"], [0.05])
    assert (verdict.verdict, verdict.headline, at) == ("inconclusive", "equivalent in the runs seen", 60)
