"""Study folders with known answers, written through the door that trainers use."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from rl_warmup.analysis.comparison import Comparison
from rl_warmup.analysis.study import Analysis
from rl_warmup.config.arm import Arm
from rl_warmup.records.study import write_declaration
from rl_warmup.records.write import RunWriter, recording
from rl_warmup.report.content import as_json

STEPS = (0, 1000, 2000, 3000, 4000, 5000)  # K = 6 evaluations
GRADIENT_STEPS = 40  # of a whole run: 10 phases of 4
LEARNS = (0.0, 40.0, 80.0, 90.0, 100.0, 100.0)  # with low 0 and high 100: normalized by 1/100
VERSIONS = {"torch": "2.13.0", "stable_baselines3": "2.9.2"}
DECLARED = {
    "name": "synthetic",
    "description": "known answers",
    "control": {"warmup.name": "none"},
    "comparisons": [{"warmup.name": "linear"}],
    "smallest_effect": 0.05,
}
CONFIG: dict[str, Any] = {
    "env": {
        "name": "toy",
        "id": "Toy-v0",
        "return_floor": -100.0,
        "return_low": 0.0,
        "return_high": 100.0,
        "threshold": 90.0,
        "reward_max": 1.0,
    },
    "algo": {
        "name": "ppo",
        "n_envs": 1,
        "gamma": 0.99,
        "n_steps": 500,
        "batch_size": 125,
        "n_epochs": 1,
        "net_arch": [64, 64],
    },
    "trainer": {"name": "sb3"},
    "schedule": {"name": "constant"},
    "evaluation": {"count": 6, "episodes": 2},
    "total_timesteps": 5000,
    "device": "cpu",
}
WARMUPS: dict[str, dict[str, Any]] = {
    "none": {"shape": "none"},
    "linear": {"shape": "linear", "length": 8, "clock": "gradient_steps", "start": 0.0},
    "cosine": {"shape": "cosine", "length": 8, "clock": "gradient_steps", "start": 0.0},
}


def write_run(
    study: Path,
    warmup: str = "none",
    seed: int = 0,
    returns: Iterable[float] = LEARNS,
    *,
    steps: Sequence[int] = STEPS,
    status: str = "completed",
    error: str | None = None,
    learning_rate: float = 1e-3,
    changes: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
    inert: bool = False,
    name: str | None = None,
    evaluations: Iterable[Sequence[float]] | None = None,
    episodes: Iterable[tuple[int, float, int]] | None = None,
    updates: Mapping[str, Sequence[float]] | None = None,
    at_home: Sequence[float] = (),
) -> Path:
    """Record one run; `returns` are the means of its evaluations, two episodes each; its folder.

    `name` is the warmup's own; `changes` replace values of the config by dotted key, `info` those of run.json.
    `inert`: the optimizer receives the control's learning rates whatever the warmup is. `evaluations`: the returns
    of each evaluation's episodes instead. `episodes`: (env_step, return, length) of the training episodes; by
    default one between two evaluations, worth the mean return of the second. `updates`: columns of the table, a
    value for each phase. `at_home`: means of the evaluations in the environment of the agent that it started from.
    """
    returns = list(returns)
    trained = zip(steps[1:], returns[1:], np.diff(steps).tolist(), strict=False)
    ramp = {"name": name or warmup, **WARMUPS[warmup]}
    config = copy.deepcopy(CONFIG) | {"learning_rate": learning_rate, "warmup": ramp, "seed": seed}
    for key, value in (changes or {}).items():
        group, _, name = key.rpartition(".")
        (config[group] if group else config)[name] = value
    label = Arm.of(ramp, GRADIENT_STEPS, learning_rate, config["schedule"]["name"]).label
    tag = "".join(f"-{value}" for value in (changes or {}).values())
    run_id = f"{warmup}-{learning_rate:g}{tag}-s{seed}"
    about = {
        "run_id": run_id,
        "arm": label,
        "cell": f"toy ppo {label}",
        "study": study.name,
        "seed": seed,
        "warmup": ramp | {"power": None},
        "config": config,
        "device": config["device"],
        "versions": VERSIONS,
        "bounds": _bounds(config["env"]),
        **(info or {}),
    }
    # these need not survive a power cut, and fsync is slow; nobody reads them before they are finished
    with (
        patch("os.fsync"),
        recording(study / run_id, about, config) as writer,
        patch.object(writer, "flush") as later,
    ):
        for phase, row in enumerate(update_rows(learning_rate, 1.0 if inert or warmup == "none" else 8.0)):
            own = {name: values[phase] for name, values in (updates or {}).items()}
            writer.append("updates", dict.fromkeys(writer.recorded["updates"].schema, 0.5) | row | own)
        for step, value, length in trained if episodes is None else episodes:
            writer.append("episodes", {"env_step": step, "return": value, "length": length})
        pairs = [[value - 1, value + 1] for value in returns] if evaluations is None else evaluations
        for step, values in zip(steps, pairs, strict=False):
            row = {"env_step": step, "returns": list(values), "lengths": [1] * len(values)}
            writer.append("evaluations", row)
        for step, value in zip((steps[0], steps[-1]), at_home, strict=False):
            row = {"env_step": step, "returns": [value - 1, value + 1], "lengths": [1, 1]}
            writer.append("source_evaluations", row)
        later.side_effect = partial(RunWriter.flush, writer)
        writer.finish(status, error)
    return study / run_id


def _bounds(env: Mapping[str, Any]) -> dict[str, float | None]:
    """As trainers record them, of an environment whose ceiling is twice the reference; none without constants."""
    high = env["return_high"]
    return {"floor": env["return_floor"], "ceiling": None if high is None else 2 * high, "floor_declared": False}


def update_rows(peak: float, length: float) -> list[dict[str, Any]]:
    """Ten phases of four gradient steps, warmed up linearly over `length` steps."""
    rows = []
    for phase in range(10):
        omega = np.minimum(1.0, (4 * phase + np.arange(1, 5)) / length)
        rows.append(
            {
                "env_step": 500 * (phase + 1),
                "gradient_step": 4 * (phase + 1),
                "n_steps": 4,
                "learning_rate_first": peak * omega[0],
                "learning_rate_last": peak * omega[-1],
                "learning_rate_mean": peak * float(omega.mean()),
                "base_learning_rate": peak,
                "n_below_99": int((omega < 0.99).sum()),
                "omega_sum": float(omega.sum()),
            }
        )
    return rows


def write_study(
    study: Path,
    arms: Mapping[str, float],
    seeds: Sequence[int] = range(8),
    *,
    declared: Mapping[str, Any] | None = DECLARED,
    learning_rates: Sequence[float] = (1e-3,),
    noise: float = 2.0,
) -> Path:
    """A study in which the curve of arm a is LEARNS + arms[a] + noise of the seed, the same noise in all arms."""
    for seed in seeds:
        wobble = noise * np.random.default_rng(seed).standard_normal(len(STEPS))
        for rate in learning_rates:
            for index, (warmup, shift) in enumerate(arms.items()):
                own = 0.1 * noise * np.random.default_rng([seed, index]).standard_normal() if shift else 0.0
                write_run(study, warmup, seed, LEARNS + wobble + shift + own, learning_rate=rate)
    if declared is not None:
        write_declaration(study, declared)
    return study


def two_arms(study: Path, shifts: list[float], **options: Any) -> Path:
    """A control at LEARNS and a linear warmup at LEARNS + shifts[seed]."""
    for seed, shift in enumerate(shifts):
        write_run(study, "none", seed, **options)
        write_run(study, "linear", seed, np.add(LEARNS, shift), **options)
    write_declaration(study, DECLARED)
    return study


def on(analysis: Analysis, metric: str) -> Comparison:
    """The only comparison on a metric."""
    (found,) = [comparison for comparison in analysis.comparisons if comparison.metric.name == metric]
    return found


def cell_row(analysis: Analysis, warmup: str) -> dict[str, Any]:
    """The only cell of a warmup in report.json."""
    (row,) = [row for row in as_json(analysis)["cells"] if row["warmup"]["name"] == warmup]
    return dict(row)


def said(analysis: Analysis, *parts: str) -> bool:
    """Whether one problem has all these parts."""
    return any(all(part in str(problem) for part in parts) for problem in analysis.problems)
