"""Every arm that separates causes: its formula, its source, and the dose that both trainers delivered of it.

    python benchmarks/arms.py [ARM ...] [--write docs/arms.md]

Each arm is trained by Stable-Baselines3 and as a member of a stack, PPO and DQN on CartPole in published settings
for a few thousand steps. B is the share of the summed learning rate that an arm takes away, as planned before the
training and as read from the optimizer in it; difference: the largest one, relative, between the planned and the
delivered mean rate of an update phase. Exit code 1 if a difference is not that of rounding.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from arms_list import ARMS, Arm

from rl_warmup.config.columns import COEFFICIENTS
from rl_warmup.config.identity import run_folder
from rl_warmup.config.learning_rate import coefficients, phases_of, planned_base, planned_dose
from rl_warmup.config.schema import RunConfig
from rl_warmup.records.provenance import hardware
from rl_warmup.records.read import Record, dose_of, read_info
from rl_warmup.run.compose import configured
from rl_warmup.run.execute import execute_stack
from rl_warmup.run.jobs import Job, source_jobs
from rl_warmup.run.launch.packing import stack_key
from rl_warmup.schedules.numbers import Array

BUDGET = {"ppo": ("total_timesteps=12800",), "dqn": ("total_timesteps=6000",)}
SHORT = ("env=cartpole", "evaluation.count=2", "evaluation.episodes=1", "tracking=disabled", "device=cpu")
TRAINERS = ("sb3", "stacked")
ROUNDING = 1e-9
BEGIN, END = "<!-- made by benchmarks/arms.py -->", "<!-- end -->"


@dataclass(frozen=True)
class Dose:
    """What one trainer delivered of an arm."""

    budget: float
    difference: float  # from the plan, largest relative one of a phase


def config_of(arm: Arm, algo: str, trainer: str, folder: Path) -> RunConfig:
    """The run of an arm."""
    places = (f"algo={algo}", f"trainer={trainer}", f"runs_dir={folder}", "keep=none")
    return configured([*SHORT, *BUDGET[algo], *places, *arm.overrides], "arms")


def train(configs: Sequence[RunConfig]) -> None:
    """Train them all, those of a stack together, and before them the agents that they start from."""
    if sources := [job.config for job in source_jobs([Job((), config, run_folder(config)) for config in configs])]:
        train(sources)
    groups: dict[str, list[RunConfig]] = {}
    for config in configs:
        key = str(run_folder(config)) if config.trainer.name == "sb3" else stack_key(config)
        groups.setdefault(key, []).append(config)
    for group in groups.values():
        for config, status in zip(group, execute_stack(group), strict=True):
            if status != "completed":
                sys.exit(f"{run_folder(config)} is {status}")


def planned(config: RunConfig) -> tuple[Array, Array]:  # [phases] both
    """Mean of every update phase of what the warmup is of, with it and without."""
    if config.warmup.of != "learning_rate":
        name = COEFFICIENTS[config.warmup.of]
        return coefficients(config, name), coefficients(config, name, warm=False)
    ends = np.cumsum(phases_of(config).n_steps)[:-1]
    means = [
        [part.mean() for part in np.split(rates, ends)] for rates in (planned_dose(config), planned_base(config))
    ]
    return np.array(means[0]), np.array(means[1])


def delivered(config: RunConfig) -> Dose:
    """What was read from the optimizer of a run."""
    folder = run_folder(config)
    updates = Record(folder, read_info(folder)).table("updates")
    plan, base = planned(config)
    if config.warmup.of == "learning_rate":
        dose = dose_of(updates)
        assert dose is not None
        budget, means = dose["budget"], updates["learning_rate_mean"].to_numpy()
    else:
        means = updates[COEFFICIENTS[config.warmup.of]].to_numpy()
        budget = 1 - means.sum() / base.sum()
    return Dose(budget, float(np.abs(means - plan).max() / base.max()))


def row(arm: Arm, folder: Path) -> tuple[str, float]:
    """A line of the table, and the largest difference in it."""
    cells, worst = [], 0.0
    for algo in BUDGET:
        if algo not in arm.algos:
            cells.append("–")
            continue
        configs = [config_of(arm, algo, trainer, folder) for trainer in TRAINERS]
        doses = [delivered(config) for config in configs]
        phases = phases_of(configs[0])
        plan, base = planned(configs[0])
        weights = phases.n_steps if configs[0].warmup.of == "learning_rate" else np.ones_like(phases.n_steps)
        budget = 1 - (plan * weights).sum() / (base * weights).sum()
        worst = max(worst, *(dose.difference for dose in doses)) if arm.planned else worst
        cells.append(f"{budget:.2%} / {doses[0].budget:.2%} / {doses[1].budget:.2%}")
    difference = f"{worst:.0e}" if arm.planned else "adapts"
    words = "<br>".join(f"`{word}`" for word in arm.overrides)
    return f"| {words} | {arm.formula} | {arm.source} | {' | '.join(cells)} | {difference} |", worst


def table(arms: Iterable[Arm], folder: Path) -> tuple[list[str], float]:
    """The table of arms that were trained, and the largest difference in it."""
    lines = [
        "| on the command line | what it does | source | B, PPO: planned / SB3 / stack | B, DQN | difference |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows = [row(arm, folder) for arm in arms]
    return lines + [line for line, _ in rows], max(difference for _, difference in rows)


def main() -> None:
    """Train the arms and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arms", nargs="*", metavar="ARM", help="parts of the words of those wanted; default: all")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between its marks in this page")
    arguments = parser.parse_args()
    wanted = [arm for arm in ARMS if not arguments.arms or any(one in str(arm.overrides) for one in arguments.arms)]
    with tempfile.TemporaryDirectory() as folder:
        for algo in BUDGET:
            chosen = [arm for arm in wanted if algo in arm.algos]
            for trainer in TRAINERS:
                train([config_of(arm, algo, trainer, Path(folder)) for arm in chosen])
                print(f"{algo} {trainer}: {len(chosen)} arms trained", file=sys.stderr, flush=True)
        lines, worst = table(wanted, Path(folder))
    text = "\n".join(
        [*lines, "", f"CartPole, {BUDGET['ppo'][0]} (PPO) and {BUDGET['dqn'][0]} (DQN), {hardware('cpu')}."]
    )
    print(text)
    if arguments.write:
        page = arguments.write.read_text(encoding="utf-8")
        made = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", page, flags=re.DOTALL)
        arguments.write.write_text(made, encoding="utf-8")
    sys.exit(1 if worst > ROUNDING else 0)


if __name__ == "__main__":
    main()
