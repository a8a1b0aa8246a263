"""A sweep from its grid to what is left of it: expansion, plan, what is trained and what is said."""

import fcntl
import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.configs import Configure
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict
from rich.console import Console

from hydra_plugins.rl_warmup.launcher import StackedLauncher
from hydra_plugins.rl_warmup.sweeper import _failures
from rl_warmup.analysis.declaration import declaration
from rl_warmup.analysis.problems import Problems
from rl_warmup.config.conf import conf_dir
from rl_warmup.config.identity import run_folder, study_folder
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.atomic import write_text
from rl_warmup.records.read import read_info
from rl_warmup.records.study import read_commands, read_declaration, read_runs
from rl_warmup.records.write import recording
from rl_warmup.report import command as report
from rl_warmup.run.compose import SweepComposer, configured, register_schema
from rl_warmup.run.execute import run_info
from rl_warmup.run.jobs import KEPT, Job, compose_jobs, with_keep
from rl_warmup.run.launch.processes import RunFailed
from rl_warmup.run.sweep import _launch, run_sweep

TINY = ["device=cpu", "total_timesteps=600", "evaluation.count=3", "tracking=disabled"]


@contextmanager
def hydra() -> Iterator[tuple[HydraContext, DictConfig]]:
    """Hydra as a sweeper gets it."""
    register_schema()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir().resolve())):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
        yield HydraContext(config_loader=loader, callbacks=Callbacks()), config


class Remembering(Launcher):
    """A launcher that remembers what it was asked to launch."""

    def __init__(self) -> None:
        self.jobs: list[list[str]] = []

    def setup(self, **_: Any) -> None:
        raise AssertionError("it is ready")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        self.jobs += [list(overrides) for overrides in job_overrides]
        return []


GRIDS: list[tuple[dict[str, str], list[str]]] = [
    ({}, ["seed=1"]),
    ({}, ["seed=0,1,2", "warmup=none,linear"]),
    ({}, ["warmup=choice(none,linear)", "seed=range(0,3)"]),
    ({}, ["seed=range(0,10,3)", "learning_rate=range(0.001,0.004,step=0.001)"]),
    ({}, ["warmup=glob(*)"]),
    ({}, ["warmup=glob(*,exclude=[*tuned*,radam])", "seed=sort(3,1,2,reverse=true)"]),
    ({}, ["algo.net_arch=[64,64],[32]", "study.description='a b','c'"]),
    ({}, ["learning_rate=1e-3,1e-2", "+hydra.job.name=x", "~tracking"]),
    ({"seed": "range(0,20)", "warmup": "none,linear", "learning_rate_scale": "1,16"}, []),
    ({"seed": "range(0,20)", "warmup": "none,linear"}, ["seed=range(5,7)", "algo=ppo,dqn"]),
    ({"warmup": "glob(*sqrt)", "seed": "0,1"}, ["warmup=none"]),
]


def sweeper(target: str, params: dict[str, str], **more: Any) -> Any:
    """A sweeper as Hydra makes it, with a launcher that remembers."""
    with hydra() as (context, config):
        with open_dict(config):
            config.hydra.sweeper = {"_target_": target, "max_batch_size": None, "params": params, **more}
        found: Any = Plugins.instance().instantiate_sweeper(
            hydra_context=context, task_function=lambda config: None, config=config
        )
        found.launcher = Remembering()
        return found


def ours(params: dict[str, str], **more: Any) -> Any:
    return sweeper("hydra_plugins.rl_warmup.sweeper.StudySweeper", params, **more)


def hydras(params: dict[str, str], folder: Path) -> Any:
    found = sweeper("hydra._internal.core_plugins.basic_sweeper.BasicSweeper", params)
    found.config.hydra.sweep.dir = str(folder)
    found.validate_batch_is_legal = lambda batch: None  # composes every job, in 0.2 s
    return found


@pytest.mark.parametrize(("params", "arguments"), GRIDS)
def test_the_grid_is_that_of_hydras_own_sweeper(
    params: dict[str, str], arguments: list[str], tmp_path: Path
) -> None:
    oracle = hydras(params, tmp_path)
    oracle.sweep(arguments)
    assert ours(params).combinations(arguments) == oracle.launcher.jobs


@pytest.mark.parametrize(
    ("params", "arguments"), [({}, ["learning_rate=interval(0,1)"]), ({"learning_rate": "interval(0,1)"}, [])]
)
def test_an_interval_is_refused_as_hydra_does(params: dict[str, str], arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(HydraException, match="does not support sweep type : INTERVAL"):
        hydras(params, tmp_path).sweep(arguments)
    with pytest.raises(ConfigError, match=r"learning_rate=interval\(0,1\) has no list of values; use choice"):
        ours(params).combinations(arguments)


@pytest.mark.parametrize("empty", ["seed=range(0,0)", "warmup=glob(nothing*)"])
def test_a_list_without_a_value_is_refused(empty: str) -> None:
    with pytest.raises(ConfigError, match=f"{re.escape(empty)} has no value at all"):
        ours({}).combinations(["learning_rate=1e-3,1e-2", empty])


def test_cases_are_swept_one_after_the_other_over_the_same_grid() -> None:
    cases = ["env=acrobot", "algo=dqn tuned@_global_=dqn/cartpole_stable 'algo.net_arch=[8, 8]' seed=7"]
    sweeping = ours({"warmup": "none,linear", "seed": "range(0,2)"}, cases=cases)
    first = [[f"warmup={name}", f"seed={seed}", "env=acrobot"] for name in ("none", "linear") for seed in (0, 1)]
    second = ["algo=dqn", "tuned@_global_=dqn/cartpole_stable", "algo.net_arch=[8,8]"]
    assert sweeping.combinations([]) == [
        *first,
        *([f"warmup={name}", "seed=7", *second] for name in ("none", "linear")),
    ]
    assert sweeping.combinations(["warmup=none"])[0] == ["warmup=none", "seed=0", "env=acrobot"]


def test_the_command_line_does_not_rewrite_cases() -> None:
    sweeping = ours({"seed": "0,1"}, cases=["env=acrobot algo=dqn", "env=cartpole"])
    message = r"env=lunarlander: a case of this sweep has env=acrobot; choose cases instead, 'hydra.sweeper.cases="
    with pytest.raises(ConfigError, match=message):
        sweeping.combinations(["env=lunarlander"])


def test_jobs_are_launched_in_batches_as_by_hydras_own_sweeper() -> None:
    launched: list[list[int]] = []
    sweeping = ours({})
    for size, batches in ((None, [[0, 1, 2, 3, 4]]), (2, [[0, 1], [2, 3], [4]]), (5, [[0, 1, 2, 3, 4]])):
        sweeping.max_batch_size = size
        lost = sweeping._in_batches(lambda jobs: launched.append(jobs) or {str(jobs[0]): "fell"})([*range(5)])
        assert launched == batches
        assert lost == {str(batch[0]): "fell" for batch in batches}
        launched.clear()
    sweeping.max_batch_size = 0
    with pytest.raises(ConfigError, match=r"hydra.sweeper.max_batch_size=0 is too small; use 1 or more"):
        sweeping._in_batches(launched.append)


def test_hydras_own_sweeper_is_told_of_a_run_that_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [[f"seed={seed}", *TINY, "study.name=x", f"runs_dir={tmp_path}"] for seed in (0, 1)]

    def train(configs: Sequence[RunConfig], *_: Any) -> dict[str, str]:
        with recording(run_folder(configs[0]), run_info(configs[0], 1), asdict(configs[0])) as writer:
            writer.finish("completed")
        return {}

    monkeypatch.setattr("rl_warmup.run.launch.processes.train_runs", train)
    launcher = StackedLauncher()
    with hydra() as (launcher._context, launcher._config):
        done, left = launcher.launch(jobs, 0)
    assert done.return_value == "completed"
    with pytest.raises(RuntimeError, match="it was not begun"):
        _ = left.return_value


JOBS = [
    ["seed=3"],
    ["warmup=none", "seed=0"],
    ["algo=dqn", "learning_rate=0.01", "seed=12"],
    ["algo=dqn", "learning_rate=0.02", "warmup.length=0.3", "evaluation.count=5", "seed=1"],
    ["algo=ppo", "learning_rate=null", "learning_rate_scale=4", "seed=007"],
    ["algo=ppo", "algo.net_arch=[8]", "algo.optimizer.beta2=0.9", "study.description='a b'", "seed=1"],
    ["env=acrobot", "schedule=linear", "warmup=cosine", "warmup.length=12", "trainer=stacked"],
    ["env.id=Acrobot-v1", "env.name=other", "algo.clip_range=0.1"],
    ["env.name=${algo.name}", "seed=2"],
    ["algo.optimizer={beta1: 0.5}", "seed=2"],
    ["env.kwargs.sutton_barto_reward=true", "seed=2"],
    ["env.kwargs={sutton_barto_reward: true}", "env.wrappers=[a.B]", "env.wrappers=[]"],
    ["env.wrappers=[{gymnasium.wrappers.TimeLimit: {max_episode_steps: 9}}]", "env.envpool=null"],
]


def test_a_job_is_what_hydra_composes_for_it() -> None:
    with hydra() as (context, config):
        compose = SweepComposer(context.config_loader, config)
        composed = [compose([*TINY, "total_timesteps=6000", *job]) for job in [*JOBS, *JOBS[::-1]]]
    expected = [configured([*TINY, "total_timesteps=6000", *job], "sweep") for job in JOBS]
    assert composed == [*expected, *expected[::-1]]
    assert [type(run.algo) for run in composed[: len(JOBS)]] == [type(run.algo) for run in expected]


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (["seed=-1"], "seed=-1 is not a seed"),
        (["seed=4294967296"], "seed=4294967296 is not a seed"),
        (["retries=-1"], "retries=-1 is too small"),
    ],
)
def test_values_of_jobs_are_checked(job: list[str], message: str) -> None:
    with hydra() as (context, config):
        compose = SweepComposer(context.config_loader, config)
        compose(TINY)
        with pytest.raises(ConfigError, match=message):
            compose([*TINY, *job])


def jobs_of(configs: Sequence[RunConfig]) -> list[Job]:
    found = {str(index): config for index, config in enumerate(configs)}
    return compose_jobs([[index] for index in found], lambda overrides: found[overrides[0]])


def finish(jobs: Sequence[Job], status: str = "completed", error: str | None = None) -> None:
    """Record the jobs as if they had been trained."""
    for job in jobs:
        with recording(job.folder, run_info(job.config, 1), {"algo": {"name": "ppo"}}) as writer:
            for step in (0, job.planned.env_steps):
                writer.append("evaluations", {"env_step": step, "returns": [1.0], "lengths": [1]})
            writer.finish(status, error)


@pytest.fixture
def jobs(configure: Configure) -> list[Job]:
    """Three seeds of a control."""
    return jobs_of([configure(*TINY, "warmup=none", f"seed={seed}") for seed in range(3)])


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has tests of its own and takes a second."""
    monkeypatch.setattr(report, "report", lambda folder, console: 0)


def swept(jobs: Sequence[Job], launch: Any = finish) -> tuple[int, str]:
    out = io.StringIO()
    code = run_sweep(jobs, launch, "the command", Console(file=out, width=300))
    return code, out.getvalue()


def changed(jobs: Sequence[Job], **values: Any) -> list[Job]:
    return [replace(job, config=replace(job.config, **values)) for job in jobs]


def test_a_finished_sweep_needs_no_memory(jobs: list[Job]) -> None:
    """No launcher is asked what nothing needs."""

    def again(jobs: Sequence[Job]) -> tuple[int, list[int]]:
        asked: list[int] = []

        def memory(configs: Sequence[RunConfig]) -> list[str]:
            asked.append(len(configs))
            return StackedLauncher().memory(configs)

        return run_sweep(jobs, finish, "the command", Console(file=io.StringIO()), memory), asked

    assert again(jobs[:2]) == (0, [2])
    assert again(jobs[:2]) == (0, [])


def test_a_sweep_notes_its_study_plan_and_command_and_does_the_rest_later(jobs: list[Job]) -> None:
    folder = study_folder(jobs[0].config)
    code, out = swept(jobs[:2])
    assert code == 0
    assert "2 runs in" in out
    assert "0 done before, 2 to do" in out
    assert "2 to start" in out
    assert swept(jobs, finish)[1].splitlines()[0].endswith("3 runs in " + str(folder) + ": 2 done before, 1 to do")
    assert swept(jobs, None)[0] == 0  # nothing is launched
    runs = read_runs(folder)
    assert list(runs.runs) == [job.folder.name for job in jobs]
    assert set(runs.runs.values()) == {jobs[0].planned}
    assert read_commands(folder) == ["the command"]


def test_one_run_is_no_plural(jobs: list[Job]) -> None:
    assert swept(jobs[:1])[1].startswith("1 run in ")


def test_plan_only_trains_and_writes_nothing(jobs: list[Job]) -> None:
    code, out = swept(changed(jobs, plan_only=True), None)
    assert code == 0
    assert "0 done before, 3 to do" in out
    assert "expected: time and disk are not known before the first runs are done" in out
    assert not Path(jobs[0].config.runs_dir).exists()
    finish(jobs[:1])
    out = swept(changed(jobs, plan_only=True), None)[1]
    assert "by 1 run of this study" in out


def test_few_runs_keep_their_agents_and_many_have_to_be_asked(jobs: list[Job]) -> None:
    many = [replace(jobs[0], folder=jobs[0].folder.with_name(f"run{index}")) for index in range(KEPT + 1)]
    assert {job.config.keep for job in with_keep(many)} == {None}
    assert {job.config.keep for job in with_keep(many[1:])} == {"last"}
    assert {job.overrides[-1] for job in with_keep(many[1:])} == {"keep=last"}  # for launchers that compose again
    for keep in ("best", "none"):
        for asked in (changed(many, keep=keep), changed(many[1:], keep=keep)):
            assert with_keep(asked) == asked


@pytest.mark.parametrize(
    ("count", "keep", "said"),
    [
        (2, None, "every run keeps its last agent in model.zip"),
        (2, "best", "every run keeps the agent of its best evaluation in model.zip"),
        (2, "none", "no agent is kept"),
        (KEPT + 1, None, "no agent is kept: in a sweep of more than 20 runs ask for it, by keep=last or keep=best"),
        (KEPT + 1, "last", "every run keeps its last agent in model.zip"),
    ],
)
def test_a_plan_says_which_agents_stay(count: int, keep: str | None, said: str, jobs: list[Job]) -> None:
    configs = [replace(jobs[0].config, seed=seed, keep=keep, plan_only=True) for seed in range(count)]
    out = swept([Job((), config, run_folder(config)) for config in configs], None)[1]
    (line,) = [line for line in out.splitlines() if line.startswith(("every run keeps", "no agent"))]
    assert line.removesuffix(" (docs/agents.md)") == said


def test_a_run_is_tried_as_often_as_stated(jobs: list[Job], capsys: pytest.CaptureFixture[str]) -> None:
    tried = []

    def fail(todo: list[Job]) -> None:
        tried.append(len(todo))
        finish(todo, "failed", "Traceback\nValueError: broke")

    codes = [swept(jobs[:1], fail)[0] for _ in range(5)]
    assert (tried, codes) == ([1, 1, 1], [1] * 5)
    err = capsys.readouterr().err
    assert err.count("failed: ") == 3
    assert err.count("it failed 3 times (ValueError: broke) and is not tried again; retries=3 tries it once") == 2
    swept(changed(jobs[:1], retries=3), fail)
    assert len(tried) == 4
    assert swept(changed(jobs[:1], retries=4))[0] == 0


def test_the_record_of_another_config_is_not_used(jobs: list[Job]) -> None:
    finish(jobs)
    info = read_info(jobs[1].folder)
    info["config"]["algo"]["gamma"] = 0.5
    write_text(jobs[1].folder / "run.json", json.dumps(info))
    with pytest.raises(ConfigError, match=r"another config \(algo.gamma 0.5 instead of 0.98\)"):
        swept(jobs)


def test_a_damaged_record_is_left_and_named(jobs: list[Job], capsys: pytest.CaptureFixture[str]) -> None:
    finish(jobs)
    (jobs[1].folder / "run.json").write_text("{")
    assert swept(jobs, None)[0] == 1
    assert f"given up: {jobs[1].folder}" in capsys.readouterr().err
    assert (jobs[1].folder / "run.json").read_text() == "{"


def test_a_run_of_another_process_is_left_to_it(jobs: list[Job], capsys: pytest.CaptureFixture[str]) -> None:
    jobs[0].folder.mkdir(parents=True)
    with (jobs[0].folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, out = swept(jobs)
        assert "1 running in another process and left to it" in out
        assert "0 done before, 2 to do" in out
        assert code == 1
    assert f"left to another process: {jobs[0].folder}" in capsys.readouterr().err


def test_a_run_that_another_process_finishes_meanwhile_is_done(jobs: list[Job]) -> None:
    jobs[0].folder.mkdir(parents=True)

    def launch(todo: list[Job]) -> None:
        fcntl.flock(lock, fcntl.LOCK_UN)
        finish(jobs)

    with (jobs[0].folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert swept(jobs, launch)[0] == 0


def test_an_undeclared_study_is_written_and_reads_as_before(jobs: list[Job], tmp_path: Path) -> None:
    swept(jobs)
    folder = study_folder(jobs[0].config)
    plan = read_declaration(folder)
    assert plan is not None
    assert plan["name"] == "test"
    with_file, without = Problems(), Problems()
    found, expected = declaration(folder, with_file), declaration(tmp_path / "test", without)
    assert found == expected
    assert not found.declared
    assumed = [{text for text in found if "assumed" in text} for found in (with_file.found, without.found)]
    assert assumed[0] == assumed[1] != set()
    assert any("study.yaml declares nothing" in text for text in with_file.found)


def test_a_declaration_stands_and_comes_before_the_first_run(jobs: list[Job]) -> None:
    study = jobs[0].config.study
    declared = replace(study, control={"warmup.name": "none"})
    swept(changed(jobs, study=declared))
    written = (study_folder(jobs[0].config) / "study.yaml").read_bytes()
    assert yaml.safe_load(written)["control"] == {"warmup.name": "none"}
    swept(jobs)  # declares nothing and changes nothing
    assert (study_folder(jobs[0].config) / "study.yaml").read_bytes() == written
    with pytest.raises(ConfigError, match="declared with another control"):
        swept(changed(jobs, study=replace(study, control={"warmup.name": "linear"}, smallest_effect=None)))
    later = replace(study, name="later")
    swept(changed(jobs, study=later))
    with pytest.raises(ConfigError, match="declared with another control"):
        swept(changed(jobs, study=replace(later, control={"warmup.name": "none"})))


@pytest.mark.parametrize("swept", [("retries", 0, 1), ("plan_only", True, False), ("threads", 1, 2)])
def test_two_values_for_one_run_are_refused(swept: tuple[str, Any, Any], configure: Configure) -> None:
    """They do not belong to a run's identity, so that one of them would win in silence."""
    name, *values = swept
    with pytest.raises(ConfigError, match=f"{name}.* cannot be swept"):
        compose_jobs([[f"{name}={value}"] for value in values], lambda overrides: configure(*TINY, *overrides))


def test_a_run_that_was_never_begun_says_so(jobs: list[Job], capsys: pytest.CaptureFixture[str]) -> None:
    assert swept(jobs, lambda todo: None)[0] == 1
    assert capsys.readouterr().err.count(": it was not begun") == len(jobs)


def test_why_a_job_failed_is_said_as_the_launcher_returns_it(
    jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [ConfigError("no such device"), RunFailed("it fell"), ImportError("No module named gym\nmore")]
    returned = [JobReturn(status=JobStatus.FAILED, _return_value=error) for error in errors]
    assert swept(jobs, lambda todo: _failures(todo, returned))[0] == 1
    *_, first, second, third = capsys.readouterr().err.splitlines()
    assert first == f"failed: {jobs[0].folder}: no such device"
    assert second == f"failed: {jobs[1].folder}: it fell"
    assert third == f"failed: {jobs[2].folder}: ImportError: No module named gym"
    assert _failures(jobs, [JobReturn(status=JobStatus.COMPLETED)]) == _failures(jobs, None) == {}


def test_what_is_of_the_sweep_is_not_swept(jobs: list[Job]) -> None:
    for values in ({"retries": 5}, {"plan_only": True}):
        with pytest.raises(ConfigError, match="cannot be swept"):
            jobs_of([jobs[0].config, changed(jobs, **values)[1].config])


def test_a_folder_that_takes_no_file_is_one_message(jobs: list[Job]) -> None:
    swept(jobs[:1])
    folder = study_folder(jobs[0].config)
    (folder / "plan.json").unlink()
    (folder / "plan.json").mkdir()
    with pytest.raises(ConfigError, match=r"the study cannot be written down in .*plan\.json"):
        swept(jobs)
    assert run_folder(jobs[1].config) == jobs[1].folder
    assert not jobs[1].folder.exists()


def test_an_error_out_of_an_interrupt_is_the_interrupt() -> None:
    def launch(jobs: list[Job]) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise UnboundLocalError("clean-up was cut short")

    with pytest.raises(KeyboardInterrupt):
        _launch(launch, [])


def test_any_other_error_of_a_launcher_is_said_and_a_report_follows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def launch(jobs: list[Job]) -> None:
        raise RuntimeError("a worker died")

    _launch(launch, [])
    assert "the launcher stopped: RuntimeError: a worker died" in capsys.readouterr().err
