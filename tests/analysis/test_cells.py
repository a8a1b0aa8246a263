"""Which runs count, and which belong together."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from helpers.synthetic import (
    LEARNS,
    cell_row,
    on,
    said,
    two_arms,
    write_run,
)
from hypothesis import given
from hypothesis import strategies as st

from rl_warmup.analysis.cells import Cell, blocks_of, common_grid, distinct
from rl_warmup.analysis.metrics.table import METRICS
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.runs import Run
from rl_warmup.analysis.study import analyse
from rl_warmup.records.read import read_study
from rl_warmup.records.schema import RecordError
from rl_warmup.report.content import as_json


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


def swap_constants(folder: Path) -> str:
    info = json.loads((folder / "run.json").read_text())
    info["config"]["env"]["return_high"] = -5
    (folder / "run.json").write_text(json.dumps(info))
    return "return_low is not below"


@pytest.mark.parametrize("damage", [damage_evaluations, nan_return, damage_info, swap_constants])
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


def test_labels_name_settings_as_the_command_line_does(tmp_path: Path) -> None:
    """Also one that is off, and one that a record leaves out because it has its default."""
    for limit, norm in ((0.5, {}), (None, {}), (0.5, {"algo.layer_norm": True})):
        two_arms(tmp_path / "s", [10.0, 11.0], changes={"algo.max_grad_norm": limit, **norm})
    labels = {cell.arm for _, cell in analyse(tmp_path / "s").cells if cell.warmup["name"] == "none"}
    assert labels == {
        f"none lr=0.001 constant algo.layer_norm={norm} algo.max_grad_norm={limit}"
        for norm, limit in (("false", 0.5), ("false", "null"), ("true", 0.5))
    }


def test_cells_differ_by_config_not_by_label(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / "s", "none", seed, info={"arm": "called one thing"})
        write_run(tmp_path / "s", "linear", seed, info={"arm": f"called {seed}"})
    assert [len(cell.scored) for _, cell in analyse(tmp_path / "s").cells] == [2, 2]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 3)), max_size=6, unique=True))
def test_distinct_labels_are_distinct(found: list[tuple[str, int, int]]) -> None:
    settings = [{"x": x, "y": y} for _, x, y in found]
    names = [label for label, _, _ in found]
    rests = distinct(names, settings)
    assert len(set(zip(names, rests, strict=True))) == len(found)
    assert all(bool(rest) == (names.count(name) > 1) for name, rest in zip(names, rests, strict=True))


def test_optimizers_are_told_apart_by_their_names_and_those_of_one_name_by_their_numbers() -> None:
    adam = {"algo.optimizer.name": "adam", "algo.optimizer.beta2": 0.999, "algo.optimizer.eps": 1e-5}
    sgd, less = {"algo.optimizer.name": "sgd"}, {**adam, "algo.optimizer.beta2": 0.9}
    assert distinct("xx", [adam, sgd]) == [("algo.optimizer.name=adam",), ("algo.optimizer.name=sgd",)]
    assert distinct("xxx", [adam, sgd, less]) == [
        ("algo.optimizer.beta2=0.999", "algo.optimizer.name=adam"),
        ("algo.optimizer.name=sgd",),
        ("algo.optimizer.beta2=0.9", "algo.optimizer.name=adam"),
    ]
    assert distinct("xx", [adam, less]) == [("algo.optimizer.beta2=0.999",), ("algo.optimizer.beta2=0.9",)]


def test_the_common_grid_is_the_most_frequent_and_the_longer_on_a_tie() -> None:
    def run(*steps: int) -> Run:
        return Run({"run_id": "r", "seed": 0, "status": "completed"}, np.array(steps), np.zeros(len(steps)))

    assert common_grid([run(0, 5), run(0, 5), run(0, 1, 5)], {}).tolist() == [0, 5]
    assert common_grid([run(0, 5), run(0, 1, 5)], {}).tolist() == [0, 1, 5]


def cell_of(study: Path) -> Cell:
    """The only cell of a study."""
    ((cell,),) = [block.cells for block in blocks_of(read_study(study)[0], Problems())]
    return cell


def test_every_metric_is_scored_and_undefined_ones_are_nan(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "linear", 0, updates={"relative_update": [0.25, *[0.5] * 9]})
    cell = cell_of(tmp_path / "s")
    assert list(cell.scores) == list(METRICS)
    values = {name: float(scores[0]) for name, scores in cell.scores.items()}
    assert {name for name, value in values.items() if math.isnan(value)} == {
        *("recovered", "q_max_abs", "soft_divergence")
    }
    # training episodes of equal lengths returned 40, 80, 90, 100, 100; the threshold .9 was reached at 3 of 5
    expected = {"best": 1.0, "online_return": 0.82, "time_to_threshold": 0.6, "collapses": 0, "drawdown_max": 0}
    # omega is 1/8, ..., 1 over the first 8 of 40 steps: 3.5 of 40 are lost, and 7 steps are below 99%
    expected |= {"early_relative_update": 0.25, "n_below_99": 7, "budget_lost": 3.5 / 40}
    expected |= {"learning_rate_mean": 1e-3 * 36.5 / 40, "approx_kl": 0.5, "loss_spikes": 0}
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_a_dqn_run_has_dqns_diagnostics(tmp_path: Path) -> None:
    largest = [1.0] * 9 + [101.0]  # 1 / (1 - .99) is 100
    write_run(tmp_path / "s", "none", 0, changes={"algo.name": "dqn"}, updates={"q_max_abs": largest})
    scores = cell_of(tmp_path / "s").scores
    assert [scores["q_max_abs"][0], scores["soft_divergence"][0]] == [101, 1]
    assert np.isnan([scores["approx_kl"][0], scores["clip_fraction"][0]]).all()


def test_a_diverged_run_pays_for_what_it_did_not_train(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "none", 0)
    write_run(tmp_path / "s", "none", 1, LEARNS[:3], status="diverged")
    cell = cell_of(tmp_path / "s")
    # (40 + 80 + 3 * -100) / 5 of 100
    assert cell.scores["online_return"] == pytest.approx([0.82, -0.36])
    assert cell.scores["time_to_threshold"] == pytest.approx([0.6, 1.0])
    assert cell.reached.tolist() == [True, False]
    assert cell.scores["collapses"].tolist() == [0, 1]
    assert cell.scores["recovered"] == pytest.approx([math.nan, 0], nan_ok=True)
    assert cell.above_floor["collapses"].tolist() == [False, True]


def test_a_completed_run_does_not_pay_for_an_unfinished_episode(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "none", 0, episodes=[(1000, 50.0, 1000)])
    assert cell_of(tmp_path / "s").scores["online_return"] == pytest.approx([0.5])


def test_runs_without_training_episodes_are_scored_but_named(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "none", 0, episodes=[])
    folder = write_run(tmp_path / "s", "none", 1)
    (folder / "episodes.parquet").write_bytes(b"PAR1")
    problems = Problems()
    (block,) = blocks_of(read_study(tmp_path / "s")[0], problems)
    scores = block.cells[0].scores
    assert np.isnan(scores["online_return"]).all()
    assert scores["final"] == pytest.approx([1.0, 1.0])
    assert any(f"{folder.name}: its training episodes are not known" in text for text in problems.found)
    assert {found.kind for found in problems.found.values()} == {"left out"}


def noisy(spread: float, count: int = 2) -> list[list[float]]:
    return [list(mean + spread * np.linspace(-1, 1, count)) for mean in LEARNS]


def test_noise_floors_come_from_the_runs_own_episodes(tmp_path: Path) -> None:
    for seed, spread in enumerate((0.0, 10.0, 20.0)):
        write_run(tmp_path / "s", "none", seed, evaluations=noisy(spread, 10))
    cell = cell_of(tmp_path / "s")
    assert list(cell.floors) == list(cell.above_floor) == [m.name for m in METRICS.values() if m.noise_floor]
    still, some, more = cell.floors["drawdown_max"]
    assert still == 0
    assert more / some == pytest.approx(2, rel=0.2)
    # episodes of sd .067 and .135, means of ten at six evaluations: about 1.9 of their standard errors
    assert some == pytest.approx(1.9 * 0.067 / math.sqrt(10), rel=0.25)
    assert not np.any(cell.above_floor["drawdown_max"])  # the curve never falls
    assert cell.above_floor["difference_std"].tolist() == [True] * 3  # but learning is no noise
    assert cell.floors["difference_cvar"][2] < 0


@pytest.mark.parametrize(
    "evaluations",
    [[[mean] for mean in LEARNS], [[0.0, 0.0], *([mean] * 3 for mean in LEARNS[1:])]],
    ids=["one episode", "unequal numbers"],
)
def test_without_enough_episodes_the_floor_is_unknown(tmp_path: Path, evaluations: list[list[float]]) -> None:
    write_run(tmp_path / "s", "none", 0, evaluations=evaluations)
    write_run(tmp_path / "s", "none", 1)
    cell = cell_of(tmp_path / "s")
    for name, floors in cell.floors.items():
        assert np.isnan(floors).tolist() == [True, False]
        assert not cell.above_floor[name][0]


def test_a_runs_floor_does_not_depend_on_the_other_runs(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    for study, seeds in ((alone, [1]), (together, [0, 1, 2])):
        for seed in seeds:
            write_run(study, "none", seed, evaluations=noisy(10.0, 5))
    one, three = cell_of(alone).floors, cell_of(together).floors
    assert all(one[name][0] == pytest.approx(three[name][1], rel=1e-12) for name in one)
    assert len(set(three["drawdown_max"])) == 3


def test_floors_take_their_draws_from_the_generator(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "none", 0, evaluations=noisy(10.0, 5))
    records = read_study(tmp_path / "s")[0]
    floors = [
        blocks_of(records, Problems(), np.random.default_rng(seed))[0].cells[0].floors["drawdown_max"][0]
        for seed in (1, 1, 2)
    ]
    assert floors[0] == floors[1] != floors[2]


def test_a_diverged_run_without_an_evaluation_has_no_noise(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "none", 0, [], status="diverged")
    write_run(tmp_path / "s", "none", 1)
    cell = cell_of(tmp_path / "s")
    assert cell.scores["final"][0] == -1
    assert cell.scores["online_return"][0] == pytest.approx(-1)
    assert cell.floors["drawdown_max"][0] == 0
