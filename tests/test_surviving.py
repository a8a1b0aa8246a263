"""Runs that several processes want at once, that a process has lost, or that the disk has no room for."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Configure, probe

from rl_warmup.checkpoints import start_of
from rl_warmup.config import ConfigError, RunConfig
from rl_warmup.execution import execute, execute_stack, run_folder
from rl_warmup.leases import held, leased
from rl_warmup.records import Record, is_alive, read_info

PPO = ["algo=ppo", "algo.n_envs=2", "algo.n_steps=32", "algo.batch_size=32", "algo.n_epochs=2"]
SMALL = ["evaluation.episodes=1", "algo.net_arch=[16,16]", "trainer.compile=false"]
TABLES = ("evaluations", "episodes", "updates")

TRAIN = """
import sys
from pathlib import Path
import torch
from rl_warmup import keeping
from rl_warmup.compose import configured
from rl_warmup.config import ConfigError
from rl_warmup.execution import execute, execute_stack
keeping.CHECKPOINT_SECONDS = 0.0

def train(kind, seeds):
    configs = [configured([*sys.argv[1:], f"seed={seed}"], "test") for seed in seeds]
    print("ready", flush=True)
    if sys.stdin.readline():
        try:
            print(*(execute_stack(configs) if kind == "stacked" else map(execute, configs)))
        except ConfigError as error:
            print(error)

"""


def start(body: str, overrides: Sequence[str], runs_dir: str, **more: Any) -> "subprocess.Popen[str]":
    """A process that trains; it waits for a line."""
    script, own = TRAIN + textwrap.dedent(body), ["tracking=disabled", "device=cpu", f"runs_dir={runs_dir}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    return subprocess.Popen([sys.executable, "-c", script, *own, *overrides], env=environment, **pipes, **more)


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    process.stdin.write("\n")
    process.stdin.flush()


def wait_for(condition: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def tables(config: RunConfig) -> list[str]:
    record = Record(run_folder(config), read_info(run_folder(config)))
    return [repr(record.table(name).rows()) for name in TABLES]


def contents(folder: Path) -> dict[str, bytes]:
    """Files, without those that say who holds the folder."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".lock", ".lease")))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


# ---- whose run it is ----


def test_a_run_that_another_process_trains_is_left_to_it_and_its_neighbours_are_trained(
    configure: Configure,
) -> None:
    overrides = [
        *PPO,
        *SMALL,
        "trainer=stacked",
        "trainer.envs=gymnasium",
        "total_timesteps=64",
        "evaluation.count=2",
    ]
    configs = [configure(*overrides, f"seed={seed}", "warmup=none") for seed in range(3)]
    with (
        held(run_folder(configs[1])),
        pytest.raises(ConfigError, match=r"is being trained .*: nothing is done twice"),
    ):
        execute_stack(configs)
    infos = [read_info(run_folder(config)) for config in (configs[0], configs[2])]
    assert [(info["status"], info["members"]) for info in infos] == [("completed", 2)] * 2
    assert not (run_folder(configs[1]) / "run.json").exists()
    assert execute_stack(configs) == ["completed"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sb3", "stacked"])
def test_processes_that_start_the_same_runs_at_once_do_none_twice(
    kind: str, configure: Configure, tmp_path: Path
) -> None:
    more = ["trainer=stacked", "trainer.envs=gymnasium"] if kind == "stacked" else ["trainer=sb3"]
    overrides = [*PPO, *SMALL, *more, "total_timesteps=640", "evaluation.count=5", "warmup=none"]
    configs = [configure(*overrides, f"seed={seed}") for seed in range(4)]
    orders = ([0, 1, 2, 3], [3, 2, 1, 0])
    processes = [start(f"train({kind!r}, {order})", overrides, configs[0].runs_dir) for order in orders]
    for process in processes:
        go(process)
    said = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert {err for _, err in said} == {""}
    for out, _ in said:
        assert out == "completed " * 3 + "completed\n" or "is being trained by another process" in out
    assert execute_stack(configs) == ["completed"] * 4
    for config in configs:
        info = read_info(run_folder(config))
        assert (info["resumed"], info["earlier_attempts"], info["begun_again"]) == ([], [], None)
        assert not list(run_folder(config).glob(".*.tmp"))
        alone = configure(*overrides, f"seed={config.seed}", f"runs_dir={tmp_path / 'alone'}")
        execute(alone)
        assert tables(config) == tables(alone)


@pytest.mark.slow
def test_a_process_that_has_lost_its_runs_while_it_was_suspended_says_so_and_leaves_them_alone(
    configure: Configure,
) -> None:
    overrides = [*PPO, *SMALL, *probe("slow"), "env.id=probe_envs:probe/slow-v0", "total_timesteps=60000"]
    overrides += ["trainer=stacked", "trainer.envs=gymnasium", "evaluation.count=900", "warmup=none"]
    configs = [configure(*overrides, f"seed={seed}") for seed in (0, 1)]
    lost, kept = map(run_folder, configs)
    with start("train('stacked', [0, 1])", overrides, configs[0].runs_dir) as process:
        go(process)
        wait_for(lambda: start_of(lost)[0] and start_of(kept)[0])
        process.send_signal(signal.SIGSTOP)
        for heart in lost.parent.glob(".heartbeat-*"):
            os.utime(heart, (1, 1))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("rl_warmup.heartbeats.BEAT", 0.1)
            with leased(lost, "elsewhere/1"):
                before = contents(lost)
                process.send_signal(signal.SIGCONT)
                out, err = process.communicate(timeout=60)
                assert contents(lost) == before
    assert err == ""
    assert f"{lost} was taken over by process {os.getpid()} on elsewhere, since this process had shown no" in out
    info = read_info(kept)
    assert info["status"] == "running"
    assert "was taken over" in info["error"]
    assert not is_alive(kept)
    assert start_of(lost)[0]
    assert start_of(kept)[0]
