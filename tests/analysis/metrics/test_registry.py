"""Metrics of other packages, from real distributions: a folder on the path with its entry points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.synthetic import two_arms

from rl_warmup.analysis.metrics.registry import metrics
from rl_warmup.analysis.metrics.table import METRICS
from rl_warmup.config.settings import ConfigError

HALVES = """
from rl_warmup.analysis.metrics.table import Metric

def second_half(t, z, threshold):
    return z[:, z.shape[1] // 2 :].mean(axis=1)

def longest(episodes, config):
    return float(episodes["length"].max())

HALF = Metric("second_half", second_half, "normalized return", "higher", "mean of the second half", 0.05)

def longest_episode():
    return Metric("longest", longest, "steps", "lower", "its longest", None, False, "descriptive", "episodes")
"""


def install(folder: Path, module: str, source: str, *entries: str) -> None:
    """A distribution as pip installs it, with entry points of the group."""
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("\n".join(["[rl_warmup.metrics]", *entries]) + "\n")
    (folder / f"{module}.py").write_text(source)


def report(study: Path, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rl_warmup.report", str(study), "--no-figures"]
    environment = os.environ | {"PYTHONPATH": str(path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_metric_of_an_installed_package_is_reported_like_our_own(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0, 12.0])
    assert report(study, tmp_path / "nothing").returncode == 0
    before = json.loads((study / "report.json").read_text())
    install(tmp_path / "site", "halves", HALVES, "half = halves:HALF", "longest = halves:longest_episode")
    assert report(study, tmp_path / "site").returncode == 0
    after = json.loads((study / "report.json").read_text())
    assert list(after["study"]["metrics"]) == [*before["study"]["metrics"], "second_half", "longest"]
    assert after["study"]["metrics"]["second_half"]["description"] == "mean of the second half (halves.HALF)"
    (row,) = [row for row in after["comparisons"] if row["metric"] == "second_half"]
    assert (row["family"], row["n"]) == ("exploratory", 3)
    assert row["estimate"] == pytest.approx(0.11)  # the arms differ by 10, 11 and 12 hundredths everywhere
    assert [cell["metrics"]["longest"]["mean"] for cell in after["cells"]] == [1000, 1000]
    page = (study / "report.html").read_text()
    assert "second half" in page
    assert "its longest (halves.longest_episode)" in page
    confirmatory = [
        [row for row in one["comparisons"] if row["family"] == "confirmatory"] for one in (before, after)
    ]
    assert confirmatory[0] == confirmatory[1]


def test_a_metric_that_cannot_be_used_is_named_in_one_line(tmp_path: Path) -> None:
    study = two_arms(tmp_path / "s", [10.0, 11.0])
    install(tmp_path / "site", "broken", "", "gone = broken:GONE")
    done = report(study, tmp_path / "site")
    assert done.returncode == 2
    assert done.stderr == (
        "error: entry point gone = broken:GONE of rl_warmup.metrics: "
        "AttributeError: module 'broken' has no attribute 'GONE'\n"
    )


GOOD = '"good", len, "steps", "lower", "about", None, False, "exploratory", "curve", False'


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"good"', '"final"', "there is a metric final already"),
        ('"good"', '"Not so good"', "its name is 'Not so good'"),
        ('"exploratory"', '"confirmatory"', "its role is 'confirmatory'; give exploratory or descriptive"),
        ('"curve"', '"losses"', "its source is 'losses'; give curve or episodes or updates"),
        ('"lower"', '"less"', "its better is 'less'"),
        ("len", "3", "its function 3 cannot be called"),
        ("None", "-1", "its smallest_effect is -1"),
        ('"curve", False', '"updates", True', "only curve has one"),
        (
            '"curve", False',
            '"curve", False, None, 3',
            "its within 3 cannot be called; give a function of both bounds",
        ),
        (GOOD, "", "TypeError: .*missing"),
    ],
)
def test_what_is_wrong_with_a_metric_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, why: str
) -> None:
    assert GOOD.count(old) == 1
    made = f"from rl_warmup.analysis.metrics.table import Metric\nmade = lambda: Metric({GOOD.replace(old, new)})\n"
    install(tmp_path, tmp_path.name, made, f"made = {tmp_path.name}:made")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        ConfigError, match=rf"entry point made = {tmp_path.name}:made of rl_warmup.metrics: .*{why}"
    ):
        metrics.__wrapped__()


def test_what_is_no_metric_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "numbers_only", "ONE = 1", "one = numbers_only:ONE")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="it gives 1; give a Metric, or a function"):
        metrics.__wrapped__()


def test_without_other_packages_there_are_the_built_in_ones() -> None:
    assert list(metrics()) == list(METRICS)
