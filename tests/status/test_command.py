"""Where runs stand, what comes next and how long it takes, on records in every state."""

import fcntl
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rl_warmup.records.atomic import write_text
from rl_warmup.records.provenance import versions
from rl_warmup.records.read import read_info
from rl_warmup.records.study import Planned, add_runs, read_runs, record_command
from rl_warmup.records.write import mark_failed, recording
from rl_warmup.status.command import main, show, status
from rl_warmup.status.plan import Forecast, Plan, at_once, forecast
from rl_warmup.status.states import ForeignRecordError, RunState, read_state, read_states

pytestmark = pytest.mark.locale

CONFIG = {"algo": {"name": "ppo"}, "trainer": {"name": "sb3"}, "env": {"id": "Toy-v0"}, "seed": 0}
KIND = "sb3 ppo Toy-v0"
INFO: dict[str, Any] = {"arm": "a", "seed": 0, "warmup": {}, "config": CONFIG, "versions": versions()}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make(folder: Path, outcome: str = "completed", steps: int = 1000, *, error: str = "", **info: Any) -> Path:
    """Another attempt at the run in `folder`, which ends as `outcome` says; `running`: its process vanished."""
    with recording(folder, INFO | {"run_id": folder.name} | info, CONFIG) as writer:
        writer.append("evaluations", {"env_step": steps, "returns": [1.0], "lengths": [1]})
        if outcome != "running":
            writer.finish(outcome, error or None)
    return folder


def lasting(folder: Path, seconds: float, began: float = 0.0, **info: Any) -> Path:
    """Let the run's only session begin `began` seconds after noon and take so many."""
    times = {"started": NOON + timedelta(seconds=began), "finished": NOON + timedelta(seconds=began + seconds)}
    stamps = {name: moment.isoformat() for name, moment in times.items()}
    stamps["sitting_started"] = stamps["started"]
    write_text(folder / "run.json", json.dumps(read_info(folder) | stamps | {"wall_seconds": seconds} | info))
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Path]:
    """A study with a run in every state, one of them held by a process that lives."""
    folder = tmp_path / "study"
    make(folder / "completed")
    make(folder / "diverged", "diverged", 500)
    make(folder / "failed", "failed", error="Traceback\n  somewhere\nValueError: broke\n")
    make(folder / "interrupted", "running")
    make(folder / "running", "running", 250)
    make(folder / "damaged")
    (folder / "damaged" / "run.json").write_text("{")
    (folder / "figures").mkdir()
    names = ("completed", "diverged", "failed", "interrupted", "running", "damaged", "missing")
    add_runs(folder, {name: Planned(KIND, 1000) for name in names}, 2)
    record_command(folder, "python -m rl_warmup.run -m seed=0")
    with (folder / "running" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def shown(folder: Path, listed: int = 20) -> str:
    out = io.StringIO()
    show(status(folder), Console(width=200, file=out), listed)
    return out.getvalue()


def test_every_state_is_told_apart(study: Path) -> None:
    states = {run.run_id: run.state for run in status(study).runs}
    assert states.pop("damaged") == "unreadable"
    assert states == {name: name for name in states}
    assert len(states) == 6  # `figures` is no run


@pytest.mark.parametrize(
    "wrong",
    [
        {"env_steps": "many"},
        {"members": "two"},
        {"wall_seconds": "12"},
        {"versions": [1]},
        {"earlier_attempts": None},
    ],
)
def test_a_record_with_a_wrong_type_is_unreadable_and_no_other(study: Path, wrong: dict[str, Any]) -> None:
    path = study / "completed" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | wrong))
    (study / "commands.txt").write_bytes(b"python -m x \xff\n")
    found = {run.run_id: run for run in status(study).runs}
    assert found["completed"].state == "unreadable"
    assert "completed/run.json holds what it should not" in str(found["completed"].error)
    assert found["diverged"].state == "diverged"


def test_the_table_says_what_is_what_and_what_comes_next(study: Path) -> None:
    text = shown(study)
    rows = {words[0]: words[1] for words in map(str.split, text.splitlines()) if len(words) == 3}
    assert rows["completed"] == rows["missing"] == rows["unreadable"] == "1"
    assert "running: running: 25% of 1,000 environment steps, about" in text
    assert "The same command (python -m rl_warmup.run -m seed=0) trains 3 runs:" in text
    for line in (
        "1 to start",
        "1 interrupted before a checkpoint, to restart",
        "1 failed before, to try again:",
        "failed: ValueError: broke (failed 1 time)",
        "1 running in another process and left to it",
        "run.json cannot be read",
    ):
        assert line in text


def test_a_long_list_is_cut_and_counted(tmp_path: Path) -> None:
    for index in range(5):
        make(tmp_path / f"run{index}", "failed", error="x")
    assert "… and 3 more" in shown(tmp_path, listed=2)
    assert "run4: x" not in shown(tmp_path, listed=2)
    assert "run4: x" in shown(tmp_path, listed=5)


@pytest.mark.parametrize(("retries", "to_do"), [(0, False), (1, False), (2, True)])
def test_only_attempts_that_failed_count(tmp_path: Path, retries: int, to_do: bool) -> None:
    folder = tmp_path / "run"
    for outcome in ("failed", "running", "running", "failed", "running"):
        make(folder, outcome)
    assert read_state(folder).failures == 2
    assert read_state(folder).is_to_do(retries)  # interrupted, not failed
    make(folder, "running")
    mark_failed(folder, "killed by signal 9 (SIGKILL)")
    assert (read_state(folder).failures, read_state(folder).error) == (3, "killed by signal 9 (SIGKILL)")
    assert read_state(folder).is_to_do(retries + 1) == to_do


def test_a_run_that_failed_too_often_is_named_with_the_way_out(tmp_path: Path) -> None:
    for _ in range(3):
        make(tmp_path / "bad", "failed", error="ValueError: broke")
    plan = Plan(tmp_path, [read_state(tmp_path / "bad")], {"bad": Planned(KIND, 1000)}, 2)
    assert not plan.to_do
    assert "bad: ValueError: broke (failed 3 times; retries=3 tries it once more)" in "\n".join(plan.announce())
    assert Plan(tmp_path, plan.runs, plan.planned, 3).to_do


def test_a_record_of_another_config_is_refused_with_what_differs(tmp_path: Path) -> None:
    folder = make(tmp_path / "run")
    assert read_state(folder, CONFIG).state == "completed"
    with pytest.raises(ForeignRecordError, match=r"algo.name ppo instead of dqn\).*neither used nor overwritten"):
        read_state(folder, CONFIG | {"algo": {"name": "dqn"}})
    with pytest.raises(ForeignRecordError, match="seed 0 instead of None"):
        read_state(folder, {key: value for key, value in CONFIG.items() if key != "seed"})


def test_other_versions_are_named_and_used(tmp_path: Path) -> None:
    old = versions() | {"rl-warmup": "0.0.9", "gone": "1.0"}
    make(tmp_path / "old", versions=old)
    make(tmp_path / "new")
    found = {run.run_id: run for run in read_states(tmp_path)}
    assert found["old"].finished
    assert found["new"].versions == ""
    (line,) = Plan(tmp_path, list(found.values()), {}, 2).lines(5)
    assert (
        line == f"1 record made with rl-warmup 0.0.9 (now {versions()['rl-warmup']}), gone 1.0 (now not installed)"
    )


def test_time_is_steps_left_times_pace_over_processes_at_once(tmp_path: Path) -> None:
    study = tmp_path / "study"
    lasting(make(study / "one"), 100, began=0)  # 0.1 s a step
    lasting(make(study / "two"), 100, began=50)  # the same: 200 s of processes in 150 s
    known = list(read_states(study))
    found = forecast(study, known, [(Planned(KIND, 4000), 0), (Planned(KIND, 1000), 500)])
    assert found is not None
    assert found.side_by_side == pytest.approx(200 / 150)
    assert found.seconds == pytest.approx(4500 * 0.1 / (200 / 150))
    sizes = [sum(512 * path.stat().st_blocks for path in (study / run).iterdir()) for run in ("one", "two")]
    assert found.bytes == pytest.approx((4 + 1) * sum(sizes) / 2)
    assert "2 runs of this study" in found.words()


def test_members_of_a_stack_share_its_time(tmp_path: Path) -> None:
    for name in ("one", "two", "three", "four"):
        lasting(make(tmp_path / "study" / name), 100, members=4)
    found = forecast(tmp_path / "study", list(read_states(tmp_path / "study")), [(Planned(KIND, 1000), 0)] * 4)
    assert found is not None
    assert (found.seconds, found.side_by_side) == (pytest.approx(100), 1)


def test_the_first_runs_of_a_study_are_judged_by_those_of_others(tmp_path: Path) -> None:
    lasting(make(tmp_path / "old" / "run"), 50)
    work = [(Planned(KIND, 2000), 0)]
    found = forecast(tmp_path / "new", [], work)
    assert found is not None
    assert found.seconds == pytest.approx(100)
    assert "1 run of other studies" in found.words()
    assert forecast(tmp_path / "new", [], [*work, (Planned("sb3 dqn Toy-v0", 10), 0)]) is None
    assert forecast(tmp_path / "nowhere" / "new", [], work) is None


def test_without_finished_runs_those_that_train_say_how_long(tmp_path: Path) -> None:
    live = RunState("live", "running", KIND, env_steps=250, seconds=10.0, session=(0.0, 10.0))
    make(tmp_path / "live", "running", 250)
    found = forecast(tmp_path, [live], [(Planned(KIND, 1000), 250), (Planned(KIND, 1000), 0)])
    assert found is not None
    assert found.seconds == pytest.approx(70)


def test_a_disk_that_is_too_small_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Forecast(1.0, 1e30, 1.0, "1 run")
    monkeypatch.setattr(Plan, "forecast", lambda self: whole)
    plan = Plan(tmp_path / "new", [RunState("run", "missing")], {"run": Planned(KIND, 10)}, 2)
    assert f"the disk of {tmp_path} has" in plan.announce()[-1]


Sittings = st.lists(st.tuples(st.integers(0, 100), st.integers(1, 50), st.integers(1, 4)), min_size=1, max_size=6)


@given(Sittings)
def test_at_once_is_the_mean_over_seconds_with_a_process(
    sessions: list[tuple[int, int, int]],
) -> None:
    runs = [RunState("r", "completed", session=(a, a + n), members=m) for a, n, m in sessions]
    training = [sum(1 / m for a, n, m in sessions if a <= second < a + n) for second in range(200)]
    busy = [processes for processes in training if processes]
    assert at_once(runs) == pytest.approx(max(1.0, sum(busy) / len(busy)))
    assert at_once(runs[::-1]) == pytest.approx(at_once(runs))


def test_plan_json_is_merged_over_commands(tmp_path: Path) -> None:
    assert not read_runs(tmp_path).runs
    one, two = Planned(KIND, 1000), Planned("stacked dqn Toy-v0", 50)
    add_runs(tmp_path, {"a": one}, 2)
    add_runs(tmp_path, {"b": two}, 5)
    found = read_runs(tmp_path)
    assert (found.runs, found.retries) == ({"a": one, "b": two}, 5)


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_exit_codes_and_messages(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, study)[0] == 1
    make(tmp_path / "done" / "run")
    code, out, _ = call(capsys, tmp_path / "done")
    assert code == 0
    assert "Everything is done" in out
    assert "runs that were never begun are not known" in out
    assert f"python -m rl_warmup.report {tmp_path}/done" in out
    (tmp_path / "done").rename(tmp_path / "my [study]")
    assert f"python -m rl_warmup.report '{tmp_path}/my [study]'" in call(capsys, tmp_path / "my [study]")[1]
    (tmp_path / "empty").mkdir()
    for folder, message in (("nowhere", "is not a folder"), ("empty", "holds no runs")):
        code, _, err = call(capsys, tmp_path / folder)
        assert (code, message in err, err.count("\n")) == (2, True, 1)
    (study / "plan.json").write_text("[]")
    assert "plan.json cannot be read" in call(capsys, study)[2]


def test_json_has_every_run(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, study, "--json")
    found = json.loads(out)
    assert code == 1
    assert found["states"]["missing"] == 1
    runs = {run["run_id"]: run for run in found["runs"]}
    assert runs["failed"]["error"] == "ValueError: broke"
    assert [name for name, run in runs.items() if run["to_do"]] == ["failed", "interrupted", "missing"]
    assert found["seconds_left"] > 0


def test_status_needs_no_torch(study: Path) -> None:
    program = (
        "import sys; from rl_warmup.status.command import main; main(sys.argv[1:]);"
        "print(sorted({'torch', 'stable_baselines3', 'gymnasium', 'wandb', 'scipy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program, study], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
