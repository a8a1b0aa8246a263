"""One command with subcommands, which are also modules of their own."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers.paths import ROOT

from rl_warmup.__main__ import COMMANDS, main


def call(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stderr == ""
    return done.stdout


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | None:
    monkeypatch.setattr(sys, "argv", ["rl-warmup", *arguments])
    return main()


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_explains_each_command_in_a_line(
    flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, flag) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    names = ["run", "preview", "measure", "power", "enjoy", "report", "status", "publish", "dashboard"]
    assert [name for name, _ in lines] == names
    assert all(len(does) > 20 for _, does in lines)


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"rl-warmup {version('rl-warmup')}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: a command is missing; use one of run, preview, measure, power, enjoy, report, status, publi"),
        (["zzz", "--help"], "error: 'zzz' is not a command; use one of run, preview"),
        (["reports", "runs/quick"], "error: 'reports' is not a command; did you mean report?"),
        (["env=cartpole"], "error: 'env=cartpole' is not a command; did you mean rl-warmup run env=cartpole?"),
    ],
)
def test_another_word_is_refused_in_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith(message)


def test_a_command_has_the_other_arguments_and_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, "status", "--json", str(tmp_path)) == 2
    assert f"{tmp_path} holds no runs" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        called(monkeypatch, "report", "--nope")
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("line", "words"), [("rl-warmup r", " ".join(COMMANDS)), ("rl-warmup report ru", ""), ("rl-warmup", "")]
)
def test_completion_of_commands(
    line: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    assert called(monkeypatch, "-sc", "query=bash") == 0
    assert capsys.readouterr().out.strip() == words


@pytest.mark.slow
def test_completion_in_bash(tmp_path: Path) -> None:
    script = tmp_path / "rl-warmup"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from rl_warmup.__main__ import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    typed = [
        f"PATH={tmp_path}:$PATH",
        'eval "$(rl-warmup run -sc install=bash)"',
        "complete -p rl-warmup",
        'COMP_LINE="rl-warmup preview algo=dqn warmup=line" COMP_WORDS=($COMP_LINE) COMP_CWORD=3',
        "hydra_bash_completion",
        'echo "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(["bash", "-c", "\n".join(typed)], capture_output=True, text=True, timeout=120)
    installed, words = done.stdout.splitlines()
    assert installed.endswith("-F hydra_bash_completion rl-warmup"), done.stderr
    assert words == "warmup=linear"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_a_module_too(command: str) -> None:
    assert f"python -m rl_warmup.{command}" in call(f"rl_warmup.{command}", "--help")


@pytest.mark.slow
def test_run_hands_everything_to_hydra(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "mine.yaml").write_text("name: mine\nid: CartPole-v1\n")
    shown = call("rl_warmup", "run", "--config-dir", str(tmp_path), "env=mine", "seed=7", "--cfg", "job")
    assert "name: mine" in shown
    assert "seed: 7" in shown
    planned = call("rl_warmup", "run", "-m", "seed=0,1", "plan_only=true", f"runs_dir={tmp_path}")
    assert "2 runs in" in planned
