"""What makes a reader doubt a study is named, with its values."""

from pathlib import Path

import numpy as np
import pytest
from helpers.synthetic import LEARNS, STEPS, VERSIONS, on, said, two_arms, write_run

from rl_warmup.analysis.study import analyse


def test_different_commits_and_versions_of_the_package_inside_a_comparison_are_named(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0], info={"git_commit": "aaa"})
    info = {"git_commit": "bbb-dirty", "versions": VERSIONS | {"rl-warmup": "0.2.0"}}
    write_run(study, "none", 2, info=info)
    write_run(study, "linear", 2, info=info)
    analysis = analyse(study)
    assert said(analysis, "linear-20%", "different git commits: aaa, bbb-dirty")
    assert said(analysis, "linear-20%", "different versions of rl-warmup: 0.2.0, None")
    assert on(analysis, "final").paired.n == 3
    assert (
        len([found for found in analysis.problems if "git commits" in found.text]) == 1
    )  # not once more for the study


def test_a_run_that_took_other_gradient_steps_than_planned_is_named(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0], info={"planned_gradient_steps": 40})
    write_run(study, "none", 2, status="diverged", info={"planned_gradient_steps": 48})
    assert not said(analyse(study), "planned gradient steps")  # an older record does not say, a diverged one ended
    write_run(study, "linear", 2, info={"planned_gradient_steps": 48})
    assert said(analyse(study), "linear-20%", "linear-0.001-s2 took 40 of 48 planned gradient steps")


def test_where_updates_end_early_only_a_warmup_that_was_not_over_is_named(tmp_path: Path) -> None:
    """All took 40 of the 400 gradient steps that were the most there could be."""
    stops = {"algo.target_kl": 0.02}
    study = two_arms(tmp_path / "s", [10.0, 11.0], info={"planned_gradient_steps": 400}, changes=stops)
    assert not said(analyse(study), "gradient steps")
    write_run(study, "linear", 2, info={"planned_gradient_steps": 400}, changes={**stops, "warmup.length": 41})
    assert said(analyse(study), "took 40 of at most 400 gradient steps: its warmup of 41 was not over")


def test_versions_that_differ_between_comparisons_only_are_named_once(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0])
    two_arms(study, [10.0, 11.0], learning_rate=1e-2, info={"versions": VERSIONS | {"torch": "2.6.0"}})
    analysis = analyse(study)
    assert said(analysis, "toy ppo: the runs have different versions of torch: 2.13.0, 2.6.0")
    assert not said(analysis, "its runs have different")


def test_budgets_trainers_and_grids_next_to_a_comparison_are_named(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0])
    longer = tuple(2 * step for step in STEPS)
    two_arms(study, [10.0, 11.0], steps=longer, changes={"total_timesteps": 10_000})
    two_arms(study, [10.0, 11.0], changes={"trainer.name": "stacked"})
    two_arms(study, [10.0, 11.0], steps=STEPS[:1] + STEPS[2:], changes={"evaluation.count": 5})
    analysis = analyse(study)
    assert said(analysis, "toy ppo: the runs have different total_timesteps: 5000, 10000; each is compared only")
    assert said(analysis, "toy ppo: the runs have different trainer.name: sb3, stacked")
    assert said(analysis, "toy ppo: the runs have different evaluation.count: 5, 6")
    finals = [found for found in analysis.comparisons if found.metric.name == "final"]
    assert [found.paired.n for found in finals] == [2, 2, 2, 2]  # none with another budget, trainer or grid
    for found in finals:
        assert (
            found.pairing.treatment.settings["total_timesteps"] == found.pairing.control.settings["total_timesteps"]
        )


@pytest.mark.parametrize("recorded", [True, False])  # in run.json, or not yet when the run was made
def test_an_environment_that_is_scored_as_another_is_named(recorded: bool, tmp_path: Path) -> None:
    for env_id in ("CartPole-v1", "Pendulum-v1"):
        borrowed = None if env_id == "CartPole-v1" else "CartPole-v1"
        changes = {"env.name": "cartpole", "env.id": env_id}
        two_arms(tmp_path / "s", [10.0, 11.0], changes=changes, info={"borrowed_env": borrowed} if recorded else {})
    analysis = analyse(tmp_path / "s")
    assert said(analysis, "Pendulum-v1 was trained as env=cartpole, which is CartPole-v1")
    assert not said(analysis, "CartPole-v1 was trained")


def test_learning_rates_and_schedules_are_what_a_study_is_about(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0])
    two_arms(study, [10.0, 11.0], learning_rate=1e-2)
    two_arms(study, [10.0, 11.0], changes={"schedule.name": "cosine"})
    assert not said(analyse(study), "different")


def test_a_control_at_another_budget_is_no_control_and_said_so(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / "s", "none", seed)
        write_run(tmp_path / "s", "linear", seed, changes={"total_timesteps": 6000})
    analysis = analyse(tmp_path / "s")
    assert analysis.comparisons == ()
    assert said(analysis, "no run is its control", "differs in total_timesteps (6000, there 5000)")


def test_diverged_runs_are_named_for_each_cell(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [0.0] * 4)
    for seed in (5, 7):
        write_run(study, "none", seed)
        write_run(study, "linear", seed, LEARNS[:2], status="diverged")
    analysis = analyse(study)
    arm = "linear-20%-gradient_steps lr=0.001 constant (toy ppo sb3)"
    assert said(analysis, f"{arm}: seeds 5, 7 diverged (2 of 6), scored at the floor from there on")
    assert not said(analysis, "none lr=0.001", "diverged")


def test_a_metric_that_is_undefined_for_a_seed_is_left_out_there_and_only_there(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0 + seed for seed in range(4)])
    (study / "linear-0.001-s2" / "episodes.parquet").unlink()
    analysis = analyse(study)
    assert said(analysis, "linear-20%", "online_return undefined in seed 2, left out there")
    online = on(analysis, "online_return")
    assert (online.paired.n, online.seeds) == (3, (0, 1, 3))
    assert online.differences.shape == (3,)
    assert np.isfinite(online.differences).all()
    assert on(analysis, "final").paired.n == 4
    for path in study.glob("*/episodes.parquet"):
        path.unlink()
    analysis = analyse(study)
    assert said(analysis, "online_return undefined in every pair, not compared")
    assert "online_return" not in {found.metric.name for found in analysis.comparisons}


def test_of_different_optimizers_the_name_is_said_and_not_each_of_their_numbers(tmp_path: Path) -> None:
    study = tmp_path / "s"
    for own in ({"beta1": 0.9, "eps": 1e-5}, {"name": "sgd", "beta1": 0.0, "eps": None}):
        two_arms(study, [10.0, 11.0], changes={"algo.optimizer": own})
    analysis = analyse(study)
    assert said(analysis, "toy ppo: the runs have different algo.optimizer.name: adam, sgd")
    assert not said(analysis, "algo.optimizer.beta1")
    assert not said(analysis, "algo.optimizer.eps")
    two_arms(study, [10.0, 11.0], changes={"algo.optimizer": {"beta1": 0.5, "eps": 1e-5}})
    assert said(analyse(study), "toy ppo: the runs have different algo.optimizer.beta1: 0.0, 0.5, 0.9")
