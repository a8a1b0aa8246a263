"""How long a report on a large study takes, and how much memory: 1 000 runs with 100 evaluations each.

    python benchmarks/report_scale.py [--seeds 20] [--evaluations 100] [--keep DIR]

Writes synthetic records (5 warmups x 10 learning rates x seeds) into a temporary folder, runs
`python -m rl_warmup.report` on them as a user would, and prints its wall time and peak memory, beside the time that
only reading the tables takes in the same run. Exit code 1 above 30 s or 1 GiB.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from rl_warmup.records.provenance import hardware
from rl_warmup.records.read import read_study
from rl_warmup.records.schema import table_schemas
from rl_warmup.records.study import write_declaration
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import run_info

WARMUPS = ("none", "linear", "exponential", "cosine", "constant")
SCALES = tuple(2.0**k for k in range(-3, 7))
PHASES, TRAINING_EPISODES, EVALUATION_EPISODES = 200, 500, 10
MOST_SECONDS, MOST_MEMORY = 30.0, 2**30


def write_study(folder: Path, seeds: int, evaluations: int) -> int:
    """Write the records of a study whose higher learning rates fail more often; the number of runs."""
    rng = np.random.default_rng(0)
    for warmup in WARMUPS:
        for scale in SCALES:
            overrides = [f"warmup={warmup}", f"learning_rate_scale={scale}", f"evaluation.count={evaluations}"]
            config = configured([*overrides, f"runs_dir={folder.parent}", f"study.name={folder.name}"], "")
            for seed in range(seeds):
                config.seed = seed
                write_run(folder, run_info(config, 1), rng, failing=min(0.9, 0.02 * scale))
    plan = {"name": "scale", "control": {"warmup.name": "none"}, "comparisons": None, "smallest_effect": 0.05}
    write_declaration(folder, plan)
    return len(WARMUPS) * len(SCALES) * seeds


def write_run(folder: Path, info: dict[str, Any], rng: np.random.Generator, failing: float) -> None:
    """Write one completed run, its tables as large as those of a real one."""
    config, run = info["config"], folder / str(info["run_id"])
    run.mkdir(parents=True)
    total, evaluations = config["total_timesteps"], config["evaluation"]["count"]
    grid = np.linspace(0, total, evaluations).round().astype(int)
    plateau = rng.uniform(20, 60) if rng.random() < failing else 500
    curve = 20 + (plateau - 20) * (1 - np.exp(-8 * grid / total))
    returns = np.clip(curve[:, None] + 30 * rng.standard_normal((evaluations, EVALUATION_EPISODES)), 8, 500)
    evaluated = {"env_step": grid, "returns": returns.tolist(), "lengths": returns.astype(int).tolist()}
    ends = np.linspace(0, total, TRAINING_EPISODES + 1)[1:].astype(int)
    lengths = np.diff(ends, prepend=0)
    episodes = {"env_step": ends, "return": lengths.astype(float), "length": lengths}
    finished = {"status": "completed", "attempt_id": "0", "wall_seconds": 60.0}
    tables = {"evaluations": evaluated, "episodes": episodes, "updates": updates(info, rng)}
    for name, schema in table_schemas(config["algo"]["name"]).items():
        pl.DataFrame(tables[name], schema=schema).write_parquet(run / f"{name}.parquet")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "run.json").write_text(json.dumps({**info, **finished}))


def updates(info: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Update phases whose learning rate is warmed up over a tenth of the run, but for `none`."""
    peak, warm = info["config"]["learning_rate"], info["warmup"]["name"] != "none"
    omega = np.minimum(1.0, np.arange(1, PHASES + 1) / (0.1 * PHASES)) if warm else np.ones(PHASES)
    schema = table_schemas(info["config"]["algo"]["name"])["updates"]
    steps = np.full(PHASES, 20)
    table: dict[str, Any] = {name: rng.lognormal(size=PHASES) for name in schema}
    rates = {f"learning_rate_{name}": peak * omega for name in ("first", "last", "mean")}
    return table | {
        "env_step": np.linspace(0, info["config"]["total_timesteps"], PHASES).astype(int),
        "gradient_step": np.cumsum(steps),
        "n_steps": steps,
        **rates,
        "base_learning_rate": np.full(PHASES, peak),
        "n_below_99": steps * (omega < 0.99),
        "omega_sum": steps * omega,
    }


def read_all(folder: Path) -> float:
    """Seconds that it takes to read every table of a study once."""
    began = time.perf_counter()
    for record in read_study(folder)[0]:
        for name in ("evaluations", "episodes", "updates"):
            record.table(name)
    return time.perf_counter() - began


def main() -> None:
    """Write, report, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="write the study here and leave it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)) / "scale"
        runs = write_study(folder, arguments.seeds, arguments.evaluations)
        reading = read_all(folder)
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "rl_warmup.report", str(folder)], stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        memory = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        size = (folder / "report.html").stat().st_size
    print(f"{hardware('cpu')}; rl-warmup {version('rl-warmup')}, polars {version('polars')}")
    print(
        f"{runs} runs with {arguments.evaluations} evaluations: report {seconds:.1f} s (bar {MOST_SECONDS:.0f} s), "
    )
    print(f"peak memory {memory / 2**20:.0f} MiB (bar 1024 MiB), report.html {size / 2**20:.1f} MiB")
    print(f"only reading the tables {reading:.1f} s, ratio {seconds / reading:.1f}")
    sys.exit(done.returncode or seconds > MOST_SECONDS or memory > MOST_MEMORY)


if __name__ == "__main__":
    main()
