import json
import os
import re

import pytest
from helpers.configs import SHORT, TINY, Configure, probe

from rl_warmup.config.identity import run_folder
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.settings import ConfigError
from rl_warmup.envs import replay
from rl_warmup.records import words
from rl_warmup.records.read import Record, finished_status, read_info
from rl_warmup.records.write import mark_failed
from rl_warmup.run import execute as execution
from rl_warmup.run.execute import RunRecorder, execute

ALGOS = pytest.mark.parametrize("algo", ["ppo", "dqn"])


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@ALGOS
def test_a_completed_run_is_recorded_and_never_trained_or_overwritten_again(algo, configure: Configure):
    config = configure(*TINY[algo], "evaluation.count=4", "evaluation.episodes=2")
    assert execute(config) == "completed"
    folder = run_folder(config)
    info, phases = read_info(folder), phases_of(config)
    record = Record(folder, info)
    assert (info["status"], info["error"]) == ("completed", None)
    assert (info["env_steps"], info["gradient_steps"]) == (phases.env_steps, phases.gradient_steps)
    assert info["planned_gradient_steps"] == record.table("updates")["n_steps"].sum() == phases.gradient_steps
    assert info["arm"] == f"linear-10%-gradient_steps lr={config.learning_rate:g} constant"
    assert info["threads"] == 1
    assert info["versions"]["stable-baselines3"]
    assert record.evaluations().height == 4
    assert record.table("updates").height == len(phases.n_steps)
    assert record.table("episodes").height > 0
    before = files(folder)
    assert execute(config) == "completed"
    assert files(folder) == before


@ALGOS
def test_two_executions_of_one_config_leave_identical_tables(algo, configure: Configure, tmp_path):
    tables = []
    for name in ("one", "two"):
        config = configure(*TINY[algo], *SHORT, f"runs_dir={tmp_path / name}")
        execute(config)
        tables.append({name: data for name, data in files(run_folder(config)).items() if name.endswith("parquet")})
    assert tables[0] == tables[1]
    assert len(tables[0]) == 3


def test_a_diverged_run_keeps_what_it_recorded_and_its_reason(configure: Configure):
    config = configure(*TINY["dqn"], *SHORT, "learning_rate=1e30", "warmup=none")
    assert execute(config) == "diverged"
    info = read_info(run_folder(config))
    assert "non-finite" in info["error"]
    record = Record(run_folder(config), info)
    assert record.evaluations()["env_step"].to_list() == [0]
    assert 0 < info["gradient_steps"] == record.table("updates")["n_steps"].sum() < info["planned_gradient_steps"]
    assert execute(config) == "diverged"  # an outcome: not tried again


def test_a_failed_run_says_why_and_is_tried_again(configure: Configure):
    config = configure(*TINY["ppo"], *SHORT, *probe("broken"))
    assert execute(config) == "failed"
    info = read_info(run_folder(config))
    assert info["status"] == "failed"
    assert "OverflowError: the environment broke" in info["error"]
    assert Record(run_folder(config), info).evaluations().height == 1
    assert finished_status(run_folder(config)) is None
    assert execute(config) == "failed"
    (earlier,) = read_info(run_folder(config))["earlier_attempts"]
    assert (earlier["status"], earlier["attempt_id"]) == ("failed", info["attempt_id"])


@ALGOS
@pytest.mark.parametrize("trainer", [[], ["trainer=stacked", "trainer.envs=gymnasium", "trainer.compile=false"]])
@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("nan_at_once", "reward nan"),
        ("nan_reward", "reward nan"),
        ("inf_observation", r"observation -inf at \[1\]"),
    ],
)
def test_what_is_not_finite_in_an_environment_is_a_failure_of_it(kind, what, trainer, algo, configure: Configure):
    config = configure(*TINY[algo], *SHORT, *probe(kind), *trainer)
    assert execute(config) == "failed"
    info = read_info(run_folder(config))
    (*_, last) = info["error"].splitlines()
    assert re.match(rf"FloatingPointError: env.id=probe/{kind}-v0 gave the {what} in step 1 of an episode", last)
    evaluations = Record(run_folder(config), info).table("evaluations")
    assert evaluations.height == (0 if kind == "nan_at_once" else 1)  # found in the first evaluation, in training


STUMBLES = ["env.wrappers=[{helpers.probe_envs.Stumbles: {step: 30}}]"]


@pytest.mark.filterwarnings("ignore:.*was not closed. OSError. no display")
@pytest.mark.parametrize("trainer", [[], ["trainer=stacked", "trainer.envs=gymnasium", "trainer.compile=false"]])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            probe("unset"),
            "RuntimeError: env.id=probe/unset-v0 raised in its reset: ConnectionError: the simulator is",
        ),
        (
            probe("lying"),
            r"ValueError: env.id=probe/lying-v0 gives an observation that does not fit Box\(.*\): could",
        ),
        ([*probe("constant"), *STUMBLES], "RuntimeError: .*raised in step 1 of an episode: KeyError: 'goal'"),
    ],
)
def test_what_raises_in_mid_run_is_a_failure_that_names_its_environment(
    given, message, trainer, configure: Configure
):
    config = configure(*TINY["ppo"], *SHORT, *given, *trainer)
    assert execute(config) == "failed"
    info = read_info(run_folder(config))
    assert re.search(f"^{message}", words.error_line(info["error"]))
    assert Record(run_folder(config), info).table("evaluations").height == ("lying" not in given[0])


def test_sys_exit_in_a_run_is_a_failure_of_that_run(configure: Configure):
    config = configure(*TINY["ppo"], *SHORT, *probe("exit"))
    assert execute(config) == "failed"
    assert "SystemExit: 3" in read_info(run_folder(config))["error"]


def test_ctrl_c_leaves_valid_files_and_the_run_starts_again(configure: Configure):
    config = configure(*TINY["ppo"], *SHORT, *probe("interrupted"))
    with pytest.raises(KeyboardInterrupt):
        execute(config)
    info = read_info(run_folder(config))
    assert (info["status"], info["error"]) == ("running", "interrupted")
    assert Record(run_folder(config), info).table("episodes").height > 0
    assert finished_status(run_folder(config)) is None


def test_config_yaml_holds_what_the_contract_names(configure: Configure):
    import yaml

    config = configure(*TINY["ppo"], *SHORT, "warmup=exponential")
    execute(config)
    saved = yaml.safe_load((run_folder(config) / "config.yaml").read_text())
    assert saved["env"].keys() >= {"id", "return_floor", "return_low", "return_high", "threshold"}
    assert saved["warmup"].keys() >= {"name", "shape", "length", "clock", "start"}
    assert (saved["algo"]["name"], saved["trainer"]["name"], saved["schedule"]["name"]) == (
        "ppo",
        "sb3",
        "constant",
    )
    assert (saved["learning_rate"], saved["total_timesteps"], saved["seed"]) == (0.001, 250, 0)
    assert saved["study"]["name"] == "test"
    assert saved["warmup"]["length"] == round(0.1 * phases_of(config).gradient_steps)


def test_no_secret_enters_a_record(configure: Configure, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    config = configure(*TINY["ppo"], *SHORT)
    execute(config)
    text = (run_folder(config) / "run.json").read_text() + (run_folder(config) / "config.yaml").read_text()
    assert "k" * 40 not in text
    assert json.loads((run_folder(config) / "run.json").read_text())["host"] == os.uname().nodename


def test_what_cannot_be_recorded_is_refused(configure: Configure, tmp_path):
    (tmp_path / "file").write_text("in the way")
    config = configure(*TINY["ppo"], *SHORT, f"runs_dir={tmp_path / 'file' / 'runs'}")
    with pytest.raises(ConfigError, match="cannot be recorded"):
        execute(config)


# ---- going on from a checkpoint ----

OFTEN = ["evaluation.count=5", "evaluation.episodes=1", "checkpoint.seconds=0"]
RESUMED = {
    "sb3": [*TINY["ppo"], *OFTEN],
    "stacked": [*TINY["dqn"], "trainer=stacked", *OFTEN],
}


@pytest.fixture
def interrupt(monkeypatch):
    """`interrupt(n, error)`: the n-th row of `updates` from now on raises."""
    original = RunRecorder.emit

    def at(number, error=KeyboardInterrupt):
        left = [number]

        def emit(self, table, row):
            original(self, table, row)
            left[0] -= table == "updates"
            if left[0] == 0:
                raise error

        monkeypatch.setattr(RunRecorder, "emit", emit)

    return at


def tables(folder):
    record = Record(folder, read_info(folder))
    return [record.table(name).rows() for name in ("evaluations", "episodes", "updates")]


def undisturbed(configure, kind, tmp_path, *more):
    config = configure(*RESUMED[kind], *more, f"runs_dir={tmp_path / 'undisturbed'}")
    execute(config)
    return tables(run_folder(config))


@pytest.mark.parametrize("kind", RESUMED)
def test_an_interrupted_run_goes_on_in_the_same_attempt(kind, configure: Configure, tmp_path, interrupt):
    config = configure(*RESUMED[kind])
    folder = run_folder(config)
    infos = []
    for _ in range(2):
        interrupt(4)
        with pytest.raises(KeyboardInterrupt):
            execute(config)
        infos.append(read_info(folder))
        assert len(list((folder / "checkpoint").iterdir())) == 1
    interrupt(10**6)
    assert execute(config) == "completed"
    info = read_info(folder)
    assert {one["attempt_id"] for one in (*infos, info)} == {info["attempt_id"]}
    assert {one["started"] for one in (*infos, info)} == {info["started"]}
    assert (info["earlier_attempts"], info["begun_again"]) == ([], None)
    assert [entry["environments"] for entry in info["resumed"]] == ["replayed", "replayed"]
    assert 0 < info["resumed"][0]["env_step"] <= info["resumed"][1]["env_step"] < 250
    assert 0 < infos[0]["wall_seconds"] < infos[1]["wall_seconds"] < info["wall_seconds"]
    assert not (folder / "checkpoint").exists()
    assert tables(folder) == undisturbed(configure, kind, tmp_path)


@pytest.mark.parametrize("kind", RESUMED)
def test_environments_that_cannot_be_brought_back_begin_an_episode(kind, configure, monkeypatch, interrupt):
    config = configure(*RESUMED[kind])
    number = {"sb3": 3, "stacked": 5}[kind]
    for limit in (10**6, 0, 10**6):
        interrupt(number)
        monkeypatch.setattr(replay, "REPLAYED", {"envpool": limit, "gymnasium": limit})
        with pytest.raises(KeyboardInterrupt):
            execute(config)
    interrupt(10**6)
    assert execute(config) == "completed"
    info = read_info(run_folder(config))
    assert [entry["environments"] for entry in info["resumed"]] == ["reset", "reset", "replayed"]
    evaluations, _, updates = tables(run_folder(config))
    assert (len(evaluations), len(updates)) == (5, len(phases_of(config).n_steps))


@pytest.mark.parametrize("name", ["state.json", "arrays.npz", "tensors.pt", "sha256.json"])
def test_a_damaged_checkpoint_is_not_used_and_the_record_says_so(name, configure, tmp_path, interrupt):
    config = configure(*RESUMED["sb3"])
    interrupt(5)
    with pytest.raises(KeyboardInterrupt):
        execute(config)
    (damaged,) = run_folder(config).glob(f"checkpoint/*/{name}")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    interrupt(10**6)
    assert execute(config) == "completed"
    info = read_info(run_folder(config))
    assert info["begun_again"].startswith("its checkpoint")
    assert (info["resumed"], len(info["earlier_attempts"])) == ([], 1)
    assert tables(run_folder(config)) == undisturbed(configure, "sb3", tmp_path)


def test_another_version_does_not_go_on_from_a_checkpoint(configure: Configure, monkeypatch, interrupt):
    config = configure(*RESUMED["sb3"])
    interrupt(5)
    with pytest.raises(KeyboardInterrupt):
        execute(config)
    monkeypatch.setattr(execution.provenance, "versions", lambda: {"torch": "0.0"})
    interrupt(10**6)
    assert execute(config) == "completed"
    assert ", now 0.0" in read_info(run_folder(config))["begun_again"]


def test_a_run_is_not_trained_by_programs_of_two_kinds(configure: Configure, interrupt):
    config = configure(*RESUMED["stacked"])
    interrupt(5)
    with pytest.raises(KeyboardInterrupt):
        execute(config)
    interrupt(10**6)
    assert execute(configure(*RESUMED["stacked"], "trainer.compile=false")) == "completed"
    assert "another config" in read_info(run_folder(config))["begun_again"]


def test_a_run_that_failed_begins_anew_and_one_that_was_killed_goes_on(configure, tmp_path, interrupt):
    config = configure(*RESUMED["sb3"])
    folder = run_folder(config)
    interrupt(5, OverflowError("broke"))
    assert execute(config) == "failed"
    assert not (folder / "checkpoint").exists()
    interrupt(5)
    with pytest.raises(KeyboardInterrupt):
        execute(config)
    assert read_info(folder)["resumed"] == []
    mark_failed(folder, "killed by signal 9 (SIGKILL)")
    interrupt(10**6)
    assert execute(config) == "completed"
    info = read_info(folder)
    assert [attempt["status"] for attempt in info["earlier_attempts"]] == ["failed", "failed"]
    assert len(info["resumed"]) == 1
    assert tables(folder) == undisturbed(configure, "sb3", tmp_path)


def test_members_at_different_steps_go_on_and_neighbours_of_a_diverged_one_too(configure, tmp_path, interrupt):
    arms = [["seed=0"], ["seed=1", "learning_rate=1e30", "warmup=none"], ["seed=2"], ["seed=3"]]
    configs = [configure(*RESUMED["stacked"], *arm) for arm in arms]
    for number, stack in ((14, configs[:3]), (8, configs[3:])):
        interrupt(number)
        with pytest.raises(KeyboardInterrupt):
            execution.execute_stack(stack)
    assert [finished_status(run_folder(config)) for config in configs] == [None, "diverged", None, None]
    interrupt(10**6)
    assert execution.execute_stack(configs) == ["completed", "diverged", "completed", "completed"]
    steps = [read_info(run_folder(config))["resumed"][0]["env_step"] for config in (configs[0], configs[3])]
    assert steps[0] != steps[1]
    for config, arm in zip(configs, arms, strict=True):
        assert tables(run_folder(config)) == undisturbed(configure, "stacked", tmp_path, *arm)
