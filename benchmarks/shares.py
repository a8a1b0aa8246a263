"""Where the stacked trainer's time goes: environments, acting, updates, evaluations, and the rest.

    python benchmarks/shares.py algo=ppo env=lunarlander total_timesteps=100000 [--members 12]

Trains one stack in this process, records and all, and prints a line of JSON: for every part its wall time and the
CPU time of all threads in it, EnvPool's too, in seconds. The rest is from the start of the process to the end of
training without those parts: imports, start-up, reading compiled programs, records.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rl_warmup.run.compose import configured
from rl_warmup.run.execute import execute_stack
from rl_warmup.trainers.stacked import train as stacked
from rl_warmup.trainers.stacked.train import StackTraining

PARTS = ("environments", "acting", "update", "evaluation", "rest")


class Clock:
    """Adds up wall and CPU seconds by part; parts are not timed within parts."""

    def __init__(self) -> None:
        self.spent = {part: [0.0, 0.0] for part in PARTS}
        self._within = False

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part."""
        if self._within:
            yield
            return
        self._within, wall, cpu = True, time.perf_counter(), time.process_time()
        yield
        self._within = False
        self.spent[name][0] += time.perf_counter() - wall
        self.spent[name][1] += time.process_time() - cpu

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed as a part."""

        def call(*arguments: Any) -> Any:
            with self.part(name):
                return function(*arguments)

        return call

    def close(self, wall: float, cpu: float) -> dict[str, list[float]]:
        """All parts, the rest being what is missing to the seconds of the whole."""
        self.spent["rest"] = [
            whole - sum(times)
            for whole, times in zip((wall, cpu), zip(*self.spent.values(), strict=True), strict=True)
        ]
        return self.spent


class Timed(StackTraining):
    """A training that times its parts."""

    clock = Clock()

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        clock, algorithm = self.clock, self.algorithm
        self._envs.step = clock.timed("environments", self._envs.step)  # type: ignore[method-assign]
        for name in ("act", "observe"):
            setattr(algorithm, name, clock.timed("acting", getattr(algorithm, name)))
        algorithm.update = clock.timed("update", algorithm.update)  # type: ignore[method-assign]

    def _evaluate(self) -> None:
        with self.clock.part("evaluation"):
            super()._evaluate()


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", help="of the run, as of rl_warmup.run")
    parser.add_argument("--members", type=int, default=12)
    arguments = parser.parse_intermixed_args()
    stacked.StackTraining = Timed  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        fixed = ["trainer=stacked", "warmup=none", "tracking=disabled", "device=cpu", f"runs_dir={folder}"]
        config = configured([*arguments.overrides, *fixed], "shares")
        execute_stack([replace(config, seed=seed) for seed in range(arguments.members)])
        uptime = time.time() - started()
        print(json.dumps(Timed.clock.close(uptime, time.process_time())))


def started() -> float:
    """When this process was started, in seconds since the epoch."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
