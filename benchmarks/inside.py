"""What `diagnostics=full` costs: CPU time of training with it, with basic diagnostics, and without any recording.

    python benchmarks/inside.py [CASE ...] [--repetitions 3] [--members 8]

Every case is trained at the published settings and length of CartPole, in turn by plain training, with basic and
with full diagnostics, in one process on one torch thread and without evaluations (two at the least, whose time is
taken off). Plain: `model.learn` of Stable-Baselines3, or a stack that reports nothing. Printed: one line a
training, then `ratio <case> basic / plain <median> full / basic <median>`.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import overhead
import torch

from rl_warmup.config.schema import RunConfig
from rl_warmup.records.provenance import versions
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import execute_stack
from rl_warmup.trainers.stacked import train as stacked

WAYS = ("plain", "basic", "full")


def configure(case: str, steps: int | None, folder: Path, seed: int) -> RunConfig:
    """The published settings on CartPole, with the fewest evaluations there can be."""
    trainer, algo = case.split("-")
    overrides = [f"trainer={trainer}", f"algo={algo}", f"runs_dir={folder}", f"seed={seed}"]
    overrides += [] if steps is None else [f"total_timesteps={steps}"]
    overrides += ["trainer.compile=true"] if trainer == "stacked" else []
    fixed = ["warmup=linear", "tracking=disabled", "evaluation.count=2", "evaluation.episodes=1", "device=cpu"]
    return configured([*overrides, *fixed], "inside")


def seconds(way: str, configs: Sequence[RunConfig]) -> float:
    """CPU time of this process for a training, all threads counted, less that of its evaluations."""
    if way == "plain" and configs[0].trainer.name == "sb3":
        began = time.process_time()
        overhead.plain_seconds(configs[0])
        return time.process_time() - began
    configs = [replace(config, diagnostics="full" if way == "full" else "basic") for config in configs]
    evaluating = 0.0

    def timed(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal evaluating
            began = time.process_time()
            result = original(*arguments)
            evaluating += time.process_time() - began
            return result

        return call

    own = stacked.StackTraining
    with (
        mock.patch.object(overhead.sb3, "evaluate", timed(overhead.sb3.evaluate)),
        mock.patch.object(own, "_evaluate", timed(own._evaluate)),
    ):
        began = time.process_time()
        if way == "plain":
            with mock.patch.multiple(stacked.Recorder, step=mock.DEFAULT, update=mock.DEFAULT):
                stacked.train(configs, [_Silent() for _ in configs])
        else:
            assert set(execute_stack(configs)) == {"completed"}
        return time.process_time() - began - evaluating


class _Silent:
    """A sink that keeps nothing."""

    restored = None
    checkpoint_due = agent_due = False

    def emit(self, table: str, row: Any) -> None:
        pass

    def diverge(self, reason: str) -> None:
        raise AssertionError(reason)


def measure(case: str, steps: int | None, repetitions: int, members: int, folder: Path) -> None:
    """Train in turn by every way, and print the medians of the ratios."""
    count = members if case.startswith("stacked") else 1
    small = [configure(case, 3000, folder, 10_000 + i) for i in range(count)]
    for way in WAYS:  # first use of every library, and compiling
        seconds(way, small)
    ratios: dict[str, list[float]] = {"basic / plain": [], "full / basic": []}
    for repetition in range(repetitions):
        configs = [configure(case, steps, folder, repetition * count + i) for i in range(count)]
        times = {way: seconds(way, configs) for way in (WAYS if repetition % 2 == 0 else WAYS[::-1])}
        for ratio, values in ratios.items():
            above, below = ratio.split(" / ")
            values.append(times[above] / times[below])
        said = ", ".join(f"{way} {times[way]:.2f} s" for way in WAYS)
        print(f"{case} x {count}, {configs[0].total_timesteps} steps: {said}", flush=True)
    print(
        f"ratio {case}", *(f"{ratio} {statistics.median(found):.2f}" for ratio, found in ratios.items()), flush=True
    )


CASES = ("sb3-ppo", "sb3-dqn", "stacked-ppo", "stacked-dqn")


def main() -> None:
    """Print the hardware, the times and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--members", type=int, default=8, help="of a stack")
    parser.add_argument("--steps", type=int, help="of a run; default: the published ones")
    arguments = parser.parse_intermixed_args()
    print(f"{platform.processor() or platform.machine()}, 1 torch thread; {versions()}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        for case in arguments.cases or CASES:
            measure(case, arguments.steps, arguments.repetitions, arguments.members, Path(folder))


if __name__ == "__main__":
    main()
