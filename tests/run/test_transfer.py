"""Sweeps that train agents first and start all their arms from them; agents that are given, and what is refused."""

import shutil
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from helpers.configs import SHORT, TINY, Configure, probe
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.types import HydraContext, RunMode
from rich.console import Console

from hydra_plugins.rl_warmup.launcher import StackedLauncher
from rl_warmup.config.conf import conf_dir
from rl_warmup.config.identity import run_folder
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.config.transfer import source_folder, source_of
from rl_warmup.records import models
from rl_warmup.records.read import Record, finished_status, read_info
from rl_warmup.run.command import run_single
from rl_warmup.run.compose import SweepComposer, register_schema
from rl_warmup.run.execute import execute
from rl_warmup.run.jobs import Job, source_jobs
from rl_warmup.run.sources import unready
from rl_warmup.run.sweep import run_sweep

FROM = [*SHORT, "init.timesteps=200", "warmup.length=0.5"]


def jobs_of(configs: Sequence[RunConfig]) -> list[Job]:
    return [Job((f"arm={number}",), config, run_folder(config)) for number, config in enumerate(configs)]


def swept(configs: Sequence[RunConfig]) -> tuple[int, str, list[str]]:
    """Exit code and output of a sweep that trains in this process, and the runs that it trained, in their order."""
    console, trained = Console(file=StringIO(), width=300), []

    def launch(jobs: list[Job]) -> None:
        for job in jobs:
            trained.append(job.folder.name)
            execute(job.config)

    code = run_sweep(jobs_of(configs), launch, "the command", console)
    return code, console.file.getvalue(), trained  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_sweep_trains_each_agent_once_and_starts_its_arms_from_them(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = [
        ["init.optimizer=kept"],
        ["init.optimizer=fresh", "init.physics={gravity: 20}"],
        ["init.timesteps=null"],
    ]
    configs = [configure(*TINY["ppo"], *FROM, *arm, "warmup=none", f"seed={n}") for arm in arms for n in (0, 1)]
    code, said, trained = swept(configs)
    assert code == 0, capsys.readouterr().err
    study = run_folder(configs[0]).parent
    assert f"first their agents: 2 runs in {study}/sources: 0 done before, 2 to do" in said
    assert set(trained[:2]) == {source_folder(config).name for config in configs[:2]}
    assert sorted(trained[2:]) == sorted(run_folder(config).name for config in configs)
    assert (study / "sources/commands.txt").read_text() == "the command\n"
    for config in configs[:4]:
        info, source = read_info(run_folder(config)), source_folder(config)
        assert info["source"]["run"] == str(source)
        assert info["source"]["sha256"] == read_info(source)["model"]["sha256"]
        home = Record(run_folder(config), info).table("source_evaluations")
        assert home["env_step"].to_list() == [0, 256]
    assert (
        len({str(read_info(run_folder(config))["config"]["init"]) for config in configs[:2]}) == 1
    )  # of both seeds
    shutil.rmtree(run_folder(configs[0]))
    assert swept(configs)[2] == [run_folder(configs[0]).name]  # its agent is there
    assert "Pretrained agents" in (study / "report.html").read_text()


@pytest.mark.slow
def test_where_an_agent_fails_its_arms_fail_with_its_reason(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [*TINY["ppo"], *FROM, *probe("broken"), "init.learning_rate=1e-3", "learning_rate=1e-3"]
    configs = [configure(*broken, "warmup=none"), configure(*TINY["ppo"], *FROM, "init.timesteps=null")]
    code, _, trained = swept(configs)
    assert code == 1
    assert trained == [source_folder(configs[0]).name, run_folder(configs[1]).name]
    error = capsys.readouterr().err
    (line,) = [line for line in error.splitlines() if line.startswith(f"failed: {run_folder(configs[0])}: ")]
    assert (
        f"the run of the agent that it starts from, {source_folder(configs[0])}: it failed (RuntimeError: " in line
    )
    assert "OverflowError: the environment broke" in line
    assert not run_folder(configs[0]).exists()  # nothing is recorded of a run that could not begin


def test_an_override_makes_the_run_of_the_agent_for_launchers_of_hydra(configure: Configure) -> None:
    register_schema()
    own = ["tracking=disabled", "device=cpu", *TINY["dqn"], *FROM, "init.replay=kept", "study.name=x", "seed=3"]
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir().resolve())):
        loader = GlobalHydra.instance().config_loader()
        compose = SweepComposer(loader, loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN))
        arm, source = compose(own), compose([*own, "init.source_only=true"])
    assert source == source_of(arm)
    assert source.keep_replay
    assert source.seed == 3


def test_hydras_own_sweepers_have_the_agents_trained_first(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[list[str]] = []

    def train(configs: Sequence[RunConfig], *_: object) -> dict[str, str]:
        trained.append([run_folder(config).name for config in configs])
        for config in configs:
            execute(config)
        return {}

    monkeypatch.setattr("rl_warmup.run.launch.processes.train_runs", train)
    arm = configure(*TINY["ppo"], *FROM)
    own = [*TINY["ppo"], *FROM, "tracking=disabled", "device=cpu", f"runs_dir={arm.runs_dir}", "study.name=test"]
    register_schema()
    launcher = StackedLauncher()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir().resolve())):
        loader = GlobalHydra.instance().config_loader()
        launcher._context = HydraContext(config_loader=loader, callbacks=Callbacks())
        launcher._config = loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
        (done,) = launcher.launch([own], 0)
    assert done.return_value == "completed"
    assert trained == [[source_folder(arm).name], [run_folder(arm).name]]


def test_one_run_of_an_agent_keeps_the_buffer_where_any_arm_wants_it(configure: Configure) -> None:
    own = [*TINY["dqn"], *FROM]
    configs = [configure(*own), configure(*own, "init.replay=kept"), configure(*own, "init.optimizer=fresh")]
    (job,) = source_jobs(jobs_of(configs))
    assert job.config.keep_replay
    assert job.overrides == ("arm=1", "init.source_only=true")
    assert execute(job.config) == "completed"
    assert {path.name for path in models.present(job.folder)} == {models.MODEL, models.REPLAY}
    assert source_jobs(jobs_of(configs)) == []
    (job.folder / models.REPLAY).unlink()
    assert unready(configs[0]) is None
    assert "it kept no replay buffer" in str(unready(configs[1]))


def test_a_single_run_trains_its_agent_first(configure: Configure) -> None:
    config, console = configure(*TINY["ppo"], *FROM), Console(file=StringIO(), width=300)
    assert run_single(config, "the command", console) == 0
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "First the agent that it starts from is trained:" in said
    source = source_of(config)
    assert source is not None
    assert finished_status(run_folder(source)) == finished_status(run_folder(config)) == "completed"


@pytest.fixture
def given(configure: Configure) -> Path:
    """A run that kept its agent."""
    config = configure(*TINY["ppo"], *SHORT, "keep=last", "warmup=none", "study.name=mine")
    assert execute(config) == "completed"
    return run_folder(config)


def test_any_run_that_kept_its_agent_is_taken_by_its_folder_or_id(configure: Configure, given: Path) -> None:
    configs = [
        configure(*TINY["ppo"], *SHORT, f"init.run={run}", "warmup.length=0.5") for run in (given, given.name)
    ]
    assert configs[0] == configs[1]
    assert configs[0].init.source is not None
    assert Path(str(configs[0].init.run)) == given
    assert f"from-agent-{configs[0].init.source}-optimizer-kept" in run_folder(configs[0]).name
    assert execute(configs[0]) == "completed"
    other = given.parent / "moved"
    given.rename(other)  # what an agent is called does not depend on where it is
    again = configure(*TINY["ppo"], *SHORT, f"init.run={other}", "warmup.length=0.5")
    assert run_folder(again) == run_folder(configs[0])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algo.net_arch=[8]"], "does not fit this run: algo.net_arch is [64, 64] there and [8] here"),
        (["algo.activation=relu"], "algo.activation is tanh there and relu here"),
        (["algo.normalize=true"], "algo.normalize is False there and True here"),
        (TINY["dqn"], "algo.name is ppo there and dqn here; use the same, or another"),
        (
            ["env=acrobot", "algo.normalize=false"],
            "what it is shown is Box [4] float32 there and Box [6]",
        ),
    ],
)
def test_an_agent_that_does_not_fit_is_refused(
    overrides: list[str], message: str, configure: Configure, given: Path
) -> None:
    tiny = [] if "algo=dqn" in overrides else TINY["ppo"]
    with pytest.raises(ConfigError) as error:
        configure(*tiny, *SHORT, f"init.run={given}", "warmup=none", *overrides)
    assert f"init.run={given} " in str(error.value)
    assert message in str(error.value)


def test_a_run_without_an_agent_is_refused(configure: Configure, given: Path) -> None:
    for path in models.present(given):
        path.unlink()
    with pytest.raises(ConfigError, match="has no agent to start from: none was kept; keep=last"):
        configure(*TINY["ppo"], *SHORT, f"init.run={given}")
    with pytest.raises(ConfigError, match=r"init.run=nowhere: there is no run nowhere"):
        configure(*TINY["ppo"], *SHORT, "init.run=nowhere")
