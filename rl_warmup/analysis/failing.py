"""What is said beside a verdict: failures of both arms, and the rate of collapses that would undo it."""

from collections.abc import Sequence

import numpy as np

from rl_warmup.analysis.pairs import Pairing
from rl_warmup.analysis.statistics.failures import BreakEven, Failures, break_even, failures
from rl_warmup.analysis.statistics.verdicts import Paired, Verdict

MANY_PAIRS = 60  # from here on rare collapses are a matter of the test of the mean


def failures_of(pairing: Pairing) -> Failures | None:
    """Runs that did not learn, of the pairs of a treatment and its control; None: of a contrast, or not known."""
    treatment, control, seeds = pairing.defined("not_learned")
    return failures(treatment, control) if seeds and pairing.contrast is None else None


def failures_over(pairings: Sequence[Pairing]) -> Failures | None:
    """The same of all pairs of several environments; None where they are not known in one of them."""
    if any(failures_of(pairing) is None for pairing in pairings):
        return None
    arms = zip(*(pairing.defined("not_learned")[:2] for pairing in pairings), strict=True)
    treatment, control = (np.concatenate(arm) for arm in arms)
    return failures(treatment, control)


def break_even_of(paired: Paired, verdict: Verdict, failed: Failures | None, seeds: int) -> BreakEven | None:
    """What would undo a verdict that is shown in the runs of few seeds; None for others, and without bounds."""
    only_seen = verdict.verdict == "inconclusive" and verdict.verdict_in_runs_seen in ("better", "worse")
    if not only_seen or seeds >= MANY_PAIRS or paired.bound is None or failed is None or not paired.estimate:
        return None
    better = failed.treatment if verdict.verdict_in_runs_seen == "better" else failed.control
    return break_even(paired.estimate, paired.bound, better)
