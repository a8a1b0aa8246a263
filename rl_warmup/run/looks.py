"""A sweep in batches of seeds, which looks at its comparisons when a batch is complete, and stops or continues."""

import json
from collections import defaultdict
from collections.abc import Sequence

from rl_warmup.config.identity import cell_label, identity, study_folder
from rl_warmup.config.looks import looks_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.config.study import NOT_IN_CELL
from rl_warmup.records.read import finished_status
from rl_warmup.records.schema import RecordError
from rl_warmup.records.study import Look, LooksTaken, read_looks
from rl_warmup.records.words import counted
from rl_warmup.run.jobs import Job

OUR_SWEEPER = "hydra/sweeper=rl_warmup, which trains seeds in batches and looks at them"


def refuse_looks(run: RunConfig, needed: str) -> None:
    """Refuse to train a run of a study with looks by itself.

    Raises:
        ConfigError: naming what is needed.
    """
    if run.study.looks is not None:
        raise ConfigError(f"study.looks needs {needed}; use that, or study.looks=null in another study.name")


def batches_of(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs of each batch: `every` seeds of all arms, in rising order; all in one where no looks are declared.

    Raises:
        ConfigError: unless every arm has the same seeds, as many as the last look asks for.
    """
    looks = looks_of(jobs[0].config.study.looks)
    if looks is None:
        return [list(jobs)]
    arms = defaultdict[str, set[int]](set)
    labels = {}
    for job in jobs:
        config = job.config
        own = {key: value for key, value in identity(config).items() if key not in NOT_IN_CELL}
        key = json.dumps(own, sort_keys=True)
        arms[key].add(config.seed)
        labels[key] = cell_label(config)
    seeds = sorted(set.union(*arms.values()))
    for key, own_seeds in arms.items():
        if len(own_seeds) != looks.most or len(own_seeds) != len(seeds):
            raise ConfigError(
                f"study.looks ends at {looks.most} pairs, and {labels[key]} has {counted(len(own_seeds), 'seed')} "
                f"of {len(seeds)} in this sweep: give every arm the same {looks.most}, e.g. "
                f"seed='range(0,{looks.most})'"
            )
    batch_of = {seed: place // looks.every for place, seed in enumerate(seeds)}
    batches: list[list[Job]] = [[] for _ in looks.counts]
    for job in jobs:
        batches[batch_of[job.config.seed]].append(job)
    return batches


def complete(batches: Sequence[Sequence[Job]]) -> int:
    """How many batches, from the first on, have no unfinished run."""
    for place, batch in enumerate(batches):
        if any(finished_status(job.folder) is None for job in batch):
            return place
    return len(batches)


def look(batches: Sequence[Sequence[Job]]) -> LooksTaken | None:
    """Look at the comparisons of complete batches, as at each of the looks before; None where none are declared.

    What is seen follows from the records of these runs only: who looks again sees the same.

    Raises:
        ConfigError: if the records cannot be analyzed.
    """
    config = batches[0][0].config
    looks = looks_of(config.study.looks)
    if looks is None:
        return None
    _refuse_other_runs(batches)
    done = complete(batches)
    seeds = {job.config.seed for batch in batches[:done] for job in batch}
    seen: Sequence[Look] = ()
    if done:
        from rl_warmup.analysis.stopping import looks_at  # a plan does without what analysis imports

        try:
            seen = looks_at(study_folder(config), seeds)
        except RecordError as error:
            raise ConfigError(f"the study cannot be looked at: {error}") from error
    return LooksTaken(sum(map(len, batches)), looks.counts, _seeds(batches), tuple(seen))


def _seeds(batches: Sequence[Sequence[Job]]) -> tuple[int, ...]:
    return tuple(sorted({job.config.seed for batch in batches for job in batch}))


def _refuse_other_runs(batches: Sequence[Sequence[Job]]) -> None:
    """Refuse a sweep of other arms or seeds than those with which the looks of its study began."""
    folder, seeds, runs = study_folder(batches[0][0].config), _seeds(batches), sum(map(len, batches))
    try:
        before = read_looks(folder)
    except RecordError as error:
        raise ConfigError(str(error)) from error
    if before is not None and before.seeds != seeds:
        first, last = before.seeds[0], before.seeds[-1]
        raise ConfigError(
            f"{folder} looks at the seeds {first} to {last}, and this sweep has {seeds[0]} to {seeds[-1]}: "
            "a study with looks keeps its seeds; give this one another study.name"
        )
    if before is not None and before.runs != runs:
        raise ConfigError(
            f"{folder} looks at {before.runs:,} runs in all, and this sweep has {runs:,}: a study with looks keeps "
            "its arms; give this one another study.name"
        )


def batch_words(batches: Sequence[Sequence[Job]], begun: int, to_do: int) -> str:
    """Which batch is trained next."""
    seeds = _seeds([batches[begun - 1]])
    which = f"batch {begun} of at most {len(batches)}, seeds {seeds[0]} to {seeds[-1]}"
    return f"{which}: {counted(to_do, 'run')} to train"


def look_words(taken: LooksTaken, trained: int) -> str:
    """What was seen at the last look, and what follows."""
    seen = taken.taken[-1]
    decided = f"look at {seen.pairs} pairs: {seen.decided} of {seen.comparisons} comparisons are decided"
    if seen.decided == seen.comparisons:
        return f"{decided}; the study stops, with {trained:,} of at most {taken.runs:,} runs"
    return f"{decided}; it was the last look" if taken.stopped else f"{decided}; the study continues"
