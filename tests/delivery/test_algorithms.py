"""Every algorithm of Stable-Baselines3 and sb3-contrib under a warmup, and the table of docs/own_model.md.

`PYTHONPATH=tests python tests/delivery/test_algorithms.py` writes the table anew.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from helpers.sb3_models import ARGUMENTS, TOTAL, classes, small_model

from rl_warmup import DoseMeter, WarmupCallback
from rl_warmup.delivery.hook import optimizers_of, planned_steps
from rl_warmup.schedules import step_factor
from rl_warmup.schedules.numbers import steps_of

PAGE = Path(__file__).parents[2] / "docs" / "own_model.md"
HEAD = "| algorithm | optimizers | steps of a fraction | shapes defined by β2 |\n| --- | --- | --- | --- |\n"
SETTINGS = {"learning_rate": 1e-3}


def run(name: str, shape: str, length: float | None) -> dict[str, np.ndarray]:
    model = small_model(name, **SETTINGS)
    meter = DoseMeter(model)
    model.learn(TOTAL, callback=WarmupCallback(shape, length))
    return meter.rates


def row(name: str) -> str:
    """What was found by running it: optimizers, whether a fraction works, whether beta2 is there."""
    try:
        found = optimizers_of(small_model(name, **SETTINGS if name != "ARS" else {}))
    except ValueError as error:
        return f"| {name} | none | refused: {error} | refused |"
    planned = delivered(name)
    try:
        run(name, "untuned_linear", None)
        beta2 = "run"
    except ValueError as error:
        beta2 = f"refused: {str(error).partition(':')[0]}"
    words = ", ".join(f"`{each}` ({type(optimizer).__name__})" for each, optimizer in found.items())
    return f"| {name} | {words} | run: {planned} | {beta2} |"


def delivered(name: str) -> str:
    """Trains with a warmup over half of the steps, and compares every step of every optimizer with the formula."""
    counts = []
    for each, rates in run(name, "linear", 0.5).items():
        planned = planned_steps(small_model(name, **SETTINGS), each, TOTAL)
        assert len(rates) == planned, (name, each)
        expected = 1e-3 * step_factor("linear", steps_of(0.5, planned))(np.arange(planned))
        np.testing.assert_allclose(rates, expected, rtol=1e-12)
        counts.append(str(planned))
    return ", ".join(counts)


def test_every_algorithm_is_in_the_table() -> None:
    assert set(classes()) == set(ARGUMENTS)
    assert set(re.findall(r"^\| (\w+) \|", PAGE.read_text().split(HEAD)[1], flags=re.MULTILINE)) >= set(ARGUMENTS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the warmup untuned_linear is inert")
@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_algorithm_does_what_the_table_says(name: str) -> None:
    assert row(name) in PAGE.read_text().splitlines()


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(HEAD)
    after = re.sub(r"\A(\|.*\n)*", "", rest)
    PAGE.write_text(before + HEAD + "".join(f"{row(name)}\n" for name in classes()) + after)
