"""What the figures of comparisons draw, as tidy tables in polars; each is written beside its figure as CSV."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from rl_warmup.analysis.cells import Block, coordinates
from rl_warmup.analysis.statistics.estimators import iqm
from rl_warmup.analysis.study import Comparison


def comparison_frame(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    """One row per comparison that has pairs: estimate, interval and verdict."""
    rows = [_comparison(found) for found in comparisons if found.paired.n]
    return pl.DataFrame(rows, infer_schema_length=None)


def pair_frame(comparisons: Sequence[Comparison]) -> pl.DataFrame:
    """One row per pair of seeds: the metric in treatment and control, and their difference."""
    rows = []
    for found in comparisons:
        values = zip(found.pairing.seeds, *found.pairing.values(found.metric.name), strict=True)
        about = _about(found)
        rows += [
            {**about, "seed": seed, "value_treatment": one, "value_control": other, "difference": one - other}
            for seed, one, other in values
        ]
    return pl.DataFrame(rows, infer_schema_length=None)


def heat_frame(blocks: Sequence[Block], comparisons: Sequence[Comparison], metrics: Sequence[str]) -> pl.DataFrame:
    """One row per cell and metric: IQM over its runs, and its mean difference to the control with the verdict."""
    found = {
        (id(comparison.pairing.treatment), comparison.metric.name): comparison
        for comparison in comparisons
        if comparison.pairing.contrast is None
    }
    controls = {id(comparison.pairing.control) for comparison in found.values()}
    rows = [
        {
            **coordinates(block),
            "arm": cell.short,
            "is_control": id(cell) in controls,
            "metric": metric,
            "n": len(cell.scored),
            "iqm": float(iqm(cell.scores[metric])) if cell.scored else None,
            "difference": None if comparison is None else comparison.paired.estimate,
            "verdict": None if comparison is None else comparison.verdict.verdict,
        }
        for block in blocks
        for cell in block.cells
        for metric in metrics
        for comparison in [found.get((id(cell), metric))]
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _about(found: Comparison) -> dict[str, Any]:
    pairing = found.pairing
    return {
        **coordinates(pairing.block),
        "setting": pairing.block.rest,
        "contrast": pairing.contrast,
        "treatment": pairing.treatment_label,
        "control": pairing.control_label,
        "metric": found.metric.name,
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    values = vars(found) | vars(found.paired) | vars(found.verdict)
    keys = ("family", "n", "estimate", "ci_low", "ci_high", "p_adjusted", "smallest_effect", "verdict")
    return _about(found) | {key: values[key] for key in keys}
