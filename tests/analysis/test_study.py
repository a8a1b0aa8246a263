"""What the analysis says about studies whose answer is known."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic import (
    CONFIG,
    DECLARED,
    LEARNS,
    STEPS,
    VERSIONS,
    cell_row,
    on,
    said,
    two_arms,
    write_run,
)

from rl_warmup.analysis.study import analyse
from rl_warmup.records.study import write_declaration
from rl_warmup.records.write import recording
from rl_warmup.report.content import as_json

# verdicts


def test_an_injected_shift_is_found_with_its_size_and_p(tmp_path: Path) -> None:
    analysis = analyse(two_arms(tmp_path / "s", [10.0 + seed for seed in range(8)]))
    for metric in ("final", "area"):
        found = on(analysis, metric)
        assert found.paired.estimate == pytest.approx(0.135)  # the mean of .10 .. .17
        assert found.paired.p_value == pytest.approx(2 / 2**8)
        assert found.verdict.p_adjusted == pytest.approx(4 * 2 / 2**8)  # Holm over four metrics
        assert found.verdict.headline == "better in the runs seen"
    assert on(analysis, "not_learned").verdict.headline == "inconclusive"
    assert not analysis.left_out


def test_the_same_shift_downwards_is_worse(tmp_path: Path) -> None:
    analysis = analyse(two_arms(tmp_path / "s", [-10.0 - seed for seed in range(8)]))
    assert {on(analysis, metric).verdict.headline for metric in ("final", "area")} == {"worse in the runs seen"}
    assert on(analysis, "shortfall").paired.estimate > 0  # and lower is better
    assert on(analysis, "shortfall").verdict.headline == "worse in the runs seen"


@pytest.mark.slow
def test_equal_differences_have_equal_numbers_whatever_else_is_in_the_folder(tmp_path: Path) -> None:
    """Above 36 pairs sign vectors are drawn, and so are the interval of the IQM and the unpaired p."""
    shifts = np.random.default_rng(0).normal(1, 4, 38).round(1).tolist()
    study = two_arms(tmp_path / "s", shifts)
    before = {metric: on(analyse(study), metric).paired for metric in ("final", "area")}
    found = before["final"].p_value, before["final"].ci_low, before["final"].ci_high
    assert 0.01 < found[0] < 1
    assert (before["area"].p_value, before["area"].ci_low, before["area"].ci_high) == pytest.approx(found)
    for seed in range(6):  # another cell, which comes first
        write_run(study, "none", seed, learning_rate=1e-4)
        write_run(study, "linear", seed, np.add(LEARNS, seed), learning_rate=1e-4)
    after = [one for one in analyse(study).comparisons if one.paired.n == 38]
    assert {one.metric.name: one.paired for one in after if one.metric.name in before} == before


def test_identical_arms_have_p_one_and_are_not_better(tmp_path: Path) -> None:
    analysis = analyse(two_arms(tmp_path / "s", [0.0] * 8))
    for comparison in analysis.comparisons:
        assert comparison.paired.p_value == 1.0
        assert comparison.verdict.verdict == "inconclusive"
    assert said(analysis, "significance was not possible", "4 of 4")


def test_what_is_too_small_to_matter_is_so_by_the_effect_of_the_study(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [3.0 + 0.01 * seed for seed in range(20)])
    small = on(analyse(study), "final").verdict
    assert (small.headline, [note.kind for note in small.notes]) == ("inconclusive", ["small"])
    write_declaration(study, DECLARED | {"smallest_effect": 0.01})
    analysis = analyse(study)
    assert on(analysis, "final").smallest_effect == 0.01
    assert on(analysis, "final").verdict.headline == "better in the runs seen"
    assert on(analysis, "not_learned").smallest_effect == 0.05  # of the runs, not of return


def test_a_constant_policy_scores_the_same_everywhere(tmp_path: Path) -> None:
    for seed in range(3):
        for warmup in ("none", "linear"):
            write_run(tmp_path / "s", warmup, seed, [50.0] * 6)
    row = cell_row(analyse(tmp_path / "s"), "linear")
    expected = {"final": 0.5, "area": 0.5, "shortfall": 0.4, "not_learned": 0.0}  # threshold .9 - .5
    for name, value in expected.items():
        found = {key: row["metrics"][name][key] for key in ("mean", "iqm", "ci_low", "ci_high")}
        assert found == pytest.approx(dict.fromkeys(found, value))


def test_a_family_is_all_confirmatory_comparisons_of_all_learning_rates(tmp_path: Path) -> None:
    for rate in (1e-3, 1e-2):
        two_arms(tmp_path / "s", [10.0 + seed for seed in range(8)], learning_rate=rate)
    analysis = analyse(tmp_path / "s")
    assert [block.settings["learning_rate"] for block in analysis.blocks] == [1e-3, 1e-2]
    assert len([found for found in analysis.comparisons if found.family == "confirmatory"]) == 8
    finals = [found for found in analysis.comparisons if found.metric.name == "final"]
    assert [found.verdict.p_adjusted for found in finals] == [pytest.approx(8 * 2 / 2**8)] * 2
    for found in analysis.comparisons:
        settings = [cell.settings["learning_rate"] for cell in (found.pairing.treatment, found.pairing.control)]
        assert settings[0] == settings[1]


# outcomes that are not completed


def test_a_diverged_run_is_scored_at_the_floor(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [0.0] * 3)
    write_run(study, "none", 3)
    write_run(study, "linear", 3, [0.0, 40.0, float("nan")], status="diverged")
    analysis = analyse(study)
    row = next(row for row in as_json(analysis)["runs"] if row["status"] == "diverged")
    # z = 0, .4, then four times -1; trapezoids .2 - .3 - 3 over five steps; threshold .9 above -1
    expected = {"final": -1, "area": -0.62, "shortfall": 1.9, "not_learned": 1}
    assert {name: row["metrics"][name] for name in expected} == pytest.approx(expected)
    assert said(analysis, "linear-20%", "seed 3 diverged (1 of 4), scored at the floor from there on")
    assert on(analysis, "not_learned").paired.estimate == 0.25
    counts = cell_row(analysis, "linear")
    assert (counts["n"], counts["n_diverged"], counts["n_failed"]) == (4, 1, 0)
    assert not analysis.left_out


def test_a_run_that_diverged_before_its_first_evaluation_is_at_the_floor_throughout(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [0.0])
    write_run(study, "linear", 1, [], status="diverged")
    row = next(row for row in as_json(analyse(study))["runs"] if row["status"] == "diverged")
    assert row["metrics"]["area"] == -1


def test_without_any_completed_run_the_grid_is_what_was_planned(tmp_path: Path) -> None:
    for warmup in ("none", "linear"):
        for seed in range(2):
            write_run(tmp_path / "s", warmup, seed, LEARNS[1:3], steps=STEPS[1:3], status="diverged")
    analysis = analyse(tmp_path / "s")
    assert analysis.blocks[0].steps.tolist() == [0, 1000, 2000, 3000, 4000, 5000]
    assert analysis.blocks[0].cells[0].returns[0].tolist() == [-100, 40, 80, -100, -100, -100]
    assert analysis.blocks[0].cells[0].scores["final"].tolist() == [-1, -1]  # the worst attainable
    assert said(analysis, "no run is completed")


def test_a_failed_run_is_named_counted_and_not_scored(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0, 12.0])
    write_run(study, "none", 3)
    write_run(study, "linear", 3, LEARNS[:2], status="failed", error="Traceback ...\nMemoryError: boom\n")
    analysis = analyse(study)
    assert said(analysis, "linear-0.001-s3", "failed (MemoryError: boom)")
    assert said(analysis, "seed 3 scored in the control only")
    assert cell_row(analysis, "linear")["n_failed"] == 1
    assert cell_row(analysis, "linear")["n"] == 3
    assert on(analysis, "final").paired.n == 3
    row = next(row for row in as_json(analysis)["runs"] if row["status"] == "failed")
    assert set(row["metrics"].values()) == {None}
    assert analysis.left_out


def test_running_and_interrupted_runs_are_told_apart(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0])
    folder = write_run(study, "linear", 2, LEARNS[:2], status="running")
    assert said(analyse(study), "linear-0.001-s2", "interrupted")
    info = json.loads((folder / "run.json").read_text())
    with recording(folder, info, CONFIG):
        analysis = analyse(study)
    assert said(analysis, "linear-0.001-s2", "still running")
    assert not said(analysis, "interrupted")
    assert analysis.left_out


# pairs


def test_pairs_are_the_seeds_in_both_arms_and_seed_zero_is_one(tmp_path: Path) -> None:
    for seed in (0, 2, 5):
        write_run(tmp_path / "s", "none", seed)
    for seed in (5, 0, 7):
        write_run(tmp_path / "s", "linear", seed, np.add(LEARNS, seed))
    analysis = analyse(tmp_path / "s")
    found = on(analysis, "final")
    assert [pair[0].seed for pair in found.pairing.runs] == [0, 5]
    assert found.differences == pytest.approx([0.0, 0.05])
    assert said(analysis, "seed 7 scored in the treatment only")
    assert said(analysis, "seed 2 scored in the control only")


def test_one_pair_gives_no_verdict(tmp_path: Path) -> None:
    analysis = analyse(two_arms(tmp_path / "s", [10.0]))
    assert {found.verdict.verdict for found in analysis.comparisons} == {"inconclusive"}
    assert {found.paired.estimate for found in analysis.comparisons} == {None}
    assert said(analysis, "no verdict", "1 seeds are scored in both arms")


def test_a_warmup_that_was_not_delivered_gives_no_verdict(tmp_path: Path) -> None:
    for seed in range(8):
        write_run(tmp_path / "s", "none", seed)
        write_run(tmp_path / "s", "linear", seed, np.add(LEARNS, 10.0 + seed), inert=True)
    analysis = analyse(tmp_path / "s")
    assert {found.verdict.verdict for found in analysis.comparisons} == {"inconclusive"}
    assert said(analysis, "no verdict", "the delivered learning rates do not differ at all")
    assert on(analysis, "final").paired.p_value == pytest.approx(2 / 2**8)  # shown all the same


def test_a_warmup_that_was_delivered_in_some_pairs_only_is_said_so(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / "s", "none", seed)
        write_run(tmp_path / "s", "linear", seed, np.add(LEARNS, seed), inert=seed == 1)
    assert said(analyse(tmp_path / "s"), "learning rates do not differ in seed 1")


def test_without_any_known_learning_rate_there_is_no_verdict(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0 + seed for seed in range(8)])
    for path in study.glob("linear*/updates.parquet"):
        path.unlink()
    analysis = analyse(study)
    assert on(analysis, "final").verdict.verdict == "inconclusive"
    assert said(analysis, "no verdict", "are not known in both runs of any pair")


def test_different_versions_and_devices_inside_a_comparison_are_named(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0])
    write_run(study, "none", 2, info={"versions": VERSIONS | {"torch": "2.6.0"}})
    write_run(study, "linear", 2, changes={"device": "cuda:0"}, info={"device": "cuda:0"})
    analysis = analyse(study)
    assert said(analysis, "different versions of torch: 2.13.0, 2.6.0")
    assert said(analysis, "different devices: cpu, cuda:0")
    assert not said(analysis, "stable_baselines3")
    assert on(analysis, "final").paired.n == 3


def test_a_study_on_two_devices_keeps_them_apart(tmp_path: Path) -> None:
    for device in ("cpu", "cuda:0"):
        two_arms(tmp_path / "s", [10.0, 11.0], changes={"device": device})
    analysis = analyse(tmp_path / "s")
    assert [len(block.cells) for block in analysis.blocks] == [2, 2]
    assert analysis.blocks[1].cells[1].arm.endswith(" device=cuda:0")
    assert not analysis.left_out


def test_the_same_run_twice_is_counted_once(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0])
    copy = write_run(tmp_path / "t", "linear", 0, np.add(LEARNS, 500.0), info={"run_id": "zz-copy"})
    copy.rename(study / "zz-copy")
    analysis = analyse(study)
    assert said(analysis, "zz-copy is left out", "seed 0")
    assert on(analysis, "final").paired.estimate == pytest.approx(0.105)
