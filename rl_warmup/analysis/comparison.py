"""One comparison of a study on one metric: the seeds it uses, what is found, and what is said of it."""

from dataclasses import dataclass, replace

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.declaration import Declaration, Family
from rl_warmup.analysis.failing import break_even_of
from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.analysis.pairs import Pairing
from rl_warmup.analysis.statistics.failures import BreakEven, Failures, PairsWon, pairs_won
from rl_warmup.analysis.statistics.looking import compare_at_looks
from rl_warmup.analysis.statistics.planning import plan
from rl_warmup.analysis.statistics.spending import Spending
from rl_warmup.analysis.statistics.verdicts import Note, Paired, Verdict, compare, differences_of


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
class Sample:
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
            break_even_of(paired, allowed, self.failures, paired.n),
        )

    def smallest_effect(self, declared: Declaration) -> float | None:
        """The smallest effect that matters, scaled by the weights of a contrast."""
        effect = declared.effect(self.metric, self.pairing.normalized)
        return None if effect is None else effect * self.pairing.weight


def _allowed(verdict: Verdict, barred: tuple[str, ...]) -> Verdict:
    """The verdict, or none where something forbids it."""
    if not barred:
        return verdict
    reasons = (Note("no verdict", reason) for reason in barred)
    notes = (*reasons, *verdict.notes)
    return replace(verdict, verdict="inconclusive", verdict_in_runs_seen="inconclusive", plan=None, notes=notes)
