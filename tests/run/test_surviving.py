"""Runs that several processes want at once, that a process has lost, or that the disk has no room for."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers.configs import Configure, probe
from helpers.paths import TESTS

from rl_warmup.config.identity import run_folder
from rl_warmup.records.checkpoints import start_of
from rl_warmup.records.leases import lease
from rl_warmup.records.locks import is_training, run_lock
from rl_warmup.records.read import Record, read_info
from rl_warmup.run.execute import execute, execute_stack

PPO = ["algo=ppo", "algo.n_envs=2", "algo.n_steps=32", "algo.batch_size=32", "algo.n_epochs=2"]
SMALL = ["evaluation.episodes=1", "algo.net_arch=[16,16]", "trainer.compile=false"]
TRAINERS = {"sb3": ["trainer=sb3"], "stacked": ["trainer=stacked", "trainer.envs=gymnasium"]}
TABLES = ("evaluations", "episodes", "updates")

TRAIN = """
import sys
from pathlib import Path
import torch
from rl_warmup.run.compose import configured
from rl_warmup.config.settings import ConfigError
from rl_warmup.run.execute import execute, execute_stack

def train(kind, seeds):
    own = [f"trainer={kind}", *(["trainer.envs=gymnasium"] if kind == "stacked" else [])]
    configs = [configured([*sys.argv[1:], *own, f"seed={seed}"], "test") for seed in seeds]
    print("ready", flush=True)
    if sys.stdin.readline():
        try:
            print(*(execute_stack(configs) if kind == "stacked" else map(execute, configs)), flush=True)
        except ConfigError as error:
            print(error, flush=True)

"""


def start(
    body: str, overrides: Sequence[str], runs_dir: str, before: Sequence[str] = ()
) -> "subprocess.Popen[str]":
    """A process that trains, or its script behind other words of a command."""
    script = TRAIN + textwrap.dedent(body)
    own = ["tracking=disabled", "checkpoint.seconds=0", "device=cpu", f"runs_dir={runs_dir}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(TESTS)])}
    return subprocess.Popen([*before, sys.executable, "-c", script, *own, *overrides], env=environment, **pipes)


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


def rows(folder: Path) -> list[str]:
    """All tables of a run."""
    record = Record(folder, read_info(folder))
    return [repr(record.table(name).rows()) for name in TABLES]


def contents(folder: Path) -> dict[str, bytes]:
    """Files, without those that say who holds the folder."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".lock", ".lease")))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


# ---- whose run it is ----


def test_a_run_that_another_process_trains_is_left_to_it_and_its_neighbours_are_trained(
    configure: Configure,
) -> None:
    overrides = [*PPO, *SMALL, *TRAINERS["stacked"], "total_timesteps=64", "evaluation.count=2"]
    configs = [configure(*overrides, f"seed={seed}", "warmup=none") for seed in range(3)]
    with run_lock(run_folder(configs[1])):
        assert execute_stack(configs) == ["completed", "running", "completed"]
    infos = [read_info(run_folder(config)) for config in (configs[0], configs[2])]
    assert [(info["status"], info["members"]) for info in infos] == [("completed", 2)] * 2
    assert not (run_folder(configs[1]) / "run.json").exists()
    assert execute_stack(configs) == ["completed"] * 3


@pytest.mark.slow
def test_processes_that_start_the_same_runs_at_once_do_none_twice(configure: Configure, tmp_path: Path) -> None:
    overrides = [*PPO, *SMALL, "total_timesteps=640", "evaluation.count=5", "warmup=none"]
    seeds, runs_dir = [0, 1, 2, 3], str(tmp_path / "runs")
    processes = [
        start(f"train('stacked', {order}); train('sb3', {order})", overrides, runs_dir)
        for order in (seeds, seeds[::-1])
    ]
    for trainer in ("stacked", "sb3"):
        for process in processes:
            go(process)
        for process in processes:
            assert process.stdout is not None
            assert set(process.stdout.readline().split()) <= {"completed", "running"}
        configs = [configure(*overrides, *TRAINERS[trainer], f"seed={seed}") for seed in seeds]
        assert execute_stack(configs) == ["completed"] * 4
        for config in configs:
            info = read_info(run_folder(config))
            assert (info["resumed"], info["earlier_attempts"], info["begun_again"]) == ([], [], None)
            assert not list(run_folder(config).glob(".*.tmp"))
        alone = configure(*overrides, *TRAINERS[trainer], "seed=2", f"runs_dir={tmp_path / 'alone'}")
        execute(alone)
        assert rows(run_folder(configs[2])) == rows(run_folder(alone))
    assert [process.communicate() for process in processes] == [("", "")] * 2
    assert [process.returncode for process in processes] == [0, 0]


@pytest.mark.slow
def test_a_process_that_has_lost_its_runs_while_it_was_suspended_says_so_and_leaves_them_alone(
    configure: Configure,
) -> None:
    overrides = [*PPO, *SMALL, *probe("slow"), "env.id=helpers.probe_envs:probe/slow-v0", "total_timesteps=60000"]
    overrides += ["evaluation.count=900", "warmup=none"]
    configs = [configure(*overrides, *TRAINERS["stacked"], f"seed={seed}") for seed in (0, 1)]
    lost, kept = map(run_folder, configs)
    with start("train('stacked', [0, 1])", overrides, configs[0].runs_dir) as process:
        go(process)
        wait_for(lambda: start_of(lost)[0] and start_of(kept)[0])
        process.send_signal(signal.SIGSTOP)
        for heart in lost.parent.glob(".heartbeat-*"):
            os.utime(heart, (1, 1))
        with lease(lost, "elsewhere/1", beat=0.1):
            before = contents(lost)
            process.send_signal(signal.SIGCONT)
            out, err = process.communicate(timeout=60)
            assert contents(lost) == before
    assert err == ""
    assert (
        f"{lost} was taken over by process {os.getpid()} on elsewhere, since this process had no heartbeat for"
        in out
    )
    info = read_info(kept)
    assert info["status"] == "running"
    assert "was taken over" in info["error"]
    assert not is_training(kept)
    assert start_of(lost)[0]
    assert start_of(kept)[0]


# ---- a disk without room ----

FULL = """
import os, shutil, subprocess
from rl_warmup.run.execute import run_folder
from rl_warmup.records.read import Record, read_info

config = configured([*sys.argv[1:], "seed=0"], "test")
disk, folder = Path(config.runs_dir), run_folder(config)
ballast, page = disk / "ballast", os.sysconf("SC_PAGE_SIZE")

def mount(*options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", *options, "tmpfs", str(disk)], check=True)

def tried():
    try:
        print(execute(config))
    except ConfigError as error:
        print(str(error).replace(str(folder), "FOLDER"))
    steps = [int(path.name) for path in folder.glob("checkpoint/*")]
    if (folder / "run.json").exists():
        record = Record(folder, read_info(folder))
        evaluations, *_ = [record.table(name) for name in ("evaluations", "episodes", "updates")]
        steps += [(record.status, evaluations["env_step"].to_list()[-1:] == [record.info["env_steps"]])]
    print(*steps, [path.name for path in folder.rglob("*.tmp")])

disk.mkdir()
mount("size=1m")
for pages in (2, 8, 11, 20):
    ballast.unlink(missing_ok=True)
    ballast.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - pages * page)))
    tried()
mount("remount,size=1m,ro")
tried()
mount("remount,size=4m,rw")
tried()
shutil.copytree(folder, disk.parent / "kept")
"""

LONG = [*PPO, *SMALL, *TRAINERS["sb3"], "total_timesteps=1600", "evaluation.count=21", "warmup=none"]
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("unshare")
    or subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode,
    reason="this system lets users mount nothing of their own",
)
def test_a_full_or_read_only_disk_costs_nothing_but_time(configure: Configure, tmp_path: Path) -> None:
    with start(FULL, LONG, str(tmp_path / "disk"), before=NAMESPACE) as process:
        out, err = process.communicate(timeout=120)
    assert err == ""
    *said, completed, last = out.splitlines()
    full = "the run cannot be recorded: FOLDER cannot be written: No space left on device"
    read_only = "the run cannot be recorded: [Errno 30] Read-only file system: 'FOLDER/.lock'"
    assert said[::2] == [full] * 4 + [read_only]
    begun, further, still = "('running', True) []", "64 ('running', True) []", "64 ('running', True) []"
    assert said[1::2] == ["[]", begun, begun, further, still]
    assert (completed, last) == ("completed", "('completed', True) []")
    kept = tmp_path / "kept"
    assert read_info(kept)["resumed"][0] == {"env_step": 64, "environments": "replayed"}
    alone = configure(*LONG)
    execute(alone)
    assert rows(kept) == rows(run_folder(alone))


@pytest.mark.long  # of runs above
@pytest.mark.parametrize("trainer", [["trainer=sb3"], [*TRAINERS["stacked"], "hydra/launcher=stacked"]])
def test_a_sweep_says_what_it_could_not_write_and_why_and_goes_on_when_it_can(
    trainer: list[str], tmp_path: Path
) -> None:
    """By a limit on the size of a file, which every system has; it holds for the workers too."""
    overrides = [*LONG, *trainer, "seed=0,1", "tracking=disabled", "device=cpu", f"runs_dir={tmp_path}"]
    command = [sys.executable, "-m", "rl_warmup.run", "-m", *overrides]
    limited = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY)),
    )
    folders = sorted(path.parent for path in tmp_path.glob("sweep/*/run.json"))
    assert len(folders) == 2
    assert limited.returncode != 0
    said = [f"the run cannot be recorded: {folder} cannot be written: File too large" for folder in folders]
    alone = trainer == ["trainer=sb3"]
    assert f"was lost: {said[0]}, with {1 if alone else 2} runs unfinished" in limited.stderr
    for folder, reason in zip(folders, said if alone else said[:1] * 2, strict=True):
        assert f"failed: {folder}: {reason}" in limited.stderr.splitlines()
    for folder in folders:
        assert read_info(folder)["status"] == "running"
        rows(folder)
    assert limited.stderr.splitlines()[-1].startswith("error: runs_dir: nothing can be recorded in")
    assert "Traceback" not in limited.stdout + limited.stderr
    assert not list(tmp_path.rglob("*.tmp"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [read_info(folder)["status"] for folder in folders] == ["completed"] * 2


# ---- what nobody is to read ----


@pytest.mark.slow
def test_no_secret_of_the_environment_is_in_any_file_of_a_study(tmp_path: Path) -> None:
    secrets = {name: f"secret-of-{name.lower().replace('_', '-')}" for name in SECRETS}
    secrets["WANDB_API_KEY"] = "5ec4e7" * 6 + "5ec4"
    overrides = [*LONG, "total_timesteps=64", "evaluation.count=2", "tracking.mode=offline", "device=cpu"]
    command = [sys.executable, "-m", "rl_warmup.run", "-m", *overrides, f"runs_dir={tmp_path}"]
    done = subprocess.run(command, env={**os.environ, **secrets}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".json", ".yaml", ".parquet", ".wandb", ".html", ".txt"}
    for name, value in secrets.items():
        assert value not in done.stdout + done.stderr
        assert [path for path in files if value.encode() in path.read_bytes()] == [], name


SECRETS = ("WANDB_API_KEY", "HF_TOKEN", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABASE_PASSWORD")
