"""Real studies with looks, one that stops early and one that goes to the end, each killed once and restarted."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from rl_warmup.analysis.study import analyse
from rl_warmup.records.read import finished_status
from rl_warmup.records.study import read_looks, read_runs
from rl_warmup.status.command import main as status

SWEEP = [
    *("-m", "trainer=stacked", "hydra/launcher=stacked", "env=cartpole", "algo=ppo", "learning_rate_scale=4"),
    *("seed=range(0,40)", "evaluation.count=3", "evaluation.episodes=3", "tracking=disabled", "device=cpu"),
    *("study.name=looked", "study.control={warmup.name: none}", "study.looks={every: 20, most: 40}"),
    # so little is learned in so few steps that 100 is the most that counts
    *("env.return_high=100", "env.ceiling=100", "env.threshold=60"),
]
STOPS = ["warmup=none,exponential", "warmup.length=0.999", "total_timesteps=4000"]
GOES_ON = ["warmup=none,linear", "warmup.length=0.1", "total_timesteps=1000"]


def started(arguments: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "rl_warmup.run", *SWEEP, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def kill_after(process: subprocess.Popen[str], folder: Path, finished: int) -> None:
    """Kill a sweep, and all its processes, when so many runs are finished and others have begun."""
    while process.poll() is None:
        runs = [path for path in folder.glob("*") if (path / "run.json").exists()]
        if len(runs) > finished <= sum(finished_status(run) is not None for run in runs):
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.05)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.long  # test_looks.py kills studies whose runs are written by hand
@pytest.mark.parametrize(
    ("arguments", "finished", "batches", "seen"),
    [
        (
            STOPS,
            0,
            1,
            "look at 20 pairs: 4 of 4 comparisons are decided; the study stops, with 40 of at most 80 runs",
        ),
        (GOES_ON, 40, 2, "look at 40 pairs: 0 of 4 comparisons are decided; it was the last look"),
    ],
    ids=["stops", "goes on"],
)
def test_killed_once_a_study_ends_as_if_it_had_not_been(
    arguments: list[str], finished: int, batches: int, seen: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*arguments, f"runs_dir={tmp_path}"]
    folder = tmp_path / "looked"
    kill_after(started(arguments), folder, finished)
    assert status([str(folder)]) == 1
    again = started(arguments)
    out, _ = again.communicate()
    assert again.returncode == 0
    assert seen in out
    assert len(read_runs(folder).runs) == 40 * batches
    taken, found = read_looks(folder), analyse(folder)
    assert taken is not None
    assert taken.stopped
    assert [look.pairs for look in taken.taken] == [20, 40][:batches]
    assert found.looking is not None
    assert found.looking.refused is None
    decided = [one.decided_at for one in found.comparisons if one.family == "confirmatory"]
    assert decided == [20] * 4 if batches == 1 else [None] * 4
    assert status([str(folder)]) == 0
    assert "so that it has stopped" in capsys.readouterr().out
