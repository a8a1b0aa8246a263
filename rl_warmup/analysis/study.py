"""From the folder of a study to what report.json says: comparisons, dispersion, robustness, cells and problems."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.caveats import note_borrowed, note_limits, note_mixture, note_runs, note_undefined
from rl_warmup.analysis.cells import Block, Cell, blocks_of
from rl_warmup.analysis.declaration import Declaration, Family, declaration
from rl_warmup.analysis.dispersion import Dispersion, dispersions_of
from rl_warmup.analysis.lr_robustness import CriticalRate, Sensitivity, critical_rates_of, sensitivities_of
from rl_warmup.analysis.matching import pairings_of
from rl_warmup.analysis.metrics.table import Metric, with_role
from rl_warmup.analysis.pairs import Pairing
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.statistics.verdicts import Paired, Verdict, compare, decide
from rl_warmup.records.read import read_study

CORRECTIONS: Mapping[Family, Literal["holm", "fdr_bh"]] = {"confirmatory": "holm", "exploratory": "fdr_bh"}


@dataclass(frozen=True)
class Comparison:
    """A pairing on one metric, with its verdict within its family."""

    pairing: Pairing
    metric: Metric
    family: Family  # confirmatory only where both the pairing was declared and the metric is confirmatory
    smallest_effect: float | None
    paired: Paired
    verdict: Verdict

    @property
    def values(self) -> tuple[FloatArray, FloatArray]:  # [pairs] each
        """Treatment and control of each seed on which the metric is defined in all arms."""
        return _defined(self.pairing, self.metric)

    @property
    def differences(self) -> FloatArray:  # [pairs]
        """Treatment - control of each seed on which the metric is defined in all arms."""
        treatment, control = self.values
        return np.asarray(treatment - control)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each difference."""
        treatment, control = self.pairing.values(self.metric.name)
        known = np.isfinite(treatment - control)
        return tuple(seed for seed, use in zip(self.pairing.seeds, known, strict=True) if use)


@dataclass(frozen=True)
class Analysis:
    """All that can be said about a study."""

    folder: Path
    declaration: Declaration
    blocks: tuple[Block, ...]
    comparisons: tuple[Comparison, ...]
    problems: tuple[str, ...]
    left_out: bool  # whether a run or a file is not analyzed
    dispersions: tuple[Dispersion, ...] = ()
    critical_rates: tuple[CriticalRate, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()

    @property
    def cells(self) -> Iterator[tuple[Block, Cell]]:
        """Every cell with its block."""
        return ((block, cell) for block in self.blocks for cell in block.cells)


def analyse(folder: Path, rng: np.random.Generator | None = None) -> Analysis:
    """Analyze a study from nothing but its record files.

    `rng` draws the resamples of intervals and of tests with more than 20 pairs; by default always the same ones.

    Raises:
        RecordError: if `folder` is no folder or holds no run.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    records, unreadable = read_study(folder)
    problems = Problems()
    for text in unreadable:
        problems.leave_out(text)
    declared = declaration(folder, problems)
    blocks = blocks_of(records, problems, rng)
    note_borrowed(blocks, problems)
    note_runs(blocks, problems)
    pairings = pairings_of(blocks, declared, problems)
    note_mixture(blocks, pairings, problems)
    comparisons = comparisons_of(pairings, declared, rng, problems)
    critical_rates = critical_rates_of(blocks, declared.control, rng, problems)
    return Analysis(
        folder,
        declared,
        tuple(blocks),
        comparisons,
        tuple(problems.texts),
        problems.left_out,
        dispersions_of(pairings, rng),
        critical_rates,
        sensitivities_of(blocks),
    )


def comparisons_of(
    pairings: Sequence[Pairing], declared: Declaration, rng: np.random.Generator, problems: Problems
) -> tuple[Comparison, ...]:
    """Compare each pairing on each metric; verdicts are given within each family, over all its comparisons."""
    metrics = with_role("confirmatory", "exploratory")
    for pairing in pairings:
        note_undefined(pairing, metrics, problems)
    found: list[Comparison] = []
    for family in CORRECTIONS:
        todo = [
            (pairing, metric)
            for pairing in pairings
            for metric in metrics
            if family == _family(pairing, metric) and _somewhere_defined(pairing, metric)
        ]
        found += _family_of(family, todo, declared, rng)
    limits = {
        family: [(one.verdict.notes, one.pairing.barred) for one in found if one.family == family]
        for family in CORRECTIONS
    }
    note_limits(limits, problems)
    return tuple(found)


def _family(pairing: Pairing, metric: Metric) -> Family:
    declared = pairing.family == "confirmatory" and metric.role == "confirmatory"
    return "confirmatory" if declared else "exploratory"


def _family_of(
    family: Family, todo: Sequence[tuple[Pairing, Metric]], declared: Declaration, rng: np.random.Generator
) -> list[Comparison]:
    paired = [_compare(pairing, metric, declared, rng) for pairing, metric in todo]
    effects = [declared.effect(metric) for _, metric in todo]
    members = [
        (result, metric.better, effect) for result, (_, metric), effect in zip(paired, todo, effects, strict=True)
    ]
    verdicts = decide(members, CORRECTIONS[family])
    return [
        Comparison(pairing, metric, family, effect, result, _allowed(verdict, pairing.barred))
        for (pairing, metric), effect, result, verdict in zip(todo, effects, paired, verdicts, strict=True)
    ]


def _compare(pairing: Pairing, metric: Metric, declared: Declaration, rng: np.random.Generator) -> Paired:
    treatment, control = _defined(pairing, metric)
    return compare(
        treatment,
        control,
        smallest_effect=declared.effect(metric),
        binary=metric.binary and pairing.contrast is None,  # weighted sums of zeros and ones are no longer such
        rng=rng,
        sensitivity=metric.role == "confirmatory",
    )


def _defined(pairing: Pairing, metric: Metric) -> tuple[FloatArray, FloatArray]:
    treatment, control = pairing.values(metric.name)
    known = np.isfinite(treatment - control)
    return treatment[known], control[known]


def _somewhere_defined(pairing: Pairing, metric: Metric) -> bool:
    return not pairing.pairs or _defined(pairing, metric)[0].size > 0


def _allowed(verdict: Verdict, barred: tuple[str, ...]) -> Verdict:
    """The verdict, or none where something forbids it."""
    if not barred:
        return verdict
    return replace(verdict, verdict="inconclusive", n_to_decide=None, notes=(*barred, *verdict.notes))
