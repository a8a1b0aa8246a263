import json
import os

import pytest
from conftest import Configure, probe
from test_delivery import SHORT, TINY

from rl_warmup.config import ConfigError
from rl_warmup.execution import execute, finished_status, run_folder
from rl_warmup.records import Record, read_info
from rl_warmup.resolve import plan_of

ALGOS = pytest.mark.parametrize("algo", ["ppo", "dqn"])


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@ALGOS
def test_a_completed_run_is_recorded_and_never_trained_or_overwritten_again(algo, configure: Configure):
    config = configure(*TINY[algo], "evaluation.count=4", "evaluation.episodes=2")
    assert execute(config) == "completed"
    folder = run_folder(config)
    info, plan = read_info(folder), plan_of(config)
    record = Record(folder, info)
    assert (info["status"], info["error"]) == ("completed", None)
    assert (info["env_steps"], info["gradient_steps"]) == (plan.env_steps, plan.gradient_steps)
    assert info["arm"] == f"linear-10%-gradient_steps lr={config.learning_rate:g} constant"
    assert info["threads"] == 1
    assert info["versions"]["stable-baselines3"]
    assert record.evaluations().height == 4
    assert record.table("updates").height == len(plan.n_steps)
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
    assert record.table("updates").height >= 1
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
    assert saved["warmup"]["length"] == round(0.1 * plan_of(config).gradient_steps)


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
