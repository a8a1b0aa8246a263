"""Alpha spending: how much of a level a study that is looked at several times may use up by each look."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from rl_warmup.analysis import FloatArray
from rl_warmup.config.looks import RULES, Rule

TOP = 0.3  # up to here what obrien_fleming spends at a look rises with the level


def spent(level: float, share: float, rule: Rule) -> float:
    """The part of a level that may be spent when this share t of the planned pairs is in; all of it at t = 1.

    pocock: level · ln(1 + (e - 1) t). obrien_fleming: 2 - 2 Φ(z / sqrt(t)) with z the quantile of 1 - level / 2.

    Args:
        level: In [0, 1].
        share: In (0, 1].

    Raises:
        ValueError: for another rule, level or share.

    Source: Lan & DeMets 1983, doi 10.1093/biomet/70.3.659.

    >>> round(spent(0.05, 0.5, "pocock"), 4), round(spent(0.05, 0.5, "obrien_fleming"), 4)
    (0.031, 0.0056)
    """
    if not (0 <= level <= 1 and 0 < share <= 1):
        raise ValueError(f"level {level!r} at share {share!r}: give a level in [0, 1] and a share in (0, 1]")
    if rule == "pocock":
        return level * math.log1p((math.e - 1) * share)
    if rule == "obrien_fleming":
        return float(2 * stats.norm.sf(stats.norm.isf(level / 2) / math.sqrt(share)))
    raise ValueError(f"unknown spending {rule!r}: use one of {', '.join(RULES)}")


@dataclass(frozen=True)
class Spending:
    """The looks of a study and the rule by which its level is spent over them."""

    counts: tuple[int, ...]  # pairs at each planned look, rising
    rule: Rule

    def __post_init__(self) -> None:
        """Refuse looks that do not rise.

        Raises:
            ValueError: unless there is a look, the first at one pair or more, each with more pairs than the last.
        """
        if not self.counts or any(b <= a for a, b in zip((0, *self.counts), self.counts, strict=False)):
            raise ValueError(f"looks at {list(self.counts)} pairs: give rising numbers of 1 or more")

    def by(self, level: float) -> FloatArray:  # [looks]
        """What is spent up to and with each look."""
        return np.array([spent(level, count / self.counts[-1], self.rule) for count in self.counts])

    def at(self, level: float) -> FloatArray:  # [looks]
        """What is spent at each look."""
        return np.diff(self.by(level), prepend=0.0)

    def needed(self, p: float, look: int) -> float:
        """The smallest level of which p is spent at a look, counted from 0; 1 where no level below is enough."""

        def lacking(level: float) -> float:
            return p - float(self.at(level)[look])

        top = 1.0 if lacking(1.0) <= 0 else TOP
        return 1.0 if lacking(top) > 0 else float(brentq(lacking, 0.0, top, xtol=1e-300, rtol=1e-9))
