"""All comparisons of a study, in their families: each decides on its comparisons together."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rl_warmup.analysis.caveats import note_influence, note_limits, note_undefined
from rl_warmup.analysis.comparison import Comparison, Sample
from rl_warmup.analysis.declaration import Declaration, Family
from rl_warmup.analysis.failing import break_even_of, failures_of, failures_over
from rl_warmup.analysis.looks import Looking
from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.pairs import Pairing
from rl_warmup.analysis.pooled import Asked, Order, asked, order_of, parents_of, questions_of
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.statistics.failures import BreakEven, Failures, PairsWon, pairs_won
from rl_warmup.analysis.statistics.gatekeeping import shares
from rl_warmup.analysis.statistics.looking import decide_at_looks, with_repeated_intervals
from rl_warmup.analysis.statistics.planning import plan
from rl_warmup.analysis.statistics.spending import Spending
from rl_warmup.analysis.statistics.verdicts import Verdict, decide, differences_of

CORRECTIONS: Mapping[Family, Literal["holm", "fdr_bh"]] = {"confirmatory": "holm", "exploratory": "fdr_bh"}


@dataclass(frozen=True)
class PooledComparison:
    """A question over several environments on one metric, with its verdict within the confirmatory family."""

    asked: Asked
    verdict: Verdict
    comparisons: tuple[Comparison, ...]  # one of each environment
    failures: Failures | None  # of all environments; None: of a contrast, or not known
    pairs_won: PairsWon
    break_even: BreakEven | None  # only where a verdict is of few seeds, the same in every environment


def comparisons_of(
    pairings: Sequence[Pairing], declared: Declaration, problems: Problems, looking: Looking | None = None
) -> tuple[tuple[Comparison, ...], tuple[PooledComparison, ...], Order]:
    """Compare each pairing on each metric, and over environments; verdicts are given within each family.

    A study with looks asks no pooled questions; where its looks do not hold, nothing is confirmatory.

    Returns:
        All comparisons, the pooled ones, and the order of the confirmatory tests.
    """
    metrics = with_role("confirmatory", "exploratory")
    todo: dict[Family, list[Sample]] = {family: [] for family in CORRECTIONS}
    for pairing in pairings:
        failed = failures_of(pairing)
        samples = [Sample(pairing, failed, metric, *pairing.defined(metric.name)) for metric in metrics]
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
    failed, paired, n_seeds = failures_over(pairings), one.pooled.paired, one.pooled.n_seeds
    alike = n_seeds * len(pairings) == paired.n
    undone = break_even_of(paired, verdict, failed, n_seeds) if alike else None
    return PooledComparison(one, verdict, own, failed, won, undone)


def _note_influences(comparisons: Sequence[Comparison], problems: Problems) -> None:
    """Name the seeds that alone decide a mean, for each pairing over all its metrics."""
    of_pairing: dict[int, list[Comparison]] = defaultdict(list)
    for one in comparisons:
        of_pairing[id(one.pairing)].append(one)
    for members in of_pairing.values():
        compared = {one.metric.name: (one.seeds, one.differences, one.smallest_effect) for one in members}
        note_influence(members[0].pairing, compared, problems)


def _family_of(
    family: Family, samples: Sequence[Sample], declared: Declaration, first: Sequence[Asked], order: Order
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


def _at_looks(samples: Sequence[Sample], declared: Declaration, spending: Spending) -> list[Comparison]:
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
