"""Robustness to the learning rate: every warmup against the control over a study's grid of rates."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.cells import Block, Cell, Group
from rl_warmup.analysis.pairs import seeds_words
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.runs import same_dose
from rl_warmup.analysis.statistics import robustness
from rl_warmup.config.study import Conditions, matches

FEWEST_RATES = 3
FEWEST_ENVIRONMENTS = 3


@dataclass(frozen=True, kw_only=True)
class CriticalRate(robustness.Shift):
    """The learning rate at which half of the runs still learn, with a warmup and without."""

    group: Group  # environment, algorithm, trainer, budget
    schedule: str
    treatment: str  # short label of the arm
    control: str
    learning_rates: tuple[float, ...]
    success_treatment: tuple[float, ...]  # share of the seeds that learned, at each rate
    success_control: tuple[float, ...]
    n_seeds: int
    descriptive: str | None  # why there is no verdict on it, where the grid is too small for one
    lr_sensitivity_treatment: float | None
    lr_sensitivity_control: float | None


@dataclass(frozen=True)
class Sensitivity:
    """How much the best learning rate depends on the environment (Adkins' Phi, on the area), for one warmup."""

    warmup: str  # short label of the arm
    algo: str
    environments: tuple[str, ...]
    phi: float


def critical_rates_of(blocks: Sequence[Block], control: Conditions, problems: Problems) -> tuple[CriticalRate, ...]:
    """Every warmup against the control wherever both are there at three or more learning rates, by shared seeds."""
    found = []
    for grid in _grids(blocks):
        arms = _arms(grid).values()
        controls = [arm for arm in arms if all(matches(control, cell.settings) for cell in arm.values())]
        if len(controls) == 1:
            for arm in arms:
                if arm is not controls[0]:
                    found += _critical_rate(grid[0], arm, controls[0], problems)
    return tuple(found)


def sensitivities_of(blocks: Sequence[Block]) -> tuple[Sensitivity, ...]:
    """Phi of every arm that has as many learning rates in each of three or more environments, matched by rank."""
    grids: dict[tuple[str, str, str, str], list[tuple[str, Collection[Cell]]]] = defaultdict(list)
    for grid in _grids(blocks):
        env, algo, trainer, _ = grid[0].group
        for name, arm in _arms(grid).items():
            if all(cell.scored and np.isfinite(cell.scores["area"]).all() for cell in arm.values()):
                grids[name, algo, trainer, grid[0].settings["schedule.name"]].append((env, arm.values()))
    found = []
    for (name, algo, _, _), rows in sorted(grids.items()):
        environments = sorted({env for env, _ in rows})
        once = len(environments) == len(rows)  # several budgets or settings of one environment are no grid
        if once and len(rows) >= FEWEST_ENVIRONMENTS and len({len(cells) for _, cells in rows}) == 1:
            scores = [_scaled(cells, blocks, env, algo) for env, cells in sorted(rows, key=lambda row: row[0])]
            found.append(Sensitivity(name, algo, tuple(environments), robustness.phi(scores)))
    return tuple(found)


def _grids(blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks that differ in nothing but the learning rate, three or more; they are sorted by it already."""
    grouped: dict[str, list[Block]] = defaultdict(list)
    for block in blocks:
        shared = {key: value for key, value in block.settings.items() if key != "learning_rate"}
        grouped[repr(sorted(shared.items()))].append(block)
    return [members for members in grouped.values() if len(members) >= FEWEST_RATES]


def _arms(grid: Sequence[Block]) -> dict[str, dict[float, Cell]]:
    """Short label of each arm -> learning rate -> its cell."""
    found: dict[str, dict[float, Cell]] = defaultdict(dict)
    for block in grid:
        for cell in block.cells:
            found[cell.short][float(block.settings["learning_rate"])] = cell
    return found


def _critical_rate(
    block: Block,
    treatment: Mapping[float, Cell],
    control: Mapping[float, Cell],
    problems: Problems,
) -> list[CriticalRate]:
    """The critical rates of a warmup, or nothing, and why not."""
    rates = [rate for rate in treatment if rate in control]
    if len(rates) < FEWEST_RATES:
        return []
    arms = [[arm[rate] for rate in rates] for arm in (treatment, control)]
    names = [cells[0].short for cells in arms]
    label = f"{' against '.join(names)} over {len(rates)} learning rates ({' '.join(block.group[:3])})"
    seeds = _usable_seeds(rates, arms, label, problems)
    if not seeds:
        return []
    if not all(np.isfinite(_of(cell, "not_learned", seeds)).all() for cells in arms for cell in cells):
        text = "no robustness: which runs learned is not known without the constants of the environment"
        problems.add("robustness", text, label)
        return []
    if few := robustness.too_few(np.log2(rates), len(seeds)):
        problems.add("robustness", f"its critical rates are descriptive: {few}", label)
    success = [1 - np.array([_of(cell, "not_learned", seeds) for cell in cells]).T for cells in arms]
    worth = [robustness.lr_sensitivity([_of(cell, "final", seeds).mean() for cell in cells]) for cells in arms]
    return [
        CriticalRate(
            group=block.group,
            schedule=block.settings["schedule.name"],
            treatment=names[0],
            control=names[1],
            learning_rates=tuple(rates),
            success_treatment=tuple(success[0].mean(axis=0).tolist()),
            success_control=tuple(success[1].mean(axis=0).tolist()),
            **vars(robustness.log2_ratio(np.log2(rates), success[0], success[1])),
            n_seeds=len(seeds),
            descriptive=few or None,
            lr_sensitivity_treatment=worth[0],
            lr_sensitivity_control=worth[1],
        )
    ]


def _usable_seeds(
    rates: Sequence[float], arms: Sequence[Sequence[Cell]], label: str, problems: Problems
) -> list[int]:
    """The seeds scored in both arms at every rate; none, and why, where they decide nothing."""
    scored = [{run.seed for run in cell.scored} for cells in arms for cell in cells]
    seeds = sorted(set.intersection(*scored))
    dropped = sorted(set.union(*scored) - set(seeds))
    if dropped:
        text = f"{seeds_words(dropped)} not scored at every one, not used in its robustness"
        problems.add("robustness", text, label)
    if len(seeds) < 2:
        text = f"no robustness: {len(seeds)} seeds are scored at every one, and it takes two"
        problems.add("robustness", text, label)
        return []
    inert = [f"{rate:.4g}" for rate, *pair in zip(rates, *arms, strict=True) if not _differ(pair, seeds)]
    if inert:
        text = f"no robustness: the delivered learning rates are not known to differ at {', '.join(inert)}"
        problems.add("robustness", text, label)
        return []
    return seeds


def _differ(pair: Sequence[Cell], seeds: Sequence[int]) -> bool:
    """Whether the delivered learning rates differ in at least one pair."""
    one, other = ({run.seed: run for run in cell.scored} for cell in pair)
    return any(same_dose(one[seed], other[seed]) is False for seed in seeds)


def _of(cell: Cell, metric: str, seeds: Sequence[int]) -> FloatArray:  # [seeds]
    place = {run.seed: index for index, run in enumerate(cell.scored)}
    return np.asarray(cell.scores[metric][[place[seed] for seed in seeds]])


def _scaled(cells: Collection[Cell], blocks: Sequence[Block], env: str, algo: str) -> FloatArray:
    """Mean area at each rate, scaled by all runs of the environment with this algorithm."""
    here = [cell for block in blocks if block.group[:2] == (env, algo) for cell in block.cells]
    runs = np.concatenate([cell.scores["area"] for cell in here])
    return robustness.percentile_scaled([cell.scores["area"].mean() for cell in cells], runs[np.isfinite(runs)])
