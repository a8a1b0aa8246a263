"""From the folder of a study to what report.json says: comparisons, dispersion, robustness, cells and problems."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import stats

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.caveats import (
    note_influence,
    note_limits,
    note_mixture,
    note_runs,
    note_undefined,
    note_untuned,
)
from rl_warmup.analysis.cells import Block, Cell, blocks_of
from rl_warmup.analysis.constants import Given
from rl_warmup.analysis.declaration import Declaration, Family, declaration
from rl_warmup.analysis.failing import break_even_of, failures_of, failures_over
from rl_warmup.analysis.lacking import note_bounds, note_constants
from rl_warmup.analysis.looks import Looking, looking_of
from rl_warmup.analysis.lr_robustness import CriticalRate, Sensitivity, critical_rates_of, sensitivities_of
from rl_warmup.analysis.matching import pairings_of
from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.analysis.pairs import Pairing
from rl_warmup.analysis.pooled import Asked, Order, asked, order_of, parents_of, questions_of
from rl_warmup.analysis.problems import Problem, Problems
from rl_warmup.analysis.statistics.estimators import brown_forsythe_p
from rl_warmup.analysis.statistics.failures import BreakEven, Failures, PairsWon, pairs_won
from rl_warmup.analysis.statistics.gatekeeping import shares
from rl_warmup.analysis.statistics.looking import compare_at_looks, decide_at_looks, with_repeated_intervals
from rl_warmup.analysis.statistics.planning import plan
from rl_warmup.analysis.statistics.spending import Spending
from rl_warmup.analysis.statistics.verdicts import Note, Paired, Verdict, adjusted, compare, decide, differences_of
from rl_warmup.analysis.transfer import Transfer, transfers_of
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.archive import read_records

CORRECTIONS: Mapping[Family, Literal["holm", "fdr_bh"]] = {"confirmatory": "holm", "exploratory": "fdr_bh"}
SPREAD_METRICS = ("final", "area")


@dataclass(frozen=True)
class Comparison:
    """A pairing on one metric, with its verdict within its family."""

    pairing: Pairing
    metric: Metric
    family: Family  # confirmatory only where both the pairing was declared and the metric is confirmatory
    smallest_effect: float | None
    seeds: tuple[int, ...]  # those for which all arms have the metric
    differences: FloatArray  # [seeds], treatment - control
    paired: Paired
    verdict: Verdict
    decided_at: int | None = None  # pairs at the look that decided it; None: open, or a study without looks
    failures: Failures | None = None  # of the pairing, whatever the metric; None: of a contrast, or not known
    pairs_won: PairsWon | None = None
    break_even: BreakEven | None = None  # only where a verdict is of few runs


@dataclass(frozen=True)
class PooledComparison:
    """A question over several environments on one metric, with its verdict within the confirmatory family."""

    asked: Asked
    verdict: Verdict
    comparisons: tuple[Comparison, ...]  # one of each environment
    failures: Failures | None  # of all environments; None: of a contrast, or not known
    pairs_won: PairsWon


@dataclass(frozen=True)
class Dispersion:
    """The spread over seeds in treatment and control of a pairing, on one metric; exploratory, never a verdict."""

    pairing: Pairing
    metric: str
    n: int
    mad_treatment: float  # median of |x - median x|, not rescaled, in the metric's unit
    mad_control: float
    p_value: float | None  # Brown-Forsythe permutation; None where it is undefined
    p_adjusted: float | None = None  # Benjamini-Hochberg over all dispersions of the study


@dataclass(frozen=True)
class Analysis:
    """All that can be said about a study."""

    folder: Path
    declaration: Declaration
    blocks: tuple[Block, ...]
    comparisons: tuple[Comparison, ...]
    problems: tuple[Problem, ...]
    dispersions: tuple[Dispersion, ...] = ()
    critical_rates: tuple[CriticalRate, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    pooled: tuple[PooledComparison, ...] = ()
    order: Order = "holm"  # of the confirmatory tests
    looking: Looking | None = None

    @property
    def left_out(self) -> bool:
        """Whether a run or a file is not analyzed."""
        return any(problem.kind == "left out" for problem in self.problems)

    @property
    def cells(self) -> Iterator[tuple[Block, Cell]]:
        """Every cell with its block."""
        return ((block, cell) for block in self.blocks for cell in block.cells)


def analyse(folder: Path, rng: np.random.Generator | None = None, sources: Sequence[Given] = ()) -> Analysis:
    """Analyze a study from nothing but its record files.

    `rng` draws the noise floors, by default always the same ones; nothing else depends on it.
    `sources`: constants of environments that take the place of those in the records.

    Raises:
        RecordError: if `folder` is no folder or holds no run.
        ConfigError: if no run is of an environment of `sources`, or the study is in small form.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    records, unreadable = read_records(folder)
    if sources and any(record.small for record in records):
        raise ConfigError(
            f"--env: {folder} is in small form, scored by the constants of its records; score the whole"
        )
    problems = Problems()
    for text in unreadable:
        problems.add("left out", text)
    declared = declaration(folder, problems)
    blocks = blocks_of(records, problems, rng, sources)
    note_constants(blocks, sources, folder, problems)
    note_bounds(blocks, problems)
    note_runs(blocks, problems)
    note_untuned(blocks, problems)
    pairings = pairings_of(blocks, declared, problems)
    note_mixture(blocks, pairings, problems)
    looking = looking_of(pairings, declared, problems)
    comparisons, pooled, order = comparisons_of(pairings, declared, problems, looking)
    critical_rates = critical_rates_of(blocks, declared.control, problems)
    transfers = transfers_of(blocks, problems)
    return Analysis(
        folder,
        declared,
        tuple(blocks),
        comparisons,
        tuple(problems.found.values()),
        dispersions_of(pairings),
        critical_rates,
        sensitivities_of(blocks),
        transfers,
        pooled,
        order,
        looking,
    )


def comparisons_of(
    pairings: Sequence[Pairing], declared: Declaration, problems: Problems, looking: Looking | None = None
) -> tuple[tuple[Comparison, ...], tuple[PooledComparison, ...], Order]:
    """Compare each pairing on each metric, and over environments; verdicts are given within each family.

    A study with looks asks no pooled questions; where its looks do not hold, nothing is confirmatory.

    Returns:
        All comparisons, the pooled ones, and the order of the confirmatory tests.
    """
    metrics = with_role("confirmatory", "exploratory")
    todo: dict[Family, list[_Sample]] = {family: [] for family in CORRECTIONS}
    for pairing in pairings:
        failed = failures_of(pairing)
        samples = [_Sample(pairing, failed, metric, *pairing.defined(metric.name)) for metric in metrics]
        note_undefined(pairing, {sample.metric.name: sample.seeds for sample in samples}, problems)
        for sample in samples:
            if sample.seeds or not pairing.pairs:
                declared_too = pairing.family == sample.metric.role == "confirmatory"
                holds = looking is None or looking.refused is None
                todo["confirmatory" if declared_too and holds else "exploratory"].append(sample)
    questions = [] if looking else asked(questions_of(pairings, problems), declared, problems)
    order = order_of(declared, questions, pairings, problems)
    found: dict[Family, list[Comparison]] = {}
    verdicts: list[Verdict] = []
    for family, samples in todo.items():
        first = questions if family == "confirmatory" else []
        if looking and looking.refused is None and family == "confirmatory":
            found[family] = _at_looks(samples, declared, looking.spending)
            continue
        found[family], of_first = _family_of(family, samples, declared, first, order)
        verdicts += of_first
    _note_influences(found["confirmatory"], problems)
    notes = {str(family): [one.verdict.notes for one in members] for family, members in found.items()}
    note_limits({**notes, "pooled": [verdict.notes for verdict in verdicts]}, problems)
    pooled = [
        _pooled(one, verdict, found["confirmatory"]) for one, verdict in zip(questions, verdicts, strict=True)
    ]
    return tuple(one for members in found.values() for one in members), tuple(pooled), order


def _pooled(one: Asked, verdict: Verdict, comparisons: Sequence[Comparison]) -> PooledComparison:
    """A question with all that is said of it, from the comparisons in its environments."""
    pairings, metric = one.question.pairings, one.metric
    own = tuple(
        found
        for pairing in pairings
        for found in comparisons
        if found.pairing is pairing and found.metric.name == metric.name
    )
    won = pairs_won(
        np.concatenate([differences_of(*pairing.defined(metric.name)[:2]) for pairing in pairings]), metric.better
    )
    return PooledComparison(one, verdict, own, failures_over(pairings), won)


def _note_influences(comparisons: Sequence[Comparison], problems: Problems) -> None:
    """Name the seeds that alone decide a mean, for each pairing over all its metrics."""
    of_pairing: dict[int, list[Comparison]] = defaultdict(list)
    for one in comparisons:
        of_pairing[id(one.pairing)].append(one)
    for members in of_pairing.values():
        compared = {one.metric.name: (one.seeds, one.differences, one.smallest_effect) for one in members}
        note_influence(members[0].pairing, compared, problems)


@dataclass(frozen=True)
class _Sample:
    """A pairing on one metric, over the seeds for which all arms have it."""

    pairing: Pairing
    failures: Failures | None
    metric: Metric
    treatment: FloatArray  # [seeds]
    control: FloatArray  # [seeds]
    seeds: tuple[int, ...]

    def compare(self, smallest_effect: float | None) -> Paired:
        """The comparison; weighted sums of zeros and ones are no longer binary."""
        return compare(
            self.treatment,
            self.control,
            smallest_effect=smallest_effect,
            bound=self.pairing.bound(self.metric),
            binary=self.metric.binary and self.pairing.contrast is None,
            sensitivity=self.metric.role == "confirmatory",
        )

    def at_looks(self, smallest_effect: float | None, spending: Spending) -> list[Paired]:
        """The comparison at each look taken."""
        return compare_at_looks(
            self.treatment,
            self.control,
            spending,
            smallest_effect=smallest_effect,
            bound=self.pairing.bound(self.metric),
            binary=self.metric.binary and self.pairing.contrast is None,
        )

    def comparison(
        self,
        family: Family,
        tests: int,
        effect: float | None,
        paired: Paired,
        verdict: Verdict,
        decided_at: int | None = None,
    ) -> Comparison:
        """The sample with all that is said of it; `tests`: how many the family has."""
        allowed, d = _allowed(verdict, self.pairing.barred), differences_of(self.treatment, self.control)
        is_open = allowed.verdict == "inconclusive" and not self.pairing.barred
        if family == "confirmatory" and effect is not None and is_open:
            allowed = replace(allowed, plan=plan(d, effect, paired.bound, tests))
        return Comparison(
            self.pairing,
            self.metric,
            family,
            effect,
            self.seeds,
            self.treatment - self.control,
            paired,
            allowed,
            decided_at,
            self.failures,
            pairs_won(d, self.metric.better) if d.size else None,
            break_even_of(paired, allowed, self.failures),
        )

    def smallest_effect(self, declared: Declaration) -> float | None:
        """The smallest effect that matters, scaled by the weights of a contrast."""
        effect = declared.effect(self.metric, self.pairing.normalized)
        return None if effect is None else effect * self.pairing.weight


def _family_of(
    family: Family, samples: Sequence[_Sample], declared: Declaration, first: Sequence[Asked], order: Order
) -> tuple[list[Comparison], list[Verdict]]:
    """Compare the samples of a family, and decide on all of them and on the pooled questions together."""
    effects = [sample.smallest_effect(declared) for sample in samples]
    paired = [sample.compare(effect) for sample, effect in zip(samples, effects, strict=True)]
    better = [sample.metric.better for sample in samples]
    members = [(one.pooled.paired, one.metric.better, one.smallest_effect) for one in first]
    members += zip(paired, better, effects, strict=True)
    parents = parents_of(first, [(sample.pairing, sample.metric) for sample in samples])
    gated = order == "pooled_first" and bool(first)
    verdicts = decide(members, CORRECTIONS[family], parents if gated else None)
    p_values = [one.p_value for one, _, _ in members]
    tests = shares(p_values, parents) if gated else [sum(p is not None for p in p_values)] * len(members)
    own = zip(samples, tests[len(first) :], effects, paired, verdicts[len(first) :], strict=True)
    found = [
        sample.comparison(family, many, effect, result, verdict) for sample, many, effect, result, verdict in own
    ]
    return found, [_planned(*about) for about in zip(first, tests, verdicts, strict=False)]


def _planned(one: Asked, tests: int, verdict: Verdict) -> Verdict:
    """The verdict of a pooled question; where it is open, with the seeds of each environment that decide it."""
    if verdict.verdict != "inconclusive" or one.smallest_effect is None or not one.pooled.n_seeds:
        return verdict
    return replace(verdict, plan=plan(one.pooled.by_seed, one.smallest_effect, one.pooled.paired.bound, tests))


def _at_looks(samples: Sequence[_Sample], declared: Declaration, spending: Spending) -> list[Comparison]:
    """Compare the samples of the confirmatory family at each look, and decide there on all of them together."""
    effects = [sample.smallest_effect(declared) for sample in samples]
    looks = [sample.at_looks(effect, spending) for sample, effect in zip(samples, effects, strict=True)]
    last = [
        with_repeated_intervals(sample.compare(effect), found, sample.treatment - sample.control, spending)
        for sample, effect, found in zip(samples, effects, looks, strict=True)
    ]
    verdicts, decided_at = decide_at_looks(looks, last, [sample.metric.better for sample in samples], effects)
    own = zip(samples, effects, last, verdicts, decided_at, strict=True)
    return [
        sample.comparison("confirmatory", len(samples), effect, paired, verdict, at)
        for sample, effect, paired, verdict, at in own
    ]


def _allowed(verdict: Verdict, barred: tuple[str, ...]) -> Verdict:
    """The verdict, or none where something forbids it."""
    if not barred:
        return verdict
    reasons = (Note("no verdict", reason) for reason in barred)
    notes = (*reasons, *verdict.notes)
    return replace(verdict, verdict="inconclusive", verdict_in_runs_seen="inconclusive", plan=None, notes=notes)


def dispersions_of(pairings: Sequence[Pairing]) -> tuple[Dispersion, ...]:
    """Compare the spread over the paired seeds, for every pairing of two arms with two or more of them."""
    found = []
    for pairing in pairings:
        if pairing.contrast is None:
            for metric in SPREAD_METRICS:
                treatment, control, seeds = pairing.defined(metric)
                if len(seeds) > 1:
                    mads = [float(stats.median_abs_deviation(values)) for values in (treatment, control)]
                    p_value = brown_forsythe_p(treatment, control)
                    found.append(Dispersion(pairing, metric, len(seeds), mads[0], mads[1], p_value))
    p_adjusted = adjusted([one.p_value for one in found], "fdr_bh")
    return tuple(replace(one, p_adjusted=p) for one, p in zip(found, p_adjusted, strict=True))
