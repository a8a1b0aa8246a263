"""Arms that start from a trained agent, seed by seed beside the arm from scratch that differs in nothing else."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.cells import Block, Cell
from rl_warmup.analysis.metrics import transfer
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.scoring import curves_of


class Measure(NamedTuple):
    """What is measured of a run that starts from an agent."""

    unit: str
    better: Literal["higher", "lower"]
    description: str


_RETURN = "normalized return"
MEASURES: Mapping[str, Measure] = {
    "jump_start": Measure(_RETURN, "higher", "first evaluation, minus that from scratch"),
    "early_fall": Measure(_RETURN, "lower", "worst fall below the first evaluation in the first tenth"),
    "recovery": Measure("share of budget", "lower", "until the first evaluation is reached again; never: 1"),
    "forgetting": Measure(_RETURN, "higher", "in the agent's own environment, after the run minus before"),
    "area_gain": Measure(_RETURN, "higher", "mean over the whole run, minus that from scratch"),
    "final_gain": Measure(_RETURN, "higher", "mean of the last tenth, minus that from scratch"),
}


@dataclass(frozen=True)
class Transfer:
    """An arm that starts from trained agents."""

    block: Block
    cell: Cell
    scratch: Cell | None  # the same arm from scratch; None where the study has none
    values: Mapping[str, FloatArray]  # measure -> [scored]; nan: not known of the run


def transfers_of(blocks: Sequence[Block], problems: Problems) -> tuple[Transfer, ...]:
    """Every arm that starts from trained agents; one without its like from scratch is named in `problems`."""
    from_scratch = {
        _key(cell.settings): (block, cell) for block in blocks for cell in block.cells if not _from_agent(cell)
    }
    found = []
    for block in blocks:
        for cell in filter(_from_agent, block.cells):
            other, scratch = from_scratch.get(_key(cell.settings), (None, None))
            if scratch is None:
                problems.add("missing", f"{cell.arm}: no runs from scratch differ in nothing else", block.label)
            elif other is not None and not np.array_equal(other.steps, block.steps):
                problems.add("mixed", f"{cell.arm} and its like from scratch have other evaluations", block.label)
                scratch = None
            found.append(Transfer(block, cell, scratch, _values(block, cell, scratch)))
    return tuple(found)


def _from_agent(cell: Cell) -> bool:
    return bool(cell.settings.get("init.source"))


def _key(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """All settings but from which agent a run starts, and how."""
    return tuple(sorted((key, repr(value)) for key, value in settings.items() if not key.startswith("init.")))


def _values(block: Block, cell: Cell, scratch: Cell | None) -> dict[str, FloatArray]:
    t, z = block.steps.astype(np.float64), curves_of(cell.scored, cell.returns, cell.settings)
    values = {"early_fall": _known(transfer.early_fall, t, z), "recovery": _known(transfer.recovery, t, z)}
    values["forgetting"] = np.array([_forgotten(run.at_home, cell.settings) for run in cell.scored])
    beside = np.full_like(z, math.nan)
    if scratch is not None:
        others = curves_of(scratch.scored, scratch.returns, scratch.settings)
        of_seed = {run.seed: row for run, row in zip(scratch.scored, others, strict=True)}
        beside = np.array([of_seed.get(run.seed, row) for run, row in zip(cell.scored, beside, strict=True)])
        beside = beside.reshape(z.shape)
    for function in (transfer.jump_start, transfer.area_gain, transfer.final_gain):
        values[function.__name__] = _known(function, t, z, beside)
    return {name: values[name] for name in MEASURES}


def _known(function: Any, t: FloatArray, *curves: FloatArray) -> FloatArray:  # curves: [runs, grid] -> [runs]
    """A measure of the runs all of whose curves are known, nan for the others."""
    known = np.all([np.isfinite(z).all(axis=1) for z in curves], axis=0)
    values = np.full(len(curves[0]), math.nan)
    if known.any():
        values[known] = function(t, *(z[known] for z in curves))
    return values


def _forgotten(at_home: FloatArray | None, settings: Mapping[str, Any]) -> float:
    if at_home is None:
        return math.nan
    low, high = (settings.get(f"env.{key}") for key in ("return_low", "return_high"))
    span = 1.0 if low is None or high is None else float(high) - float(low)
    return float(transfer.forgetting(at_home[np.newaxis] / span)[0])
