"""Where conf/ is found, and which environments are not their own."""

from pathlib import Path

import pytest
from helpers.composing import composed

from rl_warmup.config import conf
from rl_warmup.config.conf import borrowed_env, conf_dir
from rl_warmup.run.compose import resolved
from rl_warmup.run.execute import run_info


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
    config = resolved(composed("device=cpu", *overrides), "test")
    assert borrowed_env(config.env.name, config.env.id) == run_info(config, 1)["borrowed_env"] == known
