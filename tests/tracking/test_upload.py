"""Records sent to a loopback server by the real client: what arrives, what again, what a dead server costs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from itertools import pairwise

import polars as pl
import pytest
from helpers.configs import TINY
from helpers.synthetic import write_run
from helpers.wandb_client import (
    KEY,
    QUIET,
    Choice,
    Recorded,
    _fresh_client,
    decode,
    files,
    log_in,
    of,
    rows,
    send,
    serve,
    shown,
)

from rl_warmup.config.identity import run_folder
from rl_warmup.publish import main
from rl_warmup.records import models
from rl_warmup.records.read import Record, read_info
from rl_warmup.run import execute as execution
from rl_warmup.run.execute import RunRecorder
from rl_warmup.tracking import client as wandb_client
from rl_warmup.tracking import upload as uploading
from rl_warmup.tracking.client import wandb_id
from rl_warmup.tracking.live import open_tracker
from rl_warmup.tracking.outage import has_outage
from rl_warmup.tracking.progress import publish_after
from rl_warmup.tracking.rows import SENT_ROWS, TABLES, numbered
from rl_warmup.tracking.sent import Publications
from rl_warmup.tracking.upload import Sender, publish


@pytest.fixture
def study(tmp_path, reported):
    return shutil.copytree(reported, tmp_path / "runs" / "synthetic")


def ids(study):
    infos = [read_info(path.parent) for path in sorted(study.glob("*/run.json"))]
    return [wandb_id(info["run_id"], info["attempt_id"]) for info in infos]


def writes(server):
    return [name for name in server.asked if name in ("UpsertBucket", "CreateArtifact")]


def test_every_record_becomes_a_run_and_the_study_one_more(study, serve):
    server = serve()
    assert send(study) == 0
    of_study = [name for name in server.runs if name.startswith("study-")]
    assert sorted(server.runs) == sorted(ids(study) + of_study)
    for folder in sorted(study.glob("*/run.json")):
        record = Record(folder.parent, read_info(folder.parent))
        name = wandb_id(record.info["run_id"], record.info["attempt_id"])
        run = server.runs[name]
        assert (run["displayName"], run["groupName"]) == (record.info["run_id"], record.info["cell"])
        assert run["jobType"] == record.info["arm"]
        assert server.config(name)["env"]["id"] == "Toy-v0"
        sent = server.rows(name)
        for column, table in (("eval/return_mean", "evaluations"), ("dose/n_steps", "updates")):
            shown = [row["env_step"] for row in sent if column in row]
            assert shown == record.table(table)["env_step"].to_list()
        rates = [row["dose/learning_rate_mean"] for row in sent if "dose/n_steps" in row]
        assert rates == record.table("updates")["learning_rate_mean"].to_list()
        summary = json.loads(run["summary"])
        assert (summary["status"], summary["diverged"]) == ("completed", 0)
        assert summary["received/gradient_steps"] == 40
        assert run["exit_code"] == 0
    content = json.loads((study / "report.json").read_text())
    scored = {row["run_id"]: row["metrics"]["final"] for row in content["runs"]}
    sent = {run["displayName"]: json.loads(run["summary"]).get("metrics/final") for run in server.runs.values()}
    assert scored.items() <= sent.items()


def test_the_study_s_run_has_tables_and_figures(study, serve):
    server = serve()
    assert send(study) == 0
    [name] = [name for name in server.runs if name.startswith("study-")]
    content = json.loads((study / "report.json").read_text())
    stored = {path.removeprefix(f"{name}/"): body for path, body in server.files.items() if path.startswith(name)}
    [path] = [path for path in stored if path.startswith("media/table/report/comparisons")]
    sent = json.loads(stored[path])
    column = sent["columns"].index("estimate")
    assert [row[column] for row in sent["data"]] == [row["estimate"] for row in content["comparisons"]]
    kinds = {path.split("/")[3].split("_")[0] for path in stored if path.startswith("media/table/report/")}
    assert {"comparisons", "cells", "intervals", "dose", "runs"} <= kinds
    pictures = [path for path in stored if path.startswith("media/images/figures/")]
    assert len(pictures) == len(content["figures"]) > 0
    assert all(stored[path].startswith(b"\x89PNG") for path in pictures)
    assert json.loads(server.runs[name]["summary"])["answers"] == "\n".join(content["answers"])


def test_publishing_twice_sends_nothing_and_a_new_run_alone(study, serve):
    server = serve()
    assert send(study) == 0
    before, history = writes(server), len(server.history)
    assert send(study) == 0
    assert (writes(server), len(server.history)) == (before, history)
    write_run(study, "linear", 7)
    assert send(study) == 0
    assert sum(name.startswith("study-") for name in server.runs) == 1
    assert len(server.runs) == 6


def test_again_asks_about_all_and_doubles_no_row(study, serve):
    server = serve()
    assert send(study) == 0
    counts = {name: len(server.rows(name)) for name in ids(study)}
    assert send(study, again=True) == 0
    assert {name: len(server.rows(name)) for name in ids(study)} == counts


def test_a_run_that_was_tracked_in_part_is_completed(study, serve):
    server = serve()
    folder = next(iter(sorted(study.glob("*/run.json")))).parent
    record = Record(folder, read_info(folder))
    live = open_tracker(Choice(), study, record.info, config={})
    live.send({table: record.table(table).head(2) for table in TABLES})
    live._run.finish(exit_code=0)  # as when a process dies after its last upload: nothing in the ledger
    assert send(study) == 0
    sent = server.rows(ids(study)[0])
    steps = [row["env_step"] for row in sent if "eval/return_mean" in row]
    assert steps == record.table("evaluations")["env_step"].to_list()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_run_that_was_interrupted_goes_on_as_one_with_every_row_once(mode, configure, serve, monkeypatch):
    server = serve()
    config = configure(
        *TINY["ppo"], "evaluation.count=5", "checkpoint.seconds=0", "tracking=wandb", f"tracking.mode={mode}"
    )
    emit, told = RunRecorder.emit, []

    def then_stop(self, table, row):
        told.append(table)
        if told.count("evaluations") == 4:
            raise KeyboardInterrupt
        emit(self, table, row)

    with monkeypatch.context() as patched:
        patched.setattr(RunRecorder, "emit", then_stop)
        with pytest.raises(KeyboardInterrupt):
            execution.execute(config)
    assert execution.execute(config) == "completed"
    folder = run_folder(config)
    record = Record(folder, read_info(folder))
    assert record.info["resumed"]
    if mode == "offline":
        written = files(folder.parent)
        assert len(written) == 2
        command = [sys.executable, "-m", "wandb", "sync", *(str(path.parent) for path in written)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    [name] = server.runs
    columns = {"evaluations": "eval/return_mean", "updates": "dose/n_steps", "episodes": "train/return"}
    for table, column in columns.items():
        sent = [row["env_step"] for row in server.rows(name) if column in row]
        assert sent == record.table(table)["env_step"].to_list(), table
    assert publish(folder.parent, config.tracking, **QUIET) == 0
    sent = [row["env_step"] for row in server.rows(name) if "eval/return_mean" in row]
    assert sent == record.table("evaluations")["env_step"].to_list()


def test_long_tables_are_thinned_evenly_and_the_ends_stay():
    frame = pl.DataFrame({"env_step": range(1000), "return": [1.0] * 1000, "length": [1] * 1000})
    empty = pl.DataFrame({"env_step": []})
    tables = {"episodes": frame, "evaluations": empty, "updates": empty}
    found = [row["env_step"] for row in numbered(tables, {})]
    assert (found[0], found[-1]) == (0, 999)
    assert len(found) <= SENT_ROWS + 1
    assert {b - a for a, b in pairwise(found[1:])} == {5}
    assert [row["env_step"] for row in numbered(tables, {"episodes": 995})] == [999]
    assert len(numbered(tables, {"episodes": 995}, thinned=False)) == 5


def test_update_phases_that_full_diagnostics_measured_are_sent_however_long_the_table():
    measured = [float("nan") if step in (3, 7, 501) else None for step in range(1000)]
    frame = pl.DataFrame({"env_step": range(1000), "churn": measured}, schema_overrides={"churn": pl.Float64})
    empty = pl.DataFrame({"env_step": []})
    rows = numbered({"episodes": empty, "evaluations": empty, "updates": frame}, {})
    assert [row["env_step"] for row in rows if "diagnostics/churn" in row] == [3, 7, 501]
    assert len(rows) <= SENT_ROWS + 4


@pytest.mark.slow
def test_offline_files_arrive_by_wandb_sync(study, serve):
    server = serve()
    assert send(study, "offline") == 0
    assert server.runs == {}
    written = files(study)
    assert len(written) == 5
    first = next(path for path in written if ids(study)[0] in path.name)
    assert len([row for row in rows(decode(first)) if "eval/return_mean" in row]) == 6
    assert send(study, "offline") == 0
    assert files(study) == written
    command = [sys.executable, "-m", "wandb", "sync", *(str(path.parent) for path in written)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert set(ids(study)) < set(server.runs)
    assert len([row for row in server.rows(ids(study)[0]) if "eval/return_mean" in row]) == 6


@pytest.mark.slow
def test_what_went_online_after_offline_is_not_synced_again(study, serve):
    server = serve()
    assert send(study, "offline") == 0
    assert send(study) == 0
    before = {name: len(server.rows(name)) for name in server.runs}
    assert len(before) == 5  # the study has one run, whichever way it came
    command = [sys.executable, "-m", "wandb", "sync", *(str(path.parent) for path in files(study))]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert {name: len(server.rows(name)) for name in server.runs} == before


def test_another_account_has_nothing_yet(study, serve, monkeypatch):
    server = serve()
    assert send(study) == 0
    monkeypatch.setenv("WANDB_ENTITY", "other")
    wandb_client.restart()
    assert send(study) == 0
    assert {run["entity"] for run in server.runs.values()} == {"other"}


def test_how_a_run_ended_is_told_anew_when_it_went_on(study, serve):
    server = serve()
    path = sorted(study.glob("*/run.json"))[0]
    whole = json.loads(path.read_text())
    name = wandb_id(whole["run_id"], whole["attempt_id"])
    path.write_text(json.dumps(whole | {"status": "running", "error": "interrupted"}))
    assert send(study) == 0
    assert json.loads(server.runs[name]["summary"])["error"] == "interrupted"
    assert server.runs[name]["exit_code"] == 1
    path.write_text(json.dumps(whole))
    assert send(study) == 0
    ended = json.loads(server.runs[name]["summary"])
    assert (ended["status"], ended.get("error"), server.runs[name]["exit_code"]) == ("completed", None, 0)


@pytest.mark.parametrize("wrong", [{"WANDB_API_KEY": "short"}, {"WANDB_BASE_URL": "nowhere"}, {"WANDB_MODE": "on"}])
def test_a_client_that_is_set_up_wrongly_is_one_line(study, serve, monkeypatch, capsys, wrong):
    serve()
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    assert main([str(study)]) == 1
    assert "not published: W&B cannot be used: " in capsys.readouterr().err
    publish_after(Choice(), study, 4, **QUIET)
    assert "W&B cannot be used: " in capsys.readouterr().err


def test_a_server_that_dies_in_the_middle_is_left_and_publishing_again_completes(study, serve, monkeypatch):
    monkeypatch.setattr(wandb_client, "INIT_SECONDS", 1.0)
    monkeypatch.setattr(wandb_client, "UPLOAD_SECONDS", 1.0)
    monkeypatch.setattr(uploading, "AT_ONCE", 1)
    server = serve()
    records = {path: path.read_bytes() for path in study.rglob("*.parquet")}
    upload = Sender._upload

    def then_die(self, item, *rest):
        upload(self, item, *rest)
        if len(server.runs) == 2:
            server.hangs = "all"
            server.release.clear()

    monkeypatch.setattr(Sender, "_upload", then_die)
    began = time.monotonic()
    assert send(study) == 1
    assert time.monotonic() - began < 20
    assert len(server.runs) == 2
    assert has_outage(study)
    assert {path: path.read_bytes() for path in study.rglob("*.parquet")} == records
    monkeypatch.setattr(Sender, "_upload", upload)
    monkeypatch.setattr(wandb_client, "INIT_SECONDS", 15.0)  # a busy machine is slow, too
    monkeypatch.setattr(wandb_client, "UPLOAD_SECONDS", 15.0)
    server.hangs = ""
    server.release.set()
    wandb_client.restart()
    assert send(study) == 0
    assert len(server.runs) == 5
    assert [len(server.rows(name)) for name in ids(study)] == [len(server.rows(ids(study)[0]))] * 4


def test_a_server_that_refuses_is_named_and_costs_little(study, log_in, monkeypatch, capsys):
    monkeypatch.setattr(wandb_client, "ASK_SECONDS", 1.0)
    log_in("http://127.0.0.1:9")
    began = time.monotonic()
    assert send(study) == 1
    assert time.monotonic() - began < 20
    assert "rl_warmup.publish" in capsys.readouterr().err


def test_a_checkpoint_is_an_artifact_if_asked(study, serve):
    server = serve()
    folder = next(iter(sorted(study.glob("*/run.json")))).parent
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "state.json").write_text("{}")
    assert send(study, checkpoints=True) == 0
    kinds = [artifact["artifactTypeName"] for artifact in server.artifacts]
    assert kinds.count("checkpoint") == 1


def keep_agent(folder, content=b"weights"):
    """As a run does that keeps its agent."""
    digests = models.write(folder, {models.MODEL: content, models.STATISTICS: b"moments"})
    info = read_info(folder) | {"model": {"env_step": 40, "return": 1.0, "sha256": digests}}
    (folder / "run.json").write_text(json.dumps(info))


def agents(server):
    """The names of the agents that a server was sent."""
    sent = [artifact for artifact in server.artifacts if artifact["artifactTypeName"] == "model"]
    return [artifact["aliases"][0]["artifactCollectionName"] for artifact in sent]


def test_agents_are_artifacts_if_asked_and_sent_once(study, serve, capsys):
    server = serve()
    folders = [path.parent for path in sorted(study.glob("*/run.json"))]
    for folder in folders[:2]:
        keep_agent(folder)
    assert send(study) == 0
    assert agents(server) == []
    assert main([str(study), "--models"]) == 0
    assert "2 of 4 runs kept an agent" in capsys.readouterr().out
    assert sorted(agents(server)) == [f"model-{name}" for name in ids(study)[:2]]
    assert {body for path, body in server.files.items() if path.startswith("a")} >= {b"weights", b"moments"}
    counts = {name: len(server.rows(name)) for name in ids(study)}
    before = writes(server)
    assert send(study, agents=True) == 0
    assert writes(server) == before
    keep_agent(folders[1], b"other weights")
    assert send(study, agents=True) == 0
    assert len(agents(server)) == 3
    assert {name: len(server.rows(name)) for name in ids(study)} == counts
    (folders[0] / models.MODEL).write_bytes(b"torn")  # what run.json does not name is not sent
    assert send(study, agents=True, again=True) == 0
    assert b"torn" not in server.files.values()


def test_no_secret_is_sent_or_written(study, serve, monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_TOKEN", "token-of-the-environment")
    server = serve()
    assert send(study) == 0
    secrets = (KEY.encode(), b"token-of-the-environment")
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [body for body in server.bodies + written for secret in secrets if secret in body]
    assert len(server.bodies) > 10


def test_the_command_says_what_it_did_and_refuses_what_is_no_study(study, serve, capsys, tmp_path):
    server = serve()
    assert main([str(study), "--project", "other", "--entity", "tester"]) == 0
    assert {run["project"] for run in server.runs.values()} == {"other"}
    assert "4 runs sent to W&B: http://127.0.0.1:" in capsys.readouterr().out
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "is not a folder with record files" in capsys.readouterr().err


def test_a_first_upload_is_announced_before_it_starts(study, serve):
    server = serve()
    console = Recorded(server)
    for _ in range(2):
        assert publish(study, Choice(mode="online"), console) == 0
    assert console.announced == [
        f"W&B: 4 runs will be sent to {server.url}/tester/rl_warmup; "
        "--offline writes files instead, Ctrl-C stops it"
    ]
    assert console.sent_before == [[]]


@pytest.mark.parametrize("option", ["--project", "--entity"])
def test_names_that_the_client_refuses_are_refused(option, study, serve, capsys):
    server = serve()
    assert main([str(study), option, "a/b"]) == 2
    assert f"error: {option}=a/b is not a name that W&B takes; use" in capsys.readouterr().err
    path = sorted(study.glob("*/config.yaml"))[0]
    path.write_text(f"tracking: {{{option[2:]}: a/b}}")  # of a version that took it
    os.utime(path, (2e9, 2e9))
    assert main([str(study)]) == 2
    assert server.asked == []
    assert main([str(study), option, "mine"]) == 0
    assert {run[option[2:]] for run in server.runs.values()} == {"mine"}


def test_the_last_run_says_to_which_project_unless_the_command_does(study, serve):
    server = serve()
    configs = sorted(study.glob("*/config.yaml"))
    for path, when, text in (
        (configs[0], 3, "damaged: ["),
        (configs[1], 2, "tracking: {name: disabled, mode: offline, project: mine, entity: team}"),
        (configs[2], 1, "tracking: {project: old, entity: null}"),
    ):
        path.write_text(text)
        os.utime(path, (when + 2e9, when + 2e9))
    assert main([str(study)]) == 1  # of the damaged one
    assert {(run["project"], run["entity"]) for run in server.runs.values()} == {("mine", "team")}
    assert main([str(study), "--project", "other"]) == 1
    assert {(run["project"], run["entity"]) for run in server.runs.values()} == {("other", "team")}


def test_a_damaged_record_is_named_and_the_others_are_sent(study, serve, capsys):
    server = serve()
    damaged = next(iter(sorted(study.glob("*/evaluations.parquet"))))
    damaged.write_text("no table")
    assert send(study) == 1
    assert str(damaged) in capsys.readouterr().err
    assert set(ids(study)[1:]) <= set(server.runs)


def test_a_torn_line_of_the_ledger_is_passed_over(tmp_path):
    Publications(tmp_path).note("here", "a", "1")
    with (tmp_path / "published.jsonl").open("a") as file:
        file.write('{"destination": "he')
    Publications(tmp_path).note("here", "b", "2", place="x")
    found = Publications(tmp_path)
    assert found.holds("here", "a", "1")
    assert found.holds("here", "b", "2")
    assert found.place("here", "b") == "x"
    assert not found.holds("there", "a", "1")
