"""The command line of the report: what it writes, prints and returns."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from helpers.example_report import report as example
from helpers.example_report import with_figures
from helpers.synthetic import DECLARED, LEARNS, write_run, write_study
from jsonschema import Draft202012Validator
from rich.console import Console

from rl_warmup.records.study import write_declaration
from rl_warmup.report.command import main, report
from rl_warmup.report.content import schema
from rl_warmup.report.terminal import headlines, show
from rl_warmup.report.words import number
from rl_warmup.status.command import main as status

pytestmark = pytest.mark.locale


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A declared study whose linear arm is better by 15 to 22 of 100."""
    for seed in range(8):
        write_run(tmp_path / "toy", "none", seed)
        write_run(tmp_path / "toy", "linear", seed, [value + 15 + seed for value in LEARNS])
    write_declaration(tmp_path / "toy", DECLARED)
    return tmp_path / "toy"


def faults(content: dict[str, Any]) -> list[str]:
    """What in a report.json does not follow the schema."""
    return [error.message for error in Draft202012Validator(schema()).iter_errors(content)]


def test_a_complete_study_gives_zero_and_all_files(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    content = json.loads((study / "report.json").read_text(encoding="utf-8"))
    assert set(content) == {*schema()["required"], "pooled"}
    names = {path.name for path in (study / "figures").iterdir()}
    assert names == {f"{drawn['name']}.{kind}" for drawn in content["figures"] for kind in ("png", "svg", "csv")}
    assert not list(study.glob(".*"))  # no temporary file
    assert "△ better in the runs seen: Linear warmup over 20% of the gradient steps, PPO on toy at learning" in out
    assert (
        "higher final return by 0.18 [0.16, 0.21] of normalized return, n = 8 pairs, adjusted p = .031. Runs that "
        "did not learn: 0 of 8" in out
    )
    for problem in content["problems"]:
        assert problem in out
    for name in ("report.html", "report.md", "report.tex", "report.json", "curves-toy-ppo.png"):
        assert name in out


def test_page_markdown_and_sentences_say_the_same(study: Path) -> None:
    main([str(study)])
    content = json.loads((study / "report.json").read_text(encoding="utf-8"))
    page, text = (study / "report.html").read_text(encoding="utf-8"), (study / "report.md").read_text()
    assert content["answers"][0] == (
        "In 4 confirmatory comparisons warmup was better in the runs seen in 2 (final, area) and inconclusive in "
        "2; nothing is shown for the mean, whatever rare runs do."
    )
    for part in (page, text):
        assert content["answers"][0] in part
    assert page.count("<img ") == len(content["figures"]) > 4
    assert "final & better in the runs seen & 8 & +0.185" in (study / "report.tex").read_text(encoding="utf-8")


def test_the_schema_is_a_schema_and_the_example_follows_it(tmp_path: Path) -> None:
    Draft202012Validator.check_schema(schema())
    assert faults(with_figures(example(), tmp_path)) == []


@pytest.mark.parametrize("kind", ["declared", "undeclared", "rates", "one run", "failed", "lost"])
def test_every_report_follows_the_schema(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "s"
    if kind in ("one run", "failed"):
        write_run(
            folder,
            "linear",
            0,
            [] if kind == "failed" else LEARNS,
            status="failed" if kind == "failed" else "completed",
        )
    else:
        rates = [1e-3, 1e-2, 1e-1] if kind == "rates" else [1e-3]
        declared = None if kind == "undeclared" else DECLARED
        write_study(
            folder, {"none": 0, "linear": 10, "cosine": 1}, range(4), declared=declared, learning_rates=rates
        )
    if kind == "lost":
        write_run(folder, "linear", 4, LEARNS[:2], status="failed", error="Killed")
        write_run(folder, "linear", 5, LEARNS[:2], status="diverged", error="loss is nan")
    assert main([str(folder), "--no-figures"]) == (kind in ("failed", "lost"))
    content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert faults(content) == []
    assert (kind == "rates") == bool(content["robustness"]["edges"])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("verdict", "good", "is not one of"),
        ("estimate", "0", "not of type"),
        ("p_value", 2.0, "maximum"),
        ("new", 1, "new"),
    ],
)
def test_the_schema_finds_what_breaks_the_contract(key: str, value: object, message: str) -> None:
    content = example()
    content["comparisons"][0][key] = value
    (fault,) = faults(content)
    assert message in fault


def test_tables_are_whole_where_the_output_is_piped(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(study), "--no-figures"])
    lines = capsys.readouterr().out.splitlines()
    assert not any("…" in line for line in lines)
    final = next(line for line in lines if line.startswith("linear 20% gradient steps  final"))
    assert final.split()[5:8] == ["8", "+0.185", "[+0.163,"]  # sixth smallest mean of a subset
    assert "△ better, seen" in final
    assert "seen: in the runs seen, and not shown for the mean, whatever rare runs do." in lines
    cell = next(line for line in lines if "linear-20%-gradient_steps lr=0.001 constant" in line)
    assert cell.split()[6:9] == ["8", "0", "0"]  # n, diverged, failed
    assert not (study / "figures").exists()


@pytest.mark.parametrize("status", ["failed", "running"])
def test_a_run_that_is_left_out_gives_one_and_its_name(
    study: Path, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(study, "linear", 8, LEARNS[:2], status=status, error="Killed")
    assert main([str(study), "--no-figures"]) == 1
    out, err = capsys.readouterr()
    assert "linear-0.001-s8 is not scored" in out
    assert err.startswith("incomplete: ")
    assert (study / "report.json").exists()


def test_a_diverged_run_is_an_outcome_and_gives_zero(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(study, "linear", 8, LEARNS[:2], status="diverged", error="loss is nan")
    assert main([str(study), "--no-figures"]) == 0
    cells = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("linear-20%")]
    assert cells[0][6:9] == ["9", "1", "0"]


def test_only_failed_runs_are_still_reported(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "none", 0, [], status="failed", error="boom")
    assert main([str(tmp_path / "s")]) == 1
    assert json.loads((tmp_path / "s" / "report.json").read_text(encoding="utf-8"))["cells"][0]["n_failed"] == 1


@pytest.mark.parametrize(
    ("kind", "message"), [("missing", "not a folder"), ("empty", "no runs"), ("bad", "no readable")]
)
def test_nothing_to_report_gives_two_and_one_message(
    tmp_path: Path, kind: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "s"
    if kind != "missing":
        folder.mkdir()
    if kind == "bad":
        (folder / "run").mkdir()
        (folder / "run" / "run.json").write_text("{")
    assert main([str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert not (folder / "report.json").exists()


def test_a_single_run_gets_its_cell_and_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "single", "linear", 0)
    assert main([str(tmp_path / "single")]) == 0
    out = capsys.readouterr().out
    assert "Cells: interquartile mean" in out
    assert "Comparisons" not in out
    assert "curves-toy-ppo.png" in out


def test_a_narrow_terminal_still_shows_every_verdict(study: Path) -> None:
    output = StringIO()
    assert report(study, Console(file=output, width=80, force_terminal=True, color_system=None), figures=False) == 0
    assert output.getvalue().count("better, seen") == 2  # in the table; in full in the sentences
    assert output.getvalue().count("inconclusive\n") == 2


@pytest.mark.parametrize("width", [40, 60])
def test_a_narrow_terminal_drops_decoration_and_no_number(
    study: Path, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    output = StringIO()
    report(study, Console(file=output, width=width, force_terminal=True, color_system=None), figures=False)
    text = output.getvalue()
    assert "…" not in text
    lines = text.splitlines()
    final = next(line for line in lines if line.startswith("final       8")).split()
    assert final == ["final", "8", "+0.185", "[+0.163,", "+0.207]", ".031", "better,", "seen"]
    words = " ".join(text.split())
    assert (
        "linear 20% gradient steps, against none, learning rate 0.001, toy ppo sb3, not learned: 0, 0 of 8 metric n"
        in words
    )
    assert "none lr=0.001 constant, toy ppo sb3: n 8, diverged 0, failed 0, final 1.000, area 0.720" in words
    assert "below 99% of base 7, budget lost 8.8%, first rate 0.000125, mean rate 0.000913" in words
    if width == 60:
        assert max(len(line) for line in lines if "/" not in line) <= width  # paths are the terminal's to wrap


def test_a_report_goes_where_out_says_and_leaves_the_study_as_it_is(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def content() -> dict[Path, tuple[float, bytes]]:
        return {path: (path.stat().st_mtime, path.read_bytes()) for path in study.rglob("*") if path.is_file()}

    before, out = content(), tmp_path / "my" / "report"
    for path in (study, *study.iterdir()):
        path.chmod(0o555)
    assert main([str(study), "--out", str(out)]) == 0
    assert content() == before
    assert {path.name for path in out.iterdir()} == {
        "figures",
        *(f"report.{kind}" for kind in ("html", "md", "tex", "json")),
    }
    assert "curves-toy-ppo.png" in {path.name for path in (out / "figures").iterdir()}
    assert str(out / "report.html") in capsys.readouterr().out


def test_a_report_that_cannot_be_written_names_the_way_out(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "figures").write_text("in the way")
    assert main([str(study)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: the report cannot be written: ")
    assert err.endswith("; --out DIR writes it elsewhere\n")


def test_the_folder_that_was_meant_is_named(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "my study", "none", 0)
    both = f"did you mean '{tmp_path}/my study', {study}?"
    for given, message in (
        (tmp_path, f"{tmp_path} holds no runs; {both}"),
        (study / "none-0.001-s0", f"{study}/none-0.001-s0 is a run, not a study; did you mean {study}?"),
        (study / "study.yaml", f"{study}/study.yaml is not a folder with record files; did you mean {study}?"),
        (tmp_path / "toys", f"{tmp_path}/toys is not a folder with record files; did you mean {study}?"),
    ):
        for command in (main, status):
            assert command([str(given)]) == 2
            assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize("name", ["exp[1]", "exp*", "exp?", "~", "a=1"])
def test_a_path_is_a_path_and_never_a_pattern(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for sibling, value in (("exp1", 0.0), ("home", 0.0), (name, 100.0)):
        write_run(Path(sibling), "none", 0, [value] * len(LEARNS))
    assert main([name, "--no-figures"]) == 0
    (run,) = json.loads((Path(name) / "report.json").read_text(encoding="utf-8"))["runs"]
    assert run["metrics"]["final"] == 1.0


def test_markup_in_names_is_printed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        write_run(tmp_path, "none", seed)
        write_run(tmp_path, "linear", seed, name="[/red] [bold] linear")
    assert main([str(tmp_path), "--no-figures"]) == 0
    assert "[/red] [bold] linear" in capsys.readouterr().out


def test_exploratory_verdicts_are_counted_and_make_no_headline(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"none": 0, "cosine": 15}, noise=1.0)
    main([str(study), "--no-figures"])
    content = json.loads((study / "report.json").read_text(encoding="utf-8"))
    assert {row["verdict_in_runs_seen"] for row in content["comparisons"]} == {"better", "inconclusive"}
    first = headlines(content)[0]
    assert first.startswith("In 4 exploratory comparisons warmup was better in the runs seen in 2 (final, area)")
    assert not any("△" in line for line in headlines(content))


def test_the_terminal_shows_contrasts_by_name_and_counts_what_it_leaves_to_the_page() -> None:
    output = StringIO()
    show(example(), Console(file=output, width=140, color_system=None))
    assert "contrast dip" in output.getvalue()
    assert "6 comparisons on other metrics, all exploratory: in report.html" in output.getvalue()


def test_help_explains_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert out.startswith("usage: python -m rl_warmup.report")
    assert "exit code:" in out


@pytest.mark.parametrize(
    ("value", "sign", "expected"),
    [(0.0004, True, "0.000"), (-0.0006, True, "-0.001"), (0.25, True, "+0.250"), (-0.0004, False, "0.000")],
)
def test_numbers(value: float, sign: bool, expected: str) -> None:
    assert number(value, sign=sign) == expected
