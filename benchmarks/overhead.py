"""What recording costs: the training time of a recorded run over that of plain `model.learn`, same settings.

    python benchmarks/overhead.py [--repetitions 5] [--ppo-steps 25600] [--dqn-steps 15360]

Recorded and plain trainings alternate within one process, on one torch thread and without evaluation (two at
the least, whose time is taken off). Recording includes the rows on disk, the dose, the diagnostics and the
search for divergence; W&B is left out. Printed: one line a training, then `ratio <algorithm> <median ratio>`.
"""

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from rl_warmup.config.schema import RunConfig
from rl_warmup.records.provenance import versions
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import execute
from rl_warmup.trainers.sb3 import train as sb3


def configure(algo: str, steps: int, folder: Path, seed: int) -> RunConfig:
    """The tuned settings on CartPole, with the fewest evaluations there can be."""
    overrides = [f"algo={algo}", f"total_timesteps={steps}", f"runs_dir={folder}", f"seed={seed}"]
    fixed = ["warmup=linear", "tracking=disabled", "evaluation.count=2", "evaluation.episodes=1", "device=cpu"]
    return configured([*overrides, *fixed], "overhead")


def recorded_seconds(config: RunConfig) -> float:
    """Wall time of a recorded run, less that of its evaluations."""
    evaluating, original = 0.0, sb3.evaluate

    def timed(*arguments: Any) -> Any:
        nonlocal evaluating
        began = time.perf_counter()
        result = original(*arguments)
        evaluating += time.perf_counter() - began
        return result

    began = time.perf_counter()
    with mock.patch.object(sb3, "evaluate", timed):
        assert execute(config) == "completed"
    return time.perf_counter() - began - evaluating


def plain_seconds(config: RunConfig) -> float:
    """Wall time of plain Stable-Baselines3: the same model and environments, no callback, no hook."""
    torch.set_num_threads(config.threads)
    began = time.perf_counter()
    env = sb3.training_env(config)
    sb3.build_model(config, env).learn(config.total_timesteps)
    env.close()
    return time.perf_counter() - began


def main() -> None:
    """Print the hardware, the times and the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--ppo-steps", type=int, default=25_600)
    parser.add_argument("--dqn-steps", type=int, default=15_360)
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, 1 torch thread; {versions()}")
    with tempfile.TemporaryDirectory() as folder:
        for algo, steps in (("ppo", arguments.ppo_steps), ("dqn", arguments.dqn_steps)):
            measure(algo, steps, arguments.repetitions, Path(folder))


def measure(algo: str, steps: int, repetitions: int, folder: Path) -> None:
    """Alternate plain and recorded trainings, and print the median of their ratios."""
    plain_seconds(configure(algo, min(steps, 2048), folder, seed=10_000))  # first use of every library
    ratios = []
    for seed in range(repetitions):
        config = configure(algo, steps, folder, seed)
        measures = [plain_seconds, recorded_seconds]
        times = {f.__name__: f(config) for f in (measures if seed % 2 == 0 else measures[::-1])}
        plain, recorded = times["plain_seconds"], times["recorded_seconds"]
        ratios.append(recorded / plain)
        print(f"{algo} {steps} steps, seed {seed}: plain {plain:.2f} s, recorded {recorded:.2f} s", flush=True)
    print(f"ratio {algo} {statistics.median(ratios):.2f}", flush=True)


if __name__ == "__main__":
    main()
