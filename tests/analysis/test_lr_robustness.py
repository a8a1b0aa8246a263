"""Robustness and dispersion of whole studies, from their record files."""

from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic import LEARNS, said, two_arms, write_run
from statsmodels.stats.multitest import multipletests

from rl_warmup.analysis.statistics.estimators import brown_forsythe_p
from rl_warmup.analysis.statistics.robustness import eta50
from rl_warmup.analysis.study import analyse

RATES = (1e-3, 2e-3, 4e-3, 8e-3, 16e-3, 32e-3)
FAILS = np.multiply(LEARNS, 0.2)
WORKS_TO = {
    "none": (2, 1, 2, 3, 2, 1, 2, 3, 2, 2),
    "linear": (3, 2, 3, 4, 3, 2, 3, 4, 3, 3),
}  # last rate that a seed survives


def write_grid(study: Path, works_to: dict[str, tuple[int, ...]] = WORKS_TO, **options: object) -> Path:
    for warmup, last in works_to.items():
        for seed, limit in enumerate(last):
            for index, rate in enumerate(RATES):
                curve = LEARNS if index <= limit else FAILS
                write_run(study, warmup, seed, curve, learning_rate=rate, **options)  # type: ignore[arg-type]
    return study


def test_a_warmup_that_survives_twice_the_rate_is_found_to(tmp_path: Path) -> None:
    (found,) = analyse(write_grid(tmp_path / "s")).critical_rates
    assert found.group == ("toy", "ppo", "sb3", 5000)
    assert (found.treatment, found.control) == ("linear 20% gradient steps", "none")
    assert found.learning_rates == pytest.approx(RATES)
    assert found.success_treatment == (1, 1, 1, 0.8, 0.2, 0)
    assert found.success_control == (1, 1, 0.8, 0.2, 0, 0)
    middle, _ = eta50(np.log2(RATES), [[float(index <= last) for index in range(6)] for last in WORKS_TO["none"]])
    assert found.eta50_control == pytest.approx(2 ** float(middle))
    assert found.log2_ratio == pytest.approx(1, abs=0.2)
    assert found.ci_low <= 1 <= found.ci_high  # each seed's rate is one octave farther, and a seed is one cluster
    assert found.finding == "supported"
    assert (found.n_seeds, found.descriptive) == (10, None)
    # final is 1 where it works, .2 where not: means 1 1 .84 .36 .2 .2
    assert found.lr_sensitivity_control == pytest.approx(np.mean([0, 0, 0.16, 0.64, 0.8, 0.8]))


def test_a_small_grid_is_described_and_has_no_verdict(tmp_path: Path) -> None:
    few = {warmup: last[:4] for warmup, last in WORKS_TO.items()}
    analysis = analyse(write_grid(tmp_path / "s", few))
    (found,) = analysis.critical_rates
    assert (found.finding, found.descriptive) == ("descriptive", "4 seeds, and it takes 10")
    assert found.log2_ratio == pytest.approx(1, abs=0.2)
    assert said(analysis, "over 6 learning rates", "its critical rates are descriptive: 4 seeds, and it takes 10")


def test_two_rates_are_no_grid_and_seeds_must_be_shared(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [0.0, 1.0])
    two_arms(study, [0.0, 1.0], learning_rate=2e-3)
    assert analyse(study).critical_rates == ()
    for seed in (7, 8):
        for warmup in ("none", "linear"):
            write_run(study, warmup, seed, learning_rate=4e-3)
    analysis = analyse(study)
    assert analysis.critical_rates == ()
    assert said(analysis, "over 3 learning rates", "no robustness: 0 seeds")


def test_an_inert_warmup_has_no_critical_rate(tmp_path: Path) -> None:
    analysis = analyse(write_grid(tmp_path / "s", inert=True))
    assert analysis.critical_rates == ()
    assert said(analysis, "no robustness: the delivered learning rates are not known to differ at 0.001")


def test_phi_takes_three_environments_with_as_many_rates(tmp_path: Path) -> None:
    best = {"one": 0, "two": 0, "three": 2}
    for name, place in best.items():
        for index, rate in enumerate(RATES[:3]):
            curve = LEARNS if index == place else [0.0] * 6
            for warmup in ("none", "linear"):
                for seed in range(2):
                    write_run(tmp_path / "s", warmup, seed, curve, learning_rate=rate, changes={"env.name": name})
        if name == "two":
            assert analyse(tmp_path / "s").sensitivities == ()
    found = analyse(tmp_path / "s").sensitivities
    assert [one.warmup for one in found] == ["linear 20% gradient steps", "none"]
    assert {one.environments for one in found} == {("one", "three", "two")}
    # each environment's best is worth 1, the others 0; one setting for all gets two of the three
    assert [one.phi for one in found] == pytest.approx([1 / 3] * 2)


def test_dispersions_are_of_final_and_area_with_bh_over_all(tmp_path: Path) -> None:
    spread = [-24.0, 18.0, -14.0, 8.0, -5.0, 3.0, 14.0, -21.0, 26.0, -17.0]
    study = two_arms(tmp_path / "s", spread)
    for seed, shift in enumerate(spread):
        write_run(study, "none", seed + 10, np.add(LEARNS, shift / 30))
        write_run(study, "linear", seed + 10, np.add(LEARNS, -shift))
        write_run(study, "cosine", seed, np.add(LEARNS, shift / 40))
    found = analyse(study).dispersions
    assert [(one.pairing.treatment.warmup["name"], one.metric) for one in found] == [
        (warmup, metric) for warmup in ("cosine", "linear") for metric in ("final", "area")
    ]
    linear = found[2]
    treatment, control = linear.pairing.values("final")
    assert linear.n == 20
    assert linear.mad_treatment == pytest.approx(np.median(np.abs(treatment - np.median(treatment))))
    assert linear.p_value == pytest.approx(brown_forsythe_p(treatment, control))
    assert linear.p_adjusted < 0.01
    assert linear.mad_treatment > 5 * linear.mad_control
    adjusted = multipletests([one.p_value for one in found], method="fdr_bh")[1]
    assert [one.p_adjusted for one in found] == pytest.approx(adjusted)


def test_without_spread_or_pairs_there_is_no_p_of_it(tmp_path: Path) -> None:
    found = analyse(two_arms(tmp_path / "s", [0.0] * 4)).dispersions
    assert [(one.p_value, one.p_adjusted, one.mad_treatment) for one in found] == [(None, None, 0.0)] * 2
    assert analyse(two_arms(tmp_path / "t", [0.0])).dispersions == ()
