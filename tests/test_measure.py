"""What is measured of environments whose answer is known, the file that is written, and what is refused."""

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from helpers import probe_envs
from rich.progress import Progress

from rl_warmup.config.conf import conf_dir, known_envs
from rl_warmup.config.constants import CONSTANTS
from rl_warmup.config.schema import EnvConfig
from rl_warmup.measure import Measured, main, measure, rounded
from rl_warmup.run.compose import configured

pytestmark = pytest.mark.locale

OWN = ["tracking=disabled", "device=cpu"]


def measured(env_id: str, episodes: int = 50, seed: int = 0, **about: Any) -> Measured:
    probe_envs.register()
    return measure(EnvConfig(id=env_id, **about), episodes, seed, 100, Progress(disable=True))


def called(*arguments: str) -> int:
    probe_envs.register()
    return main([*OWN, "--episodes", "30", *arguments])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_returns_of_whole_episodes_by_actions_drawn_uniformly() -> None:
    found = measured("probe/limit-v0")
    assert (found.returns == 5).all()
    assert (found.mean, found.interval, found.largest) == (5.0, (5.0, 5.0), 1.0)
    found = measured("probe/action-v0", episodes=400)  # +1 or -1, each for one of two actions
    assert set(found.returns) == {-1.0, 1.0}
    assert abs(found.returns.mean()) < 4 / 20
    found = measured("probe/continuous-v0", episodes=400)  # 1 - (a - 0.5)^2 for a uniform in [-1, 1]
    assert found.returns.mean() == pytest.approx(1 - (1 / 3 + 1 / 4), abs=4 * found.returns.std() / 20)


def test_the_interval_is_students_and_the_first_episodes_are_always_the_same() -> None:
    found = measured("probe/signed-v0", episodes=40)
    n, sd = 40, found.returns.std(ddof=1)
    low, high = found.interval
    assert (low + high) / 2 == pytest.approx(found.returns.mean(), abs=1e-3)
    assert (high - low) / 2 == pytest.approx(2.0227 * sd / n**0.5, abs=1e-3)  # t of 39 degrees of freedom
    assert measured("probe/signed-v0", episodes=7).returns.tolist() == found.returns[:7].tolist()
    assert measured("probe/signed-v0", episodes=40, seed=1).returns.tolist() != found.returns.tolist()


def test_wrappers_and_arguments_are_those_of_evaluation() -> None:
    bare = measured("CartPole-v1", episodes=20)
    half = [{"gymnasium.wrappers.TransformReward": {"func": "helpers.none"}}]
    assert measured("CartPole-v1", episodes=20, training_wrappers=half).returns.tolist() == bare.returns.tolist()
    assert (bare.threshold, measured("probe/limit-v0").threshold) == (475.0, None)
    short = measured(
        "CartPole-v1", episodes=20, wrappers=[{"gymnasium.wrappers.TimeLimit": {"max_episode_steps": 5}}]
    )
    assert (short.returns == 5).all()
    signed = measured("CartPole-v1", episodes=20, kwargs={"sutton_barto_reward": True})
    assert (signed.returns == -1).all()
    assert bare.versions == f"gymnasium {gym.__version__}"


def test_what_is_written_is_a_group_of_a_config_dir(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["env=gym", "env.id=CartPole-v1", "env.name=mine", "env.kwargs={sutton_barto_reward: false}"]
    assert called(*arguments, "env.return_high=450", "--output", "own conf") == 0
    out, path = capsys.readouterr().out, Path("own conf/env/mine.yaml")
    assert "use it:  python -m rl_warmup.run --config-dir 'own conf' env=mine\n" in out
    env = configured([*OWN, "env=mine"], "single", Path("own conf")).env
    assert (env.name, env.id, env.kwargs, env.envpool) == (
        "mine",
        "CartPole-v1",
        {"sutton_barto_reward": False},
        None,
    )
    assert 15 < env.return_low < 35
    assert (env.return_floor, env.return_high, env.threshold, env.ceiling) == (None, 450, 475, None)
    text = path.read_text(encoding="utf-8")
    assert re.search(
        r"^return_low: \d\d(\.\d+)? # random policy, mean of 30 episodes, 95% \[[\d.]+, [\d.]+\]; gymn", text, re.M
    )
    assert re.search(r"^return_floor: null # worst attainable return, .*; lowest here: (8|9|10|11)$", text, re.M)
    assert "threshold: 475 # Gymnasium's reward threshold, without env.kwargs and env.wrappers\n" in text
    assert text.startswith("# Written by python -m rl_warmup.measure ")
    assert [key for key in yaml.safe_load(text) if key in CONSTANTS] == list(CONSTANTS)
    path.write_text(text.replace("return_high: 450", "return_high: 460 # mine"), encoding="utf-8")
    assert called("--config-dir", "own conf", "env=mine", "seed=1", "--output", str(path)) == 0
    again = path.read_text(encoding="utf-8")
    assert "return_high: 460 # mine\n" in again  # only the line of return_low is another
    assert [one for one, other in zip(again.splitlines(), text.splitlines(), strict=True) if one != other] == [
        line for line in again.splitlines() if line.startswith(("return_low:", "return_high:"))
    ]


def test_a_built_in_environment_is_written_where_it_is_asked_for_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("env=cartpole") == 0
    assert "CartPole-v1 is built in, and nothing is written; --output FILE writes it" in capsys.readouterr().out
    assert list(Path().iterdir()) == []
    Path("short.yaml").write_text("id: CartPole-v1")
    assert called("env=cartpole", "--output", "short.yaml") == 0
    assert yaml.safe_load(Path("short.yaml").read_text()).keys() == {"id", "return_low"}
    assert "use it" not in capsys.readouterr().out


def test_constants_of_another_environment_are_not_written() -> None:
    assert called("env=cartpole", "env.id=helpers.probe_envs:probe/limit-v0", "--output", "x.yml") == 0
    found = yaml.safe_load(Path("x.yml").read_text())
    assert (found["return_low"], found["return_high"], found["threshold"], found["reward_max"]) == (
        5,
        None,
        None,
        None,
    )


def test_the_name_of_the_file_is_the_end_of_the_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("env=gym", "env.id=helpers.probe_envs:probe/limit-v0") == 0
    assert yaml.safe_load(Path("my_conf/env/limit-v0.yaml").read_text())["name"] == "limit-v0"
    assert "--config-dir my_conf env=limit-v0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["env.id=Nope-v0"], "env.id=Nope-v0 cannot be made: "),
        (
            ["env.id=probe/nan_reward-v0"],
            "env.id=probe/nan_reward-v0 gave the reward nan in step 1 of an episode; ",
        ),
        (
            ["env.id=probe/inf_observation-v0"],
            "env.id=probe/inf_observation-v0 gave the observation -inf at [1] in",
        ),
        (
            ["env.id=probe/broken-v0"],
            "env.id=probe/broken-v0 raised in step 1 of an episode: OverflowError: the env",
        ),
        (["env.id=probe/exit-v0"], "env.id=probe/exit-v0, episode 30 failed after 0 steps: SystemExit: 3"),
        (
            ["env.id=probe/endless-v0", "evaluation.max_steps=50"],
            "env.id=probe/endless-v0, episode 1 has not ended af",
        ),
        (
            ["env.id=CartPole-v1", "env.wrappers=[no.Such]"],
            "env.id=CartPole-v1 cannot be made: its wrapper no.Such raised ModuleNotFoundError",
        ),
        (
            ["env.id=CartPole-v1", "env.return_low=9", "env.return_high=9"],
            "env.return_low=9 and env.return_high=9 must",
        ),
        (
            ["env.id=probe/limit-v0", "env.return_high=5"],
            "env.return_low=5 and env.return_high=5 must satisfy return_l",
        ),
        (["env.id=probe/limit-v0", "--episodes", "1"], "--episodes=1 is too small; use 2 or more"),
        (
            ["env.id=probe/limit-v0", "--output", "other.yaml"],
            "other.yaml describes another environment, and is not o",
        ),
        (["env.id=probe/limit-v0", "--output", "bad.yaml"], "bad.yaml cannot be read: "),
        (["env.id=probe/limit-v0", "--output", "bad.yaml/x"], "[Errno"),
        (["nope=1"], "Could not override 'nope'"),
    ],
)
def test_what_cannot_be_measured_is_one_message(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other.yaml").write_text("id: CartPole-v1")
    Path("bad.yaml").write_text("id: [")
    assert called("env=gym", *arguments) == 2
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert err.startswith(f"error: {message}")
    assert "written" not in out
    assert not list(Path().glob("my_conf/env/*"))


def test_an_interrupted_measurement_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("env=gym", "env.id=probe/interrupted-v0") == 130
    assert capsys.readouterr().err == "interrupted: nothing is written\n"
    assert not list(Path().glob("my_conf/env/*"))


def test_a_return_below_the_worst_attainable_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert called("env=gym", "env.id=probe/limit-v0", "env.return_floor=4", "--output", "a.yaml") == 0
    assert "not the worst" not in capsys.readouterr().out
    assert called("env=cartpole", "env.return_floor=22") == 0
    assert "env.return_floor=22 is not the worst: there are lower returns" in capsys.readouterr().out


BUILT_IN = sorted(set(known_envs()) - {"acrobot", "cartpole"})  # whose value is of before, see docs/environments.md


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_returns_of_the_random_policy_in_conf_are_measured(name: str) -> None:
    text = (conf_dir() / "env" / f"{name}.yaml").read_text(encoding="utf-8")
    how = r"random policy, mean of (\d+) episodes, 95% \[(\S+), (\S+)\]; gymnasium [\d.]+"
    found = re.search(rf"^return_low: (\S+) # {how}(, [\w-]+ [\d.]+)?$", text, re.M)
    assert found is not None
    value, episodes, low, high = map(float, found.groups()[:4])
    assert low <= value <= high
    assert episodes == 200


@pytest.mark.long  # seconds to minutes each
@pytest.mark.parametrize("name", sorted(known_envs()))
def test_the_returns_of_the_random_policy_in_conf_are_found_again(name: str) -> None:
    env = configured([*OWN, f"env={name}"], "single").env
    found = measure(env, 40, 1, 30_000, Progress(disable=True))
    error = found.returns.std(ddof=1) / 40**0.5
    assert abs(found.returns.mean() - env.return_low) <= 4 * error * (1 + 40 / 200) ** 0.5


def test_rounding_leaves_no_negative_zero() -> None:
    assert np.copysign(1, rounded(-0.0)) == 1
