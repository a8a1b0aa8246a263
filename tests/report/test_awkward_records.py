"""Records that are not as they should be: the report says what it left out, why, and is right about the rest."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.awkward import BOUNDED, RISE, Told, curves, shifted, told, write_arm
from helpers.synthetic import DECLARED, STEPS

from rl_warmup.report.command import main

CONTROL = curves(np.linspace(0.55, 0.65, 10))
TREATED = shifted(CONTROL, np.linspace(0.2, 0.3, 10))
WON = {"better"}


def two_arms(folder: Path, **options: Any) -> Path:
    """Ten pairs, the linear warmup plainly better."""
    write_arm(folder, "none", CONTROL)
    write_arm(folder, "linear", TREATED, **options)
    return folder


def seen(found: Told) -> set[str]:
    """What is said of final and area in the runs seen."""
    return found.verdicts("final", "area", key="verdict_in_runs_seen")


def test_without_a_threshold_the_reference_is_taken_for_it_and_that_is_said(tmp_path: Path) -> None:
    for arm, curve in (("none", CONTROL), ("linear", TREATED)):
        write_arm(tmp_path / "s", arm, curve, changes=BOUNDED | {"env.threshold": None})
    found = told(tmp_path / "s")
    assert (found.code, seen(found)) == (0, WON)
    found.sentence("env.threshold is not known", "env.return_high=100 is taken for it")


def test_a_nan_in_a_config_is_named_and_nothing_crashes(tmp_path: Path) -> None:
    folder = two_arms(tmp_path / "s")
    path = next(folder.glob("linear*-s4")) / "run.json"
    info = json.loads(path.read_text())
    info["warmup"]["start"] = info["config"]["warmup"]["start"] = float("nan")
    path.write_text(json.dumps(info))
    found = told(folder)
    assert found.code == 1
    found.sentence("s4", "NaN")
    assert seen(found) == WON


def test_seeds_of_one_arm_only_are_named_and_not_compared(tmp_path: Path) -> None:
    write_arm(tmp_path / "s", "none", CONTROL)
    write_arm(tmp_path / "s", "linear", TREATED[:8], seeds=range(1, 9))
    found = told(tmp_path / "s")
    assert found.row("final")["n"] == 8
    found.sentence("seeds 0, 9 scored in the control only")


def test_a_run_on_another_grid_is_left_out_by_name(tmp_path: Path) -> None:
    folder = two_arms(tmp_path / "s")
    steps = (*STEPS[:4], 4500, STEPS[-1])
    write_arm(folder, "linear", TREATED[:1], seeds=[10], steps=steps)
    found = told(folder)
    assert found.code == 1
    assert found.row("final")["n"] == 10
    found.sentence("s10 is left out", "6 evaluations are not at the 6 steps")


def test_a_declared_arm_without_runs_is_missed(tmp_path: Path) -> None:
    wanted = [{"warmup.name": "linear"}, {"warmup.name": "cosine"}]
    found = told(two_arms(tmp_path / "s"), DECLARED | {"comparisons": wanted})
    found.sentence("warmup.name=cosine", "has no runs")
    assert seen(found) == WON


def test_arms_that_differ_in_more_than_the_warmup_are_not_compared(tmp_path: Path) -> None:
    folder = two_arms(tmp_path / "s", changes=BOUNDED | {"algo.gamma": 0.9})
    found = told(folder)
    assert found.report["comparisons"] == []
    found.sentence("no run is its control", "algo.gamma (0.9, there 0.99)")


def test_without_training_episodes_the_evaluations_are_still_compared(tmp_path: Path) -> None:
    folder = two_arms(tmp_path / "s")
    for path in folder.glob("linear*/episodes.parquet"):
        path.unlink()
    found = told(folder)
    assert found.code == 1
    assert seen(found) == WON
    found.sentence("episodes.parquet cannot be read")


def test_a_contrast_of_arms_with_equal_learning_rates_gets_no_verdict(tmp_path: Path) -> None:
    arms = [{"weight": w, "where": {"warmup.name": arm}} for w, arm in ((1.0, "linear"), (-1.0, "none"))]
    found = told(two_arms(tmp_path / "s", inert=True), DECLARED | {"contrasts": [{"name": "inert", "arms": arms}]})
    for key in ("verdict", "verdict_in_runs_seen"):
        assert found.verdicts("final", "area", key=key, contrast="inert") == {"inconclusive"}
    found.sentence("contrast inert", "do not differ at all")


def test_negative_returns_are_compared_as_any(tmp_path: Path) -> None:
    changes = {"env.return_floor": -1627.0, "env.return_low": -1200.0, "env.return_high": -150.0}
    changes |= {"env.threshold": -200.0, "env.ceiling": 0.0}
    write_arm(tmp_path / "s", "none", CONTROL, changes=changes)
    write_arm(tmp_path / "s", "linear", TREATED, changes=changes)
    found = told(tmp_path / "s")
    assert seen(found) == WON
    assert found.row("final")["estimate"] == pytest.approx(0.25)
    assert found.row("final")["bound"] == pytest.approx((0 + 1627) / 1050)


def test_the_same_seed_twice_counts_once_and_is_named(tmp_path: Path) -> None:
    folder = two_arms(tmp_path / "s")
    next(folder.glob("linear*-s3")).rename(folder / "again")
    write_arm(folder, "linear", TREATED[3:4] - 0.5, seeds=[3])
    found = told(folder)
    assert found.code == 1
    assert found.row("final")["n"] == 10
    found.sentence("seed 3", "is there twice")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("run.json", b'{"run_id": "x"', "run.json cannot be read"),
        ("run.json", b"[1, 2]", "run.json is not a JSON object"),
        ("evaluations.parquet", b"PAR1", "evaluations.parquet cannot be read"),
        ("updates.parquet", b"", "updates.parquet cannot be read"),
    ],
)
def test_broken_files_are_named_and_the_rest_is_reported(
    tmp_path: Path, file: str, content: bytes, words: str
) -> None:
    folder = two_arms(tmp_path / "s")
    broken = next(folder.glob("linear*-s4")) / file
    broken.unlink()  # a link of others
    broken.write_bytes(content)
    found = told(folder)
    assert found.code == 1
    found.sentence(words)
    assert found.row("final")["n"] == (10 if file == "updates.parquet" else 9)
    assert seen(found) == WON


def test_nothing_but_broken_files_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_arm(tmp_path / "s", "none", curves([0.5], RISE))
    next((tmp_path / "s").glob("*/run.json")).write_text("{")
    assert main([str(tmp_path / "s")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
