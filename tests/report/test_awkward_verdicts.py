"""Studies on which verdicts go wrong: rare collapses, tiny and huge differences, few pairs, large families."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.awkward import BOUNDED, UNBOUNDED, Told, curves, dead, shifted, told, write_arm
from helpers.synthetic import DECLARED, LEARNS, write_run

MEANS = ("final", "area")
NAMES = (*MEANS, "shortfall", "not_learned")
BETTER = {"better", "worse"}


def normal(seed: int, n: int, mean: float, sd: float) -> np.ndarray:
    """n numbers with exactly this mean and standard deviation."""
    drawn = np.random.default_rng(seed).standard_normal(n)
    return mean + sd * (drawn - drawn.mean()) / drawn.std(ddof=1)


def study(folder: Path, by: np.ndarray, level: float = 0.6, **options: Any) -> Path:
    """A control around `level` and a linear warmup that is higher by `by`, in all seeds and everywhere."""
    control = curves(normal(7, len(by), level, 0.02))
    write_arm(folder, "none", control, **options)
    write_arm(folder, "linear", shifted(control, by), **options)
    return folder


def contrast(weight: float, name: str) -> dict[str, Any]:
    """The linear warmup against the control, as a contrast with these weights."""
    arms = [(weight, "linear"), (-weight, "none")]
    return {"name": name, "arms": [{"weight": w, "where": {"warmup.name": arm}} for w, arm in arms]}


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """200 pairs in which every run learns but for four of the linear warmup; the cosine one changes nothing."""
    folder = tmp_path_factory.mktemp("awkward") / "s"
    control = curves(normal(1, 200, 0.97, 0.005))
    write_arm(folder, "none", control)
    write_arm(folder, "linear", dead(shifted(control, normal(2, 200, 0, 0.005)), range(4)))
    write_arm(folder, "cosine", shifted(control, normal(3, 200, 0, 0.005)))
    return told(folder, DECLARED | {"comparisons": [{"warmup.name": name} for name in ("linear", "cosine")]})


@pytest.mark.slow
def test_collapses_that_were_seen_are_counted_and_limit_what_is_excluded(two_hundred: Told) -> None:
    for line in (two_hundred.sentence("4 of 200", "0 of 200"), *two_hundred.problems):
        assert "under 1%" not in line
    failures = two_hundred.row("not_learned", treatment="linear 20% gradient steps")["failures"]
    counts = [(failures[arm]["count"], failures[arm]["n"]) for arm in ("treatment", "control")]
    assert counts == [(4, 200), (0, 200)]
    assert failures["treatment"]["high"] >= 0.045  # Clopper-Pearson, one-sided 95%: .0452
    assert 0.0148 <= failures["control"]["high"] < 0.019
    assert failures["p_value"] == pytest.approx(2 / 2**4)  # McNemar: four discordant pairs


@pytest.mark.slow
def test_where_all_runs_learn_in_both_arms_not_learned_is_equivalent(two_hundred: Told) -> None:
    cosine = {"treatment": "cosine 20% gradient steps"}
    assert two_hundred.verdicts(*NAMES, **cosine) == {"equivalent"}
    row = two_hundred.row("not_learned", **cosine)  # limits: 1 - .025^(1/200)
    assert (row["mean_ci_low"], row["mean_ci_high"]) == pytest.approx(
        (-0.0183, 0.0183), abs=1e-3
    )  # 1 - .025^(1/200)


def test_better_with_new_collapses_says_both_in_one_sentence(tmp_path: Path) -> None:
    control = curves(normal(1, 40, 0.7, 0.01))
    write_arm(tmp_path / "s", "none", control)
    write_arm(tmp_path / "s", "linear", dead(shifted(control, np.full(40, 0.25)), range(4)))
    found = told(tmp_path / "s")
    assert found.verdicts(*MEANS, key="verdict_in_runs_seen") == {"better"}
    found.sentence("final return", "better", "4 of 40", "0 of 40")


@pytest.mark.long
@pytest.mark.parametrize("pairs", [25, 200])
def test_a_family_of_768_can_decide(tmp_path: Path, pairs: int) -> None:
    flat = np.ones(6)
    write_arm(tmp_path / "s", "none", curves(np.zeros(pairs), flat))
    write_arm(tmp_path / "s", "linear", curves(np.minimum(normal(1, pairs, 0.99, 0.01), 1.0), flat))
    many = [contrast(1.0, f"c{index}") for index in range(191)]
    found = told(tmp_path / "s", DECLARED | {"contrasts": many})
    rows = [row for row in found.report["comparisons"] if row["family"] == "confirmatory"]
    assert len(rows) == 768
    assert {(row["verdict"], row["verdict_in_runs_seen"]) for row in rows} == {("better", "better")}
    assert not found.says("give no p below", "confirmatory")


def test_equal_differences_have_one_p_wherever_they_stand(tmp_path: Path) -> None:
    by = normal(4, 40, 0.012, 0.03)
    alone, beside = study(tmp_path / "alone", by), study(tmp_path / "beside", by)
    study(beside, normal(5, 30, 0.0, 0.05), changes=BOUNDED | {"env.name": "another"})
    keys = ("p_value", "ci_low", "ci_high", "p_mean", "mean_ci_low", "mean_ci_high")
    found = {
        (row["env"], row["metric"]): [round(row[key], 9) for key in keys]
        for one in (alone, beside)
        for row in told(one).report["comparisons"]
        if row["metric"] in MEANS
    }
    assert len(found) == 4
    assert found["toy", "final"] == found["toy", "area"]
    assert found["another", "final"] == found["another", "area"] != found["toy", "final"]


@pytest.mark.parametrize("pairs", [10, 12, 20])
def test_what_is_significant_but_smaller_than_matters_is_not_better(tmp_path: Path, pairs: int) -> None:
    mean, sd = (0.0005, 0.0001) if pairs == 10 else (0.037, 0.006)
    found = told(study(tmp_path / "s", normal(1, pairs, mean, sd), 0.5))
    for name in MEANS:
        row = found.row(name)
        assert row["p_value"] < 0.005
        assert (row["verdict"], row["verdict_in_runs_seen"]) == ("inconclusive", "inconclusive")
    found.sentence("significant but smaller than", "too few pairs to call it equivalent")


def test_what_is_equivalent_and_significant_is_said_to_be(tmp_path: Path) -> None:
    found = told(study(tmp_path / "s", normal(1, 120, 0.005, 0.004), 0.97))
    assert found.verdicts(*MEANS) == {"equivalent"}
    assert found.row("final")["p_adjusted"] < 0.01
    found.sentence("significant but smaller than")


def test_borderline_with_25_pairs_is_open_and_its_equal_differences_agree(tmp_path: Path) -> None:
    found = told(study(tmp_path / "s", normal(1, 25, 0.0335, 0.1)))
    final, area = (found.row(name) for name in MEANS)
    assert final["p_value"] == pytest.approx(area["p_value"], abs=1e-12)
    assert found.verdicts(*NAMES) == {"inconclusive"}


def test_two_seeds_are_no_pilot(tmp_path: Path) -> None:
    found = told(study(tmp_path / "s", np.array([0.09, 0.11])))
    assert found.verdicts(*NAMES) == {"inconclusive"}
    assert {row["plan"] for row in found.report["comparisons"]} == {None}
    assert not found.says("would decide")
    found.sentence("2 pairs")


def test_one_huge_outlier_is_named_and_plans_nothing(tmp_path: Path) -> None:
    control = curves(normal(1, 20, 0.9, 0.02))
    treated = control.copy()
    treated[13] = 40.0
    write_arm(tmp_path / "s", "none", control, changes=UNBOUNDED)
    write_arm(tmp_path / "s", "linear", treated, changes=UNBOUNDED)
    found = told(tmp_path / "s")
    assert found.row("final")["verdict"] == "inconclusive"
    assert found.row("final")["plan"] is None
    assert found.row("final")["bound"] is None
    found.sentence("seed 13", "more than 0.05")


@pytest.mark.parametrize("arm", ["linear", "none"])
def test_a_floor_far_below_leaves_no_verdict_on_the_mean_and_names_the_run(tmp_path: Path, arm: str) -> None:
    changes = UNBOUNDED | {"env.return_floor": -500.0}
    control = curves(normal(1, 20, 0.8, 0.02))
    arms = {"none": control, "linear": shifted(control, normal(2, 20, 0.08, 0.005))}
    for name, curve in arms.items():
        write_arm(tmp_path / "s", name, curve[: 19 if name == arm else 20], changes=changes)
    lost = {"status": "diverged", "error": "loss is nan"}
    write_run(tmp_path / "s", arm, 19, LEARNS[:3], changes=changes, info={"bounds": {"floor": -500.0}}, **lost)
    found = told(tmp_path / "s")
    assert found.verdicts(*MEANS) == {"inconclusive"}
    assert found.row("final")["bound"] is None
    assert found.row("final")["plan"] is None
    found.sentence("seed 19", "more than 0.05")


def test_contrasts_say_the_same_whatever_the_scale_of_their_weights(tmp_path: Path) -> None:
    study(tmp_path / "s", normal(1, 60, 0.002, 0.01), 0.97)
    weights = (0.1, 1.0, 10.0)
    contrasts = [contrast(weight, f"w{weight}") for weight in weights]
    found = told(tmp_path / "s", DECLARED | {"comparisons": [], "contrasts": contrasts, "smallest_effect": 0.1})
    for name in MEANS:
        rows = [found.row(name, contrast=f"w{weight}") for weight in weights]
        assert {row["verdict"] for row in rows} == {"equivalent"}
        assert [row["smallest_effect"] for row in rows] == pytest.approx([0.01, 0.1, 1.0])
        assert rows[0]["p_value"] == pytest.approx(rows[2]["p_value"])


def test_dips_above_the_reference_are_no_shortfall(tmp_path: Path) -> None:
    write_arm(tmp_path / "s", "none", np.full((12, 6), 0.95), changes=UNBOUNDED)
    write_arm(tmp_path / "s", "linear", np.tile([3.0, 3.0, 3.0, 2.0, 3.0, 2.0], (12, 1)), changes=UNBOUNDED)
    found = told(tmp_path / "s")
    assert found.row("shortfall")["estimate"] <= 0
    assert not found.says("more shortfall")


def test_intervals_that_exclude_zero_beside_a_corrected_p_are_explained(tmp_path: Path) -> None:
    found = told(study(tmp_path / "s", normal(3, 12, 0.05, 0.075)))
    row = found.row("final")
    assert row["ci_low"] > 0
    assert row["p_adjusted"] > 0.05
    assert row["verdict_in_runs_seen"] == "inconclusive"
    found.sentence("before the correction for 4 comparisons, not after", "intervals are not corrected")


def test_few_pairs_say_which_rate_of_collapse_would_undo_them(tmp_path: Path) -> None:
    found = told(study(tmp_path / "s", normal(1, 12, 0.10, 0.01)))
    assert found.verdicts(*MEANS) == {"inconclusive"}
    assert found.verdicts(*MEANS, key="verdict_in_runs_seen") == {"better"}
    found.sentence("better in the runs seen", "final return")
    found.sentence("8.8%", "26%")  # .1 / (1.03 + .1); 1 - .025^(1/12)


def test_ties_at_the_ceiling_are_no_evidence_and_no_plan_from_a_spread_of_zero(tmp_path: Path) -> None:
    for arm in ("none", "linear"):
        write_arm(tmp_path / "s", arm, np.ones((10, 6)))
    found = told(tmp_path / "s")
    assert found.verdicts(*NAMES) == {"inconclusive"}
    assert found.row("final")["pairs_won"]["tied"] == 10
    assert not found.says("20 pairs would decide")


def test_arms_of_two_kinds_of_runs_get_wide_intervals_and_no_verdict(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for arm in ("none", "linear"):
        learns = rng.permutation(np.repeat([0.05, 0.97], 10))
        write_arm(tmp_path / "s", arm, curves(learns))
    found = told(tmp_path / "s")
    assert found.verdicts(*NAMES) == {"inconclusive"}
    found.sentence("10 of 20")
