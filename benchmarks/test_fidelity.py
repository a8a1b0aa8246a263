"""The statistics of benchmarks/fidelity.py against libraries, hand-worked values and simulated samples."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats


@pytest.fixture(scope="module")
def fidelity() -> ModuleType:
    """The benchmark, which is no part of the package."""
    folder = str(Path(__file__).parent.parent / "benchmarks")
    sys.path.append(folder)
    try:
        import fidelity
    finally:
        sys.path.remove(folder)
    return fidelity


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_welch_interval_by_its_formula(fidelity: ModuleType) -> None:
    x, y = rng().normal(1.0, 2.0, 30), rng(1).normal(0.0, 0.5, 200)
    parts = [sample.var(ddof=1) / sample.size for sample in (x, y)]
    freedom = sum(parts) ** 2 / sum(part**2 / (s.size - 1) for part, s in zip(parts, (x, y), strict=True))
    half = stats.t.ppf(0.95, freedom) * np.sqrt(sum(parts))
    expected = x.mean() - y.mean() - half, x.mean() - y.mean() + half
    assert fidelity.welch_interval(x, y) == pytest.approx(expected)


def test_samples_without_spread(fidelity: ModuleType) -> None:
    same = fidelity.compare(np.ones(200), np.ones(30), rng())
    assert (same.difference, same.welch, same.bootstrap, same.p) == (0.0, (0.0, 0.0), (0.0, 0.0), 1.0)
    other = fidelity.compare(np.ones(200), np.zeros(30), rng())
    assert other.welch == (1.0, 1.0)
    assert other.p < 0.001
    low, high = fidelity.welch_interval(np.ones(200), np.array([0.0, 1.0] * 15))  # one side has none
    assert low < 0.5 < high


def test_bootstrap_interval_is_near_welch_s_for_normal_samples(fidelity: ModuleType) -> None:
    x, y = rng().normal(size=200), rng(1).normal(size=100)
    bootstrap = fidelity.bootstrap_interval(x, y, rng(2))
    assert bootstrap == pytest.approx(fidelity.welch_interval(x, y), abs=0.02)


def test_holm_by_hand(fidelity: ModuleType) -> None:
    assert fidelity.holm([0.02, 0.01, 0.5]) == pytest.approx([0.04, 0.03, 0.5])
    assert fidelity.holm([0.3, 0.4]) == pytest.approx([0.6, 0.6])


@pytest.mark.parametrize(("shift", "alarm"), [(0.0, False), (0.1, True)])
def test_alarm(fidelity: ModuleType, shift: float, alarm: bool, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for i, moved in enumerate((0.0, 0.0, shift)):
        sb3, stacked = rng(i).normal(0.7, 0.06, 30), rng(10 + i).normal(0.7 + moved, 0.06, 200)
        one = fidelity.compare(stacked, sb3, rng(i))
        assert one.welch[0] < one.difference < one.welch[1]
        lines.append(fidelity.Line(("case", "none", str(i)), "", fidelity.shown(stacked), one))
    assert fidelity.report(lines) is alarm
    assert capsys.readouterr().out.count("| case |") == 1 + len(lines)


def test_other_settings_are_not_compared(fidelity: ModuleType) -> None:
    class Block:
        def __init__(self, settings: dict[str, object], last: int) -> None:
            self.settings, self.steps = settings, np.array([0, last])

    sb3 = Block({"trainer.name": "sb3", "algo.gamma": 0.99}, 100)
    fidelity.check_alike(
        Block({"trainer.name": "stacked", "trainer.envs": "envpool", "algo.gamma": 0.99}, 100), sb3, "x"
    )
    with pytest.raises(SystemExit, match=r"x: .* differ in algo\.gamma"):
        fidelity.check_alike(Block({"trainer.name": "stacked", "algo.gamma": 0.9}, 100), sb3, "x")
    with pytest.raises(SystemExit, match="steps of evaluation"):
        fidelity.check_alike(Block({"trainer.name": "stacked", "algo.gamma": 0.99}, 96), sb3, "x")
