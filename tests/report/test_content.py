"""The content of report.json."""

import json
from html import unescape
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic import LEARNS, VERSIONS, two_arms, write_run, write_study
from jsonschema import Draft202012Validator
from rich.console import Console

from rl_warmup.analysis.metrics.table import METRICS
from rl_warmup.analysis.study import analyse
from rl_warmup.records.study import record_command
from rl_warmup.report.command import report, write
from rl_warmup.report.content import as_json, mean_interval, schema

# the contract's words; report.schema.json has the rest
COMPARISON = set(
    """
    env algo trainer total_timesteps schedule learning_rate treatment_arm control_arm metric family n estimate
    ci_low ci_high p_value p_adjusted iqm iqm_ci_low iqm_ci_high pairing_correlation smallest_effect verdict
    """.split()  # noqa: SIM905
)
CELL = set("env algo trainer arm learning_rate warmup n n_diverged n_failed metrics".split())  # noqa: SIM905
LOCATION = {"mean", "iqm", "ci_low", "ci_high"}


def test_json_has_the_keys_of_the_contract_and_no_undefined_number(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"none": 0, "linear": 10, "cosine": 1}, range(1))
    write_run(study, "linear", 3, status="failed", learning_rate=0.5)
    content = as_json(analyse(study))
    json.dumps(content, allow_nan=False)
    assert {"study", "comparisons", "cells", "runs", "dose", "problems"} <= set(content)
    assert set(content["comparisons"][0]) >= COMPARISON
    assert content["comparisons"][0]["estimate"] is None
    for row in content["cells"]:
        assert set(row) >= CELL
        assert list(row["metrics"]) == list(METRICS)
        assert all(set(values) >= LOCATION for values in row["metrics"].values())
    assert all(set(row) == {"run_id", "arm", "seed", "status", "metrics"} for row in content["runs"])
    failed = next(row for row in content["cells"] if row["n"] == 0)
    assert failed["metrics"]["final"] == dict.fromkeys(LOCATION)


@pytest.mark.parametrize("seeds", [1, 2, 8])
def test_everything_in_it_follows_the_schema(tmp_path: Path, seeds: int) -> None:
    study = write_study(tmp_path / "s", {"none": 0, "linear": 10}, range(seeds), learning_rates=(1e-3, 1e-2, 1e-1))
    write_run(study, "linear", 90, LEARNS[:3], status="diverged", error="loss is nan")
    write_run(study, "linear", 91, status="failed", error="gone")
    content, _ = write(analyse(study), study, figures=False)
    validator = Draft202012Validator(schema())
    assert [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(content)] == []
    assert len(content["robustness"]["edges"]) == (seeds > 1)


def test_stability_stands_beside_its_noise_floor(tmp_path: Path) -> None:
    content = as_json(analyse(two_arms(tmp_path / "s", [1.0, 2.0, 3.0])))
    for row in content["cells"]:
        for name, values in row["metrics"].items():
            assert ("noise_floor" in values) == METRICS[name].noise_floor
        assert row["metrics"]["drawdown_max"]["noise_floor"] > 0  # two episodes, one point above and one below
        assert 0 <= row["metrics"]["drawdown_max"]["above_noise_floor"] <= 1


def test_a_rate_is_a_multiple_of_the_tuned_one_where_the_runs_know_it(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / "s", "none", seed, learning_rate=4e-3, info={"tuned_learning_rate": 1e-3})
        write_run(tmp_path / "t", "none", seed, learning_rate=4e-3)
    scales = [as_json(analyse(tmp_path / name))["cells"][0]["learning_rate_scale"] for name in ("s", "t")]
    assert scales == [4.0, None]


def test_it_says_how_to_make_the_runs_again(tmp_path: Path) -> None:
    for seed, hardware in enumerate(["2 x A", "4 x B", "2 x A"]):
        write_run(tmp_path / "s", "none", seed, info={"hardware": hardware, "git_commit": "abc", "threads": 1})
    record_command(tmp_path / "s", "python -m rl_warmup.run -m seed=0,1,2")
    found = as_json(analyse(tmp_path / "s"))["reproduce"]
    assert found["commands"] == ["python -m rl_warmup.run -m seed=0,1,2"]
    assert found["hardware"] == ["2 x A", "4 x B"]
    assert (found["git_commits"], found["threads"], found["devices"]) == (["abc"], [1], ["cpu"])
    assert found["versions"] == {name: [version] for name, version in sorted(VERSIONS.items())}
    assert found["started"] <= found["finished"]
    assert found["training_hours"] >= 0


def test_it_names_what_plays_the_best_agents_where_some_were_kept(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / "my study", "none", seed) for seed in range(4)]
    assert "agents" not in as_json(analyse(tmp_path / "my study"))["reproduce"]
    for folder, value in zip(folders, (3.0, None, 5.0), strict=False):
        info = json.loads((folder / "run.json").read_text())
        model = {"env_step": 40, "return": value, "sha256": {}}
        (folder / "run.json").write_text(json.dumps(info | {"model": model}))
    console = Console(file=StringIO(), width=80)
    assert report(tmp_path / "my study", console, figures=False) == 0
    content = json.loads((tmp_path / "my study" / "report.json").read_text())
    Draft202012Validator(schema()).validate(content)
    command = f"python -m rl_warmup.enjoy '{folders[2]}'"
    assert content["reproduce"]["agents"] == {"kept": 3, "runs": 4, "commands": [command]}
    written = [(tmp_path / "my study" / f"report.{kind}").read_text() for kind in ("md", "html")]
    for text in (*map(unescape, written), console.file.getvalue()):
        assert "3 of 4 runs kept the agent; this plays the best one:" in text
        assert command in text


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
