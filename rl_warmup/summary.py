"""report.json: an analysis as plain data. DESIGN's contract; None is what cannot be known."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_warmup.analysis import Analysis, Comparison
from rl_warmup.cells import Cell, Context
from rl_warmup.dose import mean_dose
from rl_warmup.inference import iqm
from rl_warmup.metrics import METRICS

RESAMPLES = 2000
INTERVALS = {
    "comparisons": "estimate: 95%, inversion of the sign-flip test of the mean difference; iqm: 95%, BCa bootstrap",
    "cells": f"mean: 95%, percentile bootstrap over seeds, {RESAMPLES} resamples; too narrow for few runs",
    "p_adjusted": "Holm over the confirmatory family, Benjamini-Hochberg over the exploratory",
}


def as_json(analysis: Analysis) -> dict[str, Any]:
    """The content of report.json."""
    return {
        "study": _study(analysis),
        "comparisons": [_comparison(comparison) for comparison in analysis.comparisons],
        "cells": [cell_row(context, cell) for context, cell in analysis.cells],
        "runs": [row for _, cell in analysis.cells for row in _runs(cell)],
        "dose": dose_rows(analysis),
        "problems": list(analysis.problems),
    }


def cell_row(context: Context, cell: Cell) -> dict[str, Any]:
    """One cell: how many runs it has, and each metric over its scored runs."""
    env, algo, trainer, _ = context.group
    return {
        "env": env,
        "algo": algo,
        "trainer": trainer,
        "arm": cell.arm,
        "learning_rate": context.settings["learning_rate"],
        "warmup": dict(cell.warmup),
        "n": len(cell.scored),
        "n_diverged": cell.count("diverged"),
        "n_failed": cell.count("failed"),
        "metrics": {name: _location(cell.scores[name]) for name in METRICS},
    }


def dose_rows(analysis: Analysis) -> list[dict[str, Any]]:
    """One row a cell whose delivered learning rates are known, means over its scored runs."""
    rows = []
    for context, cell in analysis.cells:
        dose = mean_dose(cell.scored)
        if dose is not None:
            env, algo, trainer, total = context.group
            rows.append(
                {
                    "env": env,
                    "algo": algo,
                    "trainer": trainer,
                    "total_timesteps": total,
                    "arm": cell.arm,
                    "learning_rate": context.settings["learning_rate"],
                    **{key: _finite(value) for key, value in dose.items()},
                }
            )
    return rows


def _study(analysis: Analysis) -> dict[str, Any]:
    declared = analysis.declaration
    return {
        "name": declared.name,
        "description": declared.description,
        "declared": declared.declared,
        "control": dict(declared.control),
        "comparisons": None if declared.comparisons is None else [dict(wanted) for wanted in declared.comparisons],
        "smallest_effect": declared.smallest_effect,
        "metrics": {
            name: {"unit": metric.unit, "better": metric.better, "description": metric.description}
            for name, metric in METRICS.items()
        },
        "intervals": INTERVALS,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    pairing, paired, verdict = comparison.pairing, comparison.paired, comparison.verdict
    env, algo, trainer, total = pairing.context.group
    row = {
        "env": env,
        "algo": algo,
        "trainer": trainer,
        "total_timesteps": total,
        "schedule": pairing.context.settings["schedule.name"],
        "learning_rate": pairing.context.settings["learning_rate"],
        "treatment_arm": pairing.treatment.arm,
        "control_arm": pairing.control.arm,
        "metric": comparison.metric.name,
        "family": pairing.family,
        "n": paired.n,
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
    return {key: _finite(value) for key, value in row.items()}


def _runs(cell: Cell) -> list[dict[str, Any]]:
    """Every readable run of a cell; a run that is not scored has no value of any metric."""
    place = {run.run_id: index for index, run in enumerate(cell.scored)}
    return [
        {
            "run_id": run.run_id,
            "arm": cell.arm,
            "seed": run.seed,
            "status": run.status,
            "metrics": _values(cell.scores, place.get(run.run_id)),
        }
        for run in cell.runs
    ]


def _values(scores: Mapping[str, NDArray[np.float64]], index: int | None) -> dict[str, float | None]:
    return {name: None if index is None else float(scores[name][index]) for name in METRICS}


def _location(values: NDArray[np.float64]) -> dict[str, float | None]:  # values: [runs]
    """Mean with its interval, and IQM; None without runs, no interval with one."""
    if values.size == 0:
        return dict.fromkeys(("mean", "iqm", "ci_low", "ci_high"))
    low, high = mean_interval(values) if values.size > 1 else (None, None)
    return {"mean": float(values.mean()), "iqm": float(iqm(values)), "ci_low": low, "ci_high": high}


def mean_interval(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:  # values: [runs]
    """Percentile bootstrap interval of the mean over runs, with resamples that are the same for every cell."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(values.size, size=(RESAMPLES, values.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
