"""What a report says of several environments: the pooled answer first, then each, never more than was run."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from helpers.studies import several
from rich.console import Console

from rl_warmup.report.command import report
from rl_warmup.report.comparison_tables import environments
from rl_warmup.report.content import schema
from rl_warmup.report.markdown import markdown
from rl_warmup.tracking.study_run import headline, tables

SEEDS = 8
UP = (np.arange(SEEDS) % 4 + 10.0).tolist()
DOWN = (-0.5 - np.arange(SEEDS) % 4).tolist()
BOUNDED = {"env.floor": -20.0, "env.ceiling": 140.0}


def reported(study: Path, figures: bool = False) -> tuple[dict[str, Any], str]:
    """The content of report.json, which follows its schema, and what the terminal shows."""
    console = Console(width=200, file=StringIO(), record=True)
    assert report(study, console, figures) in (0, 1)
    content: dict[str, Any] = json.loads((study / "report.json").read_text())
    jsonschema.validate(content, schema())
    return content, console.export_text()


def pooled_row(content: dict[str, Any], metric: str) -> dict[str, Any]:
    (row,) = [row for row in content["pooled"] if row["metric"] == metric]
    return dict(row)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    """Warmup is better by far on two environments, a little worse on the third."""
    study = tmp_path_factory.mktemp("pooled") / "three"
    several(
        study,
        {"hill": UP, "lake": UP, "moor": DOWN},
        rates={"hill": 3e-4},
        changes=dict.fromkeys(("hill", "lake", "moor"), BOUNDED),
    )
    return *reported(study, figures=True), study


def test_the_pooled_answer_comes_first_and_names_its_environments(three: Any) -> None:
    content, shown, _ = three
    first, second = content["answers"][:2]
    assert first.startswith(
        "In 4 pooled questions on these 3 environments together (hill, lake and moor) warmup was "
    )
    assert "In each environment: these runs cannot tell what warmup does: all 12" in first
    assert second.startswith(
        "Better in the runs seen: Linear warmup over 20% of the gradient steps, PPO on these 3 env"
    )
    assert "at the tuned learning rates: higher final return by" in second
    assert "n = 24 pairs of 8 seeds" in second
    assert "In 2 of 3 environments the difference has this sign" in second
    said = "\n".join(content["answers"])
    assert (
        "Pooled answers are about the average of hill, lake and moor, and about no environment that was not" in said
    )
    assert "assumed: the pooled questions are tested first, then each environment" in "\n".join(content["problems"])
    assert "environments with the sign of the difference: final 2 of 3" in shown


def test_a_row_holds_the_numbers_of_each_environment(three: Any) -> None:
    content, *_ = three
    row = pooled_row(content, "final")
    assert (row["env"], row["environments"], row["learning_rate"], row["n"]) == (
        None,
        ["hill", "lake", "moor"],
        None,
        24,
    )
    parts = {part["env"]: part for part in row["by_environment"]}
    assert row["estimate"] == pytest.approx(np.mean([part["estimate"] for part in parts.values()]))
    own = {one["env"]: one for one in content["comparisons"] if one["metric"] == "final"}
    for env, part in parts.items():
        same = ("n", "estimate", "ci_low", "ci_high", "verdict", "learning_rate")
        assert {key: part[key] for key in same} == {key: own[env][key] for key in same}
    assert row["agreeing"] == 2
    assert row["pairs_won"]["won"] == 16
    assert (row["failures"]["treatment"]["count"], row["failures"]["treatment"]["n"]) == (0, 24)
    assert content["study"]["order"] == "pooled_first"
    assert content["study"]["intervals"]["p_adjusted"].startswith("the pooled questions first")


def test_a_pooled_verdict_of_few_seeds_has_its_break_even_rate(three: Any) -> None:
    content, *_ = three
    row = pooled_row(content, "final")
    assert row["verdict_in_runs_seen"] == "better"
    rate = row["estimate"] / (row["bound"] + row["estimate"])
    excluded = 1 - 0.025 ** (1 / 24)  # no failure in 24 runs
    assert row["break_even"] == pytest.approx({"rate": rate, "excluded": excluded})
    said = f"if {100 * rate:.1f}% of the treated runs lose everything, and 24 pairs exclude only rates above 14%"
    assert f"Not shown for the mean: it is undone {said}" in content["answers"][1]


def test_environments_of_different_numbers_of_pairs_have_no_break_even_rate(tmp_path: Path) -> None:
    study = several(tmp_path / "s", {"hill": UP, "lake": UP[:7]}, changes=dict.fromkeys(("hill", "lake"), BOUNDED))
    row = pooled_row(reported(study)[0], "final")
    assert (row["verdict_in_runs_seen"], row["verdict"], row["break_even"]) == ("better", "inconclusive", None)


def test_environments_are_tested_once_the_question_is_answered(three: Any) -> None:
    """Four questions, so a level of .0125 each, and a third of it for the first of three environments."""
    content, shown, _ = three
    own = {one["env"]: one for one in content["comparisons"] if one["metric"] == "final"}
    question = pooled_row(content, "final")
    assert question["p_adjusted"] == pytest.approx(4 * question["p_value"])
    assert own["hill"]["p_adjusted"] == pytest.approx(max(question["p_adjusted"], 4 * 3 * own["hill"]["p_value"]))
    open_one = [
        one for one in content["comparisons"] if one["metric"] == "not_learned" and one["family"] == "confirmatory"
    ]
    assert {one["notes"][0] for one in open_one} == {"not tested: its pooled question is open"}
    assert "? not tested" in shown
    assert any("were not tested, as their pooled question is open" in text for text in content["answers"])


def test_tables_pages_and_wandb_have_the_pooled_rows(three: Any) -> None:
    content, _, study = three
    table = environments(content)
    assert table is not None
    assert table.rows == 4 * (1 + 3)
    assert [row[1].text for row in table.groups[0].rows[:4]] == ["all together", "hill", "lake", "moor"]
    assert "PPO on these 3 environments together (hill, lake and moor)" in markdown(content)
    assert "these 3 environments together" in (study / "report.tex").read_text()
    page = (study / "report.html").read_text()
    assert 'id="table-environments"' in page
    assert "each pooled question has the same share of .05" in page
    sent = tables(content)["pooled"]
    assert [row["metric"] for row in sent] == [row["metric"] for row in content["pooled"]]
    assert "hill +0.1" in sent[0]["by_environment"]
    assert sum(count for key, count in headline(content).items() if key.startswith("pooled/")) == 4


def test_the_forest_plot_has_a_diamond_for_each_question(three: Any) -> None:
    content, _, study = three
    rows = (study / "figures" / "forest.csv").read_text().splitlines()
    assert sum("hill lake moor" in line for line in rows) == 4
    (drawn,) = [figure for figure in content["figures"] if figure["kind"] == "forest"]
    assert "diamonds: all environments" in drawn["caption"]


def test_by_holm_all_comparisons_share_the_level(tmp_path: Path) -> None:
    study = several(tmp_path / "s", {"hill": UP[:5], "lake": UP[:5]}, declared={"order": "holm"})
    content, _ = reported(study)
    assert content["study"]["order"] == "holm"
    assert not any("assumed: the pooled" in text for text in content["problems"])
    question = pooled_row(content, "final")
    assert question["p_adjusted"] == pytest.approx(12 * question["p_value"])  # 4 pooled ones and 8
    assert not any("not tested" in str(one["notes"]) for one in content["comparisons"])


def test_environments_that_are_not_alike_are_tested_by_holm_and_without_bounds_there_is_no_mean(
    tmp_path: Path,
) -> None:
    changes = {"hill": BOUNDED, "lake": BOUNDED, "moor": {"env.return_low": None, "env.return_high": None}}
    content, _ = reported(
        several(tmp_path / "s", {"hill": UP[:3], "lake": UP[:3], "moor": UP[:3]}, changes=changes)
    )
    said = "\n".join(content["answers"] + content["problems"])
    assert content["study"]["order"] == "holm"
    assert "assumed: Holm over all comparisons, pooled ones too" in said
    assert "is pooled without moor: moor: its returns are not normalized" in said
    assert "on these 2 environments together (hill and lake)" in said
    assert pooled_row(content, "final")["without"] == {"moor": "its returns are not normalized"}


def test_seeds_that_not_all_environments_have_count_in_the_runs_seen_only(tmp_path: Path) -> None:
    changes = dict.fromkeys(("hill", "lake"), BOUNDED)
    content, _ = reported(several(tmp_path / "s", {"hill": UP[:6], "lake": UP[:3]}, changes=changes))
    row = pooled_row(content, "final")
    assert (row["n"], row["n_seeds"]) == (9, 3)
    assert any(
        "of the mean pooled answers count seeds that all environments have: 3" in text.lower()
        for text in content["answers"]
    )


def test_one_environment_has_no_pooled_question_even_if_declared(tmp_path: Path) -> None:
    content, _ = reported(several(tmp_path / "s", {"hill": UP[:3]}, declared={"order": "pooled_first"}))
    assert content["pooled"] == []
    assert content["study"]["order"] == "holm"
    assert any("study.order=pooled_first, and no question is pooled" in text for text in content["problems"])
