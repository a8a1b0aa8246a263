"""Sweeps through the command line, timed from outside: what the benchmarks of the trainers have in common."""

import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType

from rl_warmup.records.provenance import hardware, versions
from rl_warmup.records.read import Record, read_study
from rl_warmup.records.schema import FINISHED

SB3 = ("trainer=sb3", "hydra/launcher=joblib_local")
STACKED = ("trainer=stacked", "hydra/launcher=stacked")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
SAMPLED_EVERY = 1.0  # seconds between two looks at the memory, which take some hundredths each


@dataclass(frozen=True)
class Sweep:
    """What a sweep took, in seconds from the start of its process; the report after its last run is not counted."""

    ends: tuple[float, ...]  # [runs], when they were finished, rising
    env_steps: int  # of one run
    memory: int  # bytes, largest sum over its processes, a page that several share counted once
    cores: float = math.nan  # busy on average: CPU time of all its processes and their threads over wall time

    @property
    def runs(self) -> int:
        """Number of runs."""
        return len(self.ends)

    @property
    def seconds(self) -> float:
        """From the start of the process to the end of the last run."""
        return self.ends[-1]

    @property
    def rate(self) -> float:
        """Environment steps a second."""
        return self.runs * self.env_steps / self.seconds


def sweep(
    overrides: Sequence[str],
    folder: Path,
    name: str,
    environment: Mapping[str, str] | None = None,
    device: str = "cpu",
) -> Sweep:
    """Train `python -m rl_warmup.run -m *overrides` into folder/name, without W&B, in a process of its own.

    Raises:
        SystemExit: with the end of its output, if a run was not trained to its end.
    """
    fixed = [f"device={device}", "tracking=disabled", f"study.name={name}", f"runs_dir={folder}"]
    command = [sys.executable, "-m", "rl_warmup.run", "-m", *overrides, *fixed]
    began = time.time()
    used = run(command, environment or {})
    infos = [record.info for record in finished(folder / name)]
    ends = sorted(datetime.fromisoformat(info["finished"]).timestamp() - began for info in infos)
    return Sweep(tuple(ends), max(int(info["env_steps"]) for info in infos), used.memory, used.cores(ends[-1]))


def run(command: Sequence[str], environment: Mapping[str, str]) -> "Usage":
    """Run a command, `environment` beside this one's; what its processes used.

    Raises:
        SystemExit: with the end of what it printed, if it fails.
    """
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)
        with process, Usage([process.pid]) as usage:
            code = process.wait()
        if code:
            output.seek(0)
            sys.exit(f"{output.read()[-4000:]}\nexit code {code}: {' '.join(command)}")
    return usage


def run_shown(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a command that says itself what it does; a Ctrl-C, which it also receives, waits for its end.

    Raises:
        SystemExit: if it fails.
    """
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    if code:
        sys.exit(f"exit code {code}: {' '.join(command)}")


class Usage:
    """Watches processes and all their descendants from a thread: `memory`, bytes at most, and their CPU time."""

    def __init__(self, pids: Sequence[int]) -> None:
        self.memory = 0
        self._pids, self._ended = pids, threading.Event()
        self._cpu: dict[int, float] = {}  # seconds of each process that was seen, ended ones too
        self._samples = [(0.0, 0.0)]  # seconds since the start, CPU seconds of all
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def cores(self, seconds: float) -> float:
        """Cores that were busy on average in the first so many seconds."""
        when, used = max(sample for sample in self._samples if sample[0] <= seconds)
        return used / when if when else math.nan

    def __enter__(self) -> "Usage":
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLED_EVERY):
            members = set().union(*map(family, self._pids))
            self.memory = max(self.memory, sum(map(_proportional, members)))
            self._cpu |= {pid: seconds for pid in members if (seconds := _cpu_seconds(pid)) is not None}
            self._samples.append((time.monotonic() - self._began, sum(self._cpu.values())))


def family(pid: int) -> set[int]:
    """A process and its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    members, found = {pid}, {pid}
    while found:
        found = {child for child, parent in parents.items() if parent in found} - members
        members |= found
    return members


def _cpu_seconds(pid: int) -> float | None:
    """User and system time of all threads of a process; None where it has ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return None


def _proportional(pid: int) -> int:
    """Proportional set size in bytes, so that a library which several have mapped counts once; 0 where it ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0


def finished(folder: Path) -> list[Record]:
    """The finished runs of a study; none where there is no such folder."""
    records = read_study(folder)[0] if any(folder.glob("*/run.json")) else []
    return [record for record in records if record.status in FINISHED]


def machine(device: str = "cpu") -> str:
    """Hardware and the versions that decide the times."""
    packages = {name: number for name, number in versions().items() if name not in ("wandb", "polars")}
    try:
        packages["envpool"] = version("envpool")
    except PackageNotFoundError:
        packages["envpool"] = "not installed"
    return f"{hardware(device)}; " + ", ".join(f"{name} {number}" for name, number in packages.items())


def table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> None:
    """Print a Markdown table."""
    names = list(header)
    lines: list[Iterable[object]] = [names, ["---"] * len(names), *rows]
    print("", *("| " + " | ".join(map(str, line)) + " |" for line in lines), sep="\n", flush=True)
