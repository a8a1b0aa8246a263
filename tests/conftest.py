"""What several test modules need: resolved configs, made the way the command line makes them."""

from collections.abc import Callable
from pathlib import Path

import probe_envs
import pytest
from hypothesis import settings

from rl_warmup.compose import configured
from rl_warmup.config import RunConfig

Configure = Callable[..., RunConfig]
settings.register_profile("rl_warmup", deadline=None)  # a busy machine is no defect
settings.load_profile("rl_warmup")


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """`configure("algo=dqn", "warmup=none")`: the resolved config of a run that records below tmp_path."""
    probe_envs.register()
    own = ["tracking=disabled", f"runs_dir={tmp_path / 'runs'}"]
    return lambda *overrides: configured([*own, *overrides], "test")


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
