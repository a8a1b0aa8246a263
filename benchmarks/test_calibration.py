"""What the calibration simulates and what it compares with, against libraries and slow loops."""

import itertools
import math

import calibration
import numpy as np
import pytest
import simulations
import simulations_looks as looks
import simulations_methods as methods
from calibration_bars import Bars
from scipy import stats

from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.sign_flips import SignFlips


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def arms(studies: int, n: int, shift: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    y = rng(1).normal(0.5, 0.1, (studies, n))
    return y + np.clip(rng(2).gamma(1.0, 0.2, (studies, n)) - 0.2 + shift, -1, 1), y


@pytest.mark.parametrize(
    "case", [*simulations.CASES, *simulations.AT_THE_EDGE, *looks.TRUTHS], ids=lambda c: c.name
)
def test_the_truth_is_what_is_said(case: simulations.Case) -> None:
    x, y = case.draw(rng(), 2000, 50)
    d = (x - y).ravel()
    assert np.abs(d).max() <= simulations.BOUND + 1e-12
    assert d.mean() == pytest.approx(case.mean, abs=4 * d.std() / math.sqrt(d.size) + 1e-4)
    skew = stats.skew(np.clip(d, *np.quantile(d, [0.001, 0.999])))
    assert (abs(skew) < 0.1) == case.symmetric or case in looks.TRUTHS


@pytest.mark.parametrize("name", simulations.ADVERSARIAL)
def test_adversarial_differences_are_bounded_and_have_mean_0(name: str) -> None:
    d = simulations.ADVERSARIAL[name](rng(), (4000, 100))
    assert np.abs(d).max() <= 1
    assert d.mean() == pytest.approx(0, abs=4 * d.std() / math.sqrt(d.size))


def test_the_project_s_methods_are_its_own() -> None:
    for n in (8, 40):
        x, y = arms(30, n)
        for p, d in zip(methods.dirichlet(x, y, 0.05, 1.05)[0], x - y, strict=True):
            assert p == Dirichlet.of(d, 1.05).p_value()
        for p, d in zip(methods.sign_flips(x, y, 0.05, 1.05)[0], x - y, strict=True):
            exact = SignFlips.of(d).p_value()
            assert p == pytest.approx(exact, abs=0 if n == 8 else 6 * math.sqrt(exact / 10_000) + 1e-3)
        intervals = [SignFlips.of(d).interval() or (-9, 9) for d in x - y]
        held = [float(low <= 0.05 <= high) for low, high in intervals]
        apart = np.abs(methods.sign_flips(x, y, 0.05, 1.05)[1] - held).sum()
        assert apart <= (0 if n == 8 else 1)


def test_equivalence_is_the_90_percent_interval_inside() -> None:
    d = rng(3).normal(0.01, 0.05, (40, 12))
    intervals = [SignFlips.of(row).interval(0.1) or (-9, 9) for row in d]
    inside = [low > -0.05 and high < 0.05 for low, high in intervals]
    assert methods.flips_equivalent(d, 0.05, 1.05).tolist() == inside
    assert 0 < sum(inside) < 40


def test_bca_and_welch_agree_with_scipy() -> None:
    x, y = arms(6, 20, shift=0.0)
    p, _ = methods.bca(x, y, 0.05, 1.05)
    for study in range(6):
        d = (x - y)[study]
        for level in (p[study] * 0.7, 1 - 0.7 * (1 - p[study])):
            found = stats.bootstrap((d,), np.mean, confidence_level=1 - level, n_resamples=9999, rng=rng(study))
            low, high = found.confidence_interval
            assert (low <= 0 <= high) == (level < p[study])
    assert methods.welch(x, y, 0.05, 1.05)[0] == pytest.approx(
        [stats.ttest_ind(one, other, equal_var=False).pvalue for one, other in zip(x, y, strict=True)]
    )


def test_bootstrap_t_and_johnson_by_a_loop() -> None:
    x, y = arms(3, 15)
    p, _ = methods.bootstrap_t(x, y, 0.05, 1.05)
    for study, d in enumerate(x - y):
        at, t = d.mean() / d.std(), []
        for _ in range(4000):
            again = rng(len(t)).choice(d, d.size)
            t.append((again.mean() - d.mean()) / again.std())
        expected = 2 * min(np.mean(np.array(t) >= at), np.mean(np.array(t) <= at))
        assert p[study] == pytest.approx(expected, abs=0.05)
    mirrored = np.stack([np.r_[1.0, 2.0, 3.0, 4.0, 5.0]])  # no skewness: Student's t
    student = stats.ttest_1samp(mirrored[0], 0).pvalue
    assert methods.johnson(mirrored, 0 * mirrored, 0.0, 9.0)[0] == pytest.approx([student])


def test_holm_across_looks_by_all_intersections() -> None:
    """Rejected where every intersection that holds it is, at level alpha over its size, at some look by then."""
    draws, real = 1999, 2
    for seed in range(6):
        d = 0.1 * rng(seed).standard_normal((4, 100))
        d[:real] += 0.05
        spending = looks.Spending(looks.LOOKS, "pocock")
        tests = [looks.Sequential.of(row, spending, level=0.05, draws=draws) for row in d]
        found = looks.holm(tests)
        for i, when in enumerate(found):
            others = [j for j in range(4) if j != i]
            sets = [(i, *rest) for size in range(4) for rest in itertools.combinations(others, size)]
            crossed = [min(tests[j].crossing(0.05 / len(s)) or math.inf for j in s) for s in sets]
            expected = looks.LOOKS[int(max(crossed)) - 1] if max(crossed) < math.inf else math.inf
            assert when == expected


def test_every_chunk_has_its_own_seed_and_vectors() -> None:
    seeds = [given[-1] for _, _, given in calibration.jobs(500, 0)]
    assert len(set(seeds)) == len(seeds) > 200
    assert len({looks.vectors((0, 8, 0, 0, chunk), 1000) for chunk in range(20)}) == 20
    assert (looks.vectors((0, 3), 1000) + 1) * 0.05 == 53


def test_bars() -> None:
    bars, rare, often = Bars(), np.repeat([1.0, 0.0], [4, 96]), np.repeat([1.0, 0.0], [20, 80])
    assert bars.at_most([rare], 0.05) == "PASS"
    assert bars.at_most([rare, often], 0.05) == "FAIL"
    assert bars.at_least([1 - often], 0.95) == "FAIL"
    assert bars.at_least([1 - rare], 0.97) == "PASS"  # within two standard errors
    assert (bars.passed, bars.failed) == (2, 2)
