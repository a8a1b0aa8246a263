"""Arms that start from agents beside their like from scratch, from record files to the report."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.synthetic import LEARNS, said, write_run
from jsonschema import Draft202012Validator

from rl_warmup.analysis.study import Analysis, analyse
from rl_warmup.report import cell_tables
from rl_warmup.report.command import write
from rl_warmup.report.content import as_json, schema

INIT: dict[str, Any] = {
    **{"timesteps": 3000, "source": "ab12", "learning_rate": 1e-3, "envs": None},
    **{"optimizer": "kept", "replay": "empty", "critic_only": 0},
}
KNOWS = (90.0, 60.0, 90.0, 95.0, 100.0, 100.0)


def pretrained(study: Path, seed: int, home: list[float], returns: Any = KNOWS, **more: Any) -> Path:
    """A run from an agent whose mean returns in its own environment were `home`."""
    init = {**INIT, **more.pop("init", {})}
    return write_run(study, seed=seed, returns=returns, changes={"init": init}, at_home=home, **more)


def analysed(study: Path) -> Analysis:
    for seed in range(3):
        write_run(study, seed=seed)
        pretrained(study, seed, [80.0, 50.0 + seed])
        pretrained(study, seed, [80.0, 80.0], np.array(KNOWS) + seed, init={"optimizer": "fresh"})
    return analyse(study)


def test_every_measure_seed_by_seed(tmp_path: Path) -> None:
    kept, fresh = sorted(analysed(tmp_path / "s").transfers, key=lambda found: found.cell.short, reverse=True)
    assert kept.cell.short == "none from 3000 steps optimizer kept"
    assert kept.scratch is not None
    assert kept.scratch.short == "none"
    np.testing.assert_allclose(kept.values["jump_start"], [0.9] * 3)
    np.testing.assert_allclose(kept.values["final_gain"], 0.0, atol=1e-12)
    np.testing.assert_allclose(kept.values["area_gain"], (np.trapezoid(KNOWS) - np.trapezoid(LEARNS)) / 500)
    np.testing.assert_allclose(kept.values["forgetting"], [-0.3, -0.29, -0.28])
    np.testing.assert_allclose(kept.values["early_fall"], 0.0)  # no evaluation in the first tenth but the first
    np.testing.assert_allclose(fresh.values["jump_start"], [0.9, 0.91, 0.92])
    np.testing.assert_allclose(fresh.values["forgetting"], 0.0)


def test_how_arms_begin_is_said_by_their_names_and_of_which_agents_only_where_they_differ(tmp_path: Path) -> None:
    study = tmp_path / "s"
    assert [str(one) for one in analysed(study).problems if "init." in str(one)] == []
    pretrained(study, 0, [80.0, 80.0], init={"learning_rate": 4e-3, "source": "cd34"})
    (mixed,) = [str(one) for one in analyse(study).problems if "init." in str(one)]
    assert "the runs have different init.learning_rate: 0.001, 0.004; each is compared only with its like" in mixed


def test_a_study_from_scratch_has_none(tmp_path: Path) -> None:
    write_run(tmp_path / "s")
    content = as_json(analyse(tmp_path / "s"))
    assert "transfer" not in content
    assert cell_tables.transfer(content) is None


def test_the_report_has_them_as_rows_that_follow_the_schema_and_as_a_table(tmp_path: Path) -> None:
    content, _ = write(analysed(tmp_path / "s"), tmp_path / "s", figures=False)
    assert list(Draft202012Validator(schema()).iter_errors(content)) == []
    row = content["transfer"][0]
    assert (row["n"], row["scratch"]) == (3, "none")
    assert row["measures"]["jump_start"]["mean"] == pytest.approx(0.91)  # of the fresh optimizer
    assert row["measures"]["jump_start"]["ci_low"] >= 0.9
    table = cell_tables.transfer(content)
    assert table is not None
    assert [column.text for column in table.columns][2:] == [name.replace("_", " ") for name in row["measures"]]
    assert "Pretrained agents" in (tmp_path / "s/report.html").read_text()


def test_what_is_not_known_is_left_out_and_named(tmp_path: Path) -> None:
    pretrained(tmp_path / "s", 0, [80.0, 50.0])
    (found,) = (analysis := analyse(tmp_path / "s")).transfers
    assert found.scratch is None
    assert np.isnan(found.values["jump_start"]).all()
    assert found.values["forgetting"].tolist() == pytest.approx([-0.3])
    assert said(analysis, "no runs from scratch differ in nothing else")
    assert as_json(analysis)["transfer"][0]["measures"]["jump_start"]["n"] == 0


def test_a_diverged_run_has_forgotten_all_that_the_worst_return_says(tmp_path: Path) -> None:
    pretrained(tmp_path / "s", 0, [80.0], KNOWS[:3], status="diverged", error="loss is nan")
    (found,) = analyse(tmp_path / "s").transfers
    assert found.values["forgetting"].tolist() == pytest.approx([-1.8])


def test_other_physics_are_no_like(tmp_path: Path) -> None:
    write_run(tmp_path / "s")
    physics = {"env.physics": {"gravity": 20.0}}
    write_run(tmp_path / "s", changes=physics)
    write_run(tmp_path / "s", returns=KNOWS, changes={**physics, "init": INIT}, at_home=[80.0, 80.0])
    (found,) = analyse(tmp_path / "s").transfers
    assert found.scratch is not None
    assert found.scratch.short == "none gravity=20"
    assert found.cell.short == "none gravity=20 from 3000 steps optimizer kept"
