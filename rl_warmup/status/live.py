"""A live table of runs, read from their record files: it works the same for every launcher."""

import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rl_warmup.records.read import read_info
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import counted, duration, readable

STYLES = {"running": "cyan", "failed": "bold red", "diverged": "magenta", "waiting": "dim", "completed": "green"}
ORDER = tuple(STYLES)
ENDED = ("completed", "diverged", "failed")
READING_SHARE = 0.02
"""Share of the time that looking at the files of runs may take: ten thousand are looked at less often than ten."""


class Shown(NamedTuple):
    """What is shown of a run; of the many that a sweep may have, no more than this is kept."""

    status: str
    env_steps: int
    latest_return: float | None


WAITING = Shown("waiting", 0, None)
"""A run that has no record yet, or one from before this session."""


class LiveRuns:
    """While it is entered, shows the progress, the return so far and the time left of every run.

    On a terminal the table is redrawn in place; elsewhere each run that ends gets a line.
    """

    def __init__(self, totals: Mapping[Path, int], console: Console, note: str = "") -> None:
        """What is shown.

        Args:
            totals: environment steps that the run in each folder will take.
            note: what is said below the runs.
        """
        self._totals, self._console, self._note = totals, console, note
        self._began = time.time()
        self._infos: dict[Path, Shown] = dict.fromkeys(totals, WAITING)
        self._next_read = 0.0
        self._reported: set[Path] = set()
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=1, vertical_overflow="crop"
        )

    def look(self) -> dict[Path, Shown]:
        """What is to be seen now of the run in each folder."""
        self._next_read = 0.0
        self._read()
        return dict(self._infos)

    @property
    def seconds(self) -> float:
        """Since the table was made."""
        return time.time() - self._began

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._next_read = 0.0
        self._live.stop()
        if not self._console.is_terminal:
            self._read()
            self._report_ended()

    def _read(self) -> None:
        """Look at every run of this session that has not ended, unless that was done too short a time ago."""
        began = time.monotonic()
        if began < self._next_read:
            return
        for folder, info in self._infos.items():
            if info.status not in ENDED:
                self._infos[folder] = self._read_one(folder)
        self._next_read = time.monotonic() + (time.monotonic() - began) / READING_SHARE

    def _read_one(self, folder: Path) -> Shown:
        with suppress(OSError, RecordError):
            if os.stat(f"{folder}/run.json").st_mtime >= self._began:  # noqa: PTH116, many are not there yet
                info = read_info(folder)
                return Shown(info["status"], info["env_steps"], info["latest_return"])
        return WAITING

    def _render(self) -> RenderableType:
        self._read()
        infos = self._infos
        if not self._console.is_terminal:
            self._report_ended()
            return Text()
        room = max(3, self._console.height - 5 - bool(self._note))
        shown = sorted(infos, key=lambda folder: ORDER.index(infos[folder].status))[:room]
        table = Table(box=None, padding=(0, 1))
        table.add_column("run")
        for heading in ("status", *(("progress",) if self._bar else ()), "", "return", "left"):
            table.add_column(
                heading, justify="right" if heading in ("return", "left", "") else "left", no_wrap=True
            )
        for folder in shown:
            table.add_row(*self._row(folder, infos[folder]))
        hidden = len(infos) - len(shown)
        rest = [Text(f"… and {counted(hidden, 'more run')}", style="dim")] if hidden else []
        note = [Text(self._note, style="dim")] if self._note else []
        return Group(table, *rest, self._summary(), *note)

    def _row(self, folder: Path, info: Shown) -> list[RenderableType]:
        total, done, status = self._totals[folder], info.env_steps, info.status
        left = ""
        if status == "running" and done:
            elapsed = time.time() - (folder / "config.yaml").stat().st_mtime
            left = duration(elapsed * (total - done) / done)
        name, room = folder.name.rpartition("-")[0], max(12, self._console.width - 43 - self._bar)
        bar = ProgressBar(total=total, completed=min(done, total), width=self._bar - 2)
        return [
            name if len(name) <= room else f"{name[: room - 6]}…{name[-5:]}",  # its end has the seed
            Text(status, style=STYLES[status]),
            *([bar] if self._bar else []),
            f"{min(1.0, done / total):.0%}",
            "" if info.latest_return is None else readable(info.latest_return),
            left,
        ]

    @property
    def _bar(self) -> int:
        """Width of the column of bars: what a narrow terminal does without."""
        return 22 if self._console.width >= 110 else 12 if self._console.width >= 80 else 0

    def _summary(self) -> Text:
        total = sum(self._totals.values())
        done, elapsed = steps_done(self._infos, self._totals), self.seconds
        counts = Counter(info.status for info in self._infos.values())
        left = f"about {duration(elapsed * (total - done) / done)} left" if done else "time left not known yet"
        words = ", ".join(f"{counts[status]:,} {status}" for status in ORDER if counts[status])
        runs = counted(len(self._infos), "run")
        return Text(f"{runs}: {words} · {done / total:.0%} · {duration(elapsed)} · {left}", style="bold")

    def _report_ended(self) -> None:
        for folder, info in self._infos.items():
            if info.status in ENDED and folder not in self._reported:
                self._reported.add(folder)
                value = "no return" if info.latest_return is None else f"return {readable(info.latest_return)}"
                count = f"[{len(self._reported)}/{len(self._totals)}]"
                print(f"{count} {folder.name}: {info.status}, {value}", file=self._console.file, flush=True)


def steps_done(shown: Mapping[Path, Shown], totals: Mapping[Path, int]) -> int:
    """Environment steps that need not be taken any more: all of a run that has ended, however early."""
    return sum(totals[folder] if run.status in ENDED else run.env_steps for folder, run in shown.items())
