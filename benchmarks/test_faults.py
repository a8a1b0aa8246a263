"""benchmarks/faults.py: a small sweep under SIGKILL is the undisturbed sweep, and what is amiss is seen."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from rl_warmup.config.identity import study_folder
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import execute

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "faults.py"

TINY = ["tracking=disabled", "total_timesteps=250", "algo.n_envs=2", "algo.n_steps=16", "algo.batch_size=16"]
TINY += ["algo.n_epochs=2", "evaluation.count=2", "evaluation.episodes=1"]


@pytest.mark.long  # tests/run/ kills one process at a time
def test_a_sweep_whose_processes_are_killed_is_the_sweep_in_peace(tmp_path: Path) -> None:
    arguments = ["--kinds", "stacked", "--runs", "5", "--steps", "1500", "--every", "1", "--kills", "2"]
    arguments += ["--folder", str(tmp_path)]
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)
    logs = [path.read_text() for path in tmp_path.glob("*.log")]
    assert done.returncode == 0, (done.stdout, done.stderr, logs)
    *_, row, _, verdict = done.stdout.splitlines()
    kind, runs, kills, _, starts, *_, left, _, _ = row.strip("| ").split(" | ")
    assert (kind, runs, kills, left) == ("stacked", "4", "2", "0")
    assert int(starts) >= 2
    assert verdict == "Every run was finished once; all rows and the report are those of the undisturbed sweep."


@pytest.fixture(scope="module")
def faults() -> ModuleType:
    """The benchmark."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(SCRIPT.parent))
        spec = importlib.util.spec_from_file_location("faults", SCRIPT)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A finished study of two runs with a report of sorts."""
    configs = [configured([*TINY, f"runs_dir={tmp_path / 'runs'}", f"seed={seed}"], "test") for seed in (0, 1)]
    assert [execute(config) for config in configs] == ["completed"] * 2
    folder = study_folder(configs[0])
    report = {"study": {"name": "x"}, "cells": [{"n": 2}, {"n": 3}], "reproduce": {"started": "now"}}
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def _run(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def changed(study: Path) -> None:
        path = next(study.glob("*s0*/run.json"))
        info = json.loads(path.read_text())
        change(info)
        path.write_text(json.dumps(info))

    return changed


def _table(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Path], None]:
    def changed(study: Path) -> None:
        path = next(study.glob(f"*s0*/{name}.parquet"))
        change(pl.read_parquet(path, memory_map=False)).write_parquet(path)

    return changed


def _report(study: Path) -> None:
    (study / "report.json").write_text(json.dumps({"study": {"name": "y"}, "cells": [{"n": 2}, {"n": 4}]}))


AMISS: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "a run is missing": (lambda study: shutil.rmtree(next(study.glob("*s0*"))), ["is not in both"]),
    "not finished": (_run(lambda info: info.update(status="running")), ["it is running"]),
    "finished twice": (
        _run(lambda info: info.update(earlier_attempts=[{"status": "completed"}, {"status": "failed"}])),
        ["it was finished 2 times"],
    ),
    "a row twice": (
        _table("updates", lambda frame: pl.concat([frame, frame.tail(1)])),
        ["gradient_step of updates does not rise", "updates has other rows"],
    ),
    "a row missing": (_table("episodes", lambda frame: frame.head(-1)), ["episodes has other rows"]),
    "a file left": (lambda study: next(study.glob("*s0*")).joinpath(".x.tmp").touch(), [".x.tmp is left"]),
    "torn": (
        lambda study: next(study.glob("*s0*/updates.parquet")).write_bytes(b"PAR1"),
        ["updates.parquet cannot"],
    ),
    "report": (_report, ["report.json differs in /cells/1/n: 3 and 4"]),
    "nothing": (lambda study: None, []),
}


def test_what_is_amiss_is_named(study: Path, tmp_path: Path, faults: ModuleType) -> None:
    for name, (change, expected) in AMISS.items():
        other = tmp_path / name
        shutil.copytree(study, other)
        change(other)
        found = list(faults.differences(study, other) if name == "report" else faults.differences(other, study))
        assert len(found) == len(expected), (name, found)
        assert all(text in line for text, line in zip(expected, found, strict=True)), (name, found)
