"""Our trainers beside SBX and rejax, both in JAX: environment steps a second of PPO and DQN on CartPole, on a CPU.

    python -m venv peers && peers/bin/pip install -c constraints.txt -r benchmarks/peers_requirements.txt
    python benchmarks/peers.py --python peers/bin/python [--agents 1 8] [--steps ppo=51200 dqn=20480]

Settings of rl-baselines3-zoo without warmup, as far as the libraries have them (peers_jax.py says where not), the
same evaluations. Every training is done twice in processes of its own, the second time with what the first has
compiled on disk. Its time is that from the start of its processes to the end: imports, start-up, evaluations and
records count. Several agents: Stable-Baselines3 and SBX in two processes of one core, each training half of them in
turn; rejax all at once by vmap; stacked as its launcher divides them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from sweeps import ONE_THREAD, SB3, STACKED, finished, machine, sweep, table

STEPS = {"ppo": 51_200, "dqn": 20_480}  # multiples of 256 times the evaluations less one
EVALUATIONS = 11
OURS, PEERS = ("stacked", "sb3"), ("sbx", "rejax")
HEADER = ("", "agents", "trainer", "steps/s", "stacked is faster by", "s", "first time, s", "mean last return")
SCRIPT = Path(__file__).with_name("peers_jax.py")
VERSIONS = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in NAMES), sep=', ')"
NAMES = ("jax", "jaxlib", "sbx-rl", "rejax", "gymnax", "flax", "gymnasium", "stable-baselines3", "torch")


@dataclass(frozen=True)
class Training:
    """What the training of all agents took and brought."""

    seconds: float
    env_steps: int
    last_return: float  # mean over agents

    @property
    def rate(self) -> float:
        """Environment steps a second, of all agents together."""
        return self.env_steps / self.seconds


def train_ours(trainer: str, algo: str, steps: int, agents: int, folder: Path, attempt: int) -> Training:
    """Agents of our own trainers."""
    launcher = (*SB3, f"hydra.launcher.n_jobs={min(agents, 2)}") if trainer == "sb3" else STACKED
    asked = [f"algo={algo}", "env=cartpole", "warmup=none", f"seed=range(0,{agents})"]
    sizes = [f"total_timesteps={steps}", f"evaluation.count={EVALUATIONS}"]
    environment = ONE_THREAD if trainer == "sb3" else {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
    name = f"{trainer}-{algo}-{agents}-{attempt}"
    swept = sweep([*asked, *sizes, *launcher], folder, name, environment)
    returns = [float(record.info["latest_return"]) for record in finished(folder / name)]
    return Training(swept.seconds, swept.runs * swept.env_steps, sum(returns) / agents)


def train_peer(python: Path, library: str, case: str, steps: int, agents: int, folder: Path) -> Training:
    """Agents of a peer; SBX's are divided between two processes, each on one core."""
    divided = library == "sbx" and agents > 1
    shares = [(agents + 1) // 2, agents // 2] if divided else [agents]
    began = time.perf_counter()
    processes = []
    for index, share in enumerate(shares):
        sizes = {"agents": share, "first-seed": sum(shares[:index]), "evaluations": EVALUATIONS, "steps": steps}
        command = peer_command(python, library, case, sizes)
        processes.append(start(command, folder / "jax", index if divided else None))
    done = [result_of(process) for process in processes]
    seconds = time.perf_counter() - began
    last_return = sum(one["last_return"] * share for one, share in zip(done, shares, strict=True)) / agents
    return Training(seconds, sum(int(one["env_steps"]) for one in done), last_return)


def peer_command(python: Path, library: str, case: str, sizes: Mapping[str, int]) -> list[str]:
    """The command of a peer's process."""
    words = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    return [str(python), str(SCRIPT), "--library", library, "--case", case, *words]


def start(command: list[str], compiled: Path, core: int | None) -> "subprocess.Popen[str]":
    """Start a peer's process, on one of our cores or on all."""
    environment = {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(compiled),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    if core is not None:
        cores = sorted(os.sched_getaffinity(0))
        command = ["taskset", "--cpu-list", str(cores[core % len(cores)]), *command]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=pipe, stderr=pipe, text=True)


def result_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What a peer's process printed, when it has ended.

    Raises:
        SystemExit: with the end of its errors, if it failed.
    """
    output, errors = process.communicate()
    if process.returncode:
        sys.exit(f"{errors[-4000:]}\nexit code {process.returncode}: {process.args!r}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="of the peers' environment")
    parser.add_argument("--algo", choices=STEPS, nargs="+", default=list(STEPS))
    parser.add_argument("--agents", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--steps", nargs="+", default=[], metavar="ALGO=N", help="environment steps of an agent")
    arguments = parser.parse_args()
    steps = STEPS | {name: int(number) for name, number in (text.split("=") for text in arguments.steps)}
    asked = VERSIONS.replace("NAMES", repr(NAMES))
    peers = subprocess.run([arguments.python, "-c", asked], capture_output=True, text=True, check=True).stdout
    print(f"{machine()}\npeers: {peers}", end="", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for algo, agents in product(arguments.algo, arguments.agents):
            trained = measure(arguments.python, algo, steps[algo], agents, Path(folder))
            rates = {trainer: warm.rate for trainer, (_, warm) in trained.items()}
            rows = []
            for trainer, (cold, warm) in trained.items():
                rate, ratio = f"{warm.rate:,.0f}", f"{rates['stacked'] / warm.rate:.2f}"
                times = f"{warm.seconds:.1f}", f"{cold.seconds:.1f}"
                rows.append((algo, agents, trainer, rate, ratio, *times, f"{warm.last_return:.0f}"))
            table(HEADER, rows)


def measure(python: Path, algo: str, steps: int, agents: int, folder: Path) -> dict[str, tuple[Training, Training]]:
    """Every trainer's first and second training."""

    def train(trainer: str, attempt: int) -> Training:
        if trainer in OURS:
            return train_ours(trainer, algo, steps, agents, folder, attempt)
        return train_peer(python, trainer, f"{algo}-cartpole", steps, agents, folder)

    return {trainer: (train(trainer, 0), train(trainer, 1)) for trainer in (*OURS, *PEERS)}


if __name__ == "__main__":
    main()
