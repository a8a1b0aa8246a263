"""report.json: an analysis as plain data; report.schema.json lists the fields of every row, in their order."""

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from rl_warmup.analysis.cells import Cell, coordinates, rate_scale
from rl_warmup.analysis.lr_robustness import CriticalRate
from rl_warmup.analysis.metrics.registry import metrics
from rl_warmup.analysis.pairs import Pairing
from rl_warmup.analysis.study import Analysis, Comparison
from rl_warmup.report.cell_rows import RESAMPLES, cell_row, dose_row
from rl_warmup.report.reproduce import reproduce
from rl_warmup.report.words import GROUP

INTERVALS = {
    "comparisons": "estimate: 95%, inversion of the sign-flip test of the mean difference; iqm: 95%, BCa bootstrap",
    "cells": f"mean: 95%, percentile bootstrap over seeds, {RESAMPLES} resamples; too narrow for few runs",
    "p_adjusted": "Holm over the confirmatory family, Benjamini-Hochberg over the exploratory",
}


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) that every report.json follows."""
    text = (resources.files("rl_warmup.report") / "report.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def as_json(analysis: Analysis) -> dict[str, Any]:
    """The content of report.json but for its sentences and figures."""
    doses = [dose_row(block, cell) for block, cell in analysis.cells]
    return {
        "study": _study(analysis),
        "comparisons": [_comparison(found) for found in analysis.comparisons],
        "cells": [cell_row(block, cell) for block, cell in analysis.cells],
        "runs": [row for _, cell in analysis.cells for row in _runs(cell)],
        "dose": [_row("dose", dose) for dose in doses if dose is not None],
        "dispersion": [_row("dispersion", vars(found) | paired(found.pairing)) for found in analysis.dispersions],
        "robustness": {
            "edges": [_critical_rate(found, analysis) for found in analysis.critical_rates],
            "sensitivity": [_row("sensitivity", vars(found)) for found in analysis.sensitivities],
        },
        "reproduce": reproduce(analysis.folder, (run for _, cell in analysis.cells for run in cell.runs)),
        "problems": list(map(str, analysis.problems)),
    }


def paired(pairing: Pairing) -> dict[str, Any]:
    """What is compared, and where."""
    return {
        **coordinates(pairing.block),
        "treatment": pairing.treatment_label,
        "control": pairing.control_label,
        "contrast": pairing.contrast,
    }


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
    return _row("study", vars(declared) | {"contrasts": contrasts, "metrics": described, "intervals": INTERVALS})


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


def _runs(cell: Cell) -> list[dict[str, Any]]:
    """Every readable run of a cell; a run that is not scored has no value of any metric."""
    index = {run.run_id: index for index, run in enumerate(cell.scored)}
    scores = {run: {name: _plain(float(cell.scores[name][i])) for name in metrics()} for run, i in index.items()}
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
    """The values of the fields that the schema lists for a row of this kind."""
    return {key: _plain(values[key]) for key in schema()["$defs"][kind]["properties"]}


def _plain(value: Any) -> Any:
    """A value as JSON has it: None for a number that is not finite, a list for a tuple."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
