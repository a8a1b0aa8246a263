"""conf/ is found; every file in it composes through Hydra and resolves, and what it says arrives in the run."""

import importlib.util
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.composing import composed, unresolved
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from rl_warmup import schedules
from rl_warmup.config import conf
from rl_warmup.config.conf import conf_dir
from rl_warmup.config.constants import borrowed_env
from rl_warmup.config.learning_rate import phases_of, planned_base
from rl_warmup.config.optimizers import OPTIMIZERS
from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import DQNConfig, PPOConfig, RunConfig, TrainerConfig
from rl_warmup.config.settings import ConfigError, leaves
from rl_warmup.run.compose import register_schema, resolved
from rl_warmup.run.execute import run_info
from rl_warmup.run.notes import notes_on, notes_on_envs
from rl_warmup.schedules.adaptive import KL_ADAPTIVE

ENVS, ALGOS = ("acrobot", "cartpole"), ("dqn", "ppo")
PRESETS = ("amago", "dreamer", "llm", "muzero", "pqn")  # test_warmups.py knows them
OPTIONS = {
    "algo": ALGOS,
    "trainer": ("sb3", "stacked"),
    "optimizer": tuple(sorted(OPTIMIZERS)),
    "schedule": tuple(sorted(("custom", KL_ADAPTIVE, *schedules.BASES))),
    "warmup": tuple(sorted(("none", "custom", *PRESETS, *schedules.SHAPES))),
    "tracking": ("disabled", "wandb"),
    "study": ("none", "quick", "transfer", "tuned"),
    "hydra/launcher": ("batch_local", "joblib_local", "ray_cluster", "slurm"),
    "hydra/help": ("rl_warmup",),
}
STUDIES = tuple(name for name in OPTIONS["study"] if name != "none")


def run(*overrides: str) -> RunConfig:
    return resolved(composed("device=cpu", *overrides), "test")


def test_this_file_knows_every_file_of_conf() -> None:
    found: dict[str, list[str]] = {}
    for path in conf_dir().rglob("*.yaml"):
        group = path.parent.relative_to(conf_dir()).as_posix()
        found.setdefault(group, []).append(path.stem)
    assert found.pop(".") == ["config"]
    for group in ("env", "tuned/ppo", "tuned/dqn"):
        assert found.pop(group)  # test_environments.py knows them
    assert {group: tuple(sorted(names)) for group, names in found.items()} == OPTIONS


def test_defaults() -> None:
    config = run()
    assert (config.env.name, config.algo.name, config.trainer.name) == ("cartpole", "ppo", "sb3")
    assert (config.warmup.name, config.warmup.clock, config.warmup.length) == ("linear", "gradient_steps", 782)
    assert (config.schedule.name, config.seed, config.runs_dir) == ("constant", 0, "runs")
    assert (config.evaluation.count, config.evaluation.episodes) == (20, 10)
    assert (config.tracking.name, config.tracking.mode, config.study.name) == ("wandb", "auto", "test")


@pytest.mark.parametrize("algo", ALGOS)
@pytest.mark.parametrize("env", ENVS)
def test_every_tuned_combination(env: str, algo: str) -> None:
    config = run(f"env={env}", f"algo={algo}")
    assert (config.env.name, config.algo.name) == (env, algo)
    assert isinstance(config.algo, PPOConfig if algo == "ppo" else DQNConfig)
    assert config.learning_rate == config.tuned_learning_rate is not None
    assert config.learning_rate_scale == 1.0


# rl-baselines3-zoo, as collected for this project; a dot in the key is a step into the config.
TUNED: dict[tuple[str, str], dict[str, Any]] = {
    ("ppo", "cartpole"): {
        "total_timesteps": 100_000,
        "learning_rate": 1e-3,
        "algo.n_envs": 8,
        "algo.n_steps": 32,
        "algo.batch_size": 256,
        "algo.gae_lambda": 0.8,
        "algo.gamma": 0.98,
        "algo.n_epochs": 20,
        "algo.ent_coef": 0.0,
        "algo.clip_range": 0.2,
        "algo.clip_range_schedule": "linear",
        "algo.normalize": False,
    },
    ("ppo", "acrobot"): {
        "total_timesteps": 1_000_000,
        "learning_rate": 3e-4,
        "algo.normalize": True,
        "algo.n_envs": 16,
        "algo.n_steps": 256,
        "algo.gae_lambda": 0.94,
        "algo.gamma": 0.99,
        "algo.n_epochs": 4,
        "algo.ent_coef": 0.0,
        "algo.batch_size": 64,
        "algo.clip_range": 0.2,
        "algo.clip_range_schedule": "constant",
    },
    ("dqn", "cartpole"): {
        "total_timesteps": 50_000,
        "learning_rate": 2.3e-3,
        "algo.batch_size": 64,
        "algo.buffer_size": 100_000,
        "algo.learning_starts": 1000,
        "algo.gamma": 0.99,
        "algo.target_update_interval": 10,
        "algo.train_freq": 256,
        "algo.gradient_steps": 128,
        "algo.exploration_fraction": 0.16,
        "algo.exploration_final_eps": 0.04,
        "algo.net_arch": [256, 256],
    },
    ("dqn", "acrobot"): {
        "total_timesteps": 100_000,
        "learning_rate": 6.3e-4,
        "algo.batch_size": 128,
        "algo.buffer_size": 50_000,
        "algo.learning_starts": 0,
        "algo.gamma": 0.99,
        "algo.target_update_interval": 250,
        "algo.train_freq": 4,
        "algo.gradient_steps": -1,
        "algo.exploration_fraction": 0.12,
        "algo.exploration_final_eps": 0.1,
        "algo.net_arch": [256, 256],
    },
}


@pytest.mark.parametrize(("algo", "env"), TUNED)
def test_published_hyperparameters_arrive(algo: str, env: str) -> None:
    config = run(f"env={env}", f"algo={algo}")
    found = {key: _get(config, key) for key in TUNED[algo, env]}
    assert found == TUNED[algo, env]


@pytest.mark.parametrize("schedule", schedules.BASES)
def test_every_schedule(schedule: str) -> None:
    assert run(f"schedule={schedule}").schedule.name == schedule


def test_an_adaptive_schedule_is_planned_as_it_starts() -> None:
    config = run("schedule=kl_adaptive")
    assert config.schedule.target_kl == 0.008
    assert set(planned_base(config)) == {config.learning_rate}
    (line,) = notes_on([config])
    assert line.startswith("schedule=kl_adaptive changes the learning rate after every update")


def test_the_plan_of_updates_that_end_early_is_of_the_most_there_may_be() -> None:
    (line,) = notes_on([run("algo.target_kl=0.02", f"seed={seed}") for seed in (1, 2)])
    assert line.startswith("algo.target_kl=0.02 ends updates early: cartpole takes at most 7,820 gradient steps")


@pytest.mark.parametrize("warmup", ["none", *schedules.SHAPES])
def test_every_warmup_on_every_schedule(warmup: str) -> None:
    for schedule in schedules.BASES:
        config = resolve(unresolved(f"warmup={warmup}", schedule__name=schedule))
        assert (config.warmup.name, config.warmup.shape, config.schedule.name) == (warmup, warmup, schedule)


@pytest.mark.parametrize("shape", schedules.RAMPS)
def test_warmup_files_leave_the_start_to_their_shape_and_say_which_it_is(shape: str) -> None:
    warmup = composed(f"warmup={shape}").warmup
    assert (warmup.length, warmup.clock, warmup.start) == (0.1, "gradient_steps", None)
    assert run(f"warmup={shape}").warmup.start == schedules.SHAPES[shape].start
    text = (conf_dir() / "warmup" / f"{shape}.yaml").read_text()
    assert f"start: null # the shape's default, {schedules.SHAPES[shape].start:g}\n" in text
    assert warmup.power == (2 if shape == "polynomial" else None)


@pytest.mark.parametrize(("algo", "eps"), [("ppo", 1e-5), ("dqn", 1e-8)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_sets_what_its_rule_needs(name: str, algo: str, eps: float) -> None:
    own: dict[str, dict[str, float | None]] = {
        "sgd": {"beta1": 0.0, "beta2": None, "eps": None},
        "rmsprop": {"beta1": 0.0, "beta2": 0.99},
        "adamw": {"weight_decay": 0.01},
    }
    usual = {"name": name, "beta1": 0.9, "beta2": 0.999, "eps": eps, "weight_decay": 0.0}
    assert vars(run(f"algo={algo}", f"optimizer={name}").algo.optimizer) == usual | own.get(name, {})


def test_an_optimizer_is_chosen_before_its_numbers_and_after_what_is_tuned_for_adam() -> None:
    minatar = ("algo=dqn", "env=minatar_breakout")
    assert run(*minatar).algo.optimizer.eps == run(*minatar, "optimizer=rmsprop").algo.optimizer.eps == 3.125e-4
    assert run(*minatar, "optimizer=sgd").algo.optimizer.eps is None
    assert run("algo.optimizer.beta1=0.5", "optimizer=sgd").algo.optimizer.beta1 == 0.5


@pytest.mark.parametrize("name", OPTIONS["tracking"])
def test_every_tracking(name: str) -> None:
    assert run(f"tracking={name}").tracking.name == name


@pytest.mark.parametrize(("name", "envs"), [("sb3", None), ("stacked", "envpool")])
def test_every_trainer(name: str, envs: str | None) -> None:
    assert run(f"trainer={name}").trainer == TrainerConfig(name=name, envs=envs)


def test_every_launcher_and_our_sweeper() -> None:
    hydra = composed("hydra/launcher=joblib_local", with_hydra=True).hydra
    assert hydra.launcher._target_.endswith("JoblibLauncher")
    assert hydra.launcher.n_jobs == -1
    assert hydra.sweeper._target_ == "hydra_plugins.rl_warmup.sweeper.StudySweeper"
    stacked = composed("hydra/launcher=stacked", with_hydra=True).hydra.launcher
    assert stacked == {
        "_target_": "hydra_plugins.rl_warmup.launcher.StackedLauncher",
        "workers": None,
        "width": None,
        "via": None,
    }


@pytest.mark.parametrize(
    ("launcher", "via"),
    [
        ("slurm", "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"),
        ("batch_local", "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"),
        ("ray_cluster", "rl_warmup.run.launch.ray_cluster.RayCluster"),
    ],
)
def test_every_launcher_that_hands_stacks_to_others(launcher: str, via: str) -> None:
    settings = composed(f"hydra/launcher={launcher}", with_hydra=True).hydra.launcher
    assert settings._target_ == "hydra_plugins.rl_warmup.launcher.StackedLauncher"
    assert settings.via._target_ == via


def test_hydra_writes_nothing_itself() -> None:
    hydra = composed(with_hydra=True).hydra
    assert (hydra.output_subdir, hydra.run.dir, hydra.sweep.dir, hydra.job.chdir) == (None, ".", ".", False)


def test_help_names_commands_and_keys_that_exist() -> None:
    text = (conf_dir() / "hydra" / "help" / "rl_warmup.yaml").read_text()
    modules = set(re.findall(r"python -m (rl_warmup\.\w+)", text))
    assert modules == {f"rl_warmup.{name}" for name in ("run", "preview", "enjoy", "measure", "report", "status")}
    assert all(importlib.util.find_spec(module) for module in modules)
    table = text.partition("Values (key=value)")[2].partition("The composed config")[0]
    keys = re.findall(r"^    (.+?)(?:  |$)", table, flags=re.MULTILINE)
    named = re.findall(r"[a-z_]+(?:\.[a-z_0-9]+)+|[a-z_]+(?==[A-Z])", " ".join(keys))
    assert {"learning_rate", "warmup.shape", "runs_dir", "tracking.entity"} <= set(named)
    known = {key for algo in ALGOS for key, _, _ in leaves(run(f"algo={algo}"))} | {"algo.optimizer"}  # a group
    assert set(named) <= known


@pytest.mark.parametrize("study", STUDIES)
def test_study_says_how_it_is_run(study: str) -> None:
    lines = (conf_dir() / "study" / f"{study}.yaml").read_text().splitlines()
    assert lines[:2] == ["# @package _global_", f"# python -m rl_warmup.run study={study}"]


@pytest.mark.parametrize("study", STUDIES)
def test_study_is_a_sweep_of_runs_that_resolve(study: str) -> None:
    whole = composed(f"study={study}", with_hydra=True)
    assert whole.hydra.mode.name == "MULTIRUN"
    assert whole.study.name == study
    grid = _jobs({**whole.hydra.sweeper.params, "seed": "7"})  # all seeds would take seconds
    jobs = [[*case.split(), *job] for case in whole.hydra.sweeper.cases or [""] for job in grid]
    configs = [run(f"study={study}", *job) for job in jobs]
    assert {config.study.name for config in configs} == {study}
    assert {config.warmup.name for config in configs} >= {"none"}
    assert configs[0].study.smallest_effect == 0.05


def test_quick_study_compares_linear_with_none_at_two_rates_over_twenty_seeds_in_stacks() -> None:
    hydra = composed("study=quick", with_hydra=True).hydra
    params = hydra.sweeper.params
    assert hydra.launcher._target_.endswith("StackedLauncher")
    jobs = _jobs({key: value for key, value in params.items() if key != "seed"})
    configs = [run("study=quick", *job) for job in jobs]
    assert sorted((config.warmup.name, config.learning_rate) for config in configs) == [
        ("linear", 1e-3),
        ("linear", 0.016),
        ("none", 1e-3),
        ("none", 0.016),
    ]
    assert {(config.total_timesteps, config.trainer.name) for config in configs} == {(50_000, "stacked")}
    assert len(_jobs({"seed": params.seed})) == 20


def test_study_tuned_asks_of_six_published_settings_with_a_hundred_seeds_each() -> None:
    sweeper = composed("study=tuned", with_hydra=True).hydra.sweeper
    found = {}
    for case in sweeper.cases:
        config = run("study=tuned", *case.split())
        assert (config.learning_rate, config.trainer.name) == (config.tuned_learning_rate, "stacked")
        assert config.study.order == "pooled_first"
        assert config.warmup.length == round(0.1 * phases_of(config).gradient_steps)
        found[config.algo.name, config.env.name] = (config.total_timesteps, config.algo.normalize)
    assert found == {
        ("ppo", "cartpole"): (100_000, False),
        ("ppo", "acrobot"): (1_000_000, True),
        ("ppo", "lunarlander"): (1_000_000, False),
        ("ppo", "minigrid_fourrooms"): (1_000_000, True),
        ("dqn", "cartpole"): (100_000, True),
        ("dqn", "acrobot"): (100_000, False),
    }
    assert len(_jobs(sweeper.params)) == 2 * 100


def test_study_none_declares_nothing() -> None:
    study = run("study=none").study
    assert (study.control, study.comparisons, study.smallest_effect) == (None, None, None)


def test_command_line_wins_over_tuned() -> None:
    own = ["learning_rate=0.5", "total_timesteps=2_560", "algo.batch_size=17", "algo.gamma=0.5", "algo.n_envs=2"]
    config = run(*own)
    assert (config.learning_rate, config.total_timesteps) == (0.5, 2560)
    assert (config.algo.batch_size, config.algo.gamma, config.algo.n_envs) == (17, 0.5, 2)
    assert isinstance(config.algo, PPOConfig)
    assert config.algo.n_steps == 32  # the tuned value beside them stays
    assert config.tuned_learning_rate == 1e-3


def test_command_line_wins_over_a_study() -> None:
    config = run("study=quick", "total_timesteps=60_000", "study.name=mine")
    assert (config.total_timesteps, config.study.name) == (60_000, "mine")


@pytest.mark.parametrize(("algo", "rate"), [("ppo", 3e-4), ("dqn", 1e-4)])
def test_an_environment_without_tuned_file_has_the_defaults_of_stable_baselines3(algo: str, rate: float) -> None:
    constants = ("env.return_floor=-200", "env.return_low=-200", "env.return_high=-100", "env.threshold=-110")
    own = ("env=gym", "env.id=MountainCar-v0", f"algo={algo}", *constants)
    config = run(*own)
    assert config.env.name == "MountainCar-v0"
    assert (config.learning_rate, config.learning_rate_scale, config.total_timesteps) == (rate, None, 100_000)
    assert run(*own, "learning_rate_scale=4").learning_rate == 4 * rate
    (line,) = notes_on_envs([config])
    assert line.startswith(f"MountainCar-v0 has no published hyperparameters for {algo}: what is not given is S")
    assert run_info(config, 1)["hyperparameters"] == "Stable-Baselines3's defaults"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("nope=1", "Could not override 'nope'"),
        ("warmup.lenght=0.1", "Could not override 'warmup.lenght'"),
        ("algo.buffer_size=10", "Could not override 'algo.buffer_size'"),  # DQN's, not PPO's
        ("warmup=triangular", "Could not find 'warmup/triangular'"),
        ("env=tetris", "Could not find 'env/tetris'"),
        ("seed=first", "Error merging override seed=first"),
        ("total_timesteps=1e5", "Error merging override total_timesteps=1e5"),
    ],
)
def test_unknown_keys_and_wrong_types_are_refused(override: str, message: str) -> None:
    with pytest.raises(HydraException, match=re.escape(message)):
        composed(override)


def test_missing_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="missing mandatory value: id"):
        run("env.id=???")
    with pytest.raises(ConfigError, match="total_timesteps is not set; give total_timesteps="):
        run("total_timesteps=null")


def test_schema_may_be_registered_twice() -> None:
    register_schema()
    assert run().algo.name == "ppo"


def test_conf_is_found_beside_the_package_and_inside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "rl_warmup"
    (tmp_path / "conf").mkdir()
    monkeypatch.setattr(conf, "__file__", str(package / "config" / "conf.py"))
    assert conf_dir() == tmp_path / "conf"
    (package / "conf").mkdir(parents=True)
    assert conf_dir() == package / "conf"


@pytest.mark.parametrize(
    ("overrides", "known"),
    [
        ((), None),
        (("env=acrobot",), None),
        (("env.id=MountainCar-v0",), "CartPole-v1"),
        (("env.id=MountainCar-v0", "env.name=old"), None),
    ],
)
def test_an_id_under_the_name_of_another_environment_is_borrowed(
    overrides: tuple[str, ...], known: str | None
) -> None:
    config = run(*overrides)
    assert borrowed_env(vars(config.env)) == run_info(config, 1)["borrowed_env"] == known


def _get(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config


def _jobs(params: dict[str, Any]) -> list[tuple[str, ...]]:
    """The grid of `hydra.sweeper.params`, expanded by Hydra's own parser."""
    parsed = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
    return list(
        itertools.product(
            *(
                [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()]
                if one.is_sweep_override()
                else [str(one.input_line)]
                for one in parsed
            )
        )
    )
