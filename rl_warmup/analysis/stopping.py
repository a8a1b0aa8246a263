"""Whether a sweep that looks at its comparisons trains another batch: a function of the records."""

from collections.abc import Collection
from pathlib import Path

from rl_warmup.analysis.cells import blocks_of
from rl_warmup.analysis.declaration import declaration
from rl_warmup.analysis.families import comparisons_of
from rl_warmup.analysis.looks import looking_of
from rl_warmup.analysis.matching import pairings_of
from rl_warmup.analysis.problems import Problems
from rl_warmup.records.read import read_study
from rl_warmup.records.schema import RecordError
from rl_warmup.records.study import Look


def looks_at(folder: Path, seeds: Collection[int]) -> tuple[Look, ...]:
    """What was to be seen at each look, up to the one at which these seeds are in; runs of others do not count.

    Comparisons that cannot have a verdict whatever the returns are do not count either.

    Raises:
        RecordError: if the looks that the study declares do not hold for these seeds.
    """
    problems = Problems()
    declared = declaration(folder, problems)
    records = [record for record in read_study(folder)[0] if record.info["seed"] in seeds]
    pairings = pairings_of(blocks_of(records, problems), declared, problems)
    looking = looking_of(pairings, declared, problems)
    if looking is None or looking.refused is not None:
        refused = "study.yaml declares no looks" if looking is None else looking.refused
        raise RecordError(f"{folder}: {refused}; give this study another study.name")
    found = [
        one
        for one in comparisons_of(pairings, declared, problems, looking)[0]
        if one.family == "confirmatory" and not one.pairing.barred
    ]
    decided = [one.decided_at or looking.declared.most + 1 for one in found]
    return tuple(Look(n, len(found), sum(at <= n for at in decided)) for n in looking.taken)
