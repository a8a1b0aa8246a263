"""Published results again: tuned settings without warmup, beside Stable-Baselines3 run on its own.

    python benchmarks/published.py [--algo dqn] [--seeds 5] [--processes 2]

For every seed the run is trained twice: recorded by this package, and by plain Stable-Baselines3, seeded its own
way and evaluated by its own `evaluate_policy` over the same number of episodes. The seeds mean different random
numbers on the two sides, so their distributions are to be compared, not their pairs. Published
(rl-baselines3-zoo, one run each): PPO CartPole 500 at 100k steps, learning rate and clip range linear to 0;
DQN CartPole 500 at 50k steps.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from joblib import Parallel, delayed
from stable_baselines3.common.evaluation import evaluate_policy

from rl_warmup.analysis.statistics.estimators import iqm
from rl_warmup.config.identity import run_folder
from rl_warmup.config.schema import RunConfig
from rl_warmup.records.provenance import versions
from rl_warmup.records.read import Record, read_info
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import execute
from rl_warmup.trainers.sb3 import train as sb3

SCHEDULES = {"ppo": "linear", "dqn": "constant"}


def configure(algo: str, seed: int, folder: Path) -> RunConfig:
    """The published settings of CartPole."""
    overrides = [f"algo={algo}", f"schedule={SCHEDULES[algo]}", f"seed={seed}", f"runs_dir={folder}"]
    return configured(["warmup=none", "tracking=disabled", "device=cpu", *overrides], "published")


def recorded(config: RunConfig) -> float:
    """Mean return of the last evaluation of a recorded run."""
    execute(config)
    record = Record(run_folder(config), read_info(run_folder(config)))
    return float(record.evaluations()["returns"].list.mean()[-1])


def plain(config: RunConfig) -> float:
    """Mean return after Stable-Baselines3's own training, with its own seeding and evaluation."""
    torch.set_num_threads(1)
    env = sb3.training_env(config)
    model = sb3.build_model(config, env)
    model.set_random_seed(config.seed)
    model.learn(config.total_timesteps)
    fresh = sb3.training_env(config)
    fresh.seed(10_000 + config.seed)
    mean, _ = evaluate_policy(model, fresh, n_eval_episodes=config.evaluation.episodes)
    return float(mean)


def main() -> None:
    """Print every seed's return on both sides, and their interquartile means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo", choices=sorted(SCHEDULES), nargs="+", default=["ppo", "dqn"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    print(versions())
    with tempfile.TemporaryDirectory() as folder:
        for algo in arguments.algo:
            configs = [configure(algo, seed, Path(folder)) for seed in range(arguments.seeds)]
            for side in (recorded, plain):
                returns = Parallel(arguments.processes)(delayed(side)(config) for config in configs)
                shown = " ".join(f"{value:.1f}" for value in returns)
                print(f"{algo} {side.__name__}: {shown}, IQM {iqm(returns):.1f}", flush=True)


if __name__ == "__main__":
    main()
