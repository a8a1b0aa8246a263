"""The files of a run: what is written comes back, nothing half-written is ever seen, damage is named."""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_warmup.records.atomic import write_text
from rl_warmup.records.locks import is_training
from rl_warmup.records.read import Record, read_info, read_study
from rl_warmup.records.schema import RecordError, Unwritable, table_schemas
from rl_warmup.records.study import read_declaration, write_declaration
from rl_warmup.records.write import recording

CONFIG = {"algo": {"name": "ppo"}, "seed": 0}
INFO = {"run_id": "r", "arm": "a", "seed": 0, "warmup": {"name": "none"}, "config": CONFIG}


def evaluation(step: int, *returns: float) -> dict[str, Any]:
    return {"env_step": step, "returns": list(returns), "lengths": [1] * len(returns)}


def update(algorithm: str, step: int, value: float = 0.5) -> dict[str, Any]:
    return {
        name: step if dtype == pl.Int64 else value for name, dtype in table_schemas(algorithm)["updates"].items()
    }


def record_of(folder: Path, *evaluations: dict[str, Any], status: str = "completed") -> Record:
    with recording(folder, INFO, CONFIG) as writer:
        for row in evaluations:
            writer.append("evaluations", row)
        if status != "running":
            writer.finish(status, None if status == "completed" else "reason")
    return Record(folder, read_info(folder))


def info_with(**changes: Any) -> str:
    return json.dumps({**INFO, "status": "completed", **changes})


# ---- round trips ----

steps = st.integers(0, 2**62)
numbers = st.floats(allow_nan=True, allow_infinity=True)
evaluation_rows = st.fixed_dictionaries(
    {
        "env_step": steps,
        "returns": st.lists(numbers, min_size=1, max_size=3),
        "lengths": st.lists(steps, min_size=1, max_size=3),
    }
)
episode_rows = st.fixed_dictionaries({"env_step": steps, "return": numbers, "length": steps})


def update_rows(algorithm: str) -> st.SearchStrategy[dict[str, Any]]:
    schema = table_schemas(algorithm)["updates"]
    return st.fixed_dictionaries({name: steps if dtype == pl.Int64 else numbers for name, dtype in schema.items()})


@settings(max_examples=20, deadline=None)
@given(algorithm=st.sampled_from(["ppo", "dqn"]), data=st.data())
def test_rows_come_back_in_order_whatever_is_flushed_between_them(algorithm: str, data: st.DataObject) -> None:
    kinds = {"evaluations": evaluation_rows, "episodes": episode_rows, "updates": update_rows(algorithm)}
    names = data.draw(st.lists(st.sampled_from(sorted(kinds)), max_size=8))
    rows = [(name, data.draw(kinds[name])) for name in names]
    config = {"algo": {"name": algorithm}}
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "run"
        with recording(folder, {**INFO, "config": config}, config) as writer:
            for name, row in rows:
                writer.append(name, row)
            writer.finish("completed")
        record = Record(folder, read_info(folder))
        for name in kinds:
            written = [row for kind, row in rows if kind == name]
            schema = table_schemas(algorithm)[name]
            table = record.table(name)
            assert dict(table.schema) == schema
            assert repr(table.rows()) == repr([tuple(row[column] for column in schema) for row in written])


def test_files_of_a_run_are_those_of_the_contract(tmp_path: Path) -> None:
    record_of(tmp_path / "run", evaluation(0, 1.0))
    names = {path.name for path in (tmp_path / "run").iterdir()} - {".lock", ".lease-1"}
    assert names == {"config.yaml", "run.json", "evaluations.parquet", "episodes.parquet", "updates.parquet"}


def test_columns_of_updates_are_those_of_the_contract() -> None:
    shared = ["env_step", "gradient_step", "n_steps", "learning_rate_first", "learning_rate_last"]
    shared += ["learning_rate_mean", "base_learning_rate", "n_below_99", "omega_sum"]
    shared += ["loss", "grad_norm_mean", "grad_norm_max", "clipped_share", "relative_update"]
    ppo = ["approx_kl", "clip_fraction", "entropy", "explained_variance", "policy_loss", "value_loss"]
    dqn = ["q_mean_abs", "q_max_abs", "td_error_mean", "exploration_rate"]
    assert list(table_schemas("ppo")["updates"]) == shared + ppo
    assert list(table_schemas("dqn")["updates"]) == shared + dqn


def test_run_json_tells_how_far_the_run_is(tmp_path: Path) -> None:
    with recording(tmp_path / "run", INFO, CONFIG) as writer:
        started = read_info(tmp_path / "run")
        assert (started["status"], started["env_steps"], started["latest_return"]) == ("running", 0, None)
        writer.append("updates", update("ppo", 20))
        writer.append("evaluations", evaluation(256, 10.0, 30.0))
        under_way = read_info(tmp_path / "run")
        assert (under_way["env_steps"], under_way["gradient_steps"]) == (256, 20)
        assert (under_way["latest_return"], under_way["finished"]) == (20.0, None)
        writer.finish("failed", "no memory")
    ended = read_info(tmp_path / "run")
    assert (ended["status"], ended["error"], ended["attempt_id"]) == ("failed", "no memory", started["attempt_id"])
    assert ended["wall_seconds"] >= 0
    assert ended["finished"] > ended["started"]
    assert ended["started"].endswith("+00:00")


def test_everything_told_before_an_evaluation_is_on_disk_with_it(tmp_path: Path) -> None:
    with recording(tmp_path / "run", INFO, CONFIG) as writer:
        writer.append("episodes", {"env_step": 9, "return": 9.0, "length": 9})
        writer.append("evaluations", evaluation(16, 1.0))
        record = Record(tmp_path / "run", read_info(tmp_path / "run"))
        assert (record.table("episodes").height, record.table("evaluations").height) == (1, 1)
        assert record.table("updates").is_empty()


def test_a_return_that_is_not_finite_is_recorded_but_not_in_json(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", evaluation(0, 1.0), evaluation(8, math.nan, 1.0), status="diverged")
    assert record.info["latest_return"] is None
    assert math.isnan(record.table("evaluations")["returns"][1][0])


def test_seed_zero_and_the_config_come_back(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", evaluation(0, 1.0))
    assert (record.info["seed"], record.config, record.status) == (0, CONFIG, "completed")


# ---- nothing is lost ----


@pytest.mark.parametrize("status", ["completed", "diverged"])
def test_a_finished_run_is_not_overwritten(tmp_path: Path, status: str) -> None:
    folder = record_of(tmp_path / "run", evaluation(0, 1.0), status=status).folder
    before = _contents(folder)
    with (
        pytest.raises(RecordError, match=rf"holds a {status} run and is not overwritten"),
        recording(folder, INFO, CONFIG),
    ):
        pass
    assert _contents(folder) == before


def test_what_is_damaged_is_not_overwritten(tmp_path: Path) -> None:
    folder = record_of(tmp_path / "run", evaluation(0, 1.0)).folder
    (folder / "run.json").write_text("{")
    with pytest.raises(RecordError, match=r"run.json cannot be read"), recording(folder, INFO, CONFIG):
        pass
    assert (folder / "run.json").read_text(encoding="utf-8") == "{"


def test_an_unfinished_run_is_begun_again_and_its_attempts_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    record_of(folder, evaluation(0, 1.0), evaluation(8, 2.0), status="running")
    record_of(folder, evaluation(0, 1.0), status="failed")
    last = record_of(folder, evaluation(0, 3.0))
    first, second = last.info["earlier_attempts"]
    assert (first["status"], first["env_steps"], first["error"]) == ("running", 8, None)
    assert (second["status"], second["env_steps"], second["error"]) == ("failed", 0, "reason")
    assert len({first["attempt_id"], second["attempt_id"], last.info["attempt_id"]}) == 3
    assert last.evaluations()["returns"].to_list() == [[3.0]]  # rows of the earlier attempts are gone


def test_a_failure_while_writing_a_table_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with recording(folder, INFO, CONFIG) as writer:
        writer.append("evaluations", evaluation(0, 1.0))
        before = _contents(folder)
        with monkeypatch.context() as patched:
            patched.setattr(Path, "write_bytes", _disk_full)
            with pytest.raises(Unwritable, match="run cannot be written: no space"):
                writer.append("evaluations", evaluation(8, 2.0))
        assert _contents(folder) == before
    assert read_info(folder)["env_steps"] == 0


def test_rows_that_could_not_be_written_are_written_once_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(tmp_path / "run", INFO, CONFIG) as writer:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "write_bytes", _disk_full)
            with pytest.raises(Unwritable, match="no space"):
                writer.append("evaluations", {"env_step": 0, "returns": [1.0], "lengths": [1]})
        writer.finish("failed", "disk")
    assert Record(tmp_path / "run", read_info(tmp_path / "run")).evaluations()["env_step"].to_list() == [0]


@pytest.mark.parametrize(
    "row", [{"env_step": 1, "return": 1.0}, {"env_step": 1, "return": 1.0, "length": 1, "x": 2}]
)
def test_a_row_has_exactly_the_columns_of_its_table(row: dict[str, Any], tmp_path: Path) -> None:
    with recording(tmp_path / "run", INFO, CONFIG) as writer, pytest.raises(RecordError, match="row of episodes"):
        writer.append("episodes", row)


def test_a_failure_while_writing_text_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_text(path, "old")
    monkeypatch.setattr(Path, "replace", _disk_full)
    with pytest.raises(OSError, match="no space"):
        write_text(path, "new")
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"run.json": "old"}


def _disk_full(self: Any, target: Any) -> None:
    if isinstance(target, bytes):
        self.write_text("half a fi")
    raise OSError(28, "no space")


def _contents(folder: Path) -> dict[str, bytes]:
    """All files but the lease, which has another number each time."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".lease-")}


# ---- one process a run ----

TRY = f"""
import sys
from pathlib import Path
from rl_warmup.records.write import recording
from rl_warmup.records.leases import LeaseError
try:
    with recording(Path(sys.argv[1]), {INFO}, {CONFIG}):
        print("recording", flush=True)
        sys.stdin.read()
except LeaseError as error:
    print(error)
"""


def _other_process(folder: Path) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", TRY, str(folder)], **pipes)


def test_a_run_is_recorded_by_one_process_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert not is_training(folder)
    with recording(folder, INFO, CONFIG):
        attempt = read_info(folder)["attempt_id"]
        with _other_process(folder) as other:
            said, _ = other.communicate("")
        assert said == f"{folder} is being trained by another process\n"
        assert is_training(folder)
        assert read_info(folder)["attempt_id"] == attempt
    assert not is_training(folder)


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with _other_process(folder) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "recording\n"
        assert is_training(folder)
        other.kill()
    assert not is_training(folder)
    assert read_info(folder)["status"] == "running"  # it could not say that it ended
    record = record_of(folder, evaluation(0, 1.0))
    assert [attempt["status"] for attempt in record.info["earlier_attempts"]] == ["running"]


# ---- what is wrong is named ----


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_parquet(tmp_path: Path, kept: int) -> None:
    record = record_of(tmp_path / "run", evaluation(0, 1.0))
    path = record.folder / "evaluations.parquet"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(RecordError, match=r"run/evaluations.parquet cannot be read: ."):
        record.evaluations()


def test_corrupted_parquet(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", evaluation(0, 1.0))
    path = record.folder / "evaluations.parquet"
    content = bytearray(path.read_bytes())
    content[20:60] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"evaluations.parquet cannot be read: ."):
        record.table("evaluations")


@pytest.mark.slow
def test_whichever_byte_is_damaged_the_error_is_ours(tmp_path: Path) -> None:
    """Some make polars panic, which is no Exception."""
    record = record_of(tmp_path / "run", evaluation(0, 1.0))
    path = record.folder / "evaluations.parquet"
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            record.table("evaluations")
        except RecordError:
            refused += 1
    assert refused > 10


def test_missing_table(tmp_path: Path) -> None:
    record = record_of(tmp_path / "run", evaluation(0, 1.0))
    (record.folder / "updates.parquet").unlink()
    with pytest.raises(RecordError, match=r"updates.parquet cannot be read: .*No such file"):
        record.table("updates")


Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.with_columns(env_step=pl.lit(None, pl.Int64)), "env_step does not rise"),
        (
            lambda frame: frame.with_columns(returns=pl.lit([1.0, None], pl.List(pl.Float64))),
            "not finite at env_step",
        ),
        (lambda frame: frame.drop("lengths"), r"column lengths is None, not List\(Int64\)"),
        (lambda frame: frame.cast({"env_step": pl.Float64}), r"column env_step is Float64, not Int64"),
        (lambda frame: frame.explode("returns", "lengths"), r"column returns is Float64, not List\(Float64\)"),
        (lambda frame: frame.clear(), r"evaluations.parquet has no evaluation"),
        (lambda frame: frame.reverse(), r"env_step does not rise"),
        (lambda frame: pl.concat([frame, frame.tail(1)]), r"env_step does not rise"),
        (lambda frame: frame.with_columns(returns=[]), r"has an evaluation without episodes"),
        (lambda frame: frame.with_columns(returns=pl.lit(None, pl.List(pl.Float64))), r"without episodes"),
    ],
)
def test_evaluations_that_cannot_be_used(tmp_path: Path, change: Change, message: str) -> None:
    record = record_of(tmp_path / "run", evaluation(0, 1.0, 2.0), evaluation(8, 3.0, 4.0))
    path = record.folder / "evaluations.parquet"
    whole = record.evaluations()
    changed = change(whole)
    if changed.schema.get("returns") == pl.List(pl.Null):
        changed = changed.cast({"returns": pl.List(pl.Float64)})
    changed.write_parquet(path)
    with pytest.raises(RecordError, match=message):
        record.evaluations()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_returns_that_are_not_finite(tmp_path: Path, value: float) -> None:
    rows = [evaluation(0, 1.0), evaluation(8, 2.0, value), evaluation(16, 3.0), evaluation(24, value)]
    record = record_of(tmp_path / "run", *rows)
    with pytest.raises(RecordError, match=r"returns that are not finite at env_step 8, 24$"):
        record.evaluations()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"run.json cannot be read: ."),
        (info_with()[:-9], r"run.json cannot be read: ."),
        ('{"seed": NaN}', r"run.json cannot be read: it holds NaN, which is no number"),
        ("[1]", r"run.json is not a JSON object"),
        ("{}", r"run.json lacks run_id, arm, status, seed, warmup, config"),
        (info_with(status="done"), r"status 'done' is none of running, completed, diverged, failed"),
        (info_with(status=["completed"]), r"status \['completed'\] is none of"),
    ],
)
def test_run_json_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RecordError, match=message):
        read_info(tmp_path)


def test_run_json_that_is_not_text_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"run.json cannot be read: .*No such file"):
        read_info(tmp_path)
    (tmp_path / "run.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(RecordError, match=r"run.json cannot be read: .*utf-8"):
        read_info(tmp_path)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_run_json_never_holds_what_json_cannot(tmp_path: Path, bad: float) -> None:
    with pytest.raises(ValueError, match="JSON"), recording(tmp_path / "run", {**INFO, "bad": bad}, CONFIG):
        pass
    assert not (tmp_path / "run" / "run.json").exists()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


# ---- studies ----


def test_a_study_is_its_runs_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, status in (("b", "completed"), ("a", "failed"), ("c", "running")):
        record_of(tmp_path / name, evaluation(0, 1.0), status=status)
    offline = tmp_path / "wandb" / "offline-run-20260101-x"
    offline.mkdir(parents=True)
    (offline / "config.yaml").write_text("wandb: 1")
    (tmp_path / "preview").mkdir()
    (tmp_path / "report.json").write_text("{}")
    records, problems = read_study(tmp_path)
    assert [(record.folder.name, record.status) for record in records] == [
        ("a", "failed"),
        ("b", "completed"),
        ("c", "running"),
    ]
    assert problems == []


def test_a_run_that_cannot_be_read_is_a_problem_and_not_lost(tmp_path: Path) -> None:
    record_of(tmp_path / "good", evaluation(0, 1.0))
    _made(tmp_path / "begun").joinpath("config.yaml").write_text("seed: 0")
    _made(tmp_path / "torn").joinpath("run.json").write_text("{")
    records, problems = read_study(tmp_path)
    assert [record.folder.name for record in records] == ["good"]
    assert [Path(problem.split()[0]).parent.name for problem in problems] == ["begun", "torn"]


def test_a_study_of_unreadable_runs_only_is_all_problems(tmp_path: Path) -> None:
    _made(tmp_path / "torn").joinpath("run.json").write_text("{")
    records, problems = read_study(tmp_path)
    assert (records, len(problems)) == ([], 1)


def test_no_study(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"missing is not a folder with record files; give a study's folder"):
        read_study(tmp_path / "missing")
    _made(tmp_path / "wandb")
    with pytest.raises(RecordError, match=r"holds no runs; train some first \(python -m rl_warmup.run\)"):
        read_study(tmp_path)


def test_study_plan_comes_back(tmp_path: Path) -> None:
    plan = {
        "name": "s",
        "description": None,
        "control": {"warmup.name": "none"},
        "comparisons": [{"warmup.name": "linear", "warmup.length": 0.1}, {"warmup.name": "radam"}],
        "smallest_effect": 0.05,
    }
    folder = tmp_path / "runs" / "s"
    assert read_declaration(folder) is None
    write_declaration(folder, plan)
    assert read_declaration(folder) == plan
    assert [path.name for path in folder.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("control: [", r"study.yaml cannot be read: ."),
        ("- a", r"study.yaml is not a mapping with name, control, comparisons and smallest_effect"),
        ("", r"study.yaml is not a mapping"),
        ("name: \xff", r"study.yaml cannot be read: .*utf-8"),
    ],
)
def test_study_plan_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "study.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(RecordError, match=message):
        read_declaration(tmp_path)
