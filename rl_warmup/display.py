"""A live table of runs, read from their record files: it works the same for every launcher."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rl_warmup.records import RecordError, read_info

ORDER = ("running", "failed", "diverged", "waiting", "completed")
STYLES = {
    "running": "cyan",
    "failed": "bold red",
    "diverged": "magenta",
    "waiting": "dim",
    "completed": "green",
}


class LiveRuns:
    """While it is entered, shows the progress, the return so far and the time left of every run.

    On a terminal the table is redrawn in place; elsewhere each run that ends gets a line.
    """

    def __init__(self, totals: Mapping[Path, int], console: Console) -> None:
        """`totals`: environment steps that the run in each folder will take."""
        self._totals, self._console = totals, console
        self._began = time.time()
        self._finished: dict[Path, dict[str, Any]] = {}
        self._reported: set[Path] = set()
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=1, vertical_overflow="crop"
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        if not self._console.is_terminal:
            self._report_ended(self._read())

    def _read(self) -> dict[Path, dict[str, Any]]:
        """run.json of every run of this session; one that is not there yet, or from before, is waiting."""
        infos = {}
        for folder in self._totals:
            info = self._finished.get(folder) or self._read_one(folder)
            if info["status"] in ("completed", "diverged", "failed"):
                self._finished[folder] = info
            infos[folder] = info
        return infos

    def _read_one(self, folder: Path) -> dict[str, Any]:
        try:
            path = folder / "run.json"
            if path.stat().st_mtime >= self._began:
                return read_info(folder)
        except (OSError, RecordError):
            pass
        return {"status": "waiting", "env_steps": 0, "latest_return": None}

    def _render(self) -> RenderableType:
        infos = self._read()
        if not self._console.is_terminal:
            self._report_ended(infos)
            return Text()
        room = max(3, self._console.height - 5)
        shown = sorted(infos, key=lambda folder: ORDER.index(infos[folder]["status"]))[:room]
        table = Table(box=None, padding=(0, 1))
        for heading in ("run", "status", "progress", "", "return", "left"):
            table.add_column(heading, justify="right" if heading in ("return", "left", "") else "left")
        for folder in shown:
            table.add_row(*self._row(folder, infos[folder]))
        hidden = len(infos) - len(shown)
        rest = [Text(f"… and {hidden} more runs", style="dim")] if hidden else []
        return Group(table, *rest, self._summary(infos))

    def _row(self, folder: Path, info: dict[str, Any]) -> list[RenderableType]:
        total, done, status = self._totals[folder], info["env_steps"], info["status"]
        left = ""
        if status == "running" and done:
            first = folder / "config.yaml"
            elapsed = time.time() - first.stat().st_mtime
            left = duration(elapsed * (total - done) / done)
        wide = self._console.width >= 110
        return [
            elided(folder.name.rpartition("-")[0], max(12, self._console.width - (62 if wide else 52))),
            Text(status, style=STYLES[status]),
            ProgressBar(total=total, completed=min(done, total), width=20 if wide else 10),
            f"{min(1.0, done / total):.0%}",
            "" if info["latest_return"] is None else f"{info['latest_return']:.1f}",
            left,
        ]

    def _summary(self, infos: Mapping[Path, dict[str, Any]]) -> Text:
        total = sum(self._totals.values())
        done = sum(
            self._totals[folder] if info["status"] in ("completed", "diverged", "failed") else info["env_steps"]
            for folder, info in infos.items()
        )
        counts = {status: sum(info["status"] == status for info in infos.values()) for status in ORDER}
        elapsed = time.time() - self._began
        left = f"about {duration(elapsed * (total - done) / done)} left" if done else "time left not known yet"
        words = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        return Text(f"{len(infos)} runs: {words} · {done / total:.0%} · {duration(elapsed)} · {left}", style="bold")

    def _report_ended(self, infos: Mapping[Path, dict[str, Any]]) -> None:
        for folder in self._finished.keys() - self._reported:
            self._reported.add(folder)
            info = infos[folder]
            value = "no return" if info["latest_return"] is None else f"return {info['latest_return']:.1f}"
            print(
                f"[{len(self._reported)}/{len(self._totals)}] {folder.name}: {info['status']}, {value}",
                file=self._console.file,
                flush=True,
            )


def elided(name: str, width: int) -> str:
    """`name` without its middle where it is longer than `width`: the seed at its end tells runs apart.

    >>> elided("cartpole-ppo-linear-s3", 16)
    'cartpole-p…ar-s3'
    """
    return name if len(name) <= width else f"{name[: width - 6]}…{name[-5:]}"


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(3725), duration(59.6), duration(61)
    ('1 h 02 min', '1 min 00 s', '1 min 01 s')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
