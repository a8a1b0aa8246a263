"""The looks of a study: which were planned and taken, and why its verdicts may not be called sequential."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rl_warmup.analysis.cells import Cell
from rl_warmup.analysis.declaration import Declaration
from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.pairs import Pairing, seeds_words
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.statistics.spending import Spending
from rl_warmup.config.looks import Looks, looks_of
from rl_warmup.records.words import counted

LISTED = 4  # seeds that are named


@dataclass(frozen=True)
class Looking:
    """The looks that a study declared, up to the number of pairs that it has; or why they do not hold."""

    declared: Looks
    pairs: int | None = None  # at the last look taken; None where they do not hold
    refused: str | None = None

    @property
    def spending(self) -> Spending:
        """How the level is spent over the planned looks."""
        return Spending(self.declared.counts, self.declared.spending)

    @property
    def taken(self) -> tuple[int, ...]:
        """Pairs at each look taken."""
        return tuple(count for count in self.declared.counts if self.pairs is not None and count <= self.pairs)


def looking_of(pairings: Sequence[Pairing], declared: Declaration, problems: Problems) -> Looking | None:
    """Whether a study's looks hold: None where it declares none; what is wrong with them is named in `problems`.

    They hold where all confirmatory comparisons have all their seeds in all arms, as many as at a planned look, and
    every run was trained under these looks.
    """
    if declared.looks is None:
        return None
    confirmatory = [pairing for pairing in pairings if pairing.family == "confirmatory"]
    refused = next(_reasons(confirmatory, declared.looks), None)
    if refused is None:
        return Looking(declared.looks, len(confirmatory[0].pairs))
    text = f"the looks that were declared ({declared.looks.words}) do not hold: {refused}"
    problems.add("looks", f"{text}; verdicts are exploratory, as of a study of fixed n")
    return Looking(declared.looks, refused=refused)


def _reasons(pairings: Sequence[Pairing], looks: Looks) -> Iterator[str]:
    """What forbids to call verdicts sequential, the first reason first."""
    cells = list({id(cell): cell for pairing in pairings for _, cell in pairing.terms}.values())
    if not cells:
        yield "no declared comparison has runs"
        return
    yield from _other_plan(cells, looks)
    seeds = [{run.seed for run in cell.runs} for cell in cells]
    everywhere, anywhere = set.intersection(*seeds), set.union(*seeds)
    for own, cell in zip(seeds, cells, strict=True):
        if own - everywhere and len(own) > min(map(len, seeds)):
            yield f"{_some(own - everywhere)} of {cell.arm} are not in all arms: seeds are added to all alike"
    for pairing in pairings:
        if lost := anywhere - set(pairing.seeds):
            yield f"{_some(lost)} of {pairing.label} are not scored: a look is for complete batches"
        for metric in with_role("confirmatory"):
            known = pairing.defined(metric.name)[2]
            if known and (lost := anywhere - set(known)):
                yield f"{metric.name} of {pairing.label} is not known of {_some(lost)}"
    if len(anywhere) not in looks.counts:
        planned = ", ".join(map(str, looks.counts))
        yield f"{counted(len(anywhere), 'pair')} are no planned look ({planned})"


def _other_plan(cells: Sequence[Cell], looks: Looks) -> Iterator[str]:
    """Runs that were trained under other looks, or under none."""
    runs = [run for cell in cells for run in cell.runs]
    other = [run for run in runs if _looks_in(run.info) != looks]
    if other:
        under = _looks_in(other[0].info)
        what = "without looks" if under is None else f"under others ({under.words})"
        yield f"{counted(len(other), 'run')} of {len(runs)} were trained {what}, e.g. {other[0].run_id}"


def _looks_in(info: Any) -> Looks | None:
    try:
        return looks_of(info.get("looks"))
    except ValueError:
        return None


def _some(seeds: set[int]) -> str:
    found = sorted(seeds)
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return f"{seeds_words(found[:LISTED])}{more}"
