"""The commands where the locale is not UTF-8, and where nobody reads their output."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.paths import ROOT
from helpers.synthetic import DECLARED, LEARNS, write_run

from rl_warmup import terminal
from rl_warmup.records.study import write_declaration
from rl_warmup.report.command import main as report

pytestmark = pytest.mark.locale

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # every machine has it
TINY = ["total_timesteps=600", "evaluation.count=3", "evaluation.episodes=2", "tracking=disabled", "device=cpu"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A declared study whose linear arm is better, in a folder that a shell and a pattern would take for others."""
    folder = tmp_path_factory.mktemp("runs") / "my exp[1]"
    for seed in range(8):
        write_run(folder, "none", seed)
        write_run(folder, "linear", seed, [value + 15 + seed for value in LEARNS])
    write_declaration(folder, DECLARED)
    return folder


@pytest.fixture(scope="module")
def latin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of an ISO-8859-1 locale, which is made where the system has what it takes."""
    folder = tmp_path_factory.mktemp("locale")
    command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")]
    if shutil.which("localedef") is None or subprocess.run(command, capture_output=True).returncode:
        return {**ASCII, "PYTHONIOENCODING": "latin-1"}
    return {"LOCPATH": str(folder), "LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0"}


def call(module: str, *arguments: str, environment: dict[str, str]) -> tuple[str, str]:
    """What a command prints and what it complains about, as bytes are read in latin-1; it ends with 0."""
    command = [sys.executable, "-m", f"rl_warmup.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **environment}, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode("latin-1"), done.stderr.decode("latin-1")


def calls(path: Path) -> Iterator[ast.Call]:
    """Calls of methods and functions that open text, in a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            binary = any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in node.args)
            if name in ("read_text", "write_text") or (name == "open" and not binary):
                yield node


def test_text_is_opened_as_utf_8_everywhere() -> None:
    others = ("os", "atomic", "write_text")  # `os.open` has no encoding, and `records.atomic.write_text` has ours
    for path in [*(ROOT / "rl_warmup").rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py")]:
        for node in calls(path):
            whose = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            if getattr(whose, "id", "") not in others:
                assert any(word.arg == "encoding" for word in node.keywords), f"{path}:{node.lineno}"


def test_a_report_is_the_same_in_every_locale(
    study: Path, latin: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([str(study), "--no-figures", "--out", str(tmp_path / "here")]) == 0
    assert "△ better in the runs seen" in capsys.readouterr().out
    for name, environment in (("latin", latin), ("ascii", ASCII)):
        out, err = call(
            "report", str(study), "--no-figures", "--out", str(tmp_path / name), environment=environment
        )
        assert err == ""
        assert "^ better in the runs seen: Linear warmup over 20% of the gradient steps" in out
        assert "treatment - control" in out
        for file in ("report.md", "report.html", "report.json", "report.tex"):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "here" / file).read_bytes()


def test_a_preview_is_drawn_in_plain_characters(latin: dict[str, str], tmp_path: Path) -> None:
    out, _ = call("preview", "warmup.length=0.05", "device=cpu", f"runs_dir={tmp_path}", environment=latin)
    assert "learning rate / 0.001 by gradient step" in out
    assert "###" in out


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("▲ −0.1 … “é”", "latin-1", b'^ -0.1 ~ "\xe9"'),
        ("▲ −0.1 … “é”", "ascii", b'^ -0.1 ~ "e"'),
        ("┌──▀┐ 字 10⁻³ ½", "ascii", b"+--#+ ? 10-3 1?2"),
        ("a path of \udcff", "utf-8", b"a path of \xff"),
    ],
)
def test_characters_are_replaced_by_plain_ones(text: str, encoding: str, shown: bytes) -> None:
    terminal.prepare()
    assert text.encode(encoding, "plain") == shown


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_output_that_nobody_reads_is_dropped_without_a_word(kind: str, study: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe() if kind == "pipe" else os.openpty()
    os.close(reader)
    command = [sys.executable, "-m", "rl_warmup.report", str(study), "--no-figures", "--out", str(tmp_path)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=300)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "report.tex").exists()


@pytest.mark.parametrize("module", ["report", "status", "power", "publish", "enjoy", "dashboard"])
def test_ctrl_c_ends_a_command_in_one_line(module: str, tmp_path: Path) -> None:
    study = tmp_path / "study"
    write_run(study, "none", 0)
    (path,) = study.glob("*/run.json")
    path.unlink()
    os.mkfifo(path)
    command = [sys.executable, "-m", f"rl_warmup.{module}", str(path.parent if module == "enjoy" else study)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, **pipes, text=True, preexec_fn=_heed_interrupts)
    with path.open("w"):  # as soon as the command reads it; it goes on when this is closed
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(err.splitlines()) == 1
    assert err.startswith("interrupted: ")
    assert out == ""


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background ignores it


def test_a_full_disk_is_no_closed_pipe(study: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "rl_warmup.status", str(study)]
        assert subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=300).returncode != 0


@pytest.mark.slow
def test_a_sweep_trains_and_reports_whatever_its_folder_locale_and_pipe(tmp_path: Path) -> None:
    """A sibling's numbers are in the way of a pattern, and the pipe ends after the first line."""
    folder = tmp_path / "exp[1] ~"
    write_run(tmp_path / "exp1 ~" / "sweep", "none", 0)
    overrides = ["-m", "warmup=none,linear", "seed=0,1", f'runs_dir="{folder}"', *TINY]
    command = [sys.executable, "-m", "rl_warmup.run", *overrides, "trainer=stacked", "hydra/launcher=stacked"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env={**os.environ, **ASCII}, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"4 runs in ")
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0
    content = json.loads((folder / "sweep" / "report.json").read_text(encoding="utf-8"))
    assert [cell["n"] for cell in content["cells"]] == [2, 2]
    (run, *_) = content["runs"]
    assert run["metrics"]["final"] is not None
