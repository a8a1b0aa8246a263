"""Runs as analysis sees them: the record files, each read once, and what is wrong with them in words."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.constants import Given, bounded, rescored
from rl_warmup.analysis.metrics.diagnostics import fill_episodes
from rl_warmup.analysis.problems import Problems
from rl_warmup.config.algorithms import ALGORITHMS
from rl_warmup.config.columns import COEFFICIENTS, GROUPS
from rl_warmup.config.constants import BOUNDS, MADE_OF, SCORING, bound_words
from rl_warmup.records.read import Record, Small, dose_of, unfinished
from rl_warmup.records.schema import FINISHED, SOURCE_EVALUATIONS, RecordError

_NEEDED = {
    "algo": ("name",),
    "trainer": ("name",),
    "schedule": ("name",),
}
_RATES = ("learning_rate_first", "learning_rate_last", "learning_rate_mean")


@dataclass(frozen=True)
class Run:
    """A run with its curve, the mean return over the episodes of each evaluation; no curve, no score.

    Tables that cannot be read are None.
    """

    info: Mapping[str, Any]
    steps: NDArray[np.int64] | None = None  # [evaluations]
    returns: FloatArray | None = None  # [evaluations]
    updates: pl.DataFrame | None = None  # phases that took optimizer steps
    episodes: pl.DataFrame | None = None  # of training; those of a diverged run completed at the floor
    episode_returns: FloatArray | None = None  # [evaluations, episodes]; None if their numbers differ
    at_home: FloatArray | None = (
        None  # [2] mean returns in its agent's own environment, before and after; from scratch None
    )
    small: Small | None = None  # in place of the tables of a study in small form

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return str(self.info["run_id"])

    @property
    def seed(self) -> int:
        """Seed, by which runs are paired."""
        return int(self.info["seed"])

    @property
    def status(self) -> str:
        """Status in run.json."""
        return str(self.info["status"])

    @property
    def worst(self) -> float | None:
        """What is missing of its curve where it diverged: the worst attainable return; None: not known."""
        worst = self.info["config"]["env"].get("return_floor")
        return (self.info.get("bounds") or {}).get("floor") if worst is None else worst


def read_run(record: Record, problems: Problems, sources: Sequence[Given] = ()) -> Run | None:
    """The run of a record, with its curve if it may be scored; None if even its config cannot be used.

    Args:
        sources: constants that take the place of those in the record.
    """
    lacking = _lacking(record.info)
    if lacking:
        problems.add("left out", f"{record.folder}/run.json is not used: {lacking}")
        return None
    run_id, info = record.info["run_id"], rescored(record.info, sources)
    contradiction = _contradiction(info["config"]["env"])
    if contradiction:
        problems.add("left out", f"{record.folder}/run.json is not used: {contradiction}")
        return None
    if record.status not in FINISHED:
        problems.add("left out", f"{run_id} is not scored: {unfinished(record)}")
        return Run(info)
    try:
        steps, returns, each = _curve(record)
    except RecordError as error:
        problems.add("left out", f"{run_id} is not scored: {error}")
        return Run(info)
    updates = _table(record, "updates", "the learning rates it was given are not known", problems)
    if updates is not None:
        updates = updates.filter(pl.col("n_steps") > 0)
    lost = "its training episodes are not known"
    episodes = None if record.small else _table(record, "episodes", lost, problems)
    run = Run(info, steps, returns, updates, None, each, small=record.small)
    if (info["config"].get("init") or {}).get("source"):
        run = replace(run, at_home=_at_home(record, run, problems))
    if episodes is not None and record.status == "diverged":
        episodes = fill_episodes(episodes, info["config"], run.worst)
    return run if episodes is None else replace(run, episodes=episodes)


def _at_home(record: Record, run: Run, problems: Problems) -> FloatArray | None:
    """Mean returns in its agent's environment at both ends; the last of a diverged run is the worst, or nan."""
    table = _table(record, SOURCE_EVALUATIONS, "what it has forgotten is not known", problems)
    means = [] if table is None else table["returns"].list.mean().to_list()
    if len(means) == 1 and record.status == "diverged":
        means.append(np.nan if run.worst is None else run.worst)
    return np.array(means, dtype=np.float64) if len(means) == 2 else None


def within_bounds(runs: Sequence[Run], problems: Problems) -> list[Run]:
    """The runs with one pair of bounds for each environment, and what is not a curve clipped there.

    Where runs were recorded with different bounds, the widest hold.
    """
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[_scored_as(run)].append(run)
    shared = {key: _shared(members, problems) for key, members in groups.items()}
    return [_clipped(run, *shared[_scored_as(run)]) for run in runs]


def _scored_as(run: Run) -> str:
    """The environment of a run and the constants by which it is scored, but for the bounds."""
    env = run.info["config"]["env"]
    return json.dumps([env.get(key) for key in ("name", *MADE_OF, *SCORING)], sort_keys=True)


def _shared(runs: Sequence[Run], problems: Problems) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the returns of runs of one environment are clipped at, and the bounds that verdicts rely on."""
    where = str(runs[0].info["config"]["env"].get("id"))
    added = bound_words({key: value for run in runs for key, value in run.info["bounds_added"].items()})
    if added:
        text = f"recorded without {added}, which conf/env/ has now: returns beyond are scored as that"
        problems.add("constants", text, where)
    clips, limits = [run.info["bounds"] for run in runs], [run.info["config"]["env"] for run in runs]
    clip = _widest(clips)
    if any(one != clip for one in clips):
        problems.add("mixed", f"its runs have different bounds; all are scored by {bound_words(clip)}", where)
    return clip, _widest(limits)


def _widest(bounds: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The lowest floor and the highest ceiling that are known."""
    known = {key: [one[key] for one in bounds if one.get(key) is not None] for key in BOUNDS}
    return {"floor": min(known["floor"], default=None), "ceiling": max(known["ceiling"], default=None)}


def _clipped(run: Run, clip: Mapping[str, Any], limits: Mapping[str, Any]) -> Run:
    """A run with these bounds, its training episodes and returns at home within them."""
    config = run.info["config"]
    info = {**run.info, "bounds": clip, "config": {**config, "env": {**config["env"], **limits}}}
    episodes = run.episodes
    if episodes is not None:
        returns = bounded(episodes["return"].to_numpy(), clip)
        episodes = episodes.with_columns(pl.Series("return", returns))
    at_home = None if run.at_home is None else bounded(run.at_home, clip)
    return replace(run, info=info, episodes=episodes, at_home=at_home)


def mean_dose(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Mean dose over the runs whose dose is known, with their number and the first one's id; None without any."""
    known = [(run.run_id, dose) for run in runs if (dose := dose_of(run.updates)) is not None]
    if not known:
        return None
    mean = {key: float(np.mean([dose[key] for _, dose in known])) for key in known[0][1]}
    return {"n": len(known), "run_id": known[0][0], **mean}


def same_dose(one: Run, other: Run) -> bool | None:
    """Whether two runs received equal learning rates in all update phases that both have; None if not known."""
    first, second = one.updates, other.updates
    if first is None or second is None or first.is_empty() or second.is_empty():
        return None
    if any((name in first.columns) != (name in second.columns) for name in COEFFICIENTS.values()):
        return False  # one of them has a warmup of another coefficient
    parts = (*COEFFICIENTS.values(), *(f"learning_rate_mean_{part}" for part in GROUPS))
    columns = [*_RATES, *(name for name in parts if name in first.columns and name in second.columns)]
    shared = min(first.height, second.height)
    given, usual = (table.head(shared).select(columns).to_numpy() for table in (first, second))
    return bool(np.allclose(given, usual, rtol=1e-9, atol=0))


def _table(record: Record, name: str, lost: str, problems: Problems) -> pl.DataFrame | None:
    """A table that a run can be scored without, or None and what is lost with it in `problems`."""
    try:
        return record.table(name)
    except RecordError as error:
        problems.add("left out", f"{record.info['run_id']}: {lost}: {error}")
        return None


def _curve(record: Record) -> tuple[NDArray[np.int64], FloatArray, FloatArray | None]:
    """Steps, mean returns, returns of the episodes; of a diverged run only what is finite."""
    frame = record.table("evaluations") if record.status == "diverged" else record.evaluations()
    steps, means = frame["env_step"].to_numpy(), frame["returns"].list.mean().to_numpy()
    order = np.argsort(steps, kind="stable")
    order = order[np.isfinite(means[order])]
    steps, rows = steps[order], frame["returns"].to_list()
    if np.unique(steps).size < steps.size:
        raise RecordError(f"{record.folder / 'evaluations.parquet'}: an env_step is there twice")
    if record.status == "completed" and steps.size < 2:
        raise RecordError(f"{record.folder / 'evaluations.parquet'}: one evaluation is no curve")
    return steps, means[order], _rectangle([rows[row] for row in order])


def _rectangle(lists: Sequence[Sequence[float | None]]) -> FloatArray | None:  # [rows, entries]
    """Lists of equal lengths as rows; None if they have not the same length, or an entry is missing."""
    if not lists:
        return np.empty((0, 0))
    if len({len(row) for row in lists}) != 1 or any(None in row for row in lists):
        return None
    return np.array(lists, dtype=np.float64)


def _lacking(info: Mapping[str, Any]) -> str | None:
    """What a run.json lacks for analysis."""
    config = info["config"]
    if not isinstance(config, dict) or not isinstance(info["warmup"], dict) or not isinstance(info["seed"], int):
        return "config, warmup or seed is not what it should be"
    keys = [key for key in ("learning_rate", "total_timesteps", "warmup") if config.get(key) is None]
    keys += [] if isinstance(config.get("env"), dict) else ["env"]
    for group, names in _NEEDED.items():
        values = config.get(group)
        keys += [f"{group}.{name}" for name in names if not isinstance(values, dict) or values.get(name) is None]
    if keys:
        return f"its config lacks {', '.join(keys)}"
    if config["algo"]["name"] not in ALGORITHMS:
        return f"algo.name {config['algo']['name']!r} is neither {' nor '.join(ALGORITHMS)}"
    return None


def _contradiction(env: Mapping[str, Any]) -> str | None:
    """What cannot be true of the constants by which a run is to be scored."""
    low, high = env.get("return_low"), env.get("return_high")
    if low is None or high is None or low < high:
        return None
    return "env.return_low is not below env.return_high"
