"""What is imported from `rl_warmup` itself, and the examples of docs/own_model.md."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import rl_warmup

PAGE = Path(__file__).parents[2] / "docs" / "own_model.md"


def test_the_names_are_there_and_listed() -> None:
    assert set(rl_warmup.__all__) <= set(dir(rl_warmup))
    assert all(getattr(rl_warmup, name) for name in rl_warmup.__all__)
    assert rl_warmup.__version__ == metadata.version("rl-warmup")
    with pytest.raises(AttributeError, match="module 'rl_warmup' has no attribute 'Warmup'"):
        _ = rl_warmup.Warmup  # type: ignore[attr-defined]


@pytest.mark.parametrize("statement", ["import rl_warmup; dir(rl_warmup)", "from rl_warmup import WarmupSchedule"])
def test_torch_waits_until_it_is_needed(statement: str) -> None:
    heavy = {"torch", "stable_baselines3", "gymnasium", "hydra", "polars"}
    program = f"{statement}; import sys; assert not {heavy!r} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
def test_every_example_of_the_page_runs() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        shorter = block.replace("100_000", "640").replace('"CartPole-v1"', '"CartPole-v1", n_steps=64, n_epochs=2')
        shorter = shorter.replace(
            '"Pendulum-v1"', '"Pendulum-v1", learning_starts=610, buffer_size=500, batch_size=8'
        )
        exec(compile(shorter, PAGE.name, "exec"), names)
