"""What a member costs in stacks of 8 to 256 members, in one process: time of a thousand steps, and peak memory.

    python benchmarks/width.py [--algo ppo dqn] [--widths 8 16 32 64 128 256] [--steps ppo=4096 dqn=1536]

PPO and DQN on CartPole in zoo settings, all members in one stack. Every width is trained twice, for S and for 2S
steps, with compiled programs on disk; what a member costs is the difference (both start up and evaluate alike):

    cost(members) = (seconds(2S) - seconds(S)) / (members * S)

128 PPO members are also trained as the launcher itself would divide them. Exit code 1 if they need more than 2 GiB
either way, or if a member costs more in the widest stack than in the narrowest, a tenth being noise.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from sweeps import STACKED, Sweep, machine, sweep, table

STEPS = {"ppo": 4_096, "dqn": 1_536}
WIDTHS = (8, 16, 32, 64, 128, 256)
MEMBERS, MOST_MEMORY = 128, 2 * 2**30
NOISE = 1.1
HEADER = (
    "members",
    "of the stack",
    "start-up and S steps, s",
    "and 2S steps, s",
    "ms a member and 1000 steps",
    "peak MiB",
)


def train(algo: str, members: int, steps: int, folder: Path, *launcher: str) -> Sweep:
    """One sweep of so many members."""
    name = "-".join(
        [algo, str(members), str(steps), *(part.rpartition(".")[2].replace("=", "") for part in launcher)]
    )
    short = ["trainer.compile=true", "evaluation.count=2", "evaluation.episodes=1", f"total_timesteps={steps}"]
    asked = [f"algo={algo}", "env=cartpole", "warmup=none,linear", f"seed=range(0,{members // 2})"]
    compiled = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled")}
    result = sweep([*asked, *short, *STACKED, *launcher], folder, name, compiled)
    print(f"{name}: {result.seconds:.1f} s, {result.memory / 2**20:.0f} MiB", flush=True)
    return result


def measure(algo: str, widths: list[int], steps: int, folder: Path) -> bool:
    """Print the table of an algorithm; whether it keeps to the bars."""
    train(algo, 4, steps, folder, "hydra.launcher.workers=1")  # compiles
    rows, costs, memory = [], [], {}
    for width in widths:
        launcher = ("hydra.launcher.workers=1", f"hydra.launcher.width={width}")
        short, long = (train(algo, width, n * steps, folder, *launcher) for n in (1, 2))
        costs.append(1e6 * (long.seconds - short.seconds) / (width * (long.env_steps - short.env_steps)))
        memory[width] = max(short.memory, long.memory)
        rows.append(
            (
                width,
                "one",
                *(f"{one.seconds:.1f}" for one in (short, long)),
                f"{costs[-1]:.1f}",
                memory[width] >> 20,
            )
        )
    peaks = [memory[width] for width in widths if algo == "ppo" and width == MEMBERS]
    if peaks:
        chosen = train(algo, MEMBERS, steps, folder)
        peaks.append(chosen.memory)
        rows.append((MEMBERS, "launcher's own", f"{chosen.seconds:.1f}", "", "", chosen.memory >> 20))
    print(f"\n{algo}, S = {steps}; cost of the widest stack over that of the narrowest {costs[-1] / costs[0]:.2f}")
    table(HEADER, rows)
    return costs[-1] <= NOISE * costs[0] and all(peak <= MOST_MEMORY for peak in peaks)


def main() -> None:
    """Measure, print, and fail where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", choices=STEPS, nargs="+", default=list(STEPS))
    parser.add_argument("--widths", type=int, nargs="+", default=list(WIDTHS), help="even numbers")
    parser.add_argument("--steps", nargs="+", default=[], metavar="ALGO=N", help="S, environment steps of a run")
    arguments = parser.parse_args()
    steps = STEPS | {name: int(number) for name, number in (text.split("=") for text in arguments.steps)}
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        kept = [measure(algo, sorted(arguments.widths), steps[algo], Path(folder)) for algo in arguments.algo]
    sys.exit(not all(kept))


if __name__ == "__main__":
    main()
