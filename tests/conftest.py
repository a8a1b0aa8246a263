"""What several test modules need: resolved configs, made the way the command line makes them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import probe_envs
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import settings

from rl_warmup.compose import resolved
from rl_warmup.config import RunConfig, conf_dir, register_schema

Configure = Callable[..., RunConfig]
settings.register_profile("rl_warmup", deadline=None)  # a busy machine is no defect
settings.load_profile("rl_warmup")


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Configure]:
    """`configure("algo=dqn", "warmup=none")`: the resolved config of a run that records below tmp_path."""
    probe_envs.register()
    register_schema()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir().resolve())):

        def make(*overrides: str) -> RunConfig:
            own = ["tracking=disabled", f"runs_dir={tmp_path / 'runs'}"]
            return resolved(compose("config", overrides=[*own, *overrides]), "test")

        yield make


def probe(kind: str) -> list[str]:
    """Overrides that put the probe environment `kind` in the place of CartPole."""
    return [
        f"env.id=probe/{kind}-v0",
        f"env.name={kind}",
        "env.return_floor=-1",
        "env.return_low=-1",
        "env.return_high=1",
        "env.threshold=1",
    ]
