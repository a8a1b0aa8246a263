"""Which comparisons of several environments are one question, and what a study says of those that are not."""

from pathlib import Path
from typing import Any

import pytest
from helpers.studies import several
from helpers.synthetic import DECLARED, LEARNS, write_run

from rl_warmup.analysis.cells import blocks_of
from rl_warmup.analysis.declaration import declaration
from rl_warmup.analysis.matching import pairings_of
from rl_warmup.analysis.pooled import Question, questions_of
from rl_warmup.analysis.problems import Problems
from rl_warmup.records.read import read_study

THREE = {"hill": [4.0, 5.0, 6.0], "lake": [1.0, 2.0, 3.0], "moor": [-1.0, 0.5, 2.0]}


def asked(study: Path) -> tuple[list[Question], str]:
    """The questions of a study, and what could not be pooled, in words."""
    problems = Problems()
    blocks = blocks_of(read_study(study)[0], problems)
    pairings = pairings_of(blocks, declaration(study, problems), problems)
    questions = questions_of(pairings, problems)
    said = [str(problem) for problem in problems.found.values() if problem.kind == "pooled"]
    return questions, "\n".join(said)


def test_the_same_arms_at_the_tuned_rates_are_one_question(tmp_path: Path) -> None:
    """Rates, budgets and settings of the algorithm are an environment's own."""
    own = {"lake": {"total_timesteps": 10_000, "algo.n_steps": 1000, "algo.batch_size": 250, "algo.gamma": 0.9}}
    questions, said = asked(several(tmp_path / "s", THREE, rates={"hill": 3e-4, "moor": 0.02}, changes=own))
    (question,) = questions
    assert question.environments == ("hill", "lake", "moor")
    assert [len(pairing.pairs) for pairing in question.pairings] == [3, 3, 3]
    assert (question.without, said) == ({}, "")


@pytest.mark.parametrize(
    "other",
    [
        {"algo.name": "dqn", "algo.train_freq": 4, "algo.gradient_steps": 1, "algo.learning_starts": 100},
        {"schedule.name": "linear"},
        {"warmup": {"name": "linear", "shape": "linear", "length": 16, "clock": "gradient_steps", "start": 0.0}},
        {"learning_rate": 2e-3},
    ],
)
def test_another_algorithm_schedule_length_or_multiple_is_another_question(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    study = several(tmp_path / "s", {"hill": [1.0, 2.0], "lake": [2.0, 3.0]})
    tuned = {"tuned_learning_rate": 1e-3}
    changes = {"env.name": "moor", "env.id": "Moor-v0", **other}
    changes |= {"algo.target_update_interval": 100} if "algo.name" in other else {}
    for seed in range(2):
        control = {key: value for key, value in changes.items() if key != "warmup"}
        write_run(study, "none", seed, changes=control, info=tuned)
        warmup = {"warmup": other["warmup"] | {"power": None}} if "warmup" in other else {}
        write_run(study, "linear", seed, LEARNS, changes=changes, info=tuned | warmup)
    questions, said = asked(study)
    assert [question.environments for question in questions] == [("hill", "lake")]
    if "algo.name" in other:  # of which there is one environment, and no question
        assert said == ""
        assert questions[0].without == {}
    else:
        assert "(moor) is in one environment only, so not pooled" in said
        assert "is pooled without moor: moor: it has no such comparison" in said
        assert dict(questions[0].without) == {"moor": "it has no such comparison"}


def test_an_environment_that_cannot_take_part_is_named_with_why(tmp_path: Path) -> None:
    unknown = {"lake": {"env.return_low": None, "env.return_high": None}}
    study = several(tmp_path / "s", {**THREE, "tarn": [1.0]}, changes=unknown)
    (question,), said = asked(study)
    assert question.environments == ("hill", "moor")
    assert "is pooled without lake, tarn" in said
    assert "lake: its returns are not normalized; tarn: 1 seeds are scored in both arms, and it takes two" in said


def test_without_a_second_environment_that_can_there_is_no_question(tmp_path: Path) -> None:
    unknown = {"lake": {"env.return_low": None, "env.return_high": None}}
    questions, said = asked(several(tmp_path / "s", {"hill": [1.0, 2.0], "lake": [1.0, 2.0]}, changes=unknown))
    assert questions == []
    assert "linear 20% gradient steps against none, 1× the tuned learning rate" in said
    assert "is not pooled over environments: lake: its returns are not normalized" in said


def test_one_environment_asks_nothing(tmp_path: Path) -> None:
    assert asked(several(tmp_path / "s", {"hill": [1.0, 2.0]})) == ([], "")


def test_arms_that_were_not_declared_ask_nothing(tmp_path: Path) -> None:
    declared = {"comparisons": [{"warmup.name": "cosine"}]}
    assert asked(several(tmp_path / "s", THREE, declared=DECLARED | declared))[0] == []


def test_several_budgets_of_an_environment_are_paired_by_budget(tmp_path: Path) -> None:
    study = several(tmp_path / "s", {"hill": [1.0, 2.0], "lake": [2.0, 3.0]})
    several(study, {"hill": [1.0, 2.0]}, changes={"hill": {"total_timesteps": 9000}})
    questions, said = asked(study)
    assert [question.environments for question in questions] == [("hill", "lake")]
    assert {pairing.block.group[-1] for pairing in questions[0].pairings} == {5000}
    assert "(hill) is in one environment only" in said


def test_a_contrast_is_asked_by_its_name(tmp_path: Path) -> None:
    arms = [{"weight": weight, "where": {"warmup.name": name}} for weight, name in ((1, "linear"), (-1, "none"))]
    declared = {"comparisons": [], "contrasts": [{"name": "gain", "arms": arms}]}
    (question,), _ = asked(several(tmp_path / "s", THREE, declared=declared))
    assert {pairing.contrast for pairing in question.pairings} == {"gain"}
