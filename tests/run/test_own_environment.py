"""A user's own environment, from a refusal in words to the report, as README and docs/plugins.md have it."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from helpers.paths import ROOT

from rl_warmup.config.settings import ConfigError
from rl_warmup.records.read import read_study
from rl_warmup.run.command import main
from rl_warmup.run.compose import configured

PLUGINS = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
(PACKAGE,) = re.findall(r"^```python\n(import gymnasium.*?)^```$", PLUGINS, flags=re.MULTILINE | re.DOTALL)
TINY = "seed=0 total_timesteps=128 algo.n_steps=32 algo.batch_size=32 evaluation.count=2 evaluation.episodes=2"
WRAPPERS = "env.wrappers=[{my_pkg.Missing: {liters: 10}}]"


def commands(text: str, heading: str) -> list[str]:
    """The commands below a heading, each as one text."""
    section = re.split("^##+ ", text.partition(f"{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    block = dedent("".join(re.findall(r"^    .*\n", section, flags=re.MULTILINE)))
    return re.split(r"\n(?=\S)", block.replace("\\\n", "").strip())


@pytest.fixture
def my_pkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the package of docs/plugins.md, which can be imported."""
    (tmp_path / "my_pkg").mkdir()
    (tmp_path / "my_pkg/__init__.py").write_text(PACKAGE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_pkg", raising=False)
    return tmp_path


@pytest.mark.usefixtures("my_pkg")
def test_dictionaries_are_refused_in_words_and_wrappers_make_them_fit() -> None:
    own = ["env=gym", "env.id=my_pkg:Tank-v0", "tracking=disabled"]
    with pytest.raises(ConfigError) as caught:
        configured(own, "test")
    words = "the networks take one array; env.wrappers=[gymnasium.wrappers.FlattenObservation] makes one of it"
    assert str(caught.value).endswith(words)
    assert f"`{words}`" in PLUGINS
    config = configured([*own, "env.kwargs={leak: 0.2}", WRAPPERS], "test")
    assert config.env.kwargs == {"leak": 0.2}


@pytest.mark.parametrize("line", commands(PLUGINS, "### On the command line"))
def test_the_commands_of_the_docs_are_read_by_a_shell_and_by_hydra(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "ResizeObservation" in line:
        pytest.importorskip("cv2")
    python, m, module, *arguments = shlex.split(line)
    assert (python, m, module) == ("python", "-m", "rl_warmup.run")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")
    monkeypatch.setattr(
        sys, "argv", ["run", *arguments, "plan_only=true", "tracking=disabled", f"runs_dir={tmp_path}"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    out = capsys.readouterr().out
    assert ended.value.code == 0, out
    runs = 4 if "warmup=none,linear" in line else 2 if "-m" in arguments else 1
    assert out.startswith(f"{runs} run")
    assert "has no published hyperparameters for ppo" in out


@pytest.mark.slow
def test_from_measure_to_report_as_in_readme_with_both_trainers(my_pkg: Path) -> None:
    script = "\n".join(commands(README, "## Your own environment"))
    for given, here in (
        ("python -m", f"{sys.executable} -m"),
        ("rl_warmup.measure", "rl_warmup.measure --episodes 3"),
        ("seed='range(0,20)'", TINY),
        ("total_timesteps=30000 trainer=stacked", "trainer=sb3,stacked tracking=disabled"),
    ):
        assert given in script
        script = script.replace(given, here)
    done = subprocess.run(["bash", "-ec", script], cwd=my_pkg, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert "return_low: -" in (my_pkg / "my_conf/env/Tank-v0.yaml").read_text()
    records, _ = read_study(my_pkg / "runs/tank")
    assert [record.status for record in records] == ["completed"] * 4
    assert {record.info["config"]["trainer"]["name"] for record in records} == {"sb3", "stacked"}
    assert {record.info["hyperparameters"] for record in records} == {"Stable-Baselines3's defaults"}
    assert "Tank-v0 has no published hyperparameters for ppo" in done.stdout
    report = (my_pkg / "runs/tank/report.md").read_text()
    assert "what is not given is Stable-Baselines3's default" in report
    assert "env.threshold" in report  # what is still missing, and how to mend it
