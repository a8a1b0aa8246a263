"""What is said of an environment that cannot be made: which package it needs, and how that is had."""

import sys
from dataclasses import replace
from typing import Any

import pytest
from helpers import probe_envs
from helpers.configs import by_id

from rl_warmup.config.schema import EnvConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.envs.spaces import _tried, spaces

probe_envs.register()
RESIZED = {"gymnasium.wrappers.ResizeObservation": {"shape": [84, 84]}}


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`without("mujoco")`: as if the package were not installed."""

    def remove(package: str) -> None:
        _tried.cache_clear()
        users = (package, f"gymnasium.envs.{package}")
        for name in [name for name in sys.modules if name.startswith(users)]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    yield remove
    _tried.cache_clear()


@pytest.mark.parametrize(
    ("package", "env", "way_out"),
    [
        ("mujoco", by_id("HalfCheetah-v5"), "pip install 'rl-warmup[mujoco]'"),
        ("ale_py", EnvConfig(id="ALE/Pong-v5", module="ale_py"), "pip install 'rl-warmup[atari]'"),
        ("cv2", replace(by_id("probe/image-v0"), wrappers=[RESIZED]), "pip install 'rl-warmup[atari]'"),
        (
            "minigrid",
            EnvConfig(id="MiniGrid-Empty-5x5-v0", module="minigrid"),
            "install the package minigrid, or add",
        ),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    package: str, env: EnvConfig, way_out: str, without: Any
) -> None:
    without(package)
    with pytest.raises(ConfigError, match=r"^env.id=\S+ cannot be made: ") as caught:
        spaces(env)
    assert f"; {way_out}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("env_id", "answer"),
    [
        ("ALE/Nope-v5", "; give env.module=ale_py, which registers it"),
        ("MinAtar/Nope-v1", "; give env.module=minatar.gym.register_envs, which registers it"),
        ("BabyAI-Nope-v0", "; give env.module=minigrid, which registers it"),
        ("Zzzz-v0", "`Zzzz` doesn't exist; the package that registers it is given as env.module="),
        ("Zzzz/Zzzz-v0", "package for Zzzz?; the package that registers it is given as env.module="),
        ("CartPol-v1", "Did you mean: `CartPole`?"),
        ("CartPole-v9", "It provides versioned environments: [ `v0`, `v1` ]"),
        (
            "no_such_package:Maze-v0",
            "install the package no_such_package, or add the folder that it is in to PYTHONPATH",
        ),
    ],
)
def test_an_unknown_id_is_answered_with_what_may_have_been_meant(env_id: str, answer: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spaces(by_id(env_id))
    assert str(caught.value).endswith(answer)


@pytest.mark.filterwarnings("ignore:.*Using the latest versioned environment")
def test_an_id_without_its_version_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"env.id=CartPole has no version, .* use env.id=CartPole-v1"):
        spaces(by_id("CartPole"))
