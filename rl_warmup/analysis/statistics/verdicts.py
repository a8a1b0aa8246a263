"""From numbers per run to a comparison of two arms, and to its verdict in a family; numpy, scipy, statsmodels.

A verdict has one of two scopes. Of the mean, whatever rare runs do: the Dirichlet test, which needs bounds of the
differences. In the runs seen: the sign-flip test, which shows that the arms differ, but not that no rare collapse
would undo it. docs/verdicts.md has the table of the words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.stats.multitest import multipletests

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.statistics import estimators, sign_flips
from rl_warmup.analysis.statistics.dirichlet import Dirichlet
from rl_warmup.analysis.statistics.gatekeeping import gatekept, shares
from rl_warmup.analysis.statistics.planning import Plan
from rl_warmup.analysis.statistics.proved import betting, phan
from rl_warmup.analysis.statistics.scopes import ALPHA, Headline, OfMean, Seen, headline

Correction = Literal["holm", "fdr_bh"]

# of p: in the runs seen, of the mean, of equivalence, of equivalence in the runs seen
KINDS = ("p_value", "p_mean", "p_equivalence", "p_equivalence_in_runs_seen")
ENOUGH_PAIRS = 20  # below, a study is a pilot
SMALL = "significant but smaller than"
NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Paired:
    """One comparison on one metric, in the metric's unit; None is what cannot be known from these runs."""

    n: int
    n_nonzero: int  # pairs whose difference is not zero: only they carry evidence
    estimate: float | None = None  # mean of D
    sd: float | None = None  # of D, n - 1
    ci_low: float | None = None  # 95%, in the runs seen (sign flips); None: unbounded
    ci_high: float | None = None
    ci90_low: float | None = None
    ci90_high: float | None = None
    p_value: float | None = None  # in the runs seen
    p_smallest: float | None = None  # the smallest p that this many non-zero differences can give there
    bound: float | None = None  # of |D|; None: unknown, and nothing is known of the mean whatever rare runs do
    p_mean: float | None = None  # of the mean, whatever rare runs do (Dirichlet)
    mean_ci_low: float | None = None  # 95%, the same
    mean_ci_high: float | None = None
    p_equivalence: float | None = None  # the same
    p_equivalence_in_runs_seen: float | None = None  # of studies with looks only, from 60 pairs on
    iqm: float | None = None  # of D
    iqm_ci_low: float | None = None
    iqm_ci_high: float | None = None
    pairing_correlation: float | None = None
    p_unpaired: float | None = None
    p_welch: float | None = None
    p_phan: float | None = None  # of the mean, by tests that are proved and wider
    phan_low: float | None = None
    phan_high: float | None = None
    p_betting: float | None = None
    betting_low: float | None = None
    betting_high: float | None = None


def compare(
    treatment: ArrayLike,  # [n], the metric of each run
    control: ArrayLike,  # [n], the same seeds in the same order
    *,
    smallest_effect: float | None,
    bound: float | None,
    binary: bool,
    sensitivity: bool = True,
) -> Paired:
    """Compare two arms on one metric, paired by seed. The same runs give the same numbers wherever they are.

    In the runs seen p is that of the sign-flip test, of McNemar's exact test for a binary metric (the same test,
    but exact for every n). A difference within rounding is zero.

    Args:
        smallest_effect: Half width of the range of equivalence, in the metric's unit; None: no such test.
        bound: Largest |difference| that the metric allows; None: not known, no test of the mean, no equivalence.
        binary: Whether the metric is 0 or 1.
        sensitivity: Whether to compute what other methods say, which takes time.

    Returns:
        The comparison; with fewer than two pairs all but its counts and its bound is None.

    Raises:
        ValueError: for unequal lengths, values that are not finite, a smallest effect that is not positive, a
            difference beyond the bound.
    """
    x, y, d = _cleaned(treatment, control)
    if smallest_effect is not None:
        sign_flips.positive_effect(smallest_effect)
    n_nonzero = int(np.count_nonzero(d))
    if d.size < 2:
        return Paired(n=d.size, n_nonzero=n_nonzero, bound=bound)
    flips = sign_flips.SignFlips.of(d)
    ci_low, ci_high = flips.interval(ALPHA) or (None, None)
    ci90_low, ci90_high = flips.interval(2 * ALPHA) or (None, None)
    return Paired(
        n=d.size,
        n_nonzero=n_nonzero,
        estimate=float(np.mean(d)),
        sd=float(np.std(d, ddof=1)),
        ci_low=ci_low,
        ci_high=ci_high,
        ci90_low=ci90_low,
        ci90_high=ci90_high,
        p_value=estimators.mcnemar_p(x, y) if binary else flips.p_value(),
        p_smallest=max(min(1.0, 2 / 2**n_nonzero), 0.0 if binary or flips.exact else 1 / (1 + sign_flips.DRAWS)),
        iqm=float(estimators.iqm(d)),
        pairing_correlation=estimators.correlation(x, y),
        **({} if bound is None else _of_mean(d, bound, smallest_effect)),
        **(_sensitivity(x, y, d, bound) if sensitivity else {}),
    )


def _of_mean(d: FloatArray, bound: float, smallest_effect: float | None) -> dict[str, float | None]:
    """What is known of the mean, whatever rare runs do."""
    test = Dirichlet.of(d, bound)
    low, high = test.interval(ALPHA)
    equivalence = None if smallest_effect is None else test.equivalence_p(smallest_effect)
    return {
        "bound": bound,
        "p_mean": test.p_value(),
        "mean_ci_low": low,
        "mean_ci_high": high,
        "p_equivalence": equivalence,
    }


def _cleaned(treatment: ArrayLike, control: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:  # [n] each
    """Both arms and their differences, 0 within rounding, by rising difference.

    The order of seeds must not reach the results, not even by rounding.
    """
    x, y = sign_flips.sample(treatment, "treatment"), sign_flips.sample(control, "control")
    if x.size != y.size:
        raise ValueError(f"{x.size} treatment and {y.size} control runs: give the same seeds, in the same order")
    d = differences_of(x, y)
    order = np.lexsort((x, d))
    return x[order], y[order], d[order]


def differences_of(x: FloatArray, y: FloatArray) -> FloatArray:  # [n] each
    """x - y, 0 within rounding."""
    return np.where(np.abs(x - y) > sign_flips.ROUNDING * np.maximum(np.abs(x), np.abs(y)), x - y, 0.0)


def _sensitivity(x: FloatArray, y: FloatArray, d: FloatArray, bound: float | None) -> dict[str, float | None]:
    """The same comparison by other methods."""
    low, high = estimators.iqm_interval(d) or (None, None)
    p_unpaired, p_welch = estimators.unpaired_p(x, y), estimators.welch_p(x, y)
    said = {"iqm_ci_low": low, "iqm_ci_high": high, "p_unpaired": p_unpaired, "p_welch": p_welch}
    if bound is not None:
        for test in (phan, betting):
            name, by = test.__name__, test(d, bound)
            said |= {f"p_{name}": by.p_value, f"{name}_low": by.ci_low, f"{name}_high": by.ci_high}
    return said


@dataclass(frozen=True)
class Note:
    """A sentence that limits a verdict; `detail` is what may differ among the comparisons of a family."""

    kind: Literal["no inference", "pilot", "no significance", "small", "no verdict", "not tested"]
    text: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.text}: {self.detail}" if self.detail else self.text


@dataclass(frozen=True)
class Verdict:
    """What a comparison shows within its family, and what limits that."""

    verdict: OfMean  # of the mean, whatever rare runs do
    verdict_in_runs_seen: Seen
    p_adjusted: float | None  # in the runs seen
    p_mean_adjusted: float | None
    p_equivalence_adjusted: float | None
    plan: Plan | None = None  # pairs that would decide, where that is open and can be planned
    notes: tuple[Note, ...] = ()
    p_equivalence_in_runs_seen_adjusted: float | None = None  # of studies with looks only

    @property
    def headline(self) -> Headline:
        """The verdict in words."""
        return headline(self.verdict, self.verdict_in_runs_seen)


def decide(
    family: Sequence[tuple[Paired, str, float | None]],
    correction: Correction = "holm",
    parents: Sequence[int | None] | None = None,
) -> list[Verdict]:
    """Give each comparison of a family its verdict of both scopes, in the order of the family.

    Of the mean: equivalent where the adjusted p of equivalence is <= .05, significant or not; else better or worse
    where the adjusted p is. In the runs seen: better or worse where the adjusted p is. Neither is better or worse
    where the 90% interval in the runs seen is inside ±smallest effect: that is too small to matter. The kinds of p
    are adjusted separately, each over the comparisons that have one; that of equivalence in the runs seen is of
    studies with looks.

    Args:
        family: The comparison, the better direction of its metric ("higher" or "lower"), and its smallest effect.
        correction: holm for a confirmatory family, fdr_bh for an exploratory one.
        parents: For each comparison the place of the pooled question that comes before it, as `gatekept` takes it,
            in place of the correction; None: there is no such order.

    Raises:
        ValueError: for another correction or direction.
    """
    if correction not in ("holm", "fdr_bh"):
        raise ValueError(f"unknown correction {correction!r}: use holm or fdr_bh")
    p_values = [
        adjusted(p, correction) if parents is None else gatekept(p, parents)
        for p in ([getattr(paired, kind) for paired, _, _ in family] for kind in KINDS)
    ]
    tests = sum(p is not None for p in p_values[0])
    steps = [tests if correction == "holm" else 1] * len(family)  # BH leaves p as it is where all p are the same
    if parents is not None:
        steps = shares([paired.p_value for paired, _, _ in family], parents)
    verdicts = [
        _verdict(member, p, most)
        for member, p, most in zip(family, zip(*p_values, strict=True), steps, strict=True)
    ]
    above = [None if parent is None else verdicts[parent] for parent in parents or [None] * len(family)]
    return [_gated(verdict, question) for verdict, question in zip(verdicts, above, strict=True)]


def _gated(verdict: Verdict, question: Verdict | None) -> Verdict:
    """The verdict with a note where it was not tested, because its pooled question is open."""
    if question is None or verdict.headline != "inconclusive":
        return verdict
    differ = _yes(question.p_adjusted) or _yes(question.p_mean_adjusted)
    if differ:
        return verdict
    text = f"{NOT_TESTED} for a difference" if _yes(question.p_equivalence_adjusted) else NOT_TESTED
    notes = (note for note in verdict.notes if note.kind != "no significance")
    return replace(verdict, notes=(Note("not tested", f"{text}: its pooled question is open"), *notes))


def _yes(p: float | None) -> bool:
    return p is not None and p <= ALPHA


def adjusted(p_values: Sequence[float | None], correction: Correction) -> list[float | None]:
    """The p values corrected for their number; None, which is no test, stays None."""
    known = [p for p in p_values if p is not None]
    found = iter(multipletests(known, method=correction)[1] if known else [])
    return [None if p is None else float(next(found)) for p in p_values]


def _verdict(
    member: tuple[Paired, str, float | None],
    p_values: tuple[float | None, ...],  # [KINDS]
    steps: int,
) -> Verdict:
    """The verdict by the adjusted p of each kind; `steps` is what the smallest p was multiplied by."""
    paired, better, effect = member
    seen, mean, equivalence, settled = p_values
    if better not in ("higher", "lower"):
        raise ValueError(f"unknown direction {better!r}: use higher or lower")
    direction: Seen = "better" if ((paired.estimate or 0) > 0) == (better == "higher") else "worse"
    found, small = bool(paired.estimate), _inside(paired, effect)
    seen_yes, mean_yes, equivalent, settled_yes = map(_yes, p_values)
    decided = found and not small
    of_mean: OfMean = "equivalent" if equivalent else direction if decided and mean_yes else "inconclusive"
    in_runs_seen: Seen = "equivalent" if settled_yes else direction if decided and seen_yes else "inconclusive"
    notes = _notes(paired, seen, steps)
    if found and (seen_yes or mean_yes) and (small or equivalent or settled_yes) and effect is not None:
        notes += (_small(effect, equivalent or settled_yes),)
    return Verdict(of_mean, in_runs_seen, seen, mean, equivalence, None, notes, settled)


def _inside(paired: Paired, effect: float | None) -> bool:
    """Whether the 90% interval in the runs seen is inside ±effect."""
    if effect is None or paired.ci90_low is None or paired.ci90_high is None:
        return False
    return -effect < paired.ci90_low and paired.ci90_high < effect


def _small(effect: float, equivalent: bool) -> Note:
    text = f"{SMALL} {effect:g}"
    return Note("small", text if equivalent else f"{text}; too few pairs to call it equivalent")


def _notes(paired: Paired, p: float | None, steps: int) -> tuple[Note, ...]:
    """What limits a verdict; `steps` is what the correction multiplies the smallest p by."""
    if p is None or paired.p_smallest is None:
        return (Note("no inference", f"{paired.n} complete pairs", "no inference with fewer than two"),)
    notes = []
    if paired.n < ENOUGH_PAIRS:
        notes.append(Note("pilot", f"pilot: {paired.n} pairs, fewer than {ENOUGH_PAIRS}"))
    if p > ALPHA and steps * paired.p_smallest > ALPHA:
        few = 2 / 2**paired.n_nonzero >= paired.p_smallest
        what = f"{paired.n_nonzero} non-zero differences" if few else f"{sign_flips.DRAWS:,} sign vectors"
        why = f"{what} give no p below {paired.p_smallest:.2g}"
        detail = f"{why}, and this family needs {ALPHA / steps:.2g}"
        notes.append(Note("no significance", "significance was not possible", detail))
    return tuple(notes)
