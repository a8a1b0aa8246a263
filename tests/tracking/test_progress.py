"""A sweep's progress in W&B and its runs afterwards: real training, the real client, a loopback server."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.configs import TINY
from helpers.wandb_client import KEY, Recorded, _fresh_client, decode, files, log_in, of, rows, serve, shown
from rich.console import Console

from rl_warmup.config.identity import run_folder, study_folder
from rl_warmup.records.read import Record, read_info, read_study
from rl_warmup.run.command import train_single
from rl_warmup.run.execute import execute
from rl_warmup.run.jobs import Job
from rl_warmup.run.sweep import run_sweep
from rl_warmup.status.live import Shown
from rl_warmup.status.states import RunState
from rl_warmup.tracking import client as wandb_client
from rl_warmup.tracking import progress as wandb_progress
from rl_warmup.tracking.client import wandb_id
from rl_warmup.tracking.progress import MOST_OFFLINE, progress_row, publish_after
from rl_warmup.tracking.rows import TABLES
from rl_warmup.tracking.sent import try_lock
from rl_warmup.tracking.upload import publish

QUIET = Console(file=io.StringIO())
SETTINGS = [*TINY["ppo"], "evaluation.count=3", "tracking=wandb", "device=cpu"]


def test_a_row_counts_runs_steps_and_the_mean_return_of_every_cell():
    a, b, c, d = map(Path, "abcd")
    shown = {
        a: Shown("completed", 100, 10.0),
        b: Shown("running", 50, 20.0),
        c: Shown("diverged", 30, None),
        d: Shown("waiting", 0, None),
    }
    row = progress_row(shown, dict.fromkeys(shown, 100), {a: "x", b: "x", c: "y", d: "y"}, 7.0)
    counts = {"completed": 1, "running": 1, "diverged": 1, "waiting": 1, "failed": 0}
    # a run that diverged has nothing left to do
    others = {"env_steps": 180, "share": 0.625, "seconds": 7.0, "return/x": 15.0}
    assert row == {f"progress/{name}": value for name, value in (counts | others).items()}
    before = [RunState("e", "completed", env_steps=100), RunState("f", "diverged", env_steps=20)]
    row = progress_row(shown, dict.fromkeys(shown, 100), dict.fromkeys(shown, "x"), 7.0, before)
    assert (row["progress/completed"], row["progress/diverged"], row["progress/env_steps"]) == (2, 2, 300)
    assert row["progress/share"] == (250 + 120) / (400 + 120)


@pytest.fixture
def jobs(configure):
    configs = [configure(*SETTINGS, f"seed={seed}") for seed in range(3)]
    return [Job((), config, run_folder(config)) for config in configs]


def train(jobs):
    """Members of a stack are not tracked while they train; here every run is one."""
    for job in jobs:
        tracking = replace(job.config.tracking, name="disabled")
        assert execute(replace(job.config, tracking=tracking)) == "completed"


def sweep(jobs, launch=train, console=QUIET):
    return run_sweep(jobs, launch, "command", console)


def study_run(server):
    [name] = [name for name in server.runs if name.startswith("study-")]
    return name


def tables(config):
    return [(run_folder(config) / f"{table}.parquet").read_bytes() for table in TABLES]


def test_a_sweep_shows_its_progress_and_sends_its_runs_at_the_end(jobs, serve, monkeypatch):
    monkeypatch.setattr(wandb_progress, "PERIOD", 0.2)
    server = serve()
    console = Recorded(server)
    monkeypatch.setenv("WANDB_ENTITY", "team")
    assert sweep(jobs, console=console) == 0
    assert console.announced == [announced("3 runs", f"{server.url}/team/rl_warmup")]
    assert console.sent_before == [[]]
    folder = study_folder(jobs[0].config)
    shown = [row for row in server.rows(study_run(server)) if "progress/share" in row]
    assert len(shown) > 1
    steps = [row["progress/env_steps"] for row in shown]
    assert steps == sorted(steps)
    last = {"progress/completed": 3, "progress/waiting": 0, "progress/running": 0, "progress/share": 1.0}
    assert last.items() <= shown[-1].items()
    latest = [read_info(job.folder)["latest_return"] for job in jobs]
    cell = read_info(jobs[0].folder)["cell"]
    assert shown[-1][f"progress/return/{cell}"] == pytest.approx(sum(latest) / 3)
    infos = [record.info for record in read_study(folder)[0]]
    sent = [wandb_id(info["run_id"], info["attempt_id"]) for info in infos]
    assert set(server.runs) == {*sent, study_run(server)}
    assert all("metrics/final" in json.loads(server.runs[name]["summary"]) for name in sent)
    assert "answers" in json.loads(server.runs[study_run(server)]["summary"])
    before = len(server.history)
    assert sweep(jobs, console=console) == 0
    assert len(server.history) == before
    assert len(console.announced) == 1


def test_a_single_run_says_where_it_is_at_w_and_b(configure, serve):
    server = serve()
    console = Recorded(server)
    assert train_single(configure(*SETTINGS), console) == 0
    [name] = server.runs
    assert f"{server.url}/tester/rl_warmup/runs/{name}\n" in console.file.getvalue()
    assert train_single(configure(*SETTINGS, "seed=1"), console) == 0
    assert console.announced == [announced("1 run", f"the project rl_warmup of your account at {server.url}")]
    assert console.sent_before == [[]]
    assert train_single(configure(*SETTINGS, "seed=2", "tracking.project=other"), console) == 0
    assert len(console.announced) == 2


def announced(runs, where):
    return f"W&B: {runs} will be sent to {where}; tracking=disabled switches this off"


@pytest.mark.parametrize("override", ["tracking=disabled", "tracking.mode=offline"])
def test_nothing_is_announced_that_is_not_sent(override, configure, serve):
    server = serve()
    console = Recorded(server)
    assert train_single(configure(*SETTINGS, override), console) == 0
    assert (console.announced, server.asked) == ([], [])


def test_runs_tracked_offline_are_not_written_again(configure, monkeypatch):
    configs = [configure(*SETTINGS, "tracking.mode=offline", f"seed={seed}") for seed in range(2)]
    jobs = [Job((), config, run_folder(config)) for config in configs]

    def launch(todo):
        for job in todo:
            execute(job.config)

    assert sweep(jobs, launch) == 0
    written = files(study_folder(configs[0]))
    assert sorted("study" in path.name for path in written) == [False, False, True, True]
    ids = [wandb_id(record.info["run_id"], record.info["attempt_id"]) for record in records(jobs)]
    assert all(sum(name in path.name for path in written) == 1 for name in ids)
    progress = [row for path in written if "study" in path.name for row in rows(decode(path))]
    assert [row["progress/completed"] for row in progress if "progress/completed" in row][-1] == 2


def records(jobs):
    return [Record(job.folder, read_info(job.folder)) for job in jobs]


def answer_again(server, log_in, monkeypatch):
    monkeypatch.setattr(wandb_client, "INIT_SECONDS", 15.0)  # a busy machine is slow, too
    monkeypatch.setattr(wandb_client, "UPLOAD_SECONDS", 60.0)
    server.hangs = ""
    server.release.set()
    log_in(server.url)
    wandb_client.restart()


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", ["hangs", *(pytest.param(how, marks=pytest.mark.long) for how in ("refuses", "dies"))]
)
def test_a_server_that_fails_costs_a_sweep_seconds_and_publishing_completes_it(
    how, jobs, serve, log_in, monkeypatch, capsys, tmp_path
):  # fmt: skip
    monkeypatch.setattr(wandb_client, "INIT_SECONDS", 1.0)
    monkeypatch.setattr(wandb_client, "UPLOAD_SECONDS", 1.0)
    in_peace = [replace(job.config, runs_dir=str(tmp_path / "peace")) for job in jobs]
    began = time.monotonic()
    train([Job((), config, run_folder(config)) for config in in_peace])
    training = time.monotonic() - began

    server = serve(hangs="all" if how == "hangs" else "")
    if how == "refuses":
        log_in("http://127.0.0.1:9")

    def launch(todo):
        while how == "dies" and not server.runs:
            time.sleep(0.05)
        server.hangs = "all"
        server.release.clear()
        train(todo)

    began = time.monotonic()
    assert sweep(jobs, launch) == 0
    assert time.monotonic() - began - training < 20
    for job, config in zip(jobs, in_peace, strict=True):
        assert tables(job.config) == tables(config)
    err = capsys.readouterr().err
    assert f"W&B did not answer; python -m rl_warmup.publish {study_folder(jobs[0].config)}" in err

    answer_again(server, log_in, monkeypatch)
    assert publish(study_folder(jobs[0].config), jobs[0].config.tracking, QUIET) == 0
    assert len(server.runs) == 4
    evaluated = [
        [row["env_step"] for row in server.rows(name) if "eval/return_mean" in row] for name in server.runs
    ]
    grid = Record(jobs[0].folder, read_info(jobs[0].folder)).table("evaluations")["env_step"].to_list()
    assert sorted(evaluated) == [[], grid, grid, grid]


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", ["refuses", *(pytest.param(how, marks=pytest.mark.long) for how in ("hangs", "dies"))]
)
def test_a_server_that_fails_costs_a_single_run_seconds_and_publishing_completes_it(
    how, configure, serve, log_in, monkeypatch, tmp_path
):  # fmt: skip
    monkeypatch.setattr(wandb_client, "INIT_SECONDS", 1.0)
    monkeypatch.setattr(wandb_client, "UPLOAD_SECONDS", 1.0)
    config, in_peace = (configure(*SETTINGS, f"runs_dir={tmp_path / name}") for name in ("runs", "peace"))
    began = time.monotonic()
    train([Job((), in_peace, run_folder(in_peace))])
    training = time.monotonic() - began

    server = serve(hangs={"refuses": "", "hangs": "all", "dies": "rows"}[how])
    if how == "refuses":
        log_in("http://127.0.0.1:9")
    began = time.monotonic()
    assert execute(config) == "completed"
    assert time.monotonic() - began - training < 20
    assert tables(config) == tables(in_peace)
    assert server.history == []

    answer_again(server, log_in, monkeypatch)
    assert publish(study_folder(config), config.tracking, QUIET) == 0
    [name] = [name for name in server.runs if not name.startswith("study-")]
    evaluated = [row["env_step"] for row in server.rows(name) if "eval/return_mean" in row]
    record = Record(run_folder(config), read_info(run_folder(config)))
    assert evaluated == record.table("evaluations")["env_step"].to_list()


def test_another_process_that_shows_the_progress_is_left_alone(jobs, serve):
    server = serve()
    folder = study_folder(jobs[0].config)
    folder.mkdir(parents=True)
    with try_lock(folder, "progress") as free:
        assert free
        assert sweep(jobs) == 0
        assert [name for name in server.runs if name.startswith("study-")] == []
        assert len(server.runs) == 3
    assert publish(folder, jobs[0].config.tracking, QUIET) == 0
    assert "answers" in json.loads(server.runs[study_run(server)]["summary"])


def test_who_tracks_nothing_or_thousands_of_runs_offline_gets_no_files(configure, capsys):
    configs = [configure(*SETTINGS, "tracking=disabled", f"seed={seed}") for seed in range(2)]
    jobs = [Job((), config, run_folder(config)) for config in configs]
    assert sweep(jobs) == 0
    folder = study_folder(jobs[0].config)
    assert not (folder / "wandb").exists()
    tracking = replace(jobs[0].config.tracking, name="wandb", mode="offline")
    publish_after(tracking, folder, MOST_OFFLINE + 1, Console())
    assert not (folder / "wandb").exists()
    assert f"python -m rl_warmup.publish {folder} --offline" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.slow
def test_a_command_whose_server_hangs_ends(serve, tmp_path):
    """With the patience that users have; the client's own threads and service end with the process."""
    serve(hangs="all")
    command = [sys.executable, "-m", "rl_warmup.run", "-m", "seed=0", *SETTINGS, f"runs_dir={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [record.status for record in read_study(tmp_path / "sweep")[0]] == ["completed"]
    no_progress, not_sent = done.stderr.splitlines()
    assert no_progress.startswith("W&B fails (W&B does not say who we are: no answer within 6 s)")
    assert f"python -m rl_warmup.publish {tmp_path / 'sweep'}" in not_sent


NO_KEY = "W&B has no API key (`wandb login` stores one): this goes into offline files."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "hangs", "override", "message", "waited"),
    [
        (None, "", "tracking.mode=online", NO_KEY, 0.0),
        pytest.param(
            *("short", "", "seed=0", "W&B does not start (W&B cannot be used: WANDB_API_KEY invalid", 0.0),
            marks=pytest.mark.long,
        ),
        (KEY, "refuses", "seed=0", "W&B fails at the start (", 0.0),
        pytest.param(
            *(KEY, "all", "seed=0", "W&B fails at the start (", wandb_client.INIT_SECONDS), marks=pytest.mark.long
        ),
    ],
    ids=["no key", "no key at all", "a key that is refused", "a dead server"],
)
def test_a_single_run_says_in_one_line_what_is_wrong_with_w_and_b(
    key, hangs, override, message, waited, serve, monkeypatch, tmp_path
):  # fmt: skip
    serve(hangs)
    if key is None:
        monkeypatch.delenv("WANDB_API_KEY")
    else:
        monkeypatch.setenv("WANDB_API_KEY", key)
    command = [sys.executable, "-m", "rl_warmup.run", *SETTINGS, override, f"runs_dir={tmp_path}"]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    elapsed = time.monotonic() - began
    [line] = done.stderr.splitlines()
    assert line.startswith(message)
    [record] = read_study(tmp_path / "single")[0]
    assert record.info["wall_seconds"] < elapsed - waited  # a server that is waited for is no training


@pytest.mark.long  # of a single run above
def test_a_sweep_says_once_what_is_wrong_with_w_and_b(tmp_path):
    command = [sys.executable, "-m", "rl_warmup.run", "-m", "seed=0,1", *SETTINGS, "tracking.mode=online"]
    done = subprocess.run(
        [*command, f"runs_dir={tmp_path}"], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr == f"{NO_KEY}\n"
