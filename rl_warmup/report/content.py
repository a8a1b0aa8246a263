"""report.json: an analysis as plain data; report.schema.json lists the fields of every row, in their order."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.cells import Block, Cell, coordinates, rate_scale
from rl_warmup.analysis.comparison import Comparison
from rl_warmup.analysis.lr_robustness import CriticalRate
from rl_warmup.analysis.metrics.registry import metrics
from rl_warmup.analysis.pairs import Pairing
from rl_warmup.analysis.runs import mean_dose
from rl_warmup.analysis.statistics.across_seeds import across, share
from rl_warmup.analysis.statistics.estimators import iqm
from rl_warmup.analysis.statistics.failures import BreakEven, Failures, PairsWon
from rl_warmup.analysis.statistics.planning import Plan
from rl_warmup.analysis.statistics.survival import median, restricted_mean
from rl_warmup.analysis.study import Analysis
from rl_warmup.analysis.transfer import MEASURES, Transfer
from rl_warmup.report import looks, pooled
from rl_warmup.report.reproduce import reproduce
from rl_warmup.report.words import GROUP

RESAMPLES = 2000
INTERVALS = {
    "comparisons": "ci: 95%, inversion of the sign-flip test; mean_ci: 95%, Dirichlet; iqm: 95%, BCa bootstrap",
    "cells": f"mean: 95%, percentile bootstrap over seeds, {RESAMPLES} resamples; too narrow for few runs",
}


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every report.json follows."""
    text = resources.files("rl_warmup.report").joinpath("report.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def as_json(analysis: Analysis) -> dict[str, Any]:
    """The content of report.json but for its sentences and figures."""
    cells = list(analysis.cells)
    doses = [(block, cell, mean_dose(cell.scored)) for block, cell in cells]
    transfer = {"transfer": [_transfer(found) for found in analysis.transfers]} if analysis.transfers else {}
    looking = {} if analysis.looking is None else {"looks": looks.as_json(analysis.looking)}
    return {
        "study": _study(analysis),
        **looking,
        "pooled": [_row("pooled", pooled.values(found)) for found in analysis.pooled],
        "comparisons": [_comparison(found) for found in analysis.comparisons],
        "arms": {cell.short: cell.words for _, cell in cells},
        "cells": [_cell(block, cell) for block, cell in cells],
        "runs": [row for _, cell in cells for row in _runs(cell)],
        "dose": [_row("dose", coordinates(block) | vars(cell) | dose) for block, cell, dose in doses if dose],
        "dispersion": [_row("dispersion", vars(found) | paired(found.pairing)) for found in analysis.dispersions],
        "robustness": {
            "edges": [_critical_rate(found, analysis) for found in analysis.critical_rates],
            "sensitivity": [_row("sensitivity", vars(found)) for found in analysis.sensitivities],
        },
        **transfer,
        "reproduce": reproduce(analysis.folder, [run.info for _, cell in cells for run in cell.runs]),
        "problems": list(map(str, analysis.problems)),
    }


def paired(pairing: Pairing) -> dict[str, Any]:
    """What is compared, and where."""
    return {
        **coordinates(pairing.block),
        "treatment": pairing.treatment_label,
        "control": pairing.control_label,
        "contrast": pairing.contrast,
        **_unless_normalized(pairing),
    }


def _unless_normalized(scored: Pairing | Cell) -> dict[str, bool]:
    """What a row says of scores in the environment's own returns; nothing where they are normalized."""
    return {} if scored.normalized else {"normalized": False}


def _study(analysis: Analysis) -> dict[str, Any]:
    declared = analysis.declaration
    contrasts = [
        {"name": contrast.name, "arms": [{"weight": weight, "where": where} for weight, where in contrast.terms]}
        for contrast in declared.contrasts
    ]
    described = {
        name: _row("metric", vars(metric) | {"smallest_effect": declared.effect(metric)})
        for name, metric in metrics().items()
    }
    return _row("study", vars(declared) | {"contrasts": contrasts, "metrics": described, **_tested(analysis)})


def _tested(analysis: Analysis) -> dict[str, Any]:
    """The order of the confirmatory tests, and what intervals and adjusted p values are."""
    confirmatory = pooled.ORDERS[analysis.order]
    p_adjusted = f"{confirmatory}; Benjamini-Hochberg over the exploratory family"
    return {"order": analysis.order, "intervals": INTERVALS | {"p_adjusted": p_adjusted}}


def _comparison(found: Comparison) -> dict[str, Any]:
    arms = found.pairing.treatment, found.pairing.control
    about = {
        "metric": found.metric.name,
        "treatment_arm": arms[0].arm,
        "control_arm": arms[1].arm,
        "n_diverged": [arm.count("diverged") for arm in arms],
        "notes": list(map(str, found.verdict.notes)),
    }
    return _row(
        "comparison", vars(found) | vars(found.paired) | vars(found.verdict) | paired(found.pairing) | about
    )


def _cell(block: Block, cell: Cell) -> dict[str, Any]:
    """One cell: its runs, each metric over the scored ones, dispersion over seeds, and time to the threshold."""
    n, known, unlearned = len(cell.scored), cell.timed, _finite(cell.scores["not_learned"])
    times, reached = cell.scores["time_to_threshold"][known], cell.reached[known]
    of_lead: dict[str, float | None] = (
        {} if cell.normalized else {"ipr90": None}
    )  # a share of the reference's lead over a random policy
    counts = {"diverged": (cell.count("diverged"), n), "not_learned": (int(unlearned.sum()), unlearned.size)}
    about = {
        "n": n,
        "n_diverged": cell.count("diverged"),
        "n_failed": cell.count("failed"),
        "warmup": dict(cell.warmup),
        "clipped": cell.clipped,
        "metrics": {name: _metric(cell, name) for name in metrics()},
        "across_seeds": {name: across(_finite(cell.scores[name])) | of_lead for name in ("final", "area")},
        "shares": {
            name: dict(zip(("share", "ci_low", "ci_high"), share(min(count, runs), runs), strict=True))
            for name, (count, runs) in counts.items()
        },
        "time_to_threshold": {
            "reached": int(reached.sum()) if times.size or not n else None,
            "restricted_mean": restricted_mean(times, reached) if times.size else None,
            "median": median(times, reached) if times.size else None,
        },
        **_unless_normalized(cell),
    }
    return _row("cell", vars(cell) | coordinates(block) | about)


def _metric(cell: Cell, name: str) -> dict[str, float | None]:
    """Mean with its interval, and IQM, of the runs that have a value; None without any, no interval with one."""
    row = _location(_finite(cell.scores[name]))
    if name in cell.floors:
        known = np.isfinite(cell.floors[name])
        for key, floor in {"noise_floor": cell.floors[name], "above_noise_floor": cell.above_floor[name]}.items():
            row[key] = float(floor[known].mean()) if known.any() else None
    return row


def _location(values: FloatArray) -> dict[str, float | None]:  # values: [runs]
    """Mean with its interval, and IQM, see `_metric`."""
    row: dict[str, float | None] = dict.fromkeys(("mean", "iqm", "ci_low", "ci_high"))
    if values.size:
        row |= {"mean": float(values.mean()), "iqm": float(iqm(values))}
    if values.size > 1:
        row["ci_low"], row["ci_high"] = mean_interval(values)
    return row


def _transfer(found: Transfer) -> dict[str, Any]:
    """An arm that starts from trained agents: each measure over the runs of which it is known."""
    cell, scratch = found.cell, found.scratch
    measures = {}
    for name, measure in MEASURES.items():
        known = _finite(found.values[name])
        measures[name] = {**measure._asdict(), **_location(known), "n": known.size}
    about = {"measures": measures, "scratch": None if scratch is None else scratch.short, "n": len(cell.scored)}
    return _row("transfer", vars(cell) | coordinates(found.block) | about | _unless_normalized(cell))


def mean_interval(values: FloatArray) -> tuple[float, float]:  # values: [runs]
    """95% percentile bootstrap interval of the mean over runs, with resamples that are the same for every cell."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(values.size, size=(RESAMPLES, values.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - 0.95) / 2, (1 + 0.95) / 2])
    return float(low), float(high)


def _runs(cell: Cell) -> list[dict[str, Any]]:
    """Every readable run of a cell; a run that is not scored has no value of any metric."""
    scores = {
        run.run_id: {name: _plain(float(cell.scores[name][index])) for name in metrics()}
        for index, run in enumerate(cell.scored)
    }
    return [
        {
            "run_id": run.run_id,
            "arm": cell.arm,
            "seed": run.seed,
            "status": run.status,
            "metrics": scores.get(run.run_id, dict.fromkeys(metrics())),
        }
        for run in cell.runs
    ]


def _critical_rate(found: CriticalRate, analysis: Analysis) -> dict[str, Any]:
    blocks = [block for block in analysis.blocks if block.group == found.group]
    scales = {block.settings["learning_rate"]: rate_scale(block) for block in blocks}
    about = {"learning_rate_scales": [scales.get(rate) for rate in found.learning_rates]}
    return _row("edge", vars(found) | dict(zip(GROUP, found.group, strict=True)) | about)


def _row(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the fields that the schema lists for a row of this kind; one that is not required may lack."""
    fields = schema()["$defs"][kind]
    return {key: _plain(values[key]) for key in fields["properties"] if key in values or key in fields["required"]}


def _finite(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


def _plain(value: Any) -> Any:
    """A value as JSON has it: None for a number that is not finite, a list for a tuple."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (Failures, PairsWon, BreakEven, Plan)):
        return asdict(value)
    return list(value) if isinstance(value, tuple) else value
