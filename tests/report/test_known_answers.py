"""The whole report on studies whose truth is known: what it says must be true, each time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.synthetic import DECLARED, write_run

from rl_warmup.records.study import write_declaration
from rl_warmup.report.command import main
from rl_warmup.report.verdicts import headline

STEPS = tuple(range(0, 5001, 250))  # 21 evaluations
EPISODES = 10
LEARNING = np.minimum(100.0, np.linspace(0, 200, len(STEPS)))  # solved (90) after 45% of the budget
Policy = Callable[[int], np.ndarray]  # seed -> expected return at each evaluation


def write_arm(study: Path, warmup: str, policy: Policy, seeds: range = range(10), **options: Any) -> None:
    """Record an arm: each seed's policy, evaluated with ten noisy episodes."""
    for seed in seeds:
        rng = np.random.default_rng([seed, len(warmup)])
        evaluations = policy(seed)[:, None] + 3 * rng.standard_normal((len(STEPS), EPISODES))
        write_run(
            study, warmup, seed, evaluations.mean(axis=1), steps=STEPS, evaluations=evaluations.tolist(), **options
        )


def learns(seed: int) -> np.ndarray:
    return LEARNING - seed / 4


def collapses(seed: int) -> np.ndarray:
    """Falls to 10 in the second half, for four evaluations, and comes back."""
    return np.where((np.arange(len(STEPS)) >= 13) & (np.arange(len(STEPS)) < 17), 10.0, learns(seed))


def never(seed: int) -> np.ndarray:
    return np.full(len(STEPS), 5.0 + seed / 4)


def steady(seed: int) -> np.ndarray:
    return np.full(len(STEPS), 95.0)


def told(study: Path, code: int = 0, comparisons: list[dict[str, Any]] | None = None) -> tuple[dict[str, Any], str]:
    """report.json and the text of report.md of a study, after `python -m rl_warmup.report`."""
    write_declaration(study, DECLARED if comparisons is None else DECLARED | {"comparisons": comparisons})
    assert main([str(study), "--no-figures"]) == code
    return json.loads((study / "report.json").read_text()), (study / "report.md").read_text()


def verdict(report: dict[str, Any], metric: str, treatment: str = "linear") -> str:
    (row,) = [
        row for row in report["comparisons"] if row["metric"] == metric and row["treatment"].startswith(treatment)
    ]
    return headline(row).removesuffix(" in the runs seen")  # what ten pairs can show


def cell(report: dict[str, Any], warmup: str) -> dict[str, Any]:
    (row,) = [row for row in report["cells"] if row["warmup"]["name"] == warmup]
    return dict(row)


def test_a_collapse_in_one_arm_is_worse_in_stability_and_not_in_the_end(tmp_path: Path) -> None:
    write_arm(tmp_path / "s", "none", learns)
    write_arm(tmp_path / "s", "linear", collapses)
    report, text = told(tmp_path / "s")
    assert verdict(report, "shortfall") == "worse"
    assert verdict(report, "area") == "worse"
    assert {verdict(report, name) for name in ("final", "not_learned")} == {"inconclusive"}
    assert {verdict(report, name) for name in ("collapses", "drawdown_max", "drawdown_cvar")} == {"worse"}
    linear, none = (cell(report, name)["metrics"] for name in ("linear", "none"))
    assert (linear["collapses"]["mean"], none["collapses"]["mean"]) == (1.0, 0.0)
    assert linear["recovered"]["mean"] == 1.0
    assert none["recovered"]["mean"] is None
    assert linear["drawdown_max"]["above_noise_floor"] == 1.0
    assert linear["drawdown_max"]["noise_floor"] < 0.1 < 0.8 < linear["drawdown_max"]["mean"]
    assert any("shortfall" in answer and "more" in answer for answer in report["answers"])
    assert "shortfall" in text


def test_a_constant_policy_is_not_less_stable_than_its_evaluations(tmp_path: Path) -> None:
    write_arm(tmp_path / "s", "none", steady)
    write_arm(tmp_path / "s", "linear", steady)
    report, _ = told(tmp_path / "s")
    assert {headline(row) for row in report["comparisons"]} == {"inconclusive"}
    for name, metric in report["study"]["metrics"].items():
        if metric["noise_floor"] and name != "collapses":
            values = [cell(report, warmup)["metrics"][name] for warmup in ("none", "linear")]
            for value in values:
                assert abs(value["noise_floor"]) > 0.5 * abs(value["mean"]) > 0, name
            assert np.mean([value["above_noise_floor"] for value in values]) <= 0.25, name
    assert cell(report, "none")["metrics"]["collapses"]["mean"] == 0


def test_an_arm_that_never_learns_is_worse_and_its_flat_curve_is_no_stability(tmp_path: Path) -> None:
    write_arm(tmp_path / "s", "none", learns)
    write_arm(tmp_path / "s", "linear", never)
    report, _ = told(tmp_path / "s")
    confirmatory = ("final", "area", "shortfall", "not_learned")
    assert {verdict(report, name) for name in confirmatory} == {"worse"}
    assert cell(report, "linear")["shares"]["not_learned"]["share"] == 1.0
    assert cell(report, "linear")["shares"]["not_learned"]["ci_low"] == pytest.approx(0.722, abs=1e-3)  # Wilson
    assert cell(report, "linear")["time_to_threshold"] == {"reached": 0, "restricted_mean": 1.0, "median": None}
    assert cell(report, "none")["time_to_threshold"]["reached"] == 10
    assert cell(report, "none")["time_to_threshold"]["median"] == pytest.approx(0.475, abs=0.03)


def test_an_inert_warmup_gets_no_verdict_whatever_the_returns(tmp_path: Path) -> None:
    write_arm(tmp_path / "s", "none", learns)
    write_arm(tmp_path / "s", "linear", never, inert=True)
    report, text = told(tmp_path / "s")
    assert {headline(row) for row in report["comparisons"]} == {"inconclusive"}
    assert any("no verdict" in problem and "do not differ" in problem for problem in report["problems"])
    assert "do not differ at all" in text


def test_missing_seeds_are_named_and_only_pairs_are_compared(tmp_path: Path) -> None:
    write_arm(tmp_path / "s", "none", learns)
    write_arm(tmp_path / "s", "linear", never, range(7))
    report, text = told(tmp_path / "s")
    assert {row["n"] for row in report["comparisons"] if row["family"] == "confirmatory"} == {7}
    assert any("seeds 7, 8, 9 scored in the control only" in problem for problem in report["problems"])
    assert "seeds 7, 8, 9" in text


def test_a_failed_run_is_named_with_its_error_and_never_scored(tmp_path: Path) -> None:
    write_arm(tmp_path / "s", "none", learns)
    write_arm(tmp_path / "s", "linear", learns, range(9))
    write_run(tmp_path / "s", "linear", 9, LEARNING[:3], steps=STEPS, status="failed", error="OSError: disk gone")
    report, text = told(tmp_path / "s", code=1)
    assert cell(report, "linear")["n_failed"] == 1
    assert cell(report, "linear")["n"] == 9
    (run,) = [run for run in report["runs"] if run["status"] == "failed"]
    assert set(run["metrics"].values()) == {None}
    assert any("disk gone" in problem for problem in report["problems"])
    assert "disk gone" in text


def test_a_diverged_run_is_an_outcome_scored_at_the_floor_and_named(tmp_path: Path) -> None:
    write_arm(tmp_path / "s", "none", learns)
    write_arm(tmp_path / "s", "linear", learns, range(9))
    write_run(tmp_path / "s", "linear", 9, LEARNING[:12], steps=STEPS, status="diverged", error="loss is nan")
    report, _ = told(tmp_path / "s")
    linear = cell(report, "linear")
    assert (linear["n"], linear["n_diverged"], linear["shares"]["diverged"]["share"]) == (10, 1, 0.1)
    (run,) = [run for run in report["runs"] if run["status"] == "diverged"]
    assert run["metrics"]["final"] == -1.0  # return_floor -100 of low 0, high 100
    assert run["metrics"]["not_learned"] == 1.0
    assert any("seed 9" in problem and "floor" in problem for problem in report["problems"])


def test_two_warmup_lengths_are_two_treatments_each_with_its_own_answer(tmp_path: Path) -> None:
    write_arm(tmp_path / "s", "none", learns)
    write_arm(tmp_path / "s", "linear", learns)
    write_arm(
        tmp_path / "s",
        "linear",
        never,
        info={"warmup": {"name": "linear", "shape": "linear", "length": 20, "clock": "gradient_steps"}},
        changes={"warmup.length": 20},
    )
    report, text = told(tmp_path / "s")
    assert verdict(report, "final", "linear 20%") == "inconclusive"
    assert verdict(report, "final", "linear 50%") == "worse"
    assert len([row for row in report["comparisons"] if row["family"] == "confirmatory"]) == 8
    assert "50%" in text
