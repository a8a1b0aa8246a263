"""The command line, as a user meets it: in a process of its own."""

import argparse
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import polars as pl
import pytest
from helpers.paths import TESTS
from hydra._internal.utils import get_args_parser
from rich.console import Console

from rl_warmup import preview
from rl_warmup.config.conf import conf_dir
from rl_warmup.config.identity import run_folder
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.read import Record, read_info, read_study
from rl_warmup.records.write import recording
from rl_warmup.run.command import main, run_single, train_single
from rl_warmup.run.execute import run_info

pytestmark = pytest.mark.slow

TINY = ["total_timesteps=600", "evaluation.count=3", "evaluation.episodes=2", "tracking=disabled"]
LOOKS = ["study.looks={every: 20, most: 40}", "study.control={warmup.name: none}"]
STACKED = ["trainer=stacked", "hydra/launcher=stacked"]
GYMNASIUM = ["trainer.envs=gymnasium"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
TINY_DQN = ["algo=dqn", "algo.learning_starts=100", "algo.train_freq=32", "algo.gradient_steps=4"]


PROBES = {"PYTHONPATH": str(TESTS)}


def long(*arguments):
    """A case that `make test` leaves to `make test-long`."""
    return pytest.param([*arguments], marks=pytest.mark.long)


def start(module, *arguments, **options):
    command = [sys.executable, "-m", f"rl_warmup.{module}", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def call(module, *arguments, env=None):
    process = start(module, *arguments, env={**os.environ, **(env or {})})
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture
def _own_process(monkeypatch):
    """`main` sets a variable; the other tests have it back."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")


@pytest.mark.usefixtures("_own_process")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["env=tetris"], "Could not find 'env/tetris'; use one of acrobot, ant, "),
        (["env=CartPole"], "did you mean env=cartpole?"),
        (["--help", "env=cartpole-v1"], "did you mean env=cartpole?"),
        (["-m", "env=cartpole,FrozenLake-v1"], "is given by its id: env=gym env.id=FrozenLake-v1"),
        (["-m", "learningrate=1,2"], "did you mean learning_rate? (in learningrate=1"),
        (["env.id=NoSuchEnv-v0"], "NoSuchEnv"),
        (
            ["env.id=helpers.probe_envs:probe/needy-v0"],
            "env.id=helpers.probe_envs:probe/needy-v0 cannot be made: TypeError: Needy.__init__() missing 1",
        ),
        (
            ["-m", "env.id=helpers.probe_envs:probe/levels-v0", "seed=0,1"],
            "FileNotFoundError: [Errno 2] No such file",
        ),
        (["env.id=helpers.probe_envs:probe/quits-v0"], "cannot be made: SystemExit: 3"),
        (["warmup=steep"], "Could not find 'warmup/steep'; use one of amago, constant, cosine"),
        (["warmup.shape=steep"], "warmup.shape=steep is not known"),
        (["learningrate=1"], "Could not override 'learningrate'"),
        (["algo=dqn", "algo.n_epochs=3"], "n_epochs"),
        (["warmup.length=0"], "warmup.length=0"),
        (["warmup.length=-5"], "warmup.length=-5"),
        (["warmup.length=nan"], "warmup.length=nan"),
        (["warmup.length=999999"], "does not fit into a run of"),
        (["learning_rate=0"], "learning_rate=0"),
        (["learning_rate=-1e-3"], "learning_rate=-0.001"),
        (["learning_rate=nan"], "learning_rate=nan"),
        (["learning_rate=inf"], "learning_rate=inf"),
        (["warmup.clock=env_steps", "warmup.length=256"], "is inert"),
        (["warmup.length=1"], "is inert"),
        (["seed=x"], "'x' of type 'str' could not be converted to Integer"),
        (["seed=1.5"], "could not be converted to Integer"),
        (["seed=-1"], "seed=-1 is not a seed"),
        (["total_timesteps=0"], "total_timesteps=0"),
        (["evaluation.count=0"], "evaluation.count=0"),
        (["device=cuda:77"], "device=cuda:77"),
        (["tracking.project=a/b"], "tracking.project=a/b is not a name that W&B takes; use 1 to 128 characters"),
        (["-m", "seed=0", "tracking.entity=a/b", *TINY], "tracking.entity=a/b is not a name that W&B takes"),
        (["runs_dir=/proc/runs"], "nothing can be recorded in /proc/runs"),
        (["-m", "study=quick,none"], "one after the other"),
        (["study=quick,none"], "study"),
        (["-m", "seed=0,1,-1", *TINY], "seed=-1 is not a seed"),
        (["-m", "seed=0,1", "study.name=a,b", *TINY], "cannot be swept"),
        (["-m", "seed=0", "warmup.length=1,0.1"], "is inert"),
        (["-m", "study.smallest_effect=.05,.1", *TINY], "study is of the whole sweep and cannot be swept"),
        (["study.control=3"], "study.control 3 is not a mapping"),
        (["study.control={warmup.nam:none}"], "study.control looks for warmup.nam, and there is no such setting"),
        (["study.comparisons=[{seed:3}]"], "study.comparisons looks for seed, and it does not distinguish arms"),
        ([*LOOKS, "seed=3"], "study.looks needs a sweep over seeds (-m); use that, or study.looks=null in another"),
        (["-m", *LOOKS, "hydra/sweeper=basic", *TINY], "study.looks needs hydra/sweeper=rl_warmup, which trains"),
        (
            ["-m", *LOOKS, *STACKED, "hydra/sweeper=basic", *TINY],
            "study.looks needs hydra/sweeper=rl_warmup, which",
        ),
        (["-m", *LOOKS, "seed=range(0,40)", *TINY], "no run of this sweep has warmup.name=none, so that a look"),
        (["-m", *LOOKS, "warmup=none,linear", "seed=0,1", *TINY], "study.looks ends at 40 pairs, and cartpole ppo"),
        (["study.looks=20"], "study.looks: 20 does not say when to look; give a mapping like {every: 20"),
        (["algo.name=dqn"], "use algo=dqn"),
        (["total_timesteps=1000000000000000"], "is too much to be planned"),
        (["-m", "hydra/launcher=joblib_local", "hydra.launcher.n_jobs=0"], "n_jobs=0 trains nothing"),
        (["trainer=jax"], "Could not find 'trainer/jax'"),
        (["trainer.envs=envpool"], "does not go with trainer=sb3"),
        (["trainer=stacked", "trainer.envs=isaac"], "trainer.envs=isaac is not known"),
        (["trainer=stacked", "env.id=NoSuchEnv-v0"], "use trainer.envs=gymnasium"),
        (["algo.extractor=small_cnn"], "use algo.extractor=flatten"),
        (["-m", "seed=0", *STACKED, "hydra.launcher.workers=0", *TINY], "hydra.launcher.workers=0 is too small"),
        (
            ["-m", "seed=0", *STACKED, "hydra.launcher.width=few", *TINY],
            "'few' of type 'str' could not be converted",
        ),
        (["-m", "seed=0,-1", *STACKED, *TINY], "seed=-1 is not a seed"),
        (["study.name=2024_11_28"], """reads 2024_11_28 as the value 20241128; write "study.name='2024_11_28'\""""),
        (["runs_dir=1e3"], """reads 1e3 as the value 1000.0; write "runs_dir='1e3'\""""),
        (["-m", "++warmup.name=x,true", "seed=0"], """write "++warmup.name='true'\""""),
        (["study=2024"], """reads 2024 as the value 2024; write "study='2024'\""""),
        (["total_timesteps=1e5"], "could not be converted to Integer; write 100000"),
        (["-m", "total_timesteps=2e5,4e5"], "could not be converted to Integer; write 200000 (in total"),
        (["-m", "hydra/sweeper=basic", "algo.net_arch=[8,8.0]"], "could not be converted to Integer; write 8"),
        (["warmup.length=1.0", *TINY], "use a warmup.length of 2 steps or more; the whole run is warmup.length=60"),
        ([f"study.name={'x' * 256}"], "is not the name of a folder; use letters, digits, '_', '.' and '-', 255 b"),
        ([f"study.name='{'ü' * 128}'"], "255 bytes at most"),
        ([f"env.name={'x' * 300}"], "is longer than the 255 bytes of a file's name; use a shorter env.name or"),
        (["-m", "seed=0", f"warmup.name={'x' * 240}"], "use a shorter env.name or warmup.name"),
        (["-m", *STACKED, "hydra/sweeper=basic", f"env.name={'x' * 300}", *TINY], "use a shorter env.name"),
        ([f"runs_dir={'x' * 300}/runs", "plan_only=true"], "has a folder of a longer name than 255 bytes"),
        (["env.id=probe/started-v0"], "has the actions Discrete(2, start=1): the policies count from 0; a wrapper"),
        (
            ["-m", "seed=0,1", *STACKED, *GYMNASIUM, "env.id=probe/started-v0"],
            "has the actions Discrete(2, start=1): the policies count from 0; a wrapper that",
        ),
    ],
)
def test_bad_input_gets_one_clear_message_before_anything_is_trained(
    arguments, message, tmp_path, monkeypatch, capfd
):
    """In this process, whose start would take most of the time; `call` does the same in one of its own."""
    where = [] if any("runs_dir" in argument for argument in arguments) else [f"runs_dir={tmp_path}"]
    monkeypatch.chdir(tmp_path)  # Hydra's own sweeper writes a multirun.yaml
    monkeypatch.setattr(sys, "argv", ["rl_warmup.run", *arguments, *where])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capfd.readouterr()
    err += str(end.value.code)  # what Python prints of it
    assert end.value.code not in (0, None)
    assert message in out + err
    assert "Traceback" not in out + err
    assert not list(tmp_path.rglob("run.json"))


def _main(monkeypatch, capfd, *arguments):
    """Exit code and output of the command in this process."""
    monkeypatch.setattr(sys, "argv", ["rl_warmup.run", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, "".join(capfd.readouterr())


@pytest.mark.usefixtures("_own_process")
@pytest.mark.filterwarnings("ignore:.*The obs returned by")
@pytest.mark.parametrize("trainer", [["trainer=sb3"], ["trainer=stacked", *GYMNASIUM]], ids=["sb3", "stacked"])
def test_environments_of_whole_numbers_are_trained_and_one_that_never_ends_fails(
    trainer, tmp_path, monkeypatch, capfd
):
    common = [*TINY, *trainer, f"runs_dir={tmp_path}", "trainer.compile=false", "algo.n_epochs=1", "warmup=none"]
    for env_id in ("probe/int-v0", "FrozenLake-v1"):
        code, out = _main(monkeypatch, capfd, *common, f"env.id={env_id}", f"env.name={env_id[-9:-3]}")
        assert (code, "completed" in out) == (0, True), out
    endless = ["env.id=probe/endless-v0", "env.name=endless", "evaluation.max_steps=40"]
    code, out = _main(monkeypatch, capfd, *common, *endless)
    assert code == 1
    assert "evaluation episode of env.id=probe/endless-v0 has not ended after 40 steps; give it a time limit" in out
    assert "Traceback" not in out


def test_a_runs_dir_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("here")
    code, out, err = call("run", f"runs_dir={tmp_path / 'file' / 'runs'}", *TINY)
    assert code != 0
    assert "nothing can be recorded" in err
    assert "Traceback" not in out + err


def test_help_is_written_for_people(tmp_path):
    code, out, _ = call("run", "--help")
    assert code == 0
    for word in (
        "python -m rl_warmup.run",
        "warmup: amago, constant, cosine",
        "learning_rate_scale",
        "study: none, quick",
    ):
        assert word in out


@pytest.mark.parametrize("extra", [long(), TINY_DQN])
def test_one_run_prints_what_it_did(extra, tmp_path):
    code, out, err = call("run", "warmup=exponential", "seed=3", *TINY, *extra, f"runs_dir={tmp_path}")
    assert (code, err) == (0, "")
    (record,), problems = read_study(tmp_path / "single")
    assert (record.status, problems) == ("completed", [])
    steps = record.info["gradient_steps"]
    planned = f"{steps:,} of {record.info['planned_gradient_steps']:,} planned were taken"
    for word in ("return", planned, "gradient steps below 99%", "read from the optimizer", str(record.folder)):
        assert word in out
    assert 0 < steps == record.info["planned_gradient_steps"]
    code, out, _ = call("run", "warmup=exponential", "seed=3", *TINY, *extra, f"runs_dir={tmp_path}")
    assert code == 0
    assert "not trained again" in out


@pytest.mark.parametrize("trainer", [pytest.param("sb3", marks=pytest.mark.long), "stacked"])
def test_a_shape_and_a_schedule_of_ones_own_by_their_path(trainer, tmp_path):
    own, env = "helpers.own_schedules", {"PYTHONPATH": str(TESTS)}
    custom = [
        "warmup=custom",
        f"warmup.target={own}.my_ramp",
        "schedule=custom",
        f"schedule.target={own}.my_schedule",
    ]
    code, _, err = call("run", *TINY, f"trainer={trainer}", *custom, f"runs_dir={tmp_path}", env=env)
    assert (code, err) == (0, "")
    (record,), _ = read_study(tmp_path / "single")
    assert record.info["arm"].startswith("my_ramp-10%-gradient_steps lr=")
    assert record.info["config"]["warmup"]["target"] == f"{own}.my_ramp"
    code, _, err = call("run", "warmup=custom", f"warmup.target={own}.falls", f"runs_dir={tmp_path}", env=env)
    assert code == 1
    assert "warmup: helpers.own_schedules.falls falls: at 0.499" in err


@pytest.mark.parametrize("launcher", [long(), long(*JOBLIB), STACKED, long(*STACKED, "hydra.launcher.width=1")])
def test_a_sweep_trains_every_combination_once_and_ends_with_a_report(launcher, tmp_path):
    sweep = ["-m", "algo=ppo,dqn", "warmup=none,linear", "seed=range(0,1)", *TINY, *launcher]
    sweep.append("total_timesteps=1100")  # DQN first learns after 1024
    code, out, err = call("run", *sweep, f"runs_dir={tmp_path}")
    assert (code, err) == (0, "")
    records, problems = read_study(tmp_path / "sweep")
    assert (len(records), problems) == (4, [])
    assert {record.status for record in records} == {"completed"}
    report = json.loads((tmp_path / "sweep" / "report.json").read_text())
    assert len(report["runs"]) == 4
    assert "4 runs" in out
    code, out, _ = call("run", *sweep, f"runs_dir={tmp_path}")
    assert code == 0
    assert "4 done before, 0 to do" in out


@pytest.mark.long  # test_wandb_progress.py has it below the command line
def test_members_of_a_stack_are_sent_at_the_end_and_the_sweep_is_tracked_in_one_run(tmp_path):
    sweep = ["-m", "seed=0,1", *STACKED, *TINY, "tracking=wandb", "tracking.mode=offline", f"runs_dir={tmp_path}"]
    code, out, err = call("run", *sweep)
    assert code == 0, err
    assert out.count("W&B: the sweep's progress is tracked in one run; the members of stacks are sent") == 1
    written = [path.name for path in (tmp_path / "sweep" / "wandb").glob("offline-run-*")]
    assert len([name for name in written if "study-sweep" not in name]) == 2
    assert len({name.rpartition("study-")[2] for name in written if "study-sweep" in name}) == 1


@pytest.mark.long
def test_a_launcher_that_trains_stacked_runs_one_by_one_is_noted(tmp_path):
    sweep = ["-m", "seed=2", "trainer=stacked", *TINY, f"runs_dir={tmp_path}"]
    code, out, err = call("run", *sweep)
    assert code == 0, err
    assert "hydra/launcher=stacked trains them together" in " ".join(out.split())  # lines are wrapped


@pytest.mark.long
def test_hydras_own_sweeper_finds_the_launcher_too(tmp_path):
    sweep = [
        "-m",
        "hydra/sweeper=basic",
        "seed=0,1",
        "warmup=none,linear",
        "warmup.length=0.2,0.3",
        *STACKED,
        *TINY,
    ]
    code, _, err = call("run", *sweep, f"runs_dir={tmp_path / 'runs'}", f"hydra.sweep.dir={tmp_path}")
    assert code == 0, err
    records, _ = read_study(tmp_path / "runs" / "sweep")
    assert [record.status for record in records] == ["completed"] * 6  # no warmup has no length


@pytest.mark.long
def test_combinations_that_differ_in_nothing_are_one_run(tmp_path):
    sweep = ["-m", "warmup=none,linear", "warmup.length=0.2,0.5", "seed=0", *TINY, f"runs_dir={tmp_path}"]
    code, _, err = call("run", *sweep)
    assert code == 0, err
    assert len(read_study(tmp_path / "sweep")[0]) == 3


@pytest.mark.long
def test_a_failed_run_of_a_sweep_is_seen_and_the_others_are_trained(tmp_path):
    probes = {"PYTHONPATH": str(TESTS)}
    sweep = [
        "-m",
        "env.id=helpers.probe_envs:probe/broken-v0,CartPole-v1",
        "algo.n_envs=1",
        *TINY,
        f"runs_dir={tmp_path}",
    ]
    code, _, err = call("run", *sweep, env=probes)
    assert code == 1
    assert "OverflowError: the environment broke" in err
    records, _ = read_study(tmp_path / "sweep")
    assert sorted(record.status for record in records) == ["completed", "failed"]


@pytest.mark.long  # of a stack below
@pytest.mark.parametrize("launcher", [[], JOBLIB, ["hydra/launcher=stacked"]])
@pytest.mark.parametrize("how", ["killed", "vanished"])
def test_a_run_that_takes_its_process_along_is_named_and_the_others_are_trained(how, launcher, tmp_path):
    probes = {"PYTHONPATH": str(TESTS)}
    sweep = ["-m", f"env.id=helpers.probe_envs:probe/{how}-v0,CartPole-v1", "algo.n_envs=1", *TINY, *launcher]
    code, _, err = call("run", *sweep, f"runs_dir={tmp_path}", env=probes)
    reason = "killed by signal 9 (SIGKILL)" if how == "killed" else "exit code 3"
    assert code == 1
    assert f"it failed ({reason})" in err.splitlines()[-1]
    assert "Traceback" not in err
    records, _ = read_study(tmp_path / "sweep")
    assert sorted(record.status for record in records) == ["completed", "failed"]


def test_a_killed_stack_is_seen_its_runs_named_and_the_others_are_trained(tmp_path):
    probes = {"PYTHONPATH": str(TESTS)}
    sweep = [
        "-m",
        "env.id=CartPole-v1,helpers.probe_envs:probe/killed-v0",
        "seed=0,1",
        "algo.n_envs=1",
        *TINY,
        *STACKED,
    ]
    code, _, err = call("run", *sweep, "trainer.envs=gymnasium", f"runs_dir={tmp_path}", env=probes)
    assert code == 1
    assert "was lost: killed by signal 9 (SIGKILL), with 2 runs unfinished" in err
    *_, second_last, last = err.splitlines()
    for line, seed in ((second_last, 0), (last, 1)):
        assert re.fullmatch(
            rf"failed: .*-s{seed}-\w+: it failed \(killed by signal 9 \(SIGKILL\)\); run it again", line
        )
    records, _ = read_study(tmp_path / "sweep")
    assert sorted(record.status for record in records) == ["completed", "completed", "failed", "failed"]


@pytest.mark.parametrize(
    "arguments", [["seed=3"], long("-m", "seed=0,1"), long("study=quick"), ["study=quick", "seed=1,2", "retries=5"]]
)
def test_plan_only_prints_what_is_ahead_and_leaves_nothing(arguments, tmp_path):
    code, out, err = call("run", *arguments, "plan_only=true", "tracking=disabled", f"runs_dir={tmp_path / 'runs'}")
    assert (code, err) == (0, "")
    assert re.search(r"\d+ runs? in .*: 0 done before, \d+ to do", out)
    assert "to start" in out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("launcher", [[], STACKED, long(*JOBLIB)])
def test_plan_only_trains_nothing_by_hydras_own_sweeper_either(launcher, tmp_path):
    where = [f"runs_dir={tmp_path / 'runs'}", f"hydra.sweep.dir={tmp_path}"]
    code, out, err = call(
        "run", "-m", "hydra/sweeper=basic", "seed=0,1", "plan_only=true", *TINY, *launcher, *where
    )
    assert (code, err) == (0, "")
    counts = re.findall(r"(\d) runs? in .*: 0 done before, (\d) to do", out)
    assert counts == ([("2", "2")] if launcher == STACKED else [("1", "1")] * 2)
    assert not (tmp_path / "runs").exists()


def within(monkeypatch, *arguments):
    """Run a command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["rl_warmup.run", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


@pytest.mark.usefixtures("_own_process")
def test_the_recorded_command_makes_the_same_experiment_again(tmp_path, monkeypatch, capfd):
    """What Hydra's flags and a mode choose is recorded; each recorded command finds the run of the first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my conf" / "env").mkdir(parents=True)
    cartpole = (conf_dir() / "env" / "cartpole.yaml").read_text()
    (tmp_path / "my conf" / "env" / "mine.yaml").write_text(cartpole.replace("name: cartpole", "name: mine"))
    (tmp_path / "my conf" / "seven.yaml").write_text(
        "defaults: [config, _self_]\nseed: 7\nhydra: {mode: MULTIRUN}\n"
    )
    own = ["--config-dir", "my conf", "-cn", "seven"]
    run = ["env=mine", "learning_rate=1e-3", *TINY, "study.name=x", "study.description='two\nlines'"]
    written = shlex.join(run[:-1]) + r" $'study.description=\'two\nlines\''"
    commands = [
        (own, "--config-dir 'my conf' --config-name seven"),
        ([*own, "hydra.mode=RUN"], "--config-dir 'my conf' --config-name seven hydra.mode=RUN"),
        (["-m", "--config-path", str(conf_dir()), *own], "--config-dir 'my conf' --config-name seven"),
    ]
    for flags, _ in commands:
        assert within(monkeypatch, *flags, *run) == 0
    records, _ = read_study(tmp_path / "runs" / "x")
    assert [(record.info["seed"], record.config["env"]["name"]) for record in records] == [(7, "mine")]
    lines = (tmp_path / "runs" / "x" / "commands.txt").read_text().splitlines()
    assert lines == [f"python -m rl_warmup.run {flags} {written}" for _, flags in commands[:2]]
    for line, found in zip(lines, ["1 done before, 0 to do", "recorded already"], strict=True):
        words = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True)
        capfd.readouterr()
        assert within(monkeypatch, *words.stdout.split("\0")[3:-1]) == 0
        assert found in capfd.readouterr().out
    assert (tmp_path / "runs" / "x" / "commands.txt").read_text().splitlines() == lines


@pytest.mark.usefixtures("_own_process")
@pytest.mark.parametrize(
    ("own", "notice"),
    [
        (
            [],
            "MountainCar-v0 is trained as env=cartpole, which is CartPole-v1: give it an env.name, a learning_rate",
        ),
        (
            ["env.name=car", "env.threshold=-110"],
            "MountainCar-v0 is trained with env.return_floor=8, env.return_low=22.2, env.return_high=500, "
            "env.floor=8, env.ceiling=500, env.reward_max=1 of CartPole-v1",
        ),
        (["env.name=car", "env.return_low=20"], None),
    ],
)
@pytest.mark.parametrize("sweep", [[], ["-m"]])
def test_constants_of_another_environment_are_noted_before_training(
    own, notice, sweep, tmp_path, monkeypatch, capsys
):
    arguments = ["env.id=MountainCar-v0", *own, *TINY, f"runs_dir={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["rl_warmup.run", *sweep, *arguments, "plan_only=true"])
    with pytest.raises(SystemExit) as end:
        main()
    out = capsys.readouterr().out
    assert (end.value.code, "is trained" in out) == (0, notice is not None)
    assert (notice or "") in out
    if not sweep:
        preview.main(arguments)
        assert (notice or "") in capsys.readouterr().out


@pytest.mark.parametrize("launcher", [STACKED, long(), long(*JOBLIB)])
def test_environments_with_processes_of_their_own_train_in_sweeps(launcher, tmp_path):
    own = ["env.id=helpers.probe_envs:probe/process-v0", "env.name=process", "trainer.envs=gymnasium"]
    sweep = [
        "-m",
        "seed=0,1",
        "algo.n_envs=2",
        "algo.batch_size=64",
        *own,
        *TINY,
        *launcher,
        f"runs_dir={tmp_path}",
    ]
    code, _, err = call("run", *(sweep if launcher == STACKED else [*sweep, "trainer.envs=null"]), env=PROBES)
    assert (code, err) == (0, "")
    records, _ = read_study(tmp_path / "sweep")
    assert [record.status for record in records] == ["completed"] * 2


def test_a_value_that_is_not_finite_ends_a_run_with_its_environment_named(tmp_path):
    own = ["env.id=helpers.probe_envs:probe/nan_at_once-v0", "env.name=nan"]
    code, out, err = call("run", *own, *TINY, f"runs_dir={tmp_path}", env=PROBES)
    assert (code, "Traceback" in out + err) == (1, False)
    assert (
        "failed: FloatingPointError: env.id=helpers.probe_envs:probe/nan_at_once-v0 gave the reward nan in" in out
    )


@pytest.mark.long
def test_status_follows_a_sweep_from_its_plan_to_its_end(tmp_path):
    probes = {"PYTHONPATH": str(TESTS)}
    sweep = ["-m", "env.id=CartPole-v1,helpers.probe_envs:probe/broken-v0", "seed=0,1", "algo.n_envs=1", *TINY]
    sweep += ["hydra/launcher=stacked", f"runs_dir={tmp_path}"]
    assert call("run", *sweep, env=probes)[0] == 1
    code, out, err = call("status", str(tmp_path / "sweep"))
    assert (code, err) == (1, "")
    assert re.search(r"completed +2 +50%", out)
    assert out.count("OverflowError: the environment broke (failed 1 time)") == 2
    assert "trains 2 runs" in out
    for run in (tmp_path / "sweep").glob("*-s0-*"):
        shutil.rmtree(run)
    code, out, _ = call("status", str(tmp_path / "sweep"))
    assert re.search(r"missing +2 +50%", out)
    assert "trains 3 runs" in out
    code, out, err = call("run", *sweep, env=probes)
    assert "1 done before, 3 to do" in out
    assert "expected: time and disk are not known" in out  # no run on the broken environment ever ended
    assert "(failed 1 time)" in out
    call("run", *sweep, env=probes)
    code, out, err = call("run", *sweep, env=probes)
    assert code == 1
    assert "retries=3 tries it once more" in err
    assert "3 done before" not in out


def test_a_single_run_of_another_process_is_left_to_it(configure, capsys):
    config = configure(*TINY)
    with recording(run_folder(config), run_info(config, 1), {"algo": {"name": "ppo"}}):
        with pytest.raises(ConfigError, match="is being trained by another process; it is left to it"):
            train_single(config, Console())
        run_single(replace(config, plan_only=True), "", Console())
    out = capsys.readouterr().out
    assert "0 done before, 0 to do" in out
    assert "1 running in another process" in out


@pytest.mark.long
@pytest.mark.parametrize("launcher", [[], [*STACKED, "hydra.launcher.width=2"]])
def test_two_processes_that_start_a_sweep_at_once_share_it(launcher, tmp_path):
    sweep = ["-m", "seed=range(0,6)", "total_timesteps=3000", *TINY[1:], *launcher, f"runs_dir={tmp_path}"]
    both = [start("run", *sweep) for _ in range(2)]
    ends = [(process, *process.communicate(timeout=300)) for process in both]
    records, problems = read_study(tmp_path / "sweep")
    assert (len(records), problems) == (6, [])
    assert {record.status for record in records} == {"completed"}
    assert not any(record.info["earlier_attempts"] for record in records)
    assert 0 in {process.returncode for process, _, _ in ends}
    for process, _, err in ends:
        if process.returncode:  # it ended while the other one still trained
            assert "left to another process" in err
        assert "Traceback" not in err
        assert "failed" not in err
    code, out, _ = call("run", *sweep)
    assert code == 0
    assert "6 done before, 0 to do" in out


@pytest.mark.parametrize("arguments", [["seed=0"], ["-m", "seed=0,1"], ["-m", "seed=0,1", *STACKED]])
@pytest.mark.long  # test_surviving.py has a sweep that is resumed afterwards
def test_a_disk_that_takes_no_more_is_one_message_and_leaves_whole_files(arguments, tmp_path):
    full = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))}
    process = start("run", *arguments, *TINY, "evaluation.count=60", f"runs_dir={tmp_path}", **full)
    _, err = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "File too large" in err
    assert "Traceback" not in err
    for path in tmp_path.rglob("*.parquet"):
        pl.read_parquet(path)
    for path in tmp_path.rglob("run.json"):
        read_info(path.parent)
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.long
def test_a_declaration_is_not_changed_after_the_fact(tmp_path):
    study = ["study=quick", "seed=0", "learning_rate_scale=1", *TINY, f"runs_dir={tmp_path}"]
    assert call("run", *study)[0] == 0
    declared = (tmp_path / "quick" / "study.yaml").read_bytes()
    code, out, err = call("run", *study, "study.smallest_effect=0.2", "seed=1")
    assert code != 0
    assert "declared with another smallest_effect" in err
    assert "Traceback" not in out + err
    assert (tmp_path / "quick" / "study.yaml").read_bytes() == declared
    assert len(read_study(tmp_path / "quick")[0]) == 2


@pytest.mark.long
@pytest.mark.parametrize("launcher", [[], JOBLIB, [*STACKED, "hydra.launcher.width=1"]])
def test_ctrl_c_in_a_sweep_keeps_what_is_complete_and_the_same_command_trains_the_rest(launcher, tmp_path):
    sweep = ["-m", "seed=range(0,4)", "total_timesteps=6000", *TINY[1:], *launcher, f"runs_dir={tmp_path}"]
    process = start("run", *sweep, start_new_session=True)
    deadline = time.time() + 120
    while time.time() < deadline and not any(done(path) for path in (tmp_path / "sweep").glob("*/run.json")):
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: what is completed stays" in err
    assert "Traceback" not in err
    records, problems = read_study(tmp_path / "sweep")
    finished = {record.folder: record.evaluations() for record in records if record.status == "completed"}
    assert finished
    assert not problems
    code, out, err = call("run", *sweep)
    assert code == 0, err
    assert f"{len(finished)} done before" in out
    assert all(frame.equals(Record(path, read_info(path)).evaluations()) for path, frame in finished.items())
    assert len(read_study(tmp_path / "sweep")[0]) == 4


def done(path):
    return json.loads(path.read_text())["status"] == "completed"


def _strict_add_argument(parser, *names, add=argparse._ActionsContainer.add_argument, **options):
    """As in Python 3.14, which checks help when an argument is added."""
    action = add(parser, *names, **options)
    parser._check_help(action)
    return action


def _check_help(parser, action):
    try:
        assert action.help is None or "%" not in action.help or action.help % {}
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError("badly formed help string") from error


@pytest.mark.usefixtures("_own_process")
def test_hydra_parses_its_arguments_under_python_3_14(monkeypatch, capsys):
    monkeypatch.setattr(argparse._ActionsContainer, "add_argument", _strict_add_argument)
    monkeypatch.setattr(argparse._ActionsContainer, "_check_help", _check_help, raising=False)
    with pytest.raises(ValueError, match="badly formed help string"):
        get_args_parser()
    monkeypatch.setattr(sys, "argv", ["rl_warmup.run", "seed=7", "--cfg", "job"])
    main()
    assert "seed: 7" in capsys.readouterr().out
    with pytest.raises(ValueError, match="badly formed help string"):
        argparse.ArgumentParser().add_argument("--share", help="50% of %(prog")
