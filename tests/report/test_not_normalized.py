"""A report on an environment without constants: written as a whole, in its own returns, and said so everywhere."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from helpers.synthetic import LEARNS, two_arms, write_run
from rich.console import Console

from rl_warmup.report.command import main, report
from rl_warmup.report.content import schema

BARE: dict[str, Any] = {f"env.{key}": None for key in ("return_floor", "return_low", "return_high", "threshold")}
RATES = (1e-3, 2e-3, 4e-3)
SHIFTS = [float(shift) for shift in range(20, 30)]


def printed(folder: Path) -> tuple[str, dict[str, Any]]:
    console = Console(file=StringIO(), width=160)
    assert report(folder, console) == 0
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, schema())
    return console.file.getvalue(), found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """Three learning rates without constants, at one of them a diverged run, beside one with constants."""
    folder = tmp_path_factory.mktemp("bare") / "s"
    for rate in RATES:
        two_arms(folder, SHIFTS, learning_rate=rate, changes=BARE)
    write_run(folder, "none", 10, LEARNS, learning_rate=RATES[2], changes=BARE)
    write_run(folder, "linear", 10, LEARNS[:2], status="diverged", learning_rate=RATES[2], changes=BARE)
    two_arms(folder, SHIFTS, learning_rate=8e-3)
    return folder, *printed(folder)


def test_every_row_says_whether_it_is_normalized(written: tuple[Path, str, dict[str, Any]]) -> None:
    _, _, found = written
    for table in ("comparisons", "cells", "dispersion"):
        assert {row.get("normalized", True) for row in found[table]} == {True, False}
    finals = [row for row in found["comparisons"] if row["metric"] == "final"]
    assert [row["estimate"] for row in finals if row.get("normalized", True)] == pytest.approx([0.245])
    assert [row["estimate"] for row in finals if not row.get("normalized", True)] == pytest.approx([24.5] * 3)
    assert {row["verdict"] for row in finals if row["learning_rate"] == RATES[2]} == {"inconclusive"}
    assert {row["smallest_effect"] for row in finals if not row.get("normalized", True)} == {None}
    assert found["robustness"]["edges"] == []  # nor a crash over three learning rates
    spreads = [row["across_seeds"]["final"]["ipr90"] is None for row in found["cells"]]
    assert spreads == [not row.get("normalized", True) for row in found["cells"]]


def test_the_answer_and_its_limits_are_in_the_unit_of_the_scores(written: tuple[Path, str, dict[str, Any]]) -> None:
    folder, out, found = written
    answers = " ".join(found["answers"])
    assert "at learning rate 0.002: higher final return by 24.50 [22" in answers
    assert "of return, n = 10 pairs" in answers
    assert "of normalized return, n = 10 pairs" in answers
    assert "0.004: higher final return" not in answers  # one of its runs diverged
    assert "seed 10 diverged, and env.return_floor, the score of that, is not known" in answers
    assert "1 of 82 runs diverged, not all with a score: 1 of 11 in linear 20%" in answers
    assert "returns not normalized" in out
    (limit,) = [text for text in found["answers"] if "To mend this report" in text]
    assert limit in found["problems"]
    for name in ("report.md", "report.html"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "returns not normalized" in text
        assert "To mend this report" in text


def test_figures_never_share_a_scale(written: tuple[Path, str, dict[str, Any]]) -> None:
    folder, _, found = written
    names = {figure["name"] for figure in found["figures"]}
    assert {"forest", "forest-2", "curves-toy-ppo", "curves-toy-ppo-not-normalized"} <= names
    assert "time_to_threshold-toy-ppo-not-normalized" not in names
    for name in ("differences", "heatmap"):
        assert f"{name}-toy-ppo-not-normalized" in names
    assert "124.5" in (folder / "figures" / "heatmap-toy-ppo-not-normalized.csv").read_text()


def test_constants_of_a_file_are_given_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = two_arms(tmp_path / "s", [20.0, 21.0], changes=BARE)
    env = tmp_path / "toy.yaml"
    env.write_text("id: Toy-v0\nreturn_floor: -100\nreturn_low: 0\nreturn_high: 100\nthreshold: 90\n")
    assert main([str(folder), "--env", str(env), "--no-figures"]) == 0
    assert f"of --env {env}, not as recorded" in " ".join(capsys.readouterr().out.split())
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert [row["estimate"] for row in found["comparisons"] if row["metric"] == "final"] == pytest.approx([0.205])
    assert main([str(folder), "--env", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.startswith(f"error: --env {tmp_path / 'none.yaml'} is no file, and none of ")
