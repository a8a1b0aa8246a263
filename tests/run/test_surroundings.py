"""The command line on other people's machines: what fails there is named; any home and temporary folder will do."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.configs import SHORT, TINY

from rl_warmup.config.identity import run_folder
from rl_warmup.records.read import read_study
from rl_warmup.run.compose import configured

pytestmark = [pytest.mark.slow, pytest.mark.surroundings]
SMALL = [*TINY["ppo"], *SHORT, "algo.net_arch=[8]", "tracking=disabled", "device=cpu"]


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "rl_warmup.run", "-m", *SMALL, *arguments]
    own = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}
    return subprocess.run(command, env=own | environment, capture_output=True, text=True, check=False, timeout=550)


def long(*arguments: str) -> Any:
    """A case that `make test` leaves to `make test-long`."""
    return pytest.param([*arguments], marks=pytest.mark.long)


# ---- a job that fails ----


@pytest.mark.parametrize(
    "launcher",
    [
        long("hydra/launcher=basic"),
        long("hydra/launcher=joblib"),
        ["hydra/launcher=submitit_local", "hydra.launcher.submitit_folder=${runs_dir}/jobs"],
        ["hydra/launcher=stacked"],
        long("hydra/launcher=batch_local"),
        long("hydra/launcher=basic", "hydra/sweeper=basic"),
        long("hydra/launcher=stacked", "hydra/sweeper=basic"),
    ],
)
def test_a_job_that_fails_before_it_begins_tells_its_reason_under_every_launcher(
    launcher: list[str], tmp_path: Path
) -> None:
    """The records of a run are on a disk that is not mounted."""
    folder = run_folder(configured([*SMALL, f"runs_dir={tmp_path}"], "sweep"))
    folder.parent.mkdir()
    folder.symlink_to(tmp_path / "not mounted" / "run")
    done = run(*launcher, f"runs_dir={tmp_path}", f"hydra.sweep.dir={tmp_path}")
    beginning = "error" if "hydra/sweeper=basic" in launcher else f"failed: {folder}"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"{beginning}: the run cannot be recorded: [Errno 17] File exists: '{folder}'"
    )
    assert "Traceback" not in done.stderr


# ---- homes and temporary folders ----


@pytest.mark.long
@pytest.mark.parametrize("home", ["/proc", "/dev/null/nobody"])
def test_stacks_train_without_a_home_that_takes_files_and_with_a_long_tmpdir(home: str, tmp_path: Path) -> None:
    """In one no folder can be made, the other is not there: for root too."""
    temporary = tmp_path / ("t" * 100)
    temporary.mkdir()
    stack = ["trainer=stacked", "trainer.compile=true", "hydra/launcher=stacked", f"runs_dir={tmp_path}"]
    chosen = {"TORCHINDUCTOR_CACHE_DIR": "", "XDG_CACHE_HOME": ""}  # stacks of other tests set the first
    done = run(*stack, "seed=0,1", HOME=home, TMPDIR=str(temporary), **chosen)
    assert done.returncode == 0, done.stderr
    assert [
        line for line in done.stderr.splitlines() if "matplotlib" not in line.lower()
    ] == []  # it names its cache
    records, problems = read_study(tmp_path / "sweep")
    assert ([record.status for record in records], problems) == (["completed"] * 2, [])
    assert list((temporary / f"rl_warmup-{os.getuid()}").rglob("*.so"))
