"""The tables of pairs, plans from pilots, and what is refused; numbers are tested with the statistics."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.synthetic import DECLARED, two_arms, write_run

from rl_warmup.analysis.statistics.planning import inflated, pairs_for_mean, plan_with
from rl_warmup.power import main
from rl_warmup.records.study import write_declaration

pytestmark = pytest.mark.locale


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return [line.rstrip() for line in out.splitlines()]


def test_the_tables_of_the_page_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs/power.md").read_text(encoding="utf-8")
    made = re.findall(
        r"^    python -m rl_warmup.power ([^\n]*)\n\n```\n(.*?)```", page, flags=re.MULTILINE | re.DOTALL
    )
    assert len(made) == 2
    for options, shown in made:
        assert shown.splitlines() == printed(capsys, *options.split())


def test_every_option_is_heeded(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--effect", ".1", "--sd", ".15", "--bound", "1.2", "--tests", "3", "--power", ".9", "--alpha", ".1")
    title, heading, seen, mean, _ = printed(capsys, *asked)
    assert title == (
        "Pairs of seeds for a power of 90%, alpha 0.1, Holm over 3 comparisons, differences within ±1.2"
    )
    assert heading.split() == ["effect", "verdict", "sd", "0.15"]
    assert seen.startswith("0.1 ")
    assert int(mean.split()[-1]) == pairs_for_mean(0.1, 0.15, 1.2, 3, power=0.9, alpha=0.1)


def test_the_bound_is_that_of_an_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text("{id: Mine-v0, return_low: 0, return_high: 100, floor: -50, ceiling: 150}", encoding="utf-8")
    assert printed(capsys, f"env={own}")[0].endswith(f"differences within ±2 ({own})")


def test_a_pilot_is_planned_from_its_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shifts = list(np.random.default_rng(0).normal(1.0, 5.0, size=8))
    lines = printed(capsys, str(two_arms(tmp_path / "s", shifts)))
    (final,) = [line.split() for line in lines if line.startswith("final ")]
    made = plan_with(inflated(np.std(shifts, ddof=1) / 100, 8), 0.05, 3.0, 4)  # within -1 and 2, four metrics
    assert final[1:] == [
        *("8", f"{np.std(shifts, ddof=1) / 100:.3g}", f"{made.sd:.3g}"),
        *(str(made.in_runs_seen), str(made.mean), str(made.equivalent)),
        *(f"{made.open_at_zero:.0%}", f"{made.open_at_half:.0%}"),
    ]
    assert "no plan for not_learned: all differences are the same" in lines
    assert any(line.startswith("plan for: the pilot's standard deviation, inflated") for line in lines)


def test_a_pilot_of_few_pairs_or_of_one_outlier_has_no_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, str(two_arms(tmp_path / "s", [1.0, 2.0])))
    assert "no plan for final: 2 pairs say too little of the standard deviation, and 6 are needed" in lines
    one = two_arms(tmp_path / "t", [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 90.0])
    assert "no plan for final: one pair makes most of the standard deviation" in printed(capsys, str(one))
    bare: dict[str, Any] = {
        f"env.{key}": None for key in ("return_floor", "return_low", "return_high", "threshold")
    }
    raw = two_arms(tmp_path / "u", [1.0, 2.0, 0.0, 1.0, 2.0, 0.0], changes=bare)
    assert "no plan for final: nothing says how large an effect matters" in printed(capsys, str(raw))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["env=nope"], "env=nope is no file, and none of acrobot"),
        (
            ["env=minatar_seaquest"],
            "env=minatar_seaquest lacks return_low, return_high, floor or ceiling; give --bou",
        ),
        (["nowhere"], "nowhere is not a folder with record files; give a study's folder"),
        (["--effect", "0"], "--effect 0 is not usable; use numbers above 0"),
        (["--sd", ".1", "-1"], "--sd 0.1 -1 is not usable; use numbers from 0 on"),
        (["--bound", "nan"], "--bound nan is not usable; use a number above 0"),
        (["--tests", "0"], "--tests 0 is not usable; use 1 or more"),
        (["--power", "1"], "--power 1 is not usable; use a number from 0.5 to below 1"),
        (["--alpha", "0.5"], "--alpha 0.5 is not usable; use a number above 0 and below 0.5"),
    ],
)
def test_what_means_nothing_is_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"error: {message}")


def test_a_study_without_a_confirmatory_comparison_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(2):
        write_run(tmp_path / "s", "none", seed)
    write_declaration(tmp_path / "s", DECLARED)
    assert main([str(tmp_path / "s")]) == 2
    assert "has no confirmatory comparison to plan; declare them in study.yaml" in capsys.readouterr().err
