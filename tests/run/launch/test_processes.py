"""Stacks in processes of their own: what is recorded when they end well, die, or are interrupted."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from helpers.configs import Configure
from helpers.paths import TESTS
from helpers.stacks import TINY, stack_of, statuses
from polars.testing import assert_frame_equal

from rl_warmup.config.identity import run_folder
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.locks import is_training
from rl_warmup.records.read import Record, finished_status, read_info
from rl_warmup.records.write import recording
from rl_warmup.run.execute import execute, execute_stack, run_info
from rl_warmup.run.launch import loop
from rl_warmup.run.launch.packing import group_runs
from rl_warmup.run.launch.processes import LocalProcesses, _make_room_for_sockets, processes_for, train_stacks

TINY += ["algo.batch_size=32", "algo.n_epochs=1", "evaluation.count=3", "evaluation.episodes=1", "warmup=none"]


# ---- one stack, in this process ----


@pytest.mark.slow
@pytest.mark.parametrize(
    "algo", [[], ["algo=dqn", "algo.learning_starts=64", "algo.train_freq=16", "algo.gradient_steps=2"]]
)
def test_every_member_has_the_records_of_a_run_of_its_own(algo: list[str], configure: Configure) -> None:
    own = [part for part in TINY if "n_steps" not in part and "n_epochs" not in part] if algo else TINY
    configs = [configure(*algo, *own, f"seed={seed}", "algo.batch_size=32") for seed in range(3)]
    assert execute_stack(configs) == ["completed"] * 3
    alone = configure(*algo, *own, "seed=1", "algo.batch_size=32", f"runs_dir={configs[0].runs_dir}-alone")
    assert execute(alone) == "completed"
    for config, members in zip([*configs, alone], [3, 3, 3, 1], strict=True):
        info = read_info(run_folder(config))
        assert (info["members"], info["seed"], info["config"]["trainer"]["name"]) == (
            members,
            config.seed,
            "stacked",
        )
    for table in ("evaluations", "episodes", "updates"):
        together, single = (
            Record(run_folder(c), read_info(run_folder(c))).table(table) for c in (configs[1], alone)
        )
        assert_frame_equal(together, single, rel_tol=1e-4, abs_tol=1e-6)


@pytest.mark.slow
def test_finished_members_are_left_alone_and_the_others_trained(configure: Configure) -> None:
    stack = stack_of(configure, "action", 3)
    assert execute(stack[1]) == "completed"
    before = (run_folder(stack[1]) / "run.json").read_bytes()
    assert execute_stack(stack) == ["completed"] * 3
    assert (run_folder(stack[1]) / "run.json").read_bytes() == before
    assert [read_info(run_folder(config))["members"] for config in stack] == [2, 1, 2]


@pytest.mark.slow
def test_a_diverged_member_ends_at_once_and_the_others_go_on(configure: Configure) -> None:
    stack = [configure(*TINY, "learning_rate=1e30"), configure(*TINY)]
    assert execute_stack(stack) == ["diverged", "completed"]
    diverged, completed = (read_info(run_folder(config)) for config in stack)
    assert "non-finite" in diverged["error"]
    assert diverged["gradient_steps"] < completed["gradient_steps"] == completed["planned_gradient_steps"]
    assert diverged["finished"] < completed["finished"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "last"),
    [
        (
            "broken",
            "RuntimeError: env.id=helpers.probe_envs:probe/broken-v0 raised in step 1 of an episode: "
            "OverflowError: the environment broke",
        ),
        ("exit", "SystemExit: 3"),
        ("large", "MemoryError: out of memory in a stack of 2 runs; hydra.launcher.width=1 makes smaller ones"),
    ],
)
def test_an_error_fails_every_member_of_the_stack_with_its_reason(
    kind: str, last: str, configure: Configure
) -> None:
    stack = stack_of(configure, kind)
    assert execute_stack(stack) == ["failed", "failed"]
    for config in stack:
        info = read_info(run_folder(config))
        assert info["error"].startswith("Traceback")
        assert info["error"].splitlines()[-1] == last
        assert finished_status(run_folder(config)) is None


@pytest.mark.slow
def test_ctrl_c_leaves_every_member_running_and_interrupted(configure: Configure) -> None:
    stack = stack_of(configure, "interrupted")
    with pytest.raises(KeyboardInterrupt):
        execute_stack(stack)
    for config in stack:
        info = read_info(run_folder(config))
        assert (info["status"], info["error"]) == ("running", "interrupted")
        assert not is_training(run_folder(config))


# ---- several, in processes ----


@pytest.mark.slow
def test_a_killed_process_fails_its_runs_and_no_others(
    configure: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    killed, vanished = stack_of(configure, "killed"), stack_of(configure, "vanished", 1)
    left, healthy = stack_of(configure, "left", 1), stack_of(configure, "action")
    mistaken = (replace(healthy[0], threads="two", seed=7),)
    train_stacks([killed, vanished, left, healthy, mistaken], 2)
    assert statuses(killed) + statuses(vanished) + statuses(left) == ["failed"] * 4
    assert statuses(healthy) == ["completed"] * 2
    reasons = [read_info(run_folder(stack[0]))["error"] for stack in (killed, vanished, left)]
    assert reasons[:2] == ["killed by signal 9 (SIGKILL)", "exit code 3"]
    assert reasons[2].endswith("(exit code 0)")
    assert read_info(run_folder(mistaken[0]))["error"].startswith("Traceback")  # an error outside of the run
    record = Record(run_folder(killed[0]), read_info(run_folder(killed[0])))
    assert record.evaluations().height == 1  # what it had recorded stays
    assert record.info["wall_seconds"] > 0
    err = capfd.readouterr().err
    assert "an error (exit code 0), with 1 runs unfinished" in err
    assert "stack 1 of 5 (2 runs of ppo on killed, killed-ppo-none" in err
    assert "killed by signal 9 (SIGKILL), with 2 runs unfinished; if memory ran out, hydra.launcher.width=1" in err
    assert "exit code 3, with 1 runs unfinished" in err
    assert "was lost: RuntimeError: set_num_threads expects an int" in err


@pytest.mark.slow
def test_exit_codes_that_mean_something_are_believed_of_our_own_code_only(configure: Configure) -> None:
    stacks = [stack_of(configure, kind, 1) for kind in ("like_ctrl_c", "like_full", "action")]
    train_stacks(stacks, 1)
    assert [read_info(run_folder(run))["error"] for (run,) in stacks] == ["exit code 130", "exit code 74", None]
    assert statuses(stacks[2]) == ["completed"]


@pytest.mark.slow
def test_an_error_tells_no_secret_and_can_be_written(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_API_KEY", "0123456789abcdef")
    (run,) = stack_of(configure, "secret", 1)
    assert execute(run) == "failed"
    assert read_info(run_folder(run))["error"].endswith("ValueError: no login with $PROBE_API_KEY \\ud800\n")
    assert not [path for path in run_folder(run).glob("*") if path.is_file() and b"0123456789" in path.read_bytes()]


def test_runs_that_failed_have_few_neighbours_the_next_time_and_none_after_that(configure: Configure) -> None:
    stack = stack_of(configure, "action", 12)

    def sizes() -> list[int]:
        return sorted(map(len, group_runs(stack, 1, 8, 1)), reverse=True)

    def fail(runs: Sequence[RunConfig]) -> None:
        for run in runs:
            with recording(run_folder(run), run_info(run, 8), asdict(run)) as writer:
                writer.finish("failed", "perhaps a neighbour's fault")

    assert sizes() == [8, 4]
    fail(stack[:8])
    assert sizes() == [4, 4, 4]
    fail(stack[:4])
    assert sizes() == [4, 4, 1, 1, 1, 1]


def test_what_died_before_it_began_or_while_it_trained_or_after_it_failed(configure: Configure) -> None:
    stack = stack_of(configure, "action", 4)
    for config, (status, reason) in zip(stack[1:], EARLIER, strict=True):
        with recording(run_folder(config), run_info(config, 3), asdict(config)) as writer:
            writer.finish(status, reason)
    attempts = [read_info(run_folder(config))["attempt_id"] for config in stack[1:]]
    now = datetime.now(UTC)
    for since in (now - timedelta(hours=1), now):
        for config in stack:
            loop.record_death(config, len(stack), since, "exit code 3")
        infos = [read_info(run_folder(config)) for config in stack]
        assert {info["status"] for info in infos} == {"failed"}
        own = [info["attempt_id"] for info in infos[1:]] == attempts
        assert own == (since < now)
        reasons = ["exit code 3", "exit code 3", "its own reason", "exit code 3"]
        assert [info["error"] for info in infos] == (reasons if own else ["exit code 3"] * 4)


EARLIER = [("running", "interrupted"), ("failed", "its own reason"), ("running", None)]


@pytest.mark.slow
def test_ctrl_c_waits_for_the_processes_and_the_same_stacks_go_on(
    configure: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    stacks = [stack_of(configure, "slow"), stack_of(configure, "slow", 4, "algo.n_steps=64")]
    first, last = stacks[0][0], stacks[1][-1]
    threading.Thread(target=_interrupt_when, args=([run_folder(first), run_folder(last)],), daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        train_stacks(stacks, 2)
    for stack in stacks:
        for config in stack:
            info = read_info(run_folder(config))
            assert (info["status"], info["error"]) == ("running", "interrupted")
            assert not is_training(run_folder(config))
    err = capfd.readouterr().err
    assert "stack 1 of 2 (2 runs of ppo on slow, slow-ppo-none" in err
    assert "was interrupted with 4 runs unfinished" in err
    assert "Traceback" not in err
    train_stacks(stacks, 2)
    assert statuses(stacks[0]) + statuses(stacks[1]) == ["completed"] * 6


def _interrupt_when(folders: list[Path]) -> None:
    _wait_for(lambda: all(map(_evaluated, folders)))
    os.kill(os.getpid(), signal.SIGINT)


def _evaluated(folder: Path) -> bool:
    return (folder / "run.json").exists() and read_info(folder)["latest_return"] is not None


def _script(path: Path, body: str) -> list[str]:
    """A script that trains `configs`, as a user of the Python interface would write it."""
    path.write_text(
        textwrap.dedent("""
        import sys
        from rl_warmup.run.compose import configured
        from rl_warmup.run.launch.processes import train_stacks

        def configs(kind, *overrides):
            own = [f"env.id=helpers.probe_envs:probe/{kind}-v0", f"env.name={kind}", *sys.argv[1:], *overrides]
            return tuple(configured([*own, f"seed={seed}"], "test") for seed in range(2))

        """)
        + f'if __name__ == "__main__":\n    {body}\n'
    )
    return [sys.executable, str(path)]


def _environment(**values: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TESTS), **values}


@pytest.mark.slow
@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.long), 3])
def test_a_process_uses_the_threads_of_its_config_whatever_the_environment_says(
    threads: int, tmp_path: Path
) -> None:
    command = _script(tmp_path / "script.py", "train_stacks([configs('threads')], 1)")
    command += [*TINY, "tracking=disabled", f"runs_dir={tmp_path}", f"threads={threads}", "device=cpu"]
    subprocess.run(command, env=_environment(OMP_NUM_THREADS="7", MKL_NUM_THREADS="7"), check=True, timeout=120)
    folders = [path.parent for path in tmp_path.glob("test/*/run.json")]
    assert len(folders) == 2
    for folder in folders:
        record = Record(folder, read_info(folder))
        assert record.table("episodes")["return"].unique().to_list() == [float(threads)]
        assert record.info["threads"] == threads


@pytest.mark.slow
def test_every_process_sees_one_gpu(configure: Configure) -> None:
    stacks = [stack_of(configure, "gpu", 1, f"learning_rate={rate}") for rate in (0.1, 0.2)]
    loop.train(LocalProcesses(["3", "7"]), stacks, 2)
    records = [Record(run_folder(stack[0]), read_info(run_folder(stack[0]))) for stack in stacks]
    assert [record.table("episodes")["return"].unique().to_list() for record in records] == [[3.0], [7.0]]
    later = stack_of(configure, "gpu", 1, "learning_rate=0.3")
    loop.train(LocalProcesses(["3", "7"], first_gpu=5), [later], 1)  # as joblib's processes, which know of no other
    record = Record(run_folder(later[0]), read_info(run_folder(later[0])))
    assert record.table("episodes")["return"].unique().to_list() == [7.0]


def test_processes_that_train_ignore_what_is_answered_for_them() -> None:
    script = """
        import os, signal
        from multiprocessing import forkserver
        from rl_warmup.run.launch.processes import start_server
        start_server({signal.SIGTERM, signal.SIGUSR2})
        status = open(f"/proc/{forkserver._forkserver._forkserver_pid}/status").read()
        blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
        print([name for name in ("SIGINT", "SIGTERM", "SIGUSR2") if blocked >> getattr(signal, name) - 1 & 1])
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "['SIGINT', 'SIGTERM', 'SIGUSR2']"


@pytest.mark.surroundings
def test_a_folder_is_found_for_the_sockets_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str | None] = []
    monkeypatch.setattr(tempfile, "tempdir", f"/{'t' * 100}")
    monkeypatch.setattr("multiprocessing.util.get_temp_dir", lambda: used.append(tempfile.tempdir))
    for there in ("/tmp", "/dev/shm", "none"):
        monkeypatch.setattr("os.access", lambda folder, mode, there=there: folder == there)
        if there == "none":
            with pytest.raises(ConfigError, match=r"TMPDIR=/t+ is too long for the sockets of"):
                _make_room_for_sockets()
        else:
            _make_room_for_sockets()
    assert used == ["/tmp", "/dev/shm"]
    assert tempfile.gettempdir() == f"/{'t' * 100}"


def test_no_more_processes_than_the_cores_have_room_for(
    configure: Configure, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = [configure(*TINY, "trainer=sb3", "trainer.envs=null", f"seed={seed}", "threads=2") for seed in (0, 1)]
    assert processes_for(runs, 3, available=4) == 2
    assert "2 instead of 3 processes of 2 threads" in capfd.readouterr().err
    assert processes_for(runs, 1, available=4) == 1
    assert group_runs(runs, 2, 8, 2) == [(runs[0],), (runs[1],)]


@pytest.mark.slow
def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = _script(tmp_path / "script.py", "train_stacks([configs('slow')], 1)")
    command += [*TINY, "total_timesteps=60000", "tracking=disabled", f"runs_dir={tmp_path}", "device=cpu"]
    parent = subprocess.Popen(command, env=_environment())
    folder = _wait_for(
        lambda: next((p.parent for p in tmp_path.glob("test/*/run.json") if _evaluated(p.parent)), None)
    )
    assert is_training(folder)
    parent.kill()
    parent.wait()
    _wait_for(lambda: not is_training(folder))
    assert read_info(folder)["error"] == "interrupted"


def _wait_for(condition: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.time() + seconds
    while time.time() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError


def test_planning_a_sweep_needs_no_torch() -> None:
    modules = [
        "rl_warmup.run.sweep",
        "rl_warmup.run.launch.packing",
        "rl_warmup.run.launch.processes",
        "hydra_plugins.rl_warmup.launcher",
    ]
    plan = textwrap.dedent("""
        from rl_warmup.run.compose import configured
        from rl_warmup.run.launch.packing import default_width, plan_stacks
        config = configured(["trainer=stacked", "device=cpu"], "test")
        assert plan_stacks([config], 2, lambda run: default_width(run, 2)) == [(config,)]
    """)
    script = f"import sys, json, {', '.join(modules)}\n{plan}\nprint(json.dumps('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout) is False
