"""What a member costs in stacks of 8 to 256 members, in one process: time of a thousand steps, and peak memory.

    python benchmarks/width.py [--algo ppo dqn] [--widths 8 16 32 64 128 256] [--work ppo=400000 dqn=100000]

PPO and DQN on CartPole in zoo settings, all members in one stack. Every width is trained twice with compiled
programs on disk, the second time for more steps; what a member costs is the difference (both start up alike). The
narrower the stack the longer that run, so that start-up and its variations weigh the same:

    cost(members) = (seconds(S + more) - seconds(S)) / work,  work = members * more

128 PPO members are also trained as the launcher itself would divide them. Exit code 1 if they need more than 2 GiB
either way, or if a member costs more in the widest stack than in the narrowest, a tenth being noise.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from sweeps import STACKED, Sweep, machine, sweep, table

STEPS = {"ppo": 1_024, "dqn": 1_280}  # S; DQN learns from step 1024 on
WORK = {"ppo": 400_000, "dqn": 100_000}  # environment steps of all members together
PHASE = 256  # environment steps of one, of either algorithm
WIDTHS = (8, 16, 32, 64, 128, 256)
MEMBERS, MOST_MEMORY = 128, 2 * 2**30
NOISE = 1.1
HEADER = ("members", "in", "S", "s", "S + more", "s", "ms per member and 1000 steps", "peak MiB")


def train(algo: str, members: int, steps: int, folder: Path, width: int | None) -> Sweep:
    """One sweep of so many members: stacks of `width` in one process, or divided by the launcher."""
    short = ["trainer.compile=true", "evaluation.count=2", "evaluation.episodes=1", f"total_timesteps={steps}"]
    asked = [f"algo={algo}", "env=cartpole", "warmup=none,linear", f"seed=range(0,{members // 2})", *STACKED]
    divided = [f"hydra.launcher.width={width}", "hydra.launcher.workers=1"] if width else []
    compiled = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "compiled")}
    name = f"{algo}-{members}-{steps}-{width}"
    result = sweep([*asked, *short, *divided], folder, name, compiled)
    print(f"{name}: {result.seconds:.1f} s, {result.memory >> 20} MiB", flush=True)
    return result


def measure(algo: str, widths: list[int], work: int, folder: Path) -> bool:
    """Print the table of an algorithm; whether it keeps to the bars."""
    steps = STEPS[algo]
    train(algo, 4, steps + PHASE, folder, 4)  # compiles
    rows, costs, peaks = [], [], []
    for width in widths:
        more = PHASE * -(-work // (width * PHASE))
        short, long = (train(algo, width, total, folder, width) for total in (steps, steps + more))
        costs.append(1e6 * (long.seconds - short.seconds) / (width * (long.env_steps - short.env_steps)))
        memory = max(short.memory, long.memory)
        peaks += [memory] if (algo, width) == ("ppo", MEMBERS) else []
        times = [value for one in (short, long) for value in (one.env_steps, f"{one.seconds:.1f}")]
        rows.append([width, "one stack", *times, f"{costs[-1]:.1f}", memory >> 20])
    if peaks:
        chosen = train(algo, MEMBERS, steps, folder, None)
        peaks.append(chosen.memory)
        rows.append(
            [MEMBERS, "stacks of the launcher", steps, f"{chosen.seconds:.1f}", "", "", "", chosen.memory >> 20]
        )
    print(f"\n{algo}: cost of a member in the widest stack over that in the narrowest {costs[-1] / costs[0]:.2f}")
    table(HEADER, rows)
    return costs[-1] <= NOISE * costs[0] and all(peak <= MOST_MEMORY for peak in peaks)


def main() -> None:
    """Measure, print, and fail where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", choices=STEPS, nargs="+", default=list(STEPS))
    parser.add_argument("--widths", type=int, nargs="+", default=list(WIDTHS), help="even numbers")
    parser.add_argument("--work", nargs="+", default=[], metavar="ALGO=N", help="environment steps of all members")
    arguments = parser.parse_args()
    work = WORK | {name: int(number) for name, number in (text.split("=") for text in arguments.work)}
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        kept = [measure(algo, sorted(arguments.widths), work[algo], Path(folder)) for algo in arguments.algo]
    sys.exit(not all(kept))


if __name__ == "__main__":
    main()
