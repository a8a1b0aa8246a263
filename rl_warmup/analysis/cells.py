"""From the records of a study to cells and blocks: what belongs together, on which grid, with which scores."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.constants import Given, Scale, bounded
from rl_warmup.analysis.metrics.curve import fill_diverged
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.runs import Run, read_run, within_bounds
from rl_warmup.analysis.scoring import Scores, score
from rl_warmup.config.algorithms import recorded_phases
from rl_warmup.config.arm import Arm, begin_words
from rl_warmup.config.constants import as_given
from rl_warmup.config.recorded import value_of
from rl_warmup.config.study import NOT_IN_CELL, clock_total, settings_of, without_warmup
from rl_warmup.records.read import Record
from rl_warmup.schedules.phases import evaluation_grid

Group = tuple[str, str, str, int]  # environment, algorithm, trainer, budget
_Members = tuple[Arm, Mapping[str, Any], Sequence[Run]]  # of a cell, with what they share


@dataclass(frozen=True, kw_only=True)
class Cell(Scores):
    """All seeds of one arm in one environment with one algorithm."""

    arm: str
    short: str  # the arm without learning rate and schedule
    words: str  # the same as a phrase
    settings: Mapping[str, Any]  # what its runs share, by dotted keys
    warmup: Mapping[str, Any]
    runs: tuple[Run, ...]  # all readable ones
    scored: tuple[Run, ...]  # by rising seed
    returns: FloatArray  # [scored, grid], diverged runs at the worst attainable return; nan where that is not known

    @property
    def normalized(self) -> bool:
        """Whether its scores are in normalized return, not in the environment's own."""
        return Scale.of(self.settings).normalized

    @property
    def beyond(self) -> NDArray[np.bool_]:  # [scored, grid]
        """Where a return lies beyond the bounds of the environment, and is scored as one of them."""
        within = [bounded(row, run.info.get("bounds")) for run, row in zip(self.scored, self.returns, strict=True)]
        return np.asarray(np.isfinite(self.returns) & (np.reshape(within, self.returns.shape) != self.returns))

    @property
    def clipped(self) -> float | None:
        """Share of the evaluations beyond the bounds; None without any evaluation."""
        return float(self.beyond.mean()) if self.returns.size else None

    @property
    def timed(self) -> NDArray[np.bool_]:  # [scored]
        """Whether it is known of a run if and when it reached the threshold."""
        return np.isfinite(self.scores["time_to_threshold"])

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
    def normalized(self) -> bool:
        """Whether its cells' scores are in normalized return, not in the environment's own."""
        return Scale.of(self.settings).normalized

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
    named = dict(zip(("env", "algo", "trainer", "total_timesteps"), block.group, strict=True))
    schedule, rate = block.settings["schedule.name"], block.settings["learning_rate"]
    return {**named, "schedule": schedule, "learning_rate": rate, "learning_rate_scale": rate_scale(block)}


def rate_scale(block: Block) -> float | None:
    """Peak learning rate as a multiple of the tuned one; None where no run says what is tuned."""
    tuned = {run.info.get("tuned_learning_rate") for cell in block.cells for run in cell.runs}
    known = [float(rate) for rate in tuned if rate]
    return float(f"{block.settings['learning_rate'] / known[0]:.6g}") if len(known) == 1 else None


def blocks_of(
    records: Iterable[Record],
    problems: Problems,
    rng: np.random.Generator | None = None,
    sources: Sequence[Given] = (),
) -> list[Block]:
    """Read every run once and put it where it belongs; whatever is left out is named in `problems`.

    `rng` decides the draws of the noise floors, by default always the same ones; a run's do not depend on what
    other runs there are. `sources`: constants that take the place of those in the records.
    """
    entropy = int(rng.integers(2**63)) if rng is not None else 0
    read = [run for record in records if (run := read_run(record, problems, sources)) is not None]
    runs = within_bounds(read, problems)
    dropped = _identity_without(runs)
    cells: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        cells[_canonical(run, dropped)].append(run)
    settings = [settings_of(members[0].info, dropped) for members in cells.values()]
    pairs = list(zip(settings, cells.values(), strict=True))
    arms = [
        Arm.of(
            members[0].info["warmup"],
            clock_total(own),
            own["learning_rate"],
            own["schedule.name"],
            _begin(members[0]),
        )
        for own, members in pairs
    ]
    labels = [f"{group_of(own)} {arm.label}" for own, arm in zip(settings, arms, strict=True)]
    found: dict[str, list[_Members]] = defaultdict(list)
    for bare, rest, (own, members) in zip(arms, distinct(labels, settings), pairs, strict=True):
        arm = replace(bare, rest=rest)
        found[_canonical(members[0], (*dropped, "warmup"))].append((arm, own, members))
    shared = [without_warmup(members[0][1]) for members in found.values()]
    begins = [members[0][0].begin for members in found.values()]
    told = [" ".join((_block_label(own), *begin)) for own, begin in zip(shared, begins, strict=True)]
    rests = [(*begin, *more) for begin, more in zip(begins, distinct(told, shared), strict=True)]
    blocks = [
        _block(" ".join(rest), own, members, problems, entropy)
        for rest, own, members in zip(rests, shared, found.values(), strict=True)
    ]
    return sorted(blocks, key=lambda block: (block.group, block.settings["learning_rate"], block.label))


def distinct(labels: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """By which settings those that have the same label differ, e.g. `algo.n_steps=64`; nothing for the others."""
    result = []
    for label, own in zip(labels, settings, strict=True):
        twins = [other for twin, other in zip(labels, settings, strict=True) if twin == label]
        keys = sorted({key for twin in twins for key in differing(own, twin)})
        said = (key for key in keys if not said_by_name(key, own, keys, twins))
        result.append(tuple(f"{key}={as_given(value_of(own, key))}" for key in said))
    return result


def said_by_name(
    key: str, own: Mapping[str, Any], keys: Collection[str], twins: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether the name of its group says of a setting that it differs, as it does of the eps of an optimizer."""
    name = f"{key.rpartition('.')[0]}.name"
    if key == name or name not in keys:
        return False
    alike = (twin for twin in twins if value_of(twin, name) == value_of(own, name))
    return all(value_of(twin, key) == value_of(own, key) for twin in alike)


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
    rest: str, settings: Mapping[str, Any], cells: Sequence[_Members], problems: Problems, entropy: int
) -> Block:
    label = " ".join(filter(None, (_block_label(settings), rest)))
    runs = [run for _, _, members in cells for run in members]
    grid = common_grid(runs, settings)
    if not any(run.status == "completed" for run in runs) and any(run.steps is not None for run in runs):
        problems.add("mixed", "no run is completed, so its grid is the planned one", label)
    made = [_cell(*cell, grid, problems, entropy) for cell in cells]
    made.sort(key=lambda cell: (cell.warmup.get("name") != "none", cell.arm))  # the control first
    return Block(label, rest, settings, grid, tuple(made))


def _cell(
    arm: Arm,
    settings: Mapping[str, Any],
    runs: Sequence[Run],
    grid: NDArray[np.int64],
    problems: Problems,
    entropy: int,
) -> Cell:
    runs = sorted(runs, key=lambda run: (run.seed, run.steps is None, run.run_id))
    curves = _curves(arm.label, runs, grid, problems)
    returns = np.array([curve for _, curve in curves]).reshape(len(curves), grid.size)
    scored = tuple(run for run, _ in curves)
    return Cell(
        arm=arm.label,
        short=arm.short,
        words=arm.words,
        settings=settings,
        warmup=runs[0].info["warmup"],
        runs=tuple(runs),
        scored=scored,
        returns=returns,
        **vars(score(scored, grid, returns, settings, entropy)),
    )


def _curves(
    arm: str, runs: Sequence[Run], grid: NDArray[np.int64], problems: Problems
) -> list[tuple[Run, FloatArray]]:
    """The runs that can be scored, one for each seed, each with its returns on the grid."""
    curves: dict[int, tuple[Run, FloatArray]] = {}
    for run in runs:
        if run.seed in curves:
            problems.add("left out", f"{run.run_id} is left out: seed {run.seed} of {arm} is there twice")
        elif run.steps is not None:
            try:
                curves[run.seed] = run, _on_grid(run, grid)
            except ValueError as error:
                problems.add("left out", f"{run.run_id} is left out: {error}")
    return list(curves.values())


def _on_grid(run: Run, grid: NDArray[np.int64]) -> FloatArray:
    assert run.steps is not None
    assert run.returns is not None
    if run.status == "completed" and not np.array_equal(run.steps, grid):
        raise ValueError(
            f"its {run.steps.size} evaluations are not at the {grid.size} steps at which most runs it is "
            "compared with were evaluated"
        )
    return fill_diverged(grid, run.steps, run.returns, run.worst)


def _identity_without(runs: Sequence[Run]) -> tuple[str, ...]:
    """What does not distinguish cells; the device does where the same seed was meant to be trained on several."""
    seen: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        seen[_canonical(run, ("device",))].add(str(run.info["config"].get("device")))
    return ("seed",) if any(len(devices) > 1 for devices in seen.values()) else NOT_IN_CELL


def _block_label(settings: Mapping[str, Any]) -> str:
    env, algo, trainer, total = group_of(settings)
    rate = settings["learning_rate"]
    return f"{env} {algo} {trainer} {total} steps lr={rate:.4g} {settings['schedule.name']}"


def _begin(run: Run) -> tuple[str, ...]:
    """From which agent, in which physics."""
    config = run.info["config"]
    return begin_words(config.get("init") or {}, config["env"].get("physics") or {})


def _canonical(run: Run, dropped: Sequence[str]) -> str:
    """The config without these keys."""
    config = run.info["config"]
    return json.dumps({key: config[key] for key in config if key not in dropped}, sort_keys=True)
