"""report.json: an analysis as plain data, as report.schema.json describes it; None is what cannot be known."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_warmup.analysis.cells import Cell, coordinates, rate_scale
from rl_warmup.analysis.dispersion import Dispersion
from rl_warmup.analysis.lr_robustness import CriticalRate, Sensitivity
from rl_warmup.analysis.metrics.table import METRICS
from rl_warmup.analysis.study import Analysis, Comparison
from rl_warmup.report.cell_rows import RESAMPLES, cell_row, dose_row
from rl_warmup.report.reproduce import reproduce

INTERVALS = {
    "comparisons": "estimate: 95%, inversion of the sign-flip test of the mean difference; iqm: 95%, BCa bootstrap",
    "cells": f"mean: 95%, percentile bootstrap over seeds, {RESAMPLES} resamples; too narrow for few runs",
    "p_adjusted": "Holm over the confirmatory family, Benjamini-Hochberg over the exploratory",
}


def as_json(analysis: Analysis) -> dict[str, Any]:
    """The content of report.json but for its sentences and figures."""
    doses = [dose_row(block, cell) for block, cell in analysis.cells]
    return {
        "study": _study(analysis),
        "comparisons": [_comparison(comparison) for comparison in analysis.comparisons],
        "cells": [cell_row(block, cell) for block, cell in analysis.cells],
        "runs": [row for _, cell in analysis.cells for row in _runs(cell)],
        "dose": [_finite(row) for row in doses if row is not None],
        "dispersion": [_dispersion(found) for found in analysis.dispersions],
        "robustness": {
            "edges": [_critical_rate(found, analysis) for found in analysis.critical_rates],
            "sensitivity": [_sensitivity(found) for found in analysis.sensitivities],
        },
        "reproduce": reproduce(analysis.folder, (run for _, cell in analysis.cells for run in cell.runs)),
        "problems": list(analysis.problems),
    }


def _study(analysis: Analysis) -> dict[str, Any]:
    declared = analysis.declaration
    return {
        "name": declared.name,
        "description": declared.description,
        "declared": declared.declared,
        "control": dict(declared.control),
        "comparisons": None if declared.comparisons is None else [dict(wanted) for wanted in declared.comparisons],
        "contrasts": [
            {
                "name": contrast.name,
                "arms": [{"weight": weight, "where": dict(where)} for weight, where in contrast.terms],
            }
            for contrast in declared.contrasts
        ],
        "smallest_effect": declared.smallest_effect,
        "metrics": {
            name: {
                "unit": metric.unit,
                "better": metric.better,
                "description": metric.description,
                "role": metric.role,
                "smallest_effect": declared.effect(metric),
                "binary": metric.binary,
                "noise_floor": metric.noise_floor,
            }
            for name, metric in METRICS.items()
        },
        "intervals": INTERVALS,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    pairing, paired, verdict = comparison.pairing, comparison.paired, comparison.verdict
    row = {
        **coordinates(pairing.block),
        "treatment_arm": pairing.treatment.arm,
        "control_arm": pairing.control.arm,
        "treatment": pairing.treatment_label,
        "control": pairing.control_label,
        "contrast": pairing.contrast,
        "metric": comparison.metric.name,
        "family": comparison.family,
        "n": paired.n,
        "n_diverged": [pairing.treatment.count("diverged"), pairing.control.count("diverged")],
        "estimate": paired.estimate,
        "ci_low": paired.ci_low,
        "ci_high": paired.ci_high,
        "p_value": paired.p_value,
        "p_adjusted": verdict.p_adjusted,
        "p_equivalence": paired.p_equivalence,
        "p_equivalence_adjusted": verdict.p_equivalence_adjusted,
        "iqm": paired.iqm,
        "iqm_ci_low": paired.iqm_ci_low,
        "iqm_ci_high": paired.iqm_ci_high,
        "pairing_correlation": paired.pairing_correlation,
        "p_unpaired": paired.p_unpaired,
        "p_welch": paired.p_welch,
        "smallest_effect": comparison.smallest_effect,
        "verdict": verdict.verdict,
        "n_to_decide": verdict.n_to_decide,
        "notes": list(verdict.notes),
    }
    return _finite(row)


def _runs(cell: Cell) -> list[dict[str, Any]]:
    """Every readable run of a cell; a run that is not scored has no value of any metric."""
    place = {run.run_id: index for index, run in enumerate(cell.scored)}
    return [
        {
            "run_id": run.run_id,
            "arm": cell.arm,
            "seed": run.seed,
            "status": run.status,
            "metrics": _finite(_values(cell.scores, place.get(run.run_id))),
        }
        for run in cell.runs
    ]


def _values(scores: Mapping[str, NDArray[np.float64]], index: int | None) -> dict[str, float | None]:
    return {name: None if index is None else float(scores[name][index]) for name in METRICS}


def _dispersion(found: Dispersion) -> dict[str, Any]:
    row = {
        **coordinates(found.pairing.block),
        "treatment": found.pairing.treatment_label,
        "control": found.pairing.control_label,
        "metric": found.metric,
        "n": found.n,
        "mad_treatment": found.mad_treatment,
        "mad_control": found.mad_control,
        "p_value": found.p_value,
        "p_adjusted": found.p_adjusted,
    }
    return _finite(row)


def _critical_rate(found: CriticalRate, analysis: Analysis) -> dict[str, Any]:
    env, algo, trainer, total = found.group
    scales = {
        block.settings["learning_rate"]: rate_scale(block)
        for block in analysis.blocks
        if block.group == found.group
    }
    row = {
        "env": env,
        "algo": algo,
        "trainer": trainer,
        "total_timesteps": total,
        "schedule": found.schedule,
        "treatment": found.treatment,
        "control": found.control,
        "learning_rates": list(found.learning_rates),
        "learning_rate_scales": [scales.get(rate) for rate in found.learning_rates],
        "success_treatment": list(found.success_treatment),
        "success_control": list(found.success_control),
        "n_seeds": found.n_seeds,
        "eta50_treatment": found.eta50_treatment,
        "eta50_control": found.eta50_control,
        "censored_treatment": found.censored_treatment,
        "censored_control": found.censored_control,
        "log2_ratio": found.log2_ratio,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "finding": found.finding,
        "lr_sensitivity_treatment": found.lr_sensitivity_treatment,
        "lr_sensitivity_control": found.lr_sensitivity_control,
    }
    return _finite(row)


def _sensitivity(found: Sensitivity) -> dict[str, Any]:
    return {
        "warmup": found.warmup,
        "algo": found.algo,
        "environments": list(found.environments),
        "phi": found.phi,
    }


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """The row with None for every number that is not finite: JSON has no word for those."""
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}
