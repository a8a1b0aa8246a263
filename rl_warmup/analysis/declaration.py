"""What a study declared before it was trained: control, confirmatory comparisons, contrasts, smallest effect."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rl_warmup.analysis.metrics.table import NORMALIZED, RETURN_EFFECT, Metric
from rl_warmup.analysis.problems import Problems
from rl_warmup.config.looks import Looks, looks_of
from rl_warmup.config.schema import ORDER
from rl_warmup.config.study import Conditions, Contrast, check_conditions, contrasts_of, matches, words
from rl_warmup.records.schema import RecordError
from rl_warmup.records.study import is_declared, read_declaration

Family = Literal["confirmatory", "exploratory"]
NO_WARMUP = {"warmup.name": "none"}


@dataclass(frozen=True)
class Declaration:
    """study.yaml, or its replacement; `comparisons` None: every arm against the control."""

    name: str
    description: str | None
    declared: bool
    control: Conditions
    comparisons: tuple[Conditions, ...] | None
    smallest_effect: float  # in normalized return
    contrasts: tuple[Contrast, ...] = ()
    looks: Looks | None = None  # when it looks at its comparisons
    order: str | None = None  # pooled_first or holm; None: as `pooled.order_of` says

    def family(self, settings: Mapping[str, Any]) -> Family:
        """Whether the comparison of the arm with these settings was declared."""
        if self.comparisons is None or any(matches(wanted, settings) for wanted in self.comparisons):
            return "confirmatory"
        return "exploratory"

    def effect(self, metric: Metric, normalized: bool = True) -> float | None:
        """Smallest effect on a metric: the study's, where the metric is a normalized return; else its own.

        None where the metric is in returns that cannot be normalized.
        """
        if not normalized and metric.unit.startswith(NORMALIZED):
            return None
        in_return = metric.unit == "normalized return" and metric.smallest_effect is not None
        return self.smallest_effect if in_return else metric.smallest_effect


def declaration(folder: Path, problems: Problems) -> Declaration:
    """Read study.yaml of a study's folder; what it lacks is assumed, and named in `problems`."""
    plan, contrasts = _read(folder, problems)
    effect, comparisons = plan.get("smallest_effect"), plan.get("comparisons")
    assumed = {
        f"the control is {words(NO_WARMUP)}, all else equal": not plan.get("control"),
        "every other arm is compared with the control, all in one confirmatory family": comparisons is None,
        f"the smallest effect that matters is {RETURN_EFFECT:g} of normalized return": effect is None,
    }
    for text, needed in assumed.items():
        if needed:
            problems.add("assumed", f"assumed: {text}")
    return Declaration(
        name=str(plan.get("name") or folder.resolve().name),
        description=plan.get("description"),
        declared=is_declared(plan),
        control=plan.get("control") or NO_WARMUP,
        comparisons=None if comparisons is None else tuple(comparisons),
        smallest_effect=RETURN_EFFECT if effect is None else float(effect),
        contrasts=contrasts,
        order=plan.get("order"),
        looks=looks_of(plan.get("looks")),
    )


def _read(folder: Path, problems: Problems) -> tuple[Mapping[str, Any], tuple[Contrast, ...]]:
    """study.yaml and its contrasts; nothing, and why, where it cannot be used."""
    try:
        plan = read_declaration(folder)
        contrasts = _checked_contrasts(plan or {})
    except ValueError as error:
        why = error if isinstance(error, RecordError) else f"{folder / 'study.yaml'}: {error}"
        problems.add("left out", f"{why}; the study counts as not declared")
        return {}, ()
    if not is_declared(plan):
        lacking = "there is no study.yaml" if plan is None else "study.yaml declares nothing"
        problems.add("assumed", f"the study was not declared before training: {lacking}")
    return plan or {}, contrasts


def _checked_contrasts(plan: Mapping[str, Any]) -> tuple[Contrast, ...]:
    """The contrasts of a study.yaml; a ValueError where any of its values is not of the right kind."""
    effect = plan.get("smallest_effect")
    if effect is not None and not (isinstance(effect, (int, float)) and 0 < effect < math.inf):
        raise ValueError(f"smallest_effect {effect!r} is not a positive number")
    order = plan.get("order")
    if order is not None and not ORDER.holds(order):
        raise ValueError(f"order={order} {ORDER.refusal}")
    check_conditions(plan.get("control"), plan.get("comparisons"))
    looks_of(plan.get("looks"))
    return contrasts_of(plan.get("contrasts"))
