"""The real client: what it wrote, as its own reader decodes it; a server that answers, hangs or is absent."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import polars as pl
import pytest
from helpers.configs import TINY, Configure
from helpers.wandb_client import KEY, Choice, _fresh_client, decode, files, log_in, of, rows, serve, shown
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_warmup.config.identity import run_folder
from rl_warmup.config.schema import WANDB_NAME
from rl_warmup.records.read import Record, read_info
from rl_warmup.records.schema import table_schemas
from rl_warmup.run.execute import execute
from rl_warmup.tracking import client as wandb_client
from rl_warmup.tracking import live as tracking
from rl_warmup.tracking.rows import TABLES, history_row

CONFIG = {"algo": {"name": "ppo"}, "learning_rate": 3e-4, "warmup": {"length": None}}
UPDATE = {
    "env_step": 64,
    "gradient_step": 40,
    "n_steps": 40,
    "learning_rate_first": 0.0,
    "learning_rate_last": 0.4,
    "learning_rate_mean": 0.2,
    "base_learning_rate": 1.0,
    "n_below_99": 39,
    "omega_sum": 8.0,
    "loss": math.nan,
    "grad_norm_mean": 0.5,
    "approx_kl": None,
}


@pytest.fixture
def study(tmp_path):
    return tmp_path / "study"


INFO = {
    "run_id": "ppo-linear-s3-0a1b",
    "attempt_id": "k9",
    "cell": "cartpole ppo linear-10%-gradient_steps lr=0.001 constant",
    "arm": "linear-10%-gradient_steps",
    "study": "quick",
    "status": "completed",
}
EPISODE = {"env_step": 40, "return": 12.0, "length": 12}


def open_run(folder, mode="auto", **changes):
    return tracking.open_tracker(Choice(mode=mode), folder, INFO | changes, CONFIG)


def recorded(**rows):
    """The tables of a run with these rows."""
    schemas = table_schemas("ppo")
    return {table: pl.DataFrame(rows.get(table, []), schema=schemas[table], orient="row") for table in TABLES}


def finish(run, folder, tables=None, **changes):
    """End a run as a recorder does: run.json is written by then."""
    info = INFO | changes
    (folder / info["run_id"]).mkdir(parents=True, exist_ok=True)
    (folder / info["run_id"] / "run.json").write_text(json.dumps(info))
    run.finish(info, tables or recorded())


def warnings_in(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.name in (tracking.__name__, wandb_client.__name__)
    ]


# ---------------------------------------------------------------- what is written


def test_an_offline_run_holds_config_rows_and_summary(study):
    run = open_run(study)
    evaluation = {"env_step": 0, "returns": [1.0, 2.0, 6.0], "lengths": [1, 2, 6]}
    for _ in range(2):  # every row is sent once
        run.send(recorded(evaluations=[evaluation], episodes=[EPISODE]))
    finish(run, study, recorded(evaluations=[evaluation], episodes=[EPISODE], updates=[UPDATE]), env_steps=64)

    [path] = files(study)
    records = decode(path)
    [head] = of("run", records)
    assert {k: head[k] for k in ("run_id", "display_name", "project", "run_group", "job_type", "tags")} == {
        "run_id": "ppo-linear-s3-0a1b-k9",
        "display_name": "ppo-linear-s3-0a1b",
        "project": "rl_warmup",
        "run_group": "cartpole ppo linear-10%-gradient_steps lr=0.001 constant",
        "job_type": "linear-10%-gradient_steps",
        "tags": ["quick"],
    }
    assert {k: v for k, v in head["config"]["update"].items() if k != "_wandb"} == CONFIG
    assert {metric["glob_name"]: metric["step_metric"] for metric in of("metric", records)} == dict.fromkeys(
        ["eval/*", "train/*", "dose/*", "diagnostics/*"], "env_step"
    )
    assert rows(records) == [
        {
            "env_step": 0,
            "eval/return_mean": 3.0,
            "eval/return_min": 1.0,
            "eval/return_max": 6.0,
            "eval/length_mean": 3.0,
        },
        {"env_step": 40, "train/return": 12.0, "train/length": 12},
        {
            "env_step": 64,
            "dose/gradient_step": 40,
            "dose/n_steps": 40,
            "dose/learning_rate_first": 0.0,
            "dose/learning_rate_last": 0.4,
            "dose/learning_rate_mean": 0.2,
            "dose/base_learning_rate": 1.0,
            "dose/n_below_99": 39,
            "dose/omega_sum": 8.0,
            "diagnostics/loss": "NaN",
            "diagnostics/grad_norm_mean": 0.5,
        },
    ]
    ended = {"status": "completed", "diverged": 0, "env_steps": 64, "received/gradient_steps": 40}
    assert any(ended.items() <= item["update"].items() for item in of("summary", records))
    assert [record["exit_code"] for record in of("exit", records)] == [0]


def test_a_failed_run_says_so_and_nothing_says_on_which_machine(study):
    arm = "linear-" + "x" * 100
    finish(open_run(study, arm=arm), study, status="failed")
    [path] = files(study)
    records = decode(path)
    [head] = of("run", records)
    assert [record["exit_code"] for record in of("exit", records)] == [1]
    assert head["job_type"].startswith("linear-xxx")
    assert len(head["job_type"]) == 64  # the server's limit, which it tells only at `wandb sync`
    assert {"host", "git"}.isdisjoint(head)
    assert not list(path.parent.glob("files/*"))  # requirements, code, diffs, metadata, console


@pytest.mark.parametrize("mode", ["auto", "offline"])
@pytest.mark.parametrize("first_is_finished", [True, False])
def test_two_runs_of_a_process_stay_two(study, mode, first_is_finished):
    first = open_run(study, mode, run_id="first")
    first.send(recorded(episodes=[{"env_step": 1, "return": 1.0, "length": 1}]))
    if first_is_finished:
        finish(first, study, run_id="first")
    second = open_run(study, mode, run_id="second")
    finish(second, study, recorded(episodes=[{"env_step": 2, "return": 2.0, "length": 2}]), run_id="second")

    written = {path.name: rows(decode(path)) for path in files(study)}
    assert written == {
        "run-first-k9.wandb": [{"env_step": 1, "train/return": 1.0, "train/length": 1}],
        "run-second-k9.wandb": [{"env_step": 2, "train/return": 2.0, "train/length": 2}],
    }


PRELUDE = """
import contextlib, logging, os, pathlib, signal, subprocess, sys, time, types
import polars as pl
from rl_warmup.records.schema import table_schemas
from rl_warmup.tracking import live as tracking
logging.basicConfig(format="%(message)s")
def open_run(name, run_id):
    choice = types.SimpleNamespace(name=name, mode="offline", project="p", entity=None)
    info = INFO | {"run_id": run_id}
    return tracking.open_tracker(choice, pathlib.Path(sys.argv[1]), info, {})
INFO = dict.fromkeys(["attempt_id", "cell", "arm", "study"], "x") | {"status": "completed"}
def episodes(*env_steps):
    empty = {table: pl.DataFrame(schema=schema) for table, schema in table_schemas("ppo").items()}
    found = [{"env_step": step, "return": 1.0, "length": 1} for step in env_steps]
    return empty | {"episodes": pl.DataFrame(found)}
"""


def in_a_process_of_its_own(code, study):
    """What the code prints on stderr; it has to end well."""
    environment = os.environ | {"PYTHONPATH": str(Path(tracking.__file__).parents[1])}
    command = [sys.executable, "-c", PRELUDE + code, str(study)]
    return subprocess.run(command, check=True, env=environment, stderr=subprocess.PIPE, text=True).stderr


def test_disabled_writes_nothing_and_does_not_import_the_client(study):
    code = """
assert open_run("disabled", "first") is None
assert "wandb" not in sys.modules
"""
    assert in_a_process_of_its_own(code, study) == ""
    assert not study.exists()


# ---------------------------------------------------------------- rows and names


def test_an_evaluation_with_a_nan_is_nan_and_an_empty_one_is_empty():
    row = history_row("evaluations", {"env_step": 8, "returns": [2.0, math.nan], "lengths": [1, 3]})
    assert row.pop("eval/length_mean") == 2.0
    assert row.pop("env_step") == 8
    assert list(row) == ["eval/return_mean", "eval/return_min", "eval/return_max"]
    assert all(math.isnan(value) for value in row.values())
    assert history_row("evaluations", {"env_step": 8, "returns": [], "lengths": []}) == {"env_step": 8}


def test_infinite_returns_of_both_signs_do_not_warn():
    row = history_row("evaluations", {"env_step": 8, "returns": [math.inf, -math.inf], "lengths": [1, 1]})
    assert math.isnan(row["eval/return_mean"])
    assert (row["eval/return_min"], row["eval/return_max"]) == (-math.inf, math.inf)


@given(st.dictionaries(st.sampled_from(sorted(UPDATE)), st.none() | st.integers()), st.integers(min_value=0))
def test_every_value_of_an_update_appears_once(update, env_step):
    row = history_row("updates", update | {"env_step": env_step})
    kept = {key: value for key, value in update.items() if value is not None} | {"env_step": env_step}
    assert {key.split("/")[-1]: value for key, value in row.items()} == kept
    assert len(row) == len(kept)


@settings(max_examples=50)
@given(st.text(), st.text())
def test_any_run_id_becomes_a_w_and_b_id_of_its_own(one, other):
    from wandb import Settings

    ids = [wandb_client.wandb_id(text, "k9") for text in (one, other)]
    assert all(Settings(run_id=text).run_id == text and len(text) <= 64 and "/" not in text for text in ids)
    assert (ids[0] == ids[1]) == (one == other)


@settings(max_examples=200)
@given(st.text(st.characters() | st.sampled_from("/\\#?%:"), min_size=1, max_size=130) | st.just("a" * 128))
def test_a_project_is_refused_exactly_where_the_client_refuses_it(name):
    from wandb import Settings
    from wandb.errors import UsageError

    try:
        taken = Settings(project=name).project == name
    except UsageError:
        taken = False
    assert bool(WANDB_NAME.holds(name)) == taken


# ---------------------------------------------------------------- online, offline


def test_a_user_with_a_key_is_online(study, serve, caplog):
    server = serve()
    open_run(study, run_id="never finished")  # the client refuses to look for a key while a run is open
    run = open_run(study)
    finish(run, study, recorded(episodes=[EPISODE]))
    sent = [shown(line) for line in server.history]
    assert sent == [{"env_step": 40, "train/return": 12.0, "train/length": 12}]
    assert (len(files(study, "run")), len(files(study))) == (2, 0)
    assert warnings_in(caplog) == []


@pytest.mark.parametrize(("mode", "variable"), [("offline", None), ("auto", "offline"), ("auto", "dryrun")])
def test_a_key_is_not_used_by_who_wants_to_stay_offline(study, serve, monkeypatch, mode, variable):
    server = serve()
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    run = open_run(study, mode)
    finish(run, study, recorded(episodes=[EPISODE]))
    assert len(rows(decode(files(study)[0]))) == 1
    assert server.history == []


def test_who_disabled_the_client_gets_no_run(study, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert open_run(study) is None
    assert not list(study.glob("wandb/*"))


def test_online_without_a_key_is_offline_and_says_so(study, caplog):
    finish(open_run(study, "online"), study)
    assert len(files(study)) == 1
    assert ["no API key" in message for message in warnings_in(caplog)] == [True]


def test_a_service_of_another_process_is_not_used(study, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_SERVICE", f"3-1-unix-{study}/socket")  # of one that has ended
    finish(open_run(study), study)
    assert len(files(study)) == 1
    assert warnings_in(caplog) == []


# ---------------------------------------------------------------- failures


def test_an_absent_server_costs_a_short_wait_and_leaves_an_offline_run(study, log_in, monkeypatch, caplog):
    log_in("http://127.0.0.1:9")
    monkeypatch.setattr(wandb_client, "INIT_SECONDS", 0.5)
    start = time.monotonic()
    run = open_run(study, "online")
    assert time.monotonic() - start < 10
    finish(run, study, recorded(episodes=[EPISODE]))

    [path] = files(study)
    assert rows(decode(path)) == [{"env_step": 40, "train/return": 12.0, "train/length": 12}]
    assert ["tracked offline" in message for message in warnings_in(caplog)] == [True]
    written = [each for each in study.rglob("*") if each.is_file()]
    assert not [each for each in written if KEY.encode() in each.read_bytes()]


def test_a_server_that_hangs_at_the_end_is_left_behind(study, serve, monkeypatch, caplog):
    serve(hangs="rows")
    monkeypatch.setattr(wandb_client, "UPLOAD_SECONDS", 0.5)
    run = open_run(study)
    run.send(recorded(episodes=[EPISODE]))
    start = time.monotonic()
    finish(run, study, recorded(episodes=[EPISODE]))
    assert time.monotonic() - start < 10
    assert ["wandb sync" in message for message in warnings_in(caplog)] == [True]
    assert len(rows(decode(files(study, "run")[0]))) == 1


def test_a_client_that_hangs_at_the_end_is_left_behind(study, monkeypatch, caplog):
    released = threading.Event()

    class Stuck:
        offline = True
        id = url = "stuck"  # once released it ends well, and warns in no other test
        summary: dict[str, float] = {}  # noqa: RUF012

        def finish(self, exit_code):
            released.wait(60)

    monkeypatch.setattr(wandb_client, "FINISH_SECONDS", 0.1)
    finish(tracking.Tracker(Stuck(), {}, study / INFO["run_id"], "here"), study)
    released.set()
    assert ["still hangs 0.1 s" in message for message in warnings_in(caplog)] == [True]


@pytest.mark.slow
def test_a_service_that_dies_costs_only_that_runs_rows(study):
    # In its own process: the client never waits for the service it lost, a ResourceWarning at some later time.
    code = """
run = open_run("wandb", "first")
services = []
for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
    with contextlib.suppress(OSError):  # a process that ended meanwhile
        name, _, rest = path.read_text().partition("(")[2].rpartition(")")
        if name == "wandb-core" and rest.split()[1] == str(os.getpid()):
            services.append(int(path.parent.name))
[service] = services
os.kill(service, signal.SIGKILL)
time.sleep(1)
for env_step in range(5):
    run.send(episodes(*range(env_step + 1)))
run.finish(INFO, episodes(*range(5)))
open_run("wandb", "second").finish(INFO, episodes(7))
"""
    errors = in_a_process_of_its_own(code, study)
    assert errors.count("the rest of this run is recorded, not tracked") == 1
    written = [row for path in files(study) if "second" in path.name for row in rows(decode(path))]
    assert written == [{"env_step": 7, "train/return": 1.0, "train/length": 1}]


def test_an_unwritable_folder_is_a_warning(tmp_path, monkeypatch, caplog):
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    blocked = tmp_path / "a file"
    blocked.write_text("in the way")
    assert open_run(blocked) is None
    assert ["recorded, but not tracked" in message for message in warnings_in(caplog)] == [True]
    assert not list(elsewhere.iterdir())


def test_rows_that_cannot_be_sent_end_tracking_with_one_warning(study, caplog):
    run = open_run(study)
    run.send(recorded(episodes=[EPISODE]))
    for _ in range(3):
        run.send(recorded() | {"updates": pl.DataFrame({"step": [2]})})
    finish(run, study, recorded(episodes=[EPISODE, EPISODE]))
    assert ["W&B fails ('env_step')" in message for message in warnings_in(caplog)] == [True]


# ---------------------------------------------------------------- a whole recorded run


def test_a_recorded_run_is_mirrored_row_by_row(configure: Configure, tmp_path):
    config = configure(*TINY["ppo"], "evaluation.count=3", "tracking=wandb", "tracking.mode=offline")
    assert execute(config) == "completed"
    record = Record(run_folder(config), read_info(run_folder(config)))
    (path,) = files(run_folder(config).parent)
    records = decode(path)
    (run,) = of("run", records)
    assert (run["display_name"], run["run_group"]) == (record.info["run_id"], record.info["cell"])
    history = rows(records)
    for prefix, table in (
        ("eval/return_mean", "evaluations"),
        ("train/return", "episodes"),
        ("dose/n_steps", "updates"),
    ):
        shown = [row["env_step"] for row in history if prefix in row]
        assert shown == record.table(table)["env_step"].to_list()
    rates = [row["dose/learning_rate_mean"] for row in history if "dose/learning_rate_mean" in row]
    assert rates == record.table("updates")["learning_rate_mean"].to_list()
