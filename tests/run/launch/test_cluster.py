"""Stacks as jobs elsewhere: of submitit's local executor and, where Ray is installed, of a cluster of two nodes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.configs import Configure
from helpers.paths import ROOT, TESTS
from helpers.stacks import TINY, stack_of, statuses
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from polars.testing import assert_frame_equal

from hydra_plugins.rl_warmup.launcher import StackedLauncher
from rl_warmup.config.identity import run_folder
from rl_warmup.config.resolve import resolve
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.read import Record, read_info
from rl_warmup.run.execute import execute_stack
from rl_warmup.run.launch.cluster import train_on
from rl_warmup.run.launch.processes import train_stacks
from rl_warmup.run.launch.ray_cluster import RayCluster
from rl_warmup.run.launch.slurm import BatchJob, BatchSystem

pytestmark = pytest.mark.slow
PATHS = os.pathsep.join([str(TESTS), str(ROOT)])


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("PYTHONPATH", PATHS)
    return {"submitit_folder": f"{tmp_path}/jobs/%j", "timeout_min": 5, "cpus_per_task": 1, "gpus_per_node": 0}


@pytest.fixture
def batch(settings: dict[str, Any]) -> BatchSystem:
    return BatchSystem("local", settings)


@pytest.mark.long  # the command line's test below trains in jobs, too
def test_jobs_leave_the_records_of_processes_here(batch: BatchSystem, configure: Configure, tmp_path: Path) -> None:
    there = stack_of(configure, "action", 3)
    here = stack_of(configure, "action", 3, f"runs_dir={tmp_path / 'here'}")
    train_on(batch, there, 2, 2)
    train_stacks([here], 1)
    for one, other in zip(there, here, strict=True):
        infos = [read_info(run_folder(config)) for config in (one, other)]
        assert [info["status"] for info in infos] == ["completed"] * 2
        tables = [Record(run_folder(c), i).table("updates") for c, i in zip((one, other), infos, strict=True)]
        assert_frame_equal(*tables, rel_tol=1e-4, abs_tol=1e-6)


@pytest.mark.long  # test_processes.py kills those of this machine
def test_what_dies_in_a_job_is_recorded_there_and_the_others_go_on(
    batch: BatchSystem, configure: Configure
) -> None:
    killed, broken = stack_of(configure, "killed"), stack_of(configure, "broken", 1)
    healthy = stack_of(configure, "action", 1)
    train_on(batch, [*killed, *broken, *healthy], 2, None)
    assert statuses(killed) + statuses(broken) + statuses(healthy) == ["failed"] * 3 + ["completed"]
    assert read_info(run_folder(killed[0]))["error"] == "killed by signal 9 (SIGKILL)"
    assert "the environment broke" in read_info(run_folder(broken[0]))["error"]


def _evaluated(folder: Path) -> bool:
    return (folder / "run.json").exists() and read_info(folder)["latest_return"] is not None


def _when(condition: Any, act: Any) -> threading.Thread:
    def watch() -> None:
        deadline = time.time() + 100
        while not condition() and time.time() < deadline:
            time.sleep(0.05)
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_job_that_gets_notice_is_queued_again_and_goes_on(batch: BatchSystem, configure: Configure) -> None:
    stack = stack_of(configure, "slow", 1, "checkpoint.seconds=0")
    job = batch.submit(stack)
    _when(lambda: _evaluated(run_folder(stack[0])), job.job._interrupt).join()
    while not job.done():
        time.sleep(0.1)
    assert job.lost() is None
    info = read_info(run_folder(stack[0]))
    assert (info["status"], info["earlier_attempts"]) != ("failed", [])
    if info["status"] == "running":  # submitit's local executor did not queue it again; the same command goes on
        assert info["error"] == "interrupted"
        assert execute_stack(stack) == ["completed"]


def test_ctrl_c_stops_the_jobs_and_the_same_sweep_goes_on(
    batch: BatchSystem, configure: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    stack = stack_of(configure, "slow", 2)
    _when(
        lambda: all(_evaluated(run_folder(config)) for config in stack), lambda: os.kill(os.getpid(), signal.SIGINT)
    )
    with pytest.raises(KeyboardInterrupt):
        train_on(batch, stack, 1, None)
    err = capfd.readouterr().err
    assert "was interrupted with 2 runs unfinished" in err
    assert "Traceback" not in err  # a Ctrl-C does not reach submitit's processes
    deadline = time.time() + 30
    while time.time() < deadline and {read_info(run_folder(c))["error"] for c in stack} != {"interrupted"}:
        time.sleep(0.1)
    assert statuses(stack) == ["running"] * 2
    train_on(batch, stack, 1, None)
    assert statuses(stack) == ["completed"] * 2


def test_a_sigterm_to_all_processes_of_a_job_is_an_interruption(batch: BatchSystem, configure: Configure) -> None:
    """As Slurm's scancel and preemption send it."""
    stack = stack_of(configure, "slow", 1)

    def terminate() -> None:
        (supervisor,) = _supervisors(os.getpid())
        for process in [supervisor, *_below(supervisor)]:
            os.kill(process, signal.SIGTERM)

    _when(lambda: _evaluated(run_folder(stack[0])), terminate)
    train_on(batch, stack, 1, None)
    info = read_info(run_folder(stack[0]))
    assert (info["status"], info["error"]) == ("running", "interrupted")


def _below(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [*map(int, children), *(process for child in children for process in _below(int(child)))]


def test_a_batch_system_here_says_for_how_many_jobs_there_is_room(settings: dict[str, Any]) -> None:
    assert BatchSystem("local", settings, available=3).at_most() == 3
    assert BatchSystem("slurm", {"array_parallelism": 256}).at_most() is None


@pytest.mark.long
def test_no_more_jobs_here_than_the_cores_have_room_for(
    settings: dict[str, Any], configure: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    stack = stack_of(configure, "action", 2)
    train_on(BatchSystem("local", settings, available=1), stack, 3, 1)
    assert statuses(stack) == ["completed"] * 2
    assert "1 instead of 3 jobs train at a time" in capfd.readouterr().err
    first, second = sorted((read_info(run_folder(run)) for run in stack), key=lambda info: str(info["started"]))
    assert first["finished"] < second["started"]


@pytest.mark.long
def test_a_job_that_is_lost_with_its_supervisor_is_said(
    batch: BatchSystem, configure: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    stack = stack_of(configure, "slow", 1)

    def kill() -> None:
        job = json.loads((run_folder(stack[0]) / "run.json").read_text())
        assert job["status"] == "running"
        (child,) = _supervisors(os.getpid())
        os.kill(child, signal.SIGKILL)

    _when(lambda: _evaluated(run_folder(stack[0])), kill)
    train_on(batch, stack, 1, None)
    assert statuses(stack) != ["completed"]
    assert "was lost: its job" in capfd.readouterr().err


def _fall() -> None:
    raise OSError("no room\nat all")


def test_a_job_that_fails_tells_its_reason(batch: BatchSystem) -> None:
    jobs = [BatchJob(batch._executor().submit(work)) for work in (_fall, str)]
    failed, well = (job.lost() for job in jobs)
    assert failed is not None
    assert failed.reason.endswith(f" failed (OSError: no room), see {jobs[0].job.paths.stderr}")
    assert well is None


def _supervisors(parent: int) -> list[int]:
    """The tasks of submitit's controllers below a process."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    tasks = [
        task for child in children for task in Path(f"/proc/{child}/task/{child}/children").read_text().split()
    ]
    return [int(task) for task in tasks if "submitit.core._submit" in Path(f"/proc/{task}/cmdline").read_text()]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rl_warmup.run", "-m", *arguments, "tracking=disabled"]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": PATHS}
    )


@pytest.mark.parametrize("trainer", ["sb3", pytest.param("stacked", marks=pytest.mark.long)])
def test_the_command_line_hands_runs_and_stacks_to_jobs(trainer: str, tmp_path: Path) -> None:
    small = ["total_timesteps=600", "evaluation.count=3", "evaluation.episodes=2", f"trainer={trainer}"]
    done = run(*small, "seed=0,1", "hydra/launcher=batch_local", f"runs_dir={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / ".submitit").glob("[0-9]*"))) == (2 if trainer == "sb3" else 1)
    assert len(list((tmp_path / "sweep").glob("*/run.json"))) == 2


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        (["hydra/launcher=slurm"], "jobs cannot be submitted"),
        pytest.param(
            ["hydra/launcher=stacked", "+hydra/launcher@hydra.launcher.via=joblib"],
            "cannot be handed stacks",
            marks=pytest.mark.long,
        ),
        (["hydra/launcher=ray_cluster"], "Ray"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_said_before_anything_is_trained(
    launcher: list[str], message: str, tmp_path: Path
) -> None:
    done = run("seed=0,1", *launcher, f"runs_dir={tmp_path}")
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("run.json"))


def test_a_sweep_for_gpus_elsewhere_is_planned_where_there_are_none(tmp_path: Path) -> None:
    small = ["trainer=stacked", "seed=0,1", "hydra/launcher=slurm", f"runs_dir={tmp_path / 'runs'}"]
    done = run(*small, "device=cuda", "plan_only=true")
    assert done.returncode == 0, done.stderr
    assert "2 to start" in done.stdout
    assert not list(tmp_path.iterdir())  # Slurm was not asked either


def test_gpus_asked_for_in_vain_are_refused(configure: Configure) -> None:
    class Gpus(BatchSystem):
        def check(self) -> None:
            pass

    launcher = StackedLauncher(via=object())
    launcher._cluster = lambda: Gpus("slurm", {"gpus_per_node": 1})  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="asks for GPUs, and device is cpu"):
        launcher.check([configure("device=cpu")])
    launcher.check([resolve(replace(configure("device=cpu"), device="cuda:1"), elsewhere=True)])


def via(name: str, **values: Any) -> DictConfig:
    """`hydra.launcher.via` as Hydra 1.4 hands it over: not instantiated."""
    return OmegaConf.create({"runs_dir": "here", "via": {"_target_": name, **values}}).via


def test_what_is_handed_over_as_a_config_is_made() -> None:
    ray = StackedLauncher(via=via("rl_warmup.run.launch.ray_cluster.RayCluster", num_cpus=2))._cluster()
    assert ray == RayCluster(num_cpus=2)
    submitit = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"
    nested = {
        "_target_": "hydra_plugins.rl_warmup.launcher.StackedLauncher",
        "via": via(f"{submitit}.SlurmLauncher", submitit_folder="${runs_dir}/jobs", array_parallelism=3),
    }
    config = OmegaConf.create({"runs_dir": "here", "launcher": nested}).launcher
    for recursive in (True, False):
        slurm = instantiate(config, _recursive_=recursive)._cluster()
        assert (slurm.slots(), slurm.at_most(), slurm.settings["submitit_folder"]) == (3, None, "here/jobs")
    local = StackedLauncher(via=via(f"{submitit}.LocalLauncher", cpus_per_task=1))._cluster()
    assert local.at_most() == local.slots()


def test_a_head_node_that_is_not_there_is_found_out_at_once() -> None:
    with pytest.raises(ConnectionRefusedError):
        RayCluster(address="127.0.0.1:9")._knock()
    RayCluster()._knock()


# ---- Ray ----


@pytest.fixture
def ray_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of a Ray cluster with a core each, on the loopback interface."""
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed (docs/clusters.md)")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("PYTHONPATH", PATHS)
    own = {"num_cpus": 1, "include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=own)
    cluster.add_node(num_cpus=1)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_ray_cluster_of_two_nodes_trains_and_says_what_it_lost(
    ray_nodes: Any, configure: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster = RayCluster(address=ray_nodes.address)
    cluster.check()
    assert cluster.slots() == 2
    healthy, killed = stack_of(configure, "action", 4), stack_of(configure, "killed", 1)
    train_on(cluster, [*healthy, *killed], None, 2)
    assert statuses(healthy) + statuses(killed) == ["completed"] * 4 + ["failed"]
    assert read_info(run_folder(killed[0]))["error"] == "killed by signal 9 (SIGKILL)"
    slow = stack_of(configure, "slow", 1)
    _when(
        lambda: _evaluated(run_folder(slow[0])),
        lambda: ray_nodes.remove_node(sorted(ray_nodes.list_all_nodes(), key=lambda node: node.head)[0]),
    )
    with pytest.raises(ConfigError, match="no node with 2 CPUs"):
        RayCluster(address=ray_nodes.address, num_cpus=2).check()
    train_on(cluster, [*slow, *stack_of(configure, "slow", 1, "learning_rate=0.01")], 2, 1)
    assert cluster.slots() == 1
    assert "was lost" in capfd.readouterr().err
    train_on(cluster, slow, None, None)
    assert statuses(slow) == ["completed"]


@pytest.mark.filterwarnings("default")
def test_the_command_line_reaches_a_ray_cluster(ray_nodes: Any, tmp_path: Path) -> None:
    small = [*TINY, "seed=0,1,2,3", "hydra/launcher=ray_cluster", "hydra.launcher.width=2"]
    done = run(*small, f"hydra.launcher.via.address={ray_nodes.address}", f"runs_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "sweep").glob("*/run.json"))) == 4
