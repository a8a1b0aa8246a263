"""The package as it is installed from a wheel: its configs and its plugin travel with it."""

import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.paths import ROOT

from rl_warmup.__main__ import COMMANDS


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel would put into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_every_config_and_the_plugin_are_in_the_wheel(installed: Path) -> None:
    shipped = {
        path.relative_to(installed / "rl_warmup/conf") for path in (installed / "rl_warmup/conf").rglob("*.yaml")
    }
    assert shipped == {path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml")}
    assert (installed / "hydra_plugins/rl_warmup/sweeper.py").exists()
    assert not (installed / "hydra_plugins/__init__.py").exists()
    for name in ("py.typed", *(f"report/{name}" for name in ("report.schema.json", "templates/report.html"))):
        assert (installed / "rl_warmup" / name).exists(), name


@pytest.mark.slow
def test_a_sweep_runs_from_the_wheel_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    arguments = ["-m", "seed=0,1", "total_timesteps=600", "evaluation.count=2", "evaluation.episodes=1"]
    done = subprocess.run(
        [sys.executable, "-m", "rl_warmup.run", *arguments, "tracking=disabled"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs/sweep").glob("*/run.json"))) == 2
    assert (tmp_path / "runs/sweep/report.html").exists()
    shown = subprocess.run(
        [sys.executable, "-c", "from rl_warmup.config.conf import conf_dir; print(conf_dir())"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == str(installed / "rl_warmup/conf")


@pytest.mark.long  # test_main.py asks them outside of a wheel
def test_every_command_explains_itself_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    (listed,) = installed.glob("*.dist-info/entry_points.txt")
    entries = configparser.ConfigParser()
    entries.read(listed)
    assert dict(entries["console_scripts"]) == {"rl-warmup": "rl_warmup.__main__:main"}
    for command in COMMANDS:
        code = "import sys; from rl_warmup.__main__ import main; sys.exit(main())"
        shown = subprocess.run(
            [sys.executable, "-c", code, command, "--help"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert shown.returncode == 0, f"{command}: {shown.stderr}"
        assert f"python -m rl_warmup.{command}" in shown.stdout, command
