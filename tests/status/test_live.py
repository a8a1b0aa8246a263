"""The live table on folders in every status, on a terminal and elsewhere."""

import io
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from rl_warmup.records.atomic import write_text
from rl_warmup.records.words import duration
from rl_warmup.records.write import recording
from rl_warmup.status.live import LiveRuns, Shown

CONFIG = {"algo": {"name": "ppo"}}
INFO = {"run_id": "r", "arm": "a", "seed": 0, "warmup": {}, "config": CONFIG}


def run(base: Path, name: str) -> Path:
    """Folder of a run whose id is `name` and a hash, which the table leaves out."""
    return base / f"{name}-0123456789"


def terminal(height: int = 30) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=140, height=height, _environ={})


def pipe() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=140)


def shown(console: Console) -> str:
    """What was written, without the terminal's escape sequences."""
    assert isinstance(console.file, io.StringIO)
    return Text.from_ansi(console.file.getvalue().replace("\x1b[2K", "").replace("\x1b[1A", "")).plain


def make(folder: Path, status: str, *evaluations: tuple[int, float]) -> Path:
    """A run in `status`, as of a moment from now."""
    with recording(folder, INFO, CONFIG) as writer:
        for step, value in evaluations:
            writer.append("evaluations", {"env_step": step, "returns": [value], "lengths": [1]})
        if status != "running":
            writer.finish(status)
    stamp(folder, +5)
    return folder


def stamp(folder: Path, seconds: float) -> None:
    moment = time.time() + seconds
    os.utime(folder / "run.json", (moment, moment))


def row_of(text: str, run: str) -> str:
    """The last line about `run`."""
    return [line for line in text.splitlines() if run in line][-1]


def test_table_has_every_status(tmp_path: Path) -> None:
    console = terminal()
    names = ("done", "dead", "lost", "going", "later")
    with LiveRuns({run(tmp_path, name): 1000 for name in names}, console):
        make(run(tmp_path, "done"), "completed", (0, 9.0), (1000, 412.25))
        make(run(tmp_path, "dead"), "diverged", (0, 9.0), (500, 8.0))
        make(run(tmp_path, "lost"), "failed")
        make(run(tmp_path, "going"), "running", (0, 20.0), (250, 30.0))
    text = shown(console)
    assert row_of(text, "done").split()[:2] == ["done", "completed"]
    assert "100%" in row_of(text, "done")
    assert "412.2" in row_of(text, "done")
    assert row_of(text, "dead").split()[:2] == ["dead", "diverged"]
    assert row_of(text, "lost").split()[:2] == ["lost", "failed"]
    assert row_of(text, "going").split()[:2] == ["going", "running"]
    assert "25%" in row_of(text, "going")
    assert "30.0" in row_of(text, "going")
    assert row_of(text, "later").split()[:2] == ["later", "waiting"]
    assert "5 runs: 1 running, 1 failed, 1 diverged, 1 waiting, 1 completed" in text


def test_a_note_is_below_the_runs(tmp_path: Path) -> None:
    console = terminal()
    with LiveRuns({run(tmp_path, "going"): 1000}, console, "looks at 20, 40 pairs of seeds, at most 80 runs"):
        make(run(tmp_path, "going"), "running", (0, 20.0), (250, 30.0))
    assert "looks at 20, 40 pairs of seeds, at most 80 runs" in shown(console)


def test_whole_progress_counts_ended_runs_as_done(tmp_path: Path) -> None:
    console = terminal()
    with LiveRuns({run(tmp_path, "lost"): 1000, run(tmp_path, "going"): 1000}, console):
        make(run(tmp_path, "lost"), "failed", (0, 1.0))
        make(run(tmp_path, "going"), "running", (0, 1.0), (500, 1.0))
    assert "75%" in row_of(shown(console), "2 runs:")


def test_time_left_needs_progress(tmp_path: Path) -> None:
    console = terminal()
    with LiveRuns({run(tmp_path, "going"): 1000}, console):
        make(run(tmp_path, "going"), "running", (0, 1.0))
    assert "time left not known yet" in row_of(shown(console), "1 run:")


def test_time_left_of_a_run_is_what_its_pace_says(tmp_path: Path) -> None:
    console = terminal()
    with LiveRuns({run(tmp_path, "going"): 1000}, console):
        folder = make(run(tmp_path, "going"), "running", (0, 1.0), (250, 1.0))
        began = time.time() - 100  # a quarter took 100 s
        os.utime(folder / "config.yaml", (began, began))
    assert re.search(r"\b5 min 0\d s$", row_of(shown(console), "going").rstrip())


def test_what_is_left_from_before_is_waiting(tmp_path: Path) -> None:
    folder = make(run(tmp_path, "old"), "failed", (0, 1.0), (500, 7.0))
    stamp(folder, -60)
    console = terminal()
    with LiveRuns({folder: 1000}, console):
        pass
    assert row_of(shown(console), "old").split()[:2] == ["old", "waiting"]
    assert "0%" in row_of(shown(console), "old")


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_file_that_cannot_be_read_is_waiting(tmp_path: Path, text: str) -> None:
    console = terminal()
    with LiveRuns({run(tmp_path, "torn"): 1000}, console):
        (run(tmp_path, "torn")).mkdir()
        write_text(run(tmp_path, "torn") / "run.json", text)
        stamp(run(tmp_path, "torn"), +5)
    assert row_of(shown(console), "torn").split()[:2] == ["torn", "waiting"]


def test_what_does_not_fit_is_counted_and_running_comes_first(tmp_path: Path) -> None:
    console = terminal(height=10)
    totals = {run(tmp_path, f"run{index:02d}"): 1000 for index in range(20)}
    with LiveRuns(totals, console):
        make(run(tmp_path, "run19"), "running", (0, 1.0))
        make(run(tmp_path, "run00"), "completed", (0, 1.0))
    last = shown(console).splitlines()[-8:]
    assert "run19" in "".join(last)
    assert "run00" not in "".join(last)
    assert any("… and 15 more runs" in line for line in last)


@pytest.mark.parametrize("width", [80, 109, 110, 140])
def test_long_names_leave_room_for_the_rest_and_keep_their_seed(tmp_path: Path, width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=30, _environ={})
    long = "cartpole-ppo-polynomial-power3-0.05pct-gradient_steps-start0.25-lr0.0001235-constant"
    folders = [run(tmp_path, f"{long}-s{seed}") for seed in (1, 2)]
    with LiveRuns(dict.fromkeys(folders, 1000), console):
        make(folders[0], "running", (0, 1.0), (250, 123.4))
    text = shown(console)
    assert max(map(len, text.splitlines())) <= width
    first = row_of(text, "-s1 ")
    assert first.split()[0].startswith("cartpole-ppo")
    assert {"running", "25%", "123.4"} <= set(first.split())
    assert row_of(text, "-s2 ").split()[1] == "waiting"
    assert "0123456789" not in text


@pytest.mark.parametrize("width", [60, 79])
def test_a_narrow_terminal_does_without_bars_and_keeps_the_numbers(tmp_path: Path, width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=30, _environ={})
    folder = run(tmp_path, "cartpole-ppo-linear-10pct-gradient_steps-lr0.001-constant-s1")
    with LiveRuns({folder: 1_000_000}, console):
        make(folder, "running", (0, 1.0), (250_000, -12345.6))
        began = time.time() - 6000
        os.utime(folder / "config.yaml", (began, began))
    text = shown(console)
    assert max(map(len, text.splitlines())) <= width
    row = row_of(text, "nt-s1 ")
    assert "━" not in text
    assert re.search(r"nt-s1 +running +25% +-12345.6 +5 h 00 min", row)


@pytest.mark.parametrize(
    ("value", "text"), [(412.25, "412.2"), (0.0, "0.0"), (0.00031, "0.00031"), (-3.2e21, "-3.2e+21")]
)
def test_returns_of_any_size_are_readable(tmp_path: Path, value: float, text: str) -> None:
    for console in (terminal(), pipe()):
        with LiveRuns({run(tmp_path, "done"): 1000}, console):
            make(run(tmp_path, "done"), "completed", (1000, value))
        assert text in row_of(shown(console), "done").split()
        (run(tmp_path, "done") / "run.json").unlink()


def test_elsewhere_each_run_that_ends_is_a_line(tmp_path: Path) -> None:
    console = pipe()
    names: dict[str, tuple[Any, ...]] = {
        "done": ("completed", (0, 9.0), (1000, 412.25)),
        "dead": ("diverged", (0, float("nan"))),
        "lost": ("failed",),
        "going": ("running", (0, 1.0)),
    }
    with LiveRuns({run(tmp_path, name): 1000 for name in names}, console):
        for name, how in names.items():
            make(run(tmp_path, name), *how)
    assert isinstance(console.file, io.StringIO)
    lines = sorted(line.partition("] ")[2] for line in console.file.getvalue().splitlines() if line)
    ends = {"dead": "diverged, no return", "done": "completed, return 412.2", "lost": "failed, no return"}
    assert lines == [f"{name}-0123456789: {end}" for name, end in ends.items()]
    assert console.file.getvalue().count("[3/4]") == 1


def test_many_runs_are_looked_at_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def count(self: LiveRuns, folder: Path) -> Shown:
        nonlocal looked
        looked += 1
        return read(self, folder)

    read = LiveRuns._read_one
    monkeypatch.setattr(LiveRuns, "_read_one", count)
    folders = [run(tmp_path, f"run{index}") for index in range(1000)]
    make(folders[0], "completed", (0, 1.0))
    runs = LiveRuns(dict.fromkeys(folders, 1000), terminal())
    began = time.monotonic()
    while time.monotonic() - began < 0.3:
        runs._render()
    assert looked <= 1000 + 999 * 0.3 / 0.05  # one pass takes a millisecond or more: 50 until the next
    assert "1,000 runs: 999 waiting, 1 completed" in runs._summary().plain


def test_an_exception_passes_through(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), LiveRuns({run(tmp_path, "run"): 10}, pipe()):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.5, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.9, "1 h 00 min"),
        (90_061, "25 h 01 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
