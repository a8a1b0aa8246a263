"""The caveats of a study, collected while it is analysed: what limits its numbers."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "left out",  # a run or a file that is not analyzed
    "assumed",  # what the study did not declare
    "missing",  # a control, or declared arms, without runs
    "unpaired",  # seeds that are not scored in all arms
    "mixed",  # what is not the same in all runs
    "undefined",  # metrics without a value in some runs
    "floor",  # diverged runs
    "constants",  # of an environment, that are missing, another's or given; returns beyond its bounds
    "looks",  # why verdicts are not those of a study with looks
    "influence",  # of single pairs on a mean
    "no verdict",  # why a comparison has none
    "pooled",  # what is not asked over several environments together
    "limit",  # of the verdicts of a family
    "robustness",  # to the learning rate: what is not known of it
]


@dataclass(frozen=True)
class Problem:
    """One problem; `where` is the comparison, block or group that it is about, or empty."""

    kind: Kind
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


@dataclass
class Problems:
    """What limits the numbers, in words, each once; whether a run or a file was left out."""

    found: dict[str, Problem] = field(default_factory=dict)  # by their words

    def add(self, kind: Kind, text: str, where: str = "") -> None:
        """Add a problem, unless it is known."""
        problem = Problem(kind, where, text)
        self.found.setdefault(str(problem), problem)
