"""Robustness to the learning rate: every warmup against the control over a study's grid of rates."""

from collections.abc import Iterator, Sequence
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
    lr_sensitivity_treatment: float | None
    lr_sensitivity_control: float | None


@dataclass(frozen=True)
class Sensitivity:
    """How much the best learning rate depends on the environment (Adkins' Phi, on the area), for one warmup."""

    warmup: str  # short label of the arm
    algo: str
    environments: tuple[str, ...]
    phi: float


@dataclass(frozen=True)
class _Grid:
    """Blocks that differ in nothing but the learning rate, by rising rate."""

    blocks: tuple[Block, ...]

    @property
    def rates(self) -> list[float]:
        return [float(block.settings["learning_rate"]) for block in self.blocks]

    def arms(self) -> dict[str, list[Cell]]:
        """The cells of each arm, by its short label, in the order of the rates."""
        found: dict[str, list[Cell]] = {}
        for block in self.blocks:
            for cell in block.cells:
                found.setdefault(cell.short, []).append(cell)
        return found


def critical_rates_of(
    blocks: Sequence[Block], control: Conditions, rng: np.random.Generator, problems: Problems
) -> tuple[CriticalRate, ...]:
    """Every warmup against the control wherever both are there at three or more learning rates, by shared seeds."""
    found = []
    for grid in _grids(blocks):
        arms = grid.arms()
        controls = [name for name, cells in arms.items() if all(matches(control, cell.settings) for cell in cells)]
        if len(controls) == 1:
            for name in arms:
                if name != controls[0]:
                    found += _critical_rate(grid, name, controls[0], rng, problems)
    return tuple(found)


def sensitivities_of(blocks: Sequence[Block]) -> tuple[Sensitivity, ...]:
    """Phi of every arm that has as many learning rates in each of three or more environments, matched by rank."""
    grids: dict[tuple[str, str, str, str], list[tuple[str, list[Cell]]]] = {}
    for grid in _grids(blocks):
        env, algo, trainer, _ = grid.blocks[0].group
        for name, cells in grid.arms().items():
            if all(cell.scored for cell in cells):
                key = (name, algo, trainer, grid.blocks[0].settings["schedule.name"])
                grids.setdefault(key, []).append((env, cells))
    found = []
    for (name, algo, _, _), rows in sorted(grids.items()):
        environments = sorted({env for env, _ in rows})
        once = len(environments) == len(rows)  # several budgets or settings of one environment are no grid
        if once and len(rows) >= FEWEST_ENVIRONMENTS and len({len(cells) for _, cells in rows}) == 1:
            scores = [_scaled(cells, blocks, env, algo) for env, cells in sorted(rows, key=lambda row: row[0])]
            found.append(Sensitivity(name, algo, tuple(environments), robustness.phi(scores)))
    return tuple(found)


def _grids(blocks: Sequence[Block]) -> Iterator[_Grid]:
    grouped: dict[str, list[Block]] = {}
    for block in blocks:
        shared = {key: value for key, value in block.settings.items() if key != "learning_rate"}
        grouped.setdefault(repr(sorted(shared.items())), []).append(block)
    for members in grouped.values():
        if len(members) >= FEWEST_RATES:
            yield _Grid(tuple(sorted(members, key=lambda block: float(block.settings["learning_rate"]))))


def _critical_rate(
    grid: _Grid, treatment: str, control: str, rng: np.random.Generator, problems: Problems
) -> list[CriticalRate]:
    """The critical rates of a warmup, or nothing, and why not."""
    both = []
    for block, rate in zip(grid.blocks, grid.rates, strict=True):
        cells = {cell.short: cell for cell in block.cells}
        if treatment in cells and control in cells:
            both.append((rate, cells[treatment], cells[control]))
    if len(both) < FEWEST_RATES:
        return []
    group = grid.blocks[0].group
    label = f"{treatment} against {control} over {len(both)} learning rates ({' '.join(group[:3])})"
    seeds = _usable_seeds(both, label, problems)
    if seeds is None:
        return []
    rates, ours, theirs = zip(*both, strict=True)
    success = [1 - np.array([_of(cell, "not_learned", seeds) for cell in arm]).T for arm in (ours, theirs)]
    finals = [[_of(cell, "final", seeds).mean() for cell in arm] for arm in (ours, theirs)]
    return [
        CriticalRate(
            group=group,
            schedule=grid.blocks[0].settings["schedule.name"],
            treatment=treatment,
            control=control,
            learning_rates=tuple(rates),
            success_treatment=tuple(success[0].mean(axis=0).tolist()),
            success_control=tuple(success[1].mean(axis=0).tolist()),
            **vars(robustness.log2_ratio(np.log2(rates), success[0], success[1], rng)),
            n_seeds=len(seeds),
            lr_sensitivity_treatment=robustness.lr_sensitivity(finals[0]),
            lr_sensitivity_control=robustness.lr_sensitivity(finals[1]),
        )
    ]


def _usable_seeds(both: Sequence[tuple[float, Cell, Cell]], label: str, problems: Problems) -> list[int] | None:
    """The seeds scored in both arms at every rate; None, and why, where they decide nothing."""
    scored = [{run.seed for run in cell.scored} for _, *arms in both for cell in arms]
    seeds = sorted(set.intersection(*scored))
    dropped = sorted(set.union(*scored) - set(seeds))
    if dropped:
        text = f"{seeds_words(dropped)} not scored at every one, not used in its robustness"
        problems.add("robustness", text, label)
    if len(seeds) < 2:
        text = f"no robustness: {len(seeds)} seeds are scored at every one, and it takes two"
        problems.add("robustness", text, label)
        return None
    inert = [f"{rate:.4g}" for rate, ours, theirs in both if not _differ(ours, theirs, seeds)]
    if inert:
        text = f"no robustness: the delivered learning rates are not known to differ at {', '.join(inert)}"
        problems.add("robustness", text, label)
        return None
    return seeds


def _differ(ours: Cell, theirs: Cell, seeds: Sequence[int]) -> bool:
    """Whether the delivered learning rates differ in at least one pair."""
    one, other = ({run.seed: run for run in cell.scored} for cell in (ours, theirs))
    return any(same_dose(one[seed], other[seed]) is False for seed in seeds)


def _of(cell: Cell, metric: str, seeds: Sequence[int]) -> FloatArray:  # [seeds]
    place = {run.seed: index for index, run in enumerate(cell.scored)}
    return np.asarray(cell.scores[metric][[place[seed] for seed in seeds]])


def _scaled(cells: Sequence[Cell], blocks: Sequence[Block], env: str, algo: str) -> FloatArray:
    """Mean area at each rate, scaled by all runs of the environment with this algorithm."""
    here = [cell for block in blocks if block.group[:2] == (env, algo) for cell in block.cells]
    runs = np.concatenate([cell.scores["area"] for cell in here])
    return robustness.percentile_scaled([cell.scores["area"].mean() for cell in cells], runs)
