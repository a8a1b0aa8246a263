"""The small form of a study: its report is that of the records, and what cannot be kept in it is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest
from helpers.studies import several
from helpers.synthetic import DECLARED, LEARNS, write_run, write_study

from rl_warmup.records.archive import read_archive
from rl_warmup.records.study import record_command, write_declaration
from rl_warmup.report.command import main
from rl_warmup.status.command import main as status


def every_kind(folder: Path) -> Path:
    """Three arms at two rates; a run that diverged, a loss that is not finite, one with other evaluations."""
    study = write_study(folder, {"none": 0, "linear": 10, "cosine": -3}, range(3), learning_rates=[1e-3, 1e-2])
    write_run(study, "linear", 3, LEARNS[:3], status="diverged", error="loss is nan")
    losses = {"loss": [*[0.1] * 9, float("nan")], "grad_norm_mean": [float(phase) for phase in range(10)]}
    write_run(study, "none", 3, LEARNS, updates=losses, evaluations=[[1.0 * k, 2.0] for k in range(6)])
    record_command(study, "python -m rl_warmup.run study=synthetic")
    return study


def files(folder: Path) -> dict[str, bytes]:
    """The files of a report by name."""
    found = [*folder.glob("report.*"), *(folder / "figures").iterdir()]
    return {path.name: path.read_bytes() for path in found}


@pytest.mark.slow  # draws all figures twice
def test_the_report_of_the_small_form_is_that_of_the_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, small = every_kind(tmp_path / "synthetic"), tmp_path / "small" / "synthetic"
    assert main([str(study), "--archive", str(small)]) == 0
    assert str(small / "records.zip") in capsys.readouterr().out
    assert {path.name for path in small.iterdir()} == {"study.yaml", "commands.txt", "records.zip"}
    assert main([str(small)]) == 0
    whole, again = files(study), files(small)
    assert whole.keys() == again.keys()
    assert [name for name in whole if whole[name] != again[name]] == []
    assert {"report.json", "report.html", "diagnostics-toy-ppo.csv", "learning_rate-toy-ppo.svg"} < whole.keys()


def looked_at(folder: Path) -> Path:
    """The first look of a study: twenty pairs in which warmup is worse."""
    looks = {"every": 20, "most": 40, "spending": "pocock"}
    for seed in range(20):
        write_run(folder, "none", seed, info={"looks": looks})
        write_run(folder, "linear", seed, [value / 2 for value in LEARNS], info={"looks": looks})
    write_declaration(folder, DECLARED | {"looks": looks})
    return folder


def on_two_environments(folder: Path) -> Path:
    """A question to both of them together."""
    return several(folder, {"hill": [9.0, 10.0, 11.0], "moor": [-1.0, 0.0, 1.0]})


@pytest.mark.parametrize(("make", "kind"), [(looked_at, "looks"), (on_two_environments, "pooled")])
def test_looks_and_pooled_questions_are_those_of_the_records(
    make: Callable[[Path], Path], kind: str, tmp_path: Path
) -> None:
    study, small = make(tmp_path / "whole" / "s"), tmp_path / "small" / "s"
    main([str(study), "--no-figures", "--archive", str(small)])
    main([str(small), "--no-figures"])
    whole, again = (json.loads((folder / "report.json").read_text()) for folder in (study, small))
    assert whole == again
    assert whole[kind]


def test_a_study_in_parts_is_joined_arm_by_arm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    means = {"hill": [9.0, 10.0, 11.0], "moor": [-1.0, 0.0, 1.0]}
    whole, small, joined = (tmp_path / name / "s" for name in ("whole", "small", "joined"))
    several(whole, means)
    record_command(whole, "env=hill")
    record_command(whole, "env=moor")
    main([str(whole), "--no-figures", "--archive", str(small)])
    for env, other in (("hill", "moor"), ("moor", "hill")):
        part = tmp_path / env / "s"
        copytree(whole, part, ignore=ignore_patterns(f"*{other}*"))
        for _ in range(2):  # what is there is not there twice
            assert main([str(part), "--no-figures", "--archive", str(joined)]) == 0
    for name in ("study.yaml", "commands.txt", "records.zip"):
        assert (joined / name).read_bytes() == (small / name).read_bytes()
    capsys.readouterr()
    fewer = several(tmp_path / "fewer" / "s", {"moor": [-1.0, 0.0]})
    assert main([str(fewer), "--no-figures", "--archive", str(joined)]) == 2
    assert "has 2 runs of arms of" in capsys.readouterr().err
    write_declaration(fewer, DECLARED | {"smallest_effect": 0.2})
    assert main([str(fewer), "--no-figures", "--archive", str(joined)]) == 2
    assert "declares something else" in capsys.readouterr().err
    assert (joined / "records.zip").read_bytes() == (small / "records.zip").read_bytes()


def test_equal_records_give_equal_bytes_and_what_runs_share_is_written_once(tmp_path: Path) -> None:
    study = write_study(tmp_path / "s", {"none": 0, "linear": 10}, range(4))
    for name in ("one", "two"):
        main([str(study), "--no-figures", "--archive", str(tmp_path / name)])
    assert (tmp_path / "one" / "records.zip").read_bytes() == (tmp_path / "two" / "records.zip").read_bytes()
    tables = [record.small.tables["updates"] for record in read_archive(tmp_path / "one") if record.small]
    assert len(tables) == 8
    assert len({id(table) for table in tables}) == 2


def test_what_only_some_runs_were_given_is_not_there_in_the_others(tmp_path: Path) -> None:
    study = tmp_path / "s"
    for seed in range(2):
        write_run(study, "none", seed)
        ramp: dict[str, Any] = {"shape": "linear", "length": 8, "clock": "gradient_steps", "on": "critic"}
        write_run(study, "linear", seed, info={"warmup": {"name": "linear", **ramp}}, changes={"warmup": ramp})
    write_declaration(study, DECLARED)
    main([str(study), "--no-figures", "--archive", str(tmp_path / "small")])
    assert main([str(tmp_path / "small"), "--no-figures"]) == 0
    assert (study / "report.json").read_bytes() == (tmp_path / "small" / "report.json").read_bytes()
    for record in read_archive(tmp_path / "small"):
        assert record.small is not None
        assert ("learning_rate_mean_critic" in record.small.tables["updates"].columns) == (
            "on" in record.info["warmup"]
        )


@pytest.mark.parametrize("kind", ["lost", "itself", "again", "env", "broken"])
def test_what_has_no_small_form_is_refused(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    study, small = write_study(tmp_path / "s", {"none": 0, "linear": 10}, range(2)), tmp_path / "small"
    if kind == "lost":
        write_run(study, "linear", 2, LEARNS[:2], status="failed", error="Killed")
    if kind in ("again", "env", "broken"):
        main([str(study), "--no-figures", "--archive", str(small)])
    if kind == "broken":
        (small / "records.zip").write_bytes(b"PK")
    capsys.readouterr()
    arguments = {
        "lost": [str(study), "--archive", str(small)],
        "itself": [str(study), "--archive", str(study)],
        "again": [str(small), "--archive", str(tmp_path / "t")],
        "env": [str(small), "--env", "cartpole"],
        "broken": [str(small)],
    }
    messages = {
        "lost": "are left out, which a small form cannot show; mend",
        "itself": "is the folder of the study itself",
        "again": "is in small form already",
        "env": "is in small form, scored by the constants of its records",
        "broken": "records.zip cannot be read: File is not a zip file",
    }
    assert main([*arguments[kind], "--no-figures"]) == 2
    err = capsys.readouterr().err
    assert messages[kind] in err
    assert err.count("\n") == 1


def test_only_reports_are_made_of_a_small_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, small = write_study(tmp_path / "s", {"none": 0, "linear": 10}, range(2)), tmp_path / "small"
    main([str(study), "--no-figures", "--archive", str(small)])
    capsys.readouterr()
    assert status([str(small)]) == 2
    assert (
        capsys.readouterr().err == f"error: {small} holds a study in small form; only a report can be made of it\n"
    )


def test_a_small_form_names_no_machine(tmp_path: Path) -> None:
    study = tmp_path / "s"
    for warmup in ("none", "linear"):
        write_run(study, warmup, 0, info={"host": "my-machine", "hardware": "2 cores"})
    main([str(study), "--no-figures", "--archive", str(tmp_path / "small")])
    infos = json.dumps([record.info for record in read_archive(tmp_path / "small")])
    assert "my-machine" not in infos
    assert "2 cores" in infos
