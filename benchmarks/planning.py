"""What sweeps of many runs cost before and after training: planning, skipping, status; times and memory.

    python benchmarks/planning.py [--runs 1000 10000] [--keep DIR]

Plans a sweep over 5 warmups, 20 learning rates and seeds that nobody has trained (`plan_only=true`), writes the
records of all its runs, files as a real run leaves them but with few rows, plans it again, now that every run is
skipped, and asks for its status; each command in a process of its own, as a user would. Printed: wall time,
processor time (which other work on the machine hardly changes) and peak memory; the cost of one more run between
the two sizes, and what 100 000 would take at that cost.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

from rl_warmup.config.identity import run_folder
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.records.provenance import hardware
from rl_warmup.records.study import Planned, add_runs
from rl_warmup.records.write import recording
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import run_info
from rl_warmup.status.states import kind_of

WARMUPS = ("none", "linear", "exponential", "cosine", "constant")
SCALES = tuple(2.0 ** (k / 2) for k in range(-6, 14))
SHARED = ("tracking=disabled", "device=cpu", "trainer=stacked", "trainer.envs=gymnasium", "total_timesteps=50000")
ASKED = 100_000
MEASURED = """
import re, runpy, sys
peak, module, *arguments = sys.argv[1:]
sys.argv = [module, *arguments]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    with open("/proc/self/status") as status, open(peak, "w") as file:
        file.write(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1])
"""


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    wall: float
    seconds: float  # of processors
    memory: float  # bytes at the peak


def measure(module: str, *arguments: str) -> Cost:
    """Run a module in a process of its own; it reports its peak memory, since rusage counts the parent's too."""
    with tempfile.NamedTemporaryFile("r") as peak:
        began = time.perf_counter()
        command = [sys.executable, "-c", MEASURED, peak.name, module, *arguments]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{module} {' '.join(arguments)} ended with exit code {process.returncode}")
        return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, 1024 * float(peak.read()))


def plan(folder: Path, runs: int) -> Cost:
    """Plan the sweep of so many runs."""
    seeds = runs // (len(WARMUPS) * len(SCALES))
    grid = [f"warmup={','.join(WARMUPS)}", f"learning_rate_scale={','.join(f'{scale:.4g}' for scale in SCALES)}"]
    where = [f"runs_dir={folder.parent}", f"study.name={folder.name}", "plan_only=true"]
    return measure("rl_warmup.run", "-m", *grid, f"seed=range(0,{seeds})", *SHARED, *where)


def write_study(folder: Path, runs: int) -> None:
    """Record every run of the sweep as completed."""
    seeds = range(runs // (len(WARMUPS) * len(SCALES)))
    planned: dict[str, Planned] = {}
    with patch("os.fsync"), ThreadPoolExecutor(4) as pool:  # these need not survive a power cut
        for warmup in WARMUPS:
            where = [f"runs_dir={folder.parent}", f"study.name={folder.name}"]
            plain = configured([f"warmup={warmup}", *SHARED, *where], "")
            for scale in SCALES:
                rate = float(f"{float(f'{scale:.4g}') * plain.tuned_learning_rate:.12g}")
                arm = replace(plain, learning_rate=rate)
                for run_id, known in pool.map(write_run, (replace(arm, seed=seed) for seed in seeds)):
                    planned[run_id] = known
    add_runs(folder, planned, retries=2)


def write_run(config: RunConfig) -> tuple[str, Planned]:
    """Record one completed run, through the door that trainers use."""
    folder, info, steps = run_folder(config), run_info(config, members=8), phases_of(config).env_steps
    with recording(folder, info, {"algo": {"name": config.algo.name}}) as writer:
        for step in (0, steps):
            writer.append("evaluations", {"env_step": step, "returns": [9.0] * 10, "lengths": [9] * 10})
        writer.finish("completed")
    return folder.name, Planned(kind_of(info["config"]), steps)


def main() -> None:
    """Write, plan, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs=2, default=[1000, 10_000], help="two sizes, multiples of 100")
    parser.add_argument("--keep", type=Path, help="write the studies here and leave them")
    arguments = parser.parse_args()
    print(f"{hardware('cpu')}; rl-warmup {version('rl-warmup')}, hydra-core {version('hydra-core')}", flush=True)
    start = measure("rl_warmup.run.sweep")
    print(f"start of a process: {words(start)}", flush=True)
    found: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for runs in arguments.runs:
            folder = (arguments.keep or Path(temporary)) / "studies" / f"sweep{runs}"
            costs = {"plan, nothing done": plan(folder, runs)}
            write_study(folder, runs)
            costs["plan, all skipped"] = plan(folder, runs)
            costs["status"] = measure("rl_warmup.status", str(folder))
            for name, cost in costs.items():
                found.setdefault(name, []).append(cost)
                print(f"{runs} runs, {name}: {words(cost)}", flush=True)
    for name, (few, many) in found.items():
        print(f"{name}: {extrapolated(few, many, *arguments.runs)}")


def words(cost: Cost) -> str:
    return f"{cost.wall:.1f} s ({cost.seconds:.1f} s of processor), {cost.memory / 2**20:.0f} MiB"


def extrapolated(few: Cost, many: Cost, fewer: int, more: int) -> str:
    """Cost of one more run, and of `ASKED`, by the line through two sizes."""
    seconds = (many.seconds - few.seconds) / (more - fewer)
    memory = (many.memory - few.memory) / (more - fewer)
    total = many.seconds + seconds * (ASKED - more), many.memory + memory * (ASKED - more)
    each = f"{1e3 * seconds:.2f} ms and {memory / 2**10:.1f} KiB a run"
    return f"{each}; {ASKED} runs would take {total[0]:.0f} s of processor and {total[1] / 2**20:.0f} MiB"


if __name__ == "__main__":
    main()
