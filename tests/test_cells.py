"""Which runs count, and which belong together."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import (
    LEARNS,
    cell_row,
    on,
    said,
    two_arms,
    write_run,
)

from rl_warmup.analysis import analyse
from rl_warmup.cells import common_grid, distinct
from rl_warmup.readings import Run
from rl_warmup.records import RecordError
from rl_warmup.summary import as_json


def damage_evaluations(folder: Path) -> str:
    path = folder / "evaluations.parquet"
    path.write_bytes(path.read_bytes()[:100])
    return "cannot be read"


def nan_return(folder: Path) -> str:
    path = folder / "evaluations.parquet"
    nan = pl.Series([[float("nan"), 1.0]] * 6, dtype=pl.List(pl.Float64))
    pl.read_parquet(path, memory_map=False).with_columns(returns=nan).write_parquet(path)
    return "not finite"


def damage_info(folder: Path) -> str:
    (folder / "run.json").write_text('{"run_id": ')
    return "cannot be read"


def lose_constants(folder: Path) -> str:
    info = json.loads((folder / "run.json").read_text())
    del info["config"]["env"]["return_high"]
    (folder / "run.json").write_text(json.dumps(info))
    return "lacks env.return_high"


def swap_constants(folder: Path) -> str:
    info = json.loads((folder / "run.json").read_text())
    info["config"]["env"]["return_high"] = -5
    (folder / "run.json").write_text(json.dumps(info))
    return "return_low is not below"


@pytest.mark.parametrize("damage", [damage_evaluations, nan_return, damage_info, lose_constants, swap_constants])
def test_an_unusable_record_is_named_and_never_averaged(tmp_path: Path, damage: Any) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0, 12.0])
    write_run(study, "none", 3)
    folder = write_run(study, "linear", 3, np.add(LEARNS, 1000.0))
    complaint = damage(folder)
    analysis = analyse(study)
    assert said(analysis, complaint, folder.name)
    assert analysis.left_out
    assert on(analysis, "final").paired.estimate == pytest.approx(0.11)
    assert cell_row(analysis, "linear")["n"] == 3
    assert cell_row(analysis, "linear")["n_failed"] == 0


def test_a_run_without_its_learning_rates_is_scored_but_named(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0, 12.0])
    (study / "linear-0.001-s0" / "updates.parquet").write_bytes(b"PAR1")
    analysis = analyse(study)
    assert said(analysis, "linear-0.001-s0", "the learning rates it was given are not known")
    assert on(analysis, "final").paired.n == 3
    assert {row["arm"][:6]: row["n"] for row in as_json(analysis)["dose"]} == {"none l": 3, "linear": 2}
    assert analysis.left_out


def test_runs_on_another_evaluation_grid_are_left_out_and_named(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0, 12.0])
    write_run(study, "none", 3)
    write_run(study, "linear", 3, np.add(LEARNS, 1000.0), steps=(0, 900, 2000, 3000, 4000, 5000))
    write_run(study, "linear", 4, LEARNS[:4])  # completed, but cut short
    analysis = analyse(study)
    assert said(analysis, "linear-0.001-s3", "6 evaluations are not at the 6 steps")
    assert said(analysis, "linear-0.001-s4", "4 evaluations")
    assert on(analysis, "final").paired.estimate == pytest.approx(0.11)
    assert analysis.left_out


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="not a folder with record files"):
        analyse(tmp_path / "nowhere")


def test_equal_labels_get_what_differs(tmp_path: Path) -> None:
    two_arms(tmp_path / "s", [10.0, 11.0])
    two_arms(tmp_path / "s", [10.0, 11.0], changes={"algo.n_steps": 64})
    analysis = analyse(tmp_path / "s")
    arms = [cell.arm for _, cell in analysis.cells]
    assert len(set(arms)) == 4
    assert "none lr=0.001 constant algo.n_steps=64" in arms
    assert {found.pairing.treatment.settings["algo.n_steps"] for found in analysis.comparisons} == {64, 500}


def test_cells_differ_by_config_not_by_label(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / "s", "none", seed, arm="called one thing")
        write_run(tmp_path / "s", "linear", seed, arm=f"called {seed}")
    assert [len(cell.scored) for _, cell in analyse(tmp_path / "s").cells] == [2, 2]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 3)), max_size=6, unique=True))
def test_distinct_labels_are_distinct(found: list[tuple[str, int, int]]) -> None:
    settings = [{"x": x, "y": y} for _, x, y in found]
    labels = distinct([label for label, _, _ in found], settings)
    assert len(set(labels)) == len(found)
    assert all(made.startswith(label) for made, (label, _, _) in zip(labels, found, strict=True))


def test_the_common_grid_is_the_most_frequent_and_the_longer_on_a_tie() -> None:
    def run(*steps: int) -> Run:
        return Run({"run_id": "r", "seed": 0, "status": "completed"}, np.array(steps), np.zeros(len(steps)))

    assert common_grid([run(0, 5), run(0, 5), run(0, 1, 5)], 5).tolist() == [0, 5]
    assert common_grid([run(0, 5), run(0, 1, 5)], 5).tolist() == [0, 1, 5]
