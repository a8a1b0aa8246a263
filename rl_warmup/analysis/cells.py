"""From the records of a study to cells and blocks: what belongs together, on which grid, with which scores."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.metrics.curve import fill_diverged
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.runs import Run, read_run
from rl_warmup.analysis.scoring import score
from rl_warmup.config.algorithms import recorded_phases
from rl_warmup.config.arm import Arm
from rl_warmup.config.study import NOT_IN_CELL, settings_of, without_warmup
from rl_warmup.records.read import Record
from rl_warmup.schedules.phases import evaluation_grid

Group = tuple[str, str, str, int]  # environment, algorithm, trainer, budget


@dataclass(frozen=True)
class Cell:
    """All seeds of one arm in one environment with one algorithm."""

    arm: str
    short: str  # the arm without learning rate and schedule
    settings: Mapping[str, Any]  # what its runs share, by dotted keys
    warmup: Mapping[str, Any]
    runs: tuple[Run, ...]  # all readable ones
    scored: tuple[Run, ...]  # by rising seed
    returns: FloatArray  # [scored, grid], diverged runs at the floor
    scores: Mapping[str, FloatArray]  # every metric -> [scored]; nan: undefined for the run
    reached: NDArray[np.bool_]  # [scored], whether the threshold was reached
    floors: Mapping[str, FloatArray]  # metric with a noise floor -> [scored], its mean; nan: not known
    above_floor: Mapping[str, NDArray[np.bool_]]  # whether the score is worse than 95% of the floor's draws

    def count(self, status: str) -> int:
        """Number of runs with this status."""
        return sum(run.status == status for run in self.runs)


@dataclass(frozen=True)
class Block:
    """Cells that differ in nothing but the warmup: only these are ever compared."""

    label: str
    rest: str  # by which settings it differs from blocks of the same learning rate and schedule, if there are any
    settings: Mapping[str, Any]  # without the warmup
    steps: NDArray[np.int64]  # [grid], environment steps of the evaluations
    cells: tuple[Cell, ...]

    @property
    def group(self) -> Group:
        """Environment, algorithm, trainer and budget."""
        return group_of(self.settings)


def group_of(settings: Mapping[str, Any]) -> Group:
    """Environment, algorithm, trainer and budget, by which tables and figures are sorted."""
    env = settings.get("env.name", settings.get("env.id"))
    return str(env), settings["algo.name"], settings["trainer.name"], int(settings["total_timesteps"])


def coordinates(block: Block) -> dict[str, Any]:
    """Environment, algorithm, trainer, budget, base schedule and peak: what distinguishes blocks."""
    env, algo, trainer, total = block.group
    rates = {"learning_rate": block.settings["learning_rate"], "learning_rate_scale": rate_scale(block)}
    schedule = block.settings["schedule.name"]
    return {
        "env": env,
        "algo": algo,
        "trainer": trainer,
        "total_timesteps": total,
        "schedule": schedule,
        **rates,
    }


def rate_scale(block: Block) -> float | None:
    """Peak learning rate as a multiple of the tuned one; None where no run says what is tuned."""
    tuned = {run.info.get("tuned_learning_rate") for cell in block.cells for run in cell.runs}
    known = [float(rate) for rate in tuned if rate]
    return float(f"{block.settings['learning_rate'] / known[0]:.6g}") if len(known) == 1 else None


def blocks_of(records: Iterable[Record], problems: Problems, rng: np.random.Generator | None = None) -> list[Block]:
    """Read every run once and put it where it belongs; whatever is left out is named in `problems`.

    `rng` decides the draws of the noise floors, by default always the same ones; a run's do not depend on what
    other runs there are.
    """
    entropy = int(rng.integers(2**63)) if rng is not None else 0
    runs = [run for record in records if (run := read_run(record, problems)) is not None]
    dropped = _identity_without(runs)
    found: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        config = {key: value for key, value in run.info["config"].items() if key not in dropped}
        shared = {key: value for key, value in config.items() if key != "warmup"}
        found[_canonical(shared)][_canonical(config)].append(run)
    groups = [list(cells.values()) for cells in found.values()]
    shared_settings = [without_warmup(settings_of(cells[0][0].info, dropped)) for cells in groups]
    own = distinct([_block_label(settings) for settings in shared_settings], shared_settings)
    arms = iter(_arms([runs for cells in groups for runs in cells], dropped))
    blocks = [
        _block(" ".join(rest), settings, [(next(arms), runs) for runs in cells], dropped, problems, entropy)
        for rest, settings, cells in zip(own, shared_settings, groups, strict=True)
    ]
    return sorted(blocks, key=lambda block: (block.group, block.settings["learning_rate"], block.label))


def distinct(labels: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """By which settings those that have the same label differ, e.g. `algo.n_steps=64`; nothing for the others."""
    result = []
    for label, own in zip(labels, settings, strict=True):
        twins = [other for twin, other in zip(labels, settings, strict=True) if twin == label]
        keys = sorted({key for twin in twins for key in differing(own, twin)})
        result.append(tuple(f"{key}={own.get(key)}" for key in keys))
    return result


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Keys whose values differ."""
    return sorted(key for key in {*one, *other} if one.get(key) != other.get(key))


def common_grid(runs: Sequence[Run], settings: Mapping[str, Any]) -> NDArray[np.int64]:  # [grid]
    """Steps at which most completed runs were evaluated, the longer ones on a tie; without any, as was planned."""
    grids = Counter(
        tuple(run.steps.tolist()) for run in runs if run.steps is not None and run.status == "completed"
    )
    if grids:
        return np.array(max(grids, key=lambda grid: (grids[grid], len(grid), grid)), dtype=np.int64)
    phases, count = recorded_phases(settings), settings.get("evaluation.count")
    if phases is None or count is None:
        return np.array([0, settings["total_timesteps"]], dtype=np.int64)
    return evaluation_grid(phases, count, settings["algo.n_envs"])


def _block(
    rest: str,
    settings: Mapping[str, Any],
    cells: Sequence[tuple[Arm, Sequence[Run]]],
    dropped: Sequence[str],
    problems: Problems,
    entropy: int,
) -> Block:
    label = " ".join(filter(None, (_block_label(settings), rest)))
    runs = [run for _, cell in cells for run in cell]
    grid = common_grid(runs, settings)
    if not any(run.status == "completed" for run in runs) and any(run.steps is not None for run in runs):
        problems.add("mixed", "no run is completed, so its grid is the planned one", label)
    made = [_cell(arm, members, grid, dropped, problems, entropy) for arm, members in cells]
    made.sort(key=lambda cell: (cell.warmup.get("name") != "none", cell.arm))  # the control first
    return Block(label, rest, settings, grid, tuple(made))


def _cell(
    arm: Arm,
    runs: Sequence[Run],
    grid: NDArray[np.int64],
    dropped: Sequence[str],
    problems: Problems,
    entropy: int,
) -> Cell:
    runs = sorted(runs, key=lambda run: (run.seed, run.steps is None, run.run_id))
    settings = settings_of(runs[0].info, dropped)
    curves = _curves(arm.label, runs, grid, settings["env.return_floor"], problems)
    returns = np.array([curve for _, curve in curves]).reshape(len(curves), grid.size)
    scored = tuple(run for run, _ in curves)
    return Cell(
        arm=arm.label,
        short=arm.short,
        settings=settings,
        warmup=runs[0].info["warmup"],
        runs=tuple(runs),
        scored=scored,
        returns=returns,
        **vars(score(scored, grid, returns, settings, entropy)),
    )


def _curves(
    arm: str, runs: Sequence[Run], grid: NDArray[np.int64], floor: float, problems: Problems
) -> list[tuple[Run, FloatArray]]:
    """The runs that can be scored, one for each seed, each with its returns on the grid."""
    curves: dict[int, tuple[Run, FloatArray]] = {}
    for run in runs:
        if run.seed in curves:
            problems.add("left out", f"{run.run_id} is left out: seed {run.seed} of {arm} is there twice")
        elif run.steps is not None:
            try:
                curves[run.seed] = run, _on_grid(run, grid, floor)
            except ValueError as error:
                problems.add("left out", f"{run.run_id} is left out: {error}")
    return list(curves.values())


def _on_grid(run: Run, grid: NDArray[np.int64], floor: float) -> FloatArray:
    assert run.steps is not None
    assert run.returns is not None
    if run.status == "completed" and not np.array_equal(run.steps, grid):
        raise ValueError(
            f"its {run.steps.size} evaluations are not at the {grid.size} steps at which most runs it is "
            "compared with were evaluated"
        )
    return fill_diverged(grid, run.steps, run.returns, floor)


def _identity_without(runs: Sequence[Run]) -> tuple[str, ...]:
    """What does not distinguish cells; the device does where the same seed was meant to be trained on several."""
    seen: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        config = run.info["config"]
        seen[_canonical({**config, "device": None})].add(str(config.get("device")))
    return ("seed",) if any(len(devices) > 1 for devices in seen.values()) else NOT_IN_CELL


def _block_label(settings: Mapping[str, Any]) -> str:
    env, algo, trainer, total = group_of(settings)
    rate = settings["learning_rate"]
    return f"{env} {algo} {trainer} {total} steps lr={rate:.4g} {settings['schedule.name']}"


def _arms(cells: Sequence[Sequence[Run]], dropped: Sequence[str]) -> list[Arm]:
    """The cells' arms, distinct within the same environment, algorithm, trainer and budget."""
    settings = [settings_of(runs[0].info, dropped) for runs in cells]
    grouped = [f"{group_of(own)}\n{runs[0].info['arm']}" for own, runs in zip(settings, cells, strict=True)]
    rests = distinct(grouped, settings)
    return [Arm.recorded(runs[0].info, rest) for rest, runs in zip(rests, cells, strict=True)]


def _canonical(tree: Mapping[str, Any]) -> str:
    return json.dumps(tree, sort_keys=True)
