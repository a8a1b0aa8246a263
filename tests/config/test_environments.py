"""The built-in environments: each is composed with its algorithms and trainers, and says whence its numbers are."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import yaml
from helpers.composing import composed

from rl_warmup.config.conf import conf_dir
from rl_warmup.config.schema import EnvConfig
from rl_warmup.envs.make import register
from rl_warmup.run.compose import resolved

BOTH, PPO = ("dqn", "ppo"), ("ppo",)
ENVIRONMENTS = {
    "cartpole": ("CartPole-v1", BOTH),
    "acrobot": ("Acrobot-v1", BOTH),
    "mountaincar": ("MountainCar-v0", BOTH),
    "pendulum": ("Pendulum-v1", PPO),
    "mountaincar_continuous": ("MountainCarContinuous-v0", PPO),
    "lunarlander": ("LunarLander-v3", BOTH),
    "lunarlander_continuous": ("LunarLanderContinuous-v3", PPO),
    "bipedalwalker": ("BipedalWalker-v3", PPO),
    "minigrid_empty": ("MiniGrid-Empty-Random-6x6-v0", BOTH),
    "minigrid_doorkey": ("MiniGrid-DoorKey-5x5-v0", BOTH),
    "minigrid_fourrooms": ("MiniGrid-FourRooms-v0", BOTH),
    "minatar_breakout": ("MinAtar/Breakout-v1", BOTH),
    "minatar_asterix": ("MinAtar/Asterix-v1", BOTH),
    "minatar_freeway": ("MinAtar/Freeway-v1", BOTH),
    "minatar_space_invaders": ("MinAtar/SpaceInvaders-v1", BOTH),
    "minatar_seaquest": ("MinAtar/Seaquest-v1", BOTH),
    "halfcheetah": ("HalfCheetah-v5", PPO),
    "hopper": ("Hopper-v5", PPO),
    "walker2d": ("Walker2d-v5", PPO),
    "ant": ("Ant-v5", PPO),
    "pong": ("ALE/Pong-v5", BOTH),
    "breakout": ("ALE/Breakout-v5", BOTH),
    "battlezone": ("ALE/BattleZone-v5", BOTH),
}
NEEDS = {"halfcheetah": "mujoco", "hopper": "mujoco", "walker2d": "mujoco", "ant": "mujoco"}
NEEDS |= {"pong": "ale_py", "breakout": "ale_py", "battlezone": "ale_py"}
SOURCES = "rl-baselines3-zoo", "RobertTLange/gymnax-blines", "JohanSamir/revisiting_rainbow", "keraJLi/rejax"
ZOO: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[1] / "helpers" / "zoo.yaml").read_text()
)


def tuned_files(algo: str) -> set[str]:
    return {path.stem for path in (conf_dir() / "tuned" / algo).glob("*.yaml")}


def needs(name: str) -> None:
    """Skip where the environment's package is an extra that is not installed."""
    package = NEEDS.get(name)
    if package is not None and not all(
        map(importlib.util.find_spec, (package, "cv2")[: 1 + (package == "ale_py")])
    ):
        pytest.skip(f"{package} is not installed")


def test_every_environment_and_setting_is_listed_here() -> None:
    files = {path.stem for path in (conf_dir() / "env").glob("*.yaml")}
    assert files == {*ENVIRONMENTS, "gym"}
    assert tuned_files("ppo") == set(ENVIRONMENTS)
    discrete = {name for name, (_, algos) in ENVIRONMENTS.items() if algos == BOTH}
    assert tuned_files("dqn") == {*discrete, "cartpole_stable"}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_algorithm_and_trainer_of_an_environment(name: str) -> None:
    needs(name)
    env_id, algos = ENVIRONMENTS[name]
    for algo in algos:
        config = composed("device=cpu", f"env={name}", f"algo={algo}", "warmup=none")
        for trainer in ("sb3", "stacked"):
            run = resolved(with_trainer(config, trainer), "test")
            assert (run.env.name, run.env.id, run.algo.name) == (name, env_id, algo)
            assert run.learning_rate == run.tuned_learning_rate is not None
            envs = None if trainer == "sb3" else "gymnasium" if run.env.envpool is None else "envpool"
            assert run.trainer.envs == envs


def test_the_stable_control_of_cartpole_is_chosen_by_its_file() -> None:
    published, stable = (
        resolved(composed("device=cpu", "algo=dqn", *chosen), "test")
        for chosen in ((), ("tuned@_global_=dqn/cartpole_stable",))
    )
    assert stable.env == published.env
    assert (stable.learning_rate, stable.total_timesteps, stable.algo.normalize) == (2.5e-4, 100_000, True)
    assert (published.learning_rate, published.total_timesteps, published.algo.normalize) == (2.3e-3, 50_000, False)


def with_trainer(config: Any, trainer: str) -> Any:
    """A composed config with another trainer: Hydra takes a tenth of a second for each."""
    changed = config.copy()
    changed.trainer.name = trainer
    return changed


@pytest.mark.parametrize(("algo", "name"), [(algo, name) for algo, entries in ZOO.items() for name in entries])
def test_settings_of_the_zoo_are_its_settings(algo: str, name: str) -> None:
    """Beside what the entries say, the settings are Stable-Baselines3's defaults, or the networks of images."""
    config = composed("device=cpu", f"env={name}", f"algo={algo}")
    default = composed("device=cpu", "env=gym", "env.id=CartPole-v1", f"algo={algo}").algo
    named = {**ZOO[algo][name]}
    assert config.total_timesteps == named.pop("total_timesteps")
    assert config.tuned_learning_rate == named.pop("learning_rate", 3e-4)
    images = {"extractor": "nature_cnn", "net_arch": []} if name == "pong" else {}
    assert config.algo == {**default, **images, **named}


@pytest.mark.parametrize(("algo", "name"), [("ppo", "pong"), ("dqn", "pong")])
def test_all_games_of_atari_have_the_settings_of_one(algo: str, name: str) -> None:
    text = (conf_dir() / "tuned" / algo / f"{name}.yaml").read_text()
    assert {
        (conf_dir() / "tuned" / algo / f"{other}.yaml").read_text() for other in ("breakout", "battlezone")
    } == {text}


@pytest.mark.parametrize(
    "path", sorted(conf_dir().glob("tuned/*/*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_settings_name_their_source(path: Path) -> None:
    first, comment, *_ = path.read_text().splitlines()
    assert first == "# @package _global_"
    if path.stem == "cartpole_stable":
        assert "not published" in comment
    else:
        assert comment.startswith(tuple(f"# {source}" for source in SOURCES))


@pytest.mark.parametrize("name", sorted(set(ENVIRONMENTS) - {"cartpole", "acrobot"}))
def test_constants_are_in_order_and_say_where_they_are_from(name: str) -> None:
    text = (conf_dir() / "env" / f"{name}.yaml").read_text()
    known = yaml.safe_load(text)
    assert known["name"] == name
    for key in ("return_floor", "return_low", "return_high", "threshold"):
        assert re.search(rf"^{key}: \S+ # \w", text, flags=re.MULTILINE), key
    for lowest in ("floor", "return_floor"):  # a clip may be above what a diverged run is worth
        ordered = [known.get(key) for key in (lowest, "return_low", "return_high", "ceiling")]
        ordered = [value for value in ordered if value is not None]
        assert ordered == sorted(ordered)
    assert known["threshold"] is None or known["threshold"] <= known.get("ceiling", float("inf"))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_returns_are_bounded_and_no_single_run_decides(name: str) -> None:
    text = (conf_dir() / "env" / f"{name}.yaml").read_text()
    known = yaml.safe_load(text)
    for key in ("floor", "ceiling"):
        assert re.search(rf"^{key}: \S+ # \w", text, flags=re.MULTILINE), key
    if known["return_high"] is not None:
        assert (known["floor"] - known["return_low"]) / (known["return_high"] - known["return_low"]) >= -1


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_registered_threshold_is_the_threshold(name: str) -> None:
    needs(name)
    known = yaml.safe_load((conf_dir() / "env" / f"{name}.yaml").read_text())
    register(EnvConfig(id=known["id"], module=known.get("module")))
    registered = gym.spec(known["id"]).reward_threshold
    assert registered is None or registered == known["threshold"]
    said = re.search(r"^threshold: .*", (conf_dir() / "env" / f"{name}.yaml").read_text(), flags=re.MULTILINE)
    assert said is not None
    assert ("reward threshold" in said[0]) == (registered is not None)
