"""The content of report.json."""

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import (
    two_arms,
    write_run,
    write_study,
)

from rl_warmup.analysis import analyse
from rl_warmup.summary import as_json, mean_interval

# the contract of DESIGN.md, word by word
CONTRACT = set(
    """
    env algo trainer total_timesteps schedule learning_rate treatment_arm control_arm metric family n estimate
    ci_low ci_high p_value p_adjusted iqm iqm_ci_low iqm_ci_high pairing_correlation smallest_effect verdict
    """.split()  # noqa: SIM905
)
OURS = {"p_unpaired", "p_welch", "p_equivalence", "p_equivalence_adjusted", "n_to_decide", "notes"}
CELL = set("env algo trainer arm learning_rate warmup n n_diverged n_failed metrics".split())  # noqa: SIM905


def test_json_has_the_keys_of_the_contract_and_no_undefined_number(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"none": 0, "linear": 10, "cosine": 1}, range(1))
    write_run(study, "linear", 3, status="failed", learning_rate=0.5)
    content = as_json(analyse(study))
    json.dumps(content, allow_nan=False)
    assert list(content) == ["study", "comparisons", "cells", "runs", "dose", "problems"]
    assert set(content["comparisons"][0]) == CONTRACT | OURS
    assert content["comparisons"][0]["estimate"] is None
    for row in content["cells"]:
        assert set(row) == CELL
        assert list(row["metrics"]) == ["final", "area", "shortfall", "not_learned"]
        assert all(set(values) == {"mean", "iqm", "ci_low", "ci_high"} for values in row["metrics"].values())
    assert all(set(row) == {"run_id", "arm", "seed", "status", "metrics"} for row in content["runs"])
    failed = next(row for row in content["cells"] if row["n"] == 0)
    assert failed["metrics"]["final"] == dict.fromkeys(("mean", "iqm", "ci_low", "ci_high"))


def test_the_dose_is_what_was_recorded(tmp_path: Path) -> None:
    rows = {row["arm"]: row for row in as_json(analyse(two_arms(tmp_path / "s", [1.0, 2.0])))["dose"]}
    control, linear = rows["none lr=0.001 constant"], rows["linear-20%-gradient_steps lr=0.001 constant"]
    assert (control["budget"], control["n_below_99"], control["gradient_steps"]) == (0, 0, 40)
    assert linear["budget"] == pytest.approx(3.5 / 40)  # 7/8 + 6/8 + ... + 1/8 of 40 steps
    assert linear["n_below_99"] == 7
    assert linear["learning_rate_first"] == pytest.approx(1e-3 / 8)
    assert linear["learning_rate_mean"] == pytest.approx(1e-3 * 36.5 / 40)
    assert linear["run_id"] == "linear-0.001-s0"


def test_the_same_records_give_the_same_report(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"none": 0, "linear": 3}, range(5))
    assert as_json(analyse(study)) == as_json(analyse(study))


def test_the_interval_of_a_mean_is_near_that_of_theory() -> None:
    values = np.random.default_rng(1).standard_normal(200)
    low, high = mean_interval(values)
    error = values.std() / np.sqrt(200)
    assert [low, high] == pytest.approx([values.mean() - 1.96 * error, values.mean() + 1.96 * error], abs=0.02)
