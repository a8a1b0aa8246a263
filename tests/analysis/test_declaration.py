"""What a study declared, against what was run."""

from pathlib import Path

import pytest
import yaml
from helpers.synthetic import (
    DECLARED,
    said,
    two_arms,
    write_run,
    write_study,
)
from statsmodels.stats.multitest import multipletests

from rl_warmup.analysis.study import analyse


def test_an_undeclared_study_is_compared_with_no_warmup_and_says_so(tmp_path: Path) -> None:
    analysis = analyse(write_study(tmp_path / "s", {"none": 0, "linear": 10, "cosine": 10}, declared=None))
    assert said(analysis, "not declared before training")
    assert said(analysis, "assumed: the control is warmup.name=none")
    assert {found.pairing.family for found in analysis.comparisons} == {"confirmatory"}
    declared = [found for found in analysis.comparisons if found.family == "confirmatory"]
    assert len(declared) == 8
    assert {found.smallest_effect for found in declared} == {0.05}
    assert {found.metric.role for found in declared} == {"confirmatory"}
    assert {found.metric.role for found in analysis.comparisons} == {"confirmatory", "exploratory"}


def test_arms_that_were_not_declared_are_exploratory(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"none": 0, "linear": 10, "cosine": 10}, noise=1.0)
    analysis = analyse(study)
    families = {found.pairing.treatment.warmup["name"]: found.pairing.family for found in analysis.comparisons}
    assert families == {"linear": "confirmatory", "cosine": "exploratory"}
    assert not said(analysis, "not declared")
    finals = {found.pairing.family: found for found in analysis.comparisons if found.metric.name == "final"}
    assert finals["confirmatory"].verdict.p_adjusted == pytest.approx(4 * 2 / 2**8)
    explored = [found for found in analysis.comparisons if found.family == "exploratory"]
    adjusted = multipletests([found.paired.p_value for found in explored], method="fdr_bh")[1]
    assert [found.verdict.p_adjusted for found in explored] == pytest.approx(adjusted)
    assert finals["exploratory"] in explored


def test_a_declared_control_may_be_any_arm(tmp_path: Path) -> None:
    declared = DECLARED | {"control": {"warmup.shape": "cosine"}, "comparisons": [{"warmup.length": 0.2}]}
    analysis = analyse(write_study(tmp_path / "s", {"none": 0, "linear": 10, "cosine": 9}, declared=declared))
    assert {found.pairing.control.warmup["name"] for found in analysis.comparisons} == {"cosine"}
    families = {found.pairing.treatment.warmup["name"]: found.pairing.family for found in analysis.comparisons}
    assert families == {"linear": "confirmatory", "none": "exploratory"}


def test_declared_comparisons_without_runs_are_named(tmp_path: Path) -> None:
    declared = DECLARED | {"comparisons": [{"warmup.name": "linear"}, {"warmup.name": "radam"}]}
    study = write_study(tmp_path / "s", {"none": 0, "linear": 10}, range(3), declared=declared)
    write_run(study, "none", 0, learning_rate=0.1)
    analysis = analyse(study)
    assert said(analysis, "warmup.name=radam has no runs at all")
    assert said(analysis, "lr=0.1", "warmup.name=linear has no runs")
    assert not said(analysis, "lr=0.001 constant: the declared comparison warmup.name=linear")


def test_a_block_without_control_names_what_the_nearest_one_differs_in(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"none": 0, "linear": 10}, range(2))
    write_run(study, "linear", 0, changes={"trainer.name": "stacked"})
    analysis = analyse(study)
    assert said(analysis, "toy ppo stacked", "no run is its control", "differs in trainer.name")
    assert len([found for found in analysis.comparisons if found.family == "confirmatory"]) == 4


def test_two_controls_in_a_block_are_none(tmp_path: Path) -> None:
    declared = DECLARED | {"control": {"warmup.length": 8}}
    study = write_study(tmp_path / "s", {"none": 0, "linear": 10, "cosine": 1}, range(2), declared=declared)
    analysis = analyse(study)
    assert analysis.comparisons == ()
    assert said(analysis, "no control, no comparison", "cosine", "linear")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: [", "cannot be read"),
        (yaml.safe_dump(DECLARED | {"control": "none"}), "control 'none' is not a mapping"),
        (yaml.safe_dump(DECLARED | {"comparisons": ["linear"]}), "not a list of mappings"),
        (yaml.safe_dump(DECLARED | {"smallest_effect": -1}), "smallest_effect -1 is not a positive"),
    ],
)
def test_a_damaged_declaration_counts_as_none(tmp_path: Path, text: str, complaint: str) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0])
    (study / "study.yaml").write_text(text)
    analysis = analyse(study)
    assert said(analysis, complaint, "counts as not declared")
    assert analysis.left_out
    assert len([found for found in analysis.comparisons if found.family == "confirmatory"]) == 4
