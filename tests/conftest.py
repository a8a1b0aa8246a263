"""What several test modules need: resolved configs, made the way the command line makes them."""

from io import StringIO
from pathlib import Path

import pytest
from helpers import probe_envs
from helpers.configs import Configure
from helpers.synthetic import two_arms
from hypothesis import settings
from rich.console import Console

from rl_warmup.report.command import report
from rl_warmup.run.compose import configured

settings.register_profile("rl_warmup", deadline=None, max_examples=50)  # a busy machine is no defect
settings.load_profile("rl_warmup")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write the tables of docs/ that tests compare")


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """`configure("algo=dqn", "warmup=none")`: the resolved config of a run that records below tmp_path."""
    probe_envs.register()
    own = ["tracking=disabled", f"runs_dir={tmp_path / 'runs'}"]
    return lambda *overrides: configured([*own, *overrides], "test")


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small study with its report and figures, to be copied."""
    folder = two_arms(tmp_path_factory.mktemp("reported") / "synthetic", [1.0, 2.0])
    assert report(folder, Console(file=StringIO())) == 0
    return folder
