"""Stacks on a GPU: environment steps a second, and the share of the time in which the GPU is busy.

    python benchmarks/gpu.py [--algos ppo dqn] [--members 64 512 4096] [--seconds 20] [--beside 64]

PPO and DQN on CartPole in zoo settings, all members in one stack on `cuda:0`. Every stack is set up as a sweep sets
it up, trained until its programs are compiled and captured, then for some seconds more, which count: rollouts,
updates and the rows of the records. Its rows are dropped, and it is not evaluated. Busy is the share of these
seconds in which a kernel ran, by the driver's own counter (`nvidia-smi`, utilization.gpu).

--beside N trains one sweep of N members through the command line on the GPU and on all cores of the CPU, start-up,
compiling, evaluations and records counted, first with no compiled programs on disk, then with them.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from sweeps import STACKED, machine, sweep, table

from rl_warmup.envs.seeds import STREAMS
from rl_warmup.run.compose import configured
from rl_warmup.trainers.functional.draws import Draws
from rl_warmup.trainers.stacked.environments import begin_envs
from rl_warmup.trainers.stacked.learner import prepare_compiler
from rl_warmup.trainers.stacked.sizes import padded_size
from rl_warmup.trainers.stacked.stack import Stack
from rl_warmup.trainers.stacked.train import StackTraining

DEVICE = "cuda:0"
WARM_UP = 3  # update phases with gradient steps: compiled in the first, captured, and once more
STEPS_OF_ALL = 2**25  # more than are trained; tables of the records are as long as a run
STEPS = {"ppo": 50_176, "dqn": 20_224}  # of a run, --beside
HEADER = ("algorithm", "members", "steps/s", "busy", "setting up, s", "first updates, s", "GPU memory, MiB")


class Dropped:
    """A sink that keeps nothing."""

    restored, checkpoint_due, agent_due = None, False, False

    def emit(self, table: str, row: Any) -> None:
        """Drop a row."""

    def diverge(self, reason: str) -> None:
        """Drop the news."""

    def resumed(self, environments: str) -> None:
        """It is never resumed."""

    def save(self, checkpoint: Any) -> None:
        """No checkpoint is due."""


class Enough(Exception):
    """The measured seconds are over."""


class Timed(StackTraining):
    """A training that measures itself: `rate` in environment steps a second of all members, and `busy`."""

    def __init__(self, seconds: float, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._seconds, self._updates = seconds, 0
        self._began = time.monotonic()
        self._evaluated = len(self._grid)  # no evaluation is due any more
        self.first = self.rate = self.busy = 0.0

    def _evaluate(self) -> None:
        pass

    def _update(self, phase: int) -> None:
        super()._update(phase)  # its last act brings the metrics to the host, so that the GPU is done
        self._updates += self.stack.phases.n_steps[phase] > 0
        now = time.monotonic()
        if self._updates == WARM_UP:
            self.first, self._began, self._from = now - self._began, now, self._env_step
            self._watch = subprocess.Popen(
                ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=500"],
                stdout=subprocess.PIPE,
                text=True,
            )
        elif self._updates > WARM_UP and now - self._began >= self._seconds:
            self.rate = (self._env_step - self._from) * len(self.stack) / (now - self._began)
            self._watch.terminate()
            shares = [float(line) for line in self._watch.communicate()[0].splitlines()]
            self.busy = sum(shares) / len(shares)
            raise Enough


def measure(algo: str, members: int, seconds: float) -> Sequence[object]:
    """A row of the table."""
    torch.cuda.reset_peak_memory_stats()
    asked = [f"algo={algo}", "env=cartpole", "warmup=linear", "trainer=stacked", f"device={DEVICE}"]
    config = configured([*asked, "tracking=disabled", f"total_timesteps={STEPS_OF_ALL // members + 8192}"], "gpu")
    configs = [replace(config, seed=seed) for seed in range(padded_size(members, DEVICE))]
    began = time.monotonic()
    envs, observations, _ = begin_envs(configs, [])
    try:
        device = torch.device(DEVICE)
        stack = Stack(configs, envs.observation_space, envs.action_space, device, compiled=True)
        training = Timed(
            seconds, stack, envs, Draws([c.seed for c in configs], STREAMS, device), [Dropped()] * members
        )
        ready = time.monotonic() - began
        training.begin(observations)
        training.run()
        sys.exit(f"{members} members of {algo} had no more steps to train before {seconds:g} s were over")
    except Enough:
        pass
    finally:
        envs.close()
    speed = [round(training.rate), f"{training.busy:.0f}%", f"{ready:.1f}", f"{training.first:.1f}"]
    row = [algo, members, *speed, torch.cuda.max_memory_allocated() >> 20]
    print(*row, flush=True)
    return row


def beside(algo: str, members: int, folder: Path) -> Sequence[Sequence[object]]:
    """The same sweep on the GPU and on the cores of the CPU."""
    asked = [f"algo={algo}", "env=cartpole", "warmup=none,linear", f"seed=range(0,{members // 2})", *STACKED]
    asked += [f"total_timesteps={STEPS[algo]}", "evaluation.count=10"]
    rows = []
    for device in ("cuda", "cpu"):
        compiled = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled")}
        cold, warm = (sweep(asked, folder, f"{algo}-{device}-{nth}", compiled, device) for nth in ("cold", "warm"))
        times = [round(cold.seconds), round(warm.seconds), round(warm.rate)]
        rows.append([algo, members, STEPS[algo], device, *times])
        print(*rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algos", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--members", type=int, nargs="*", default=[64, 512, 4096])
    parser.add_argument("--seconds", type=float, default=20.0, help="that count, of every stack")
    parser.add_argument("--beside", type=int, help="members of a sweep on GPU and CPU")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch finds no GPU here")
    prepare_compiler(True, torch.device(DEVICE))
    print(machine(DEVICE), flush=True)
    table(HEADER, [measure(algo, n, arguments.seconds) for algo in arguments.algos for n in arguments.members])
    if arguments.beside:
        with tempfile.TemporaryDirectory() as folder:
            rows = [row for algo in arguments.algos for row in beside(algo, arguments.beside, Path(folder))]
        table(("algorithm", "members", "steps per run", "device", "cold, s", "warm, s", "warm, steps/s"), rows)


if __name__ == "__main__":
    main()
