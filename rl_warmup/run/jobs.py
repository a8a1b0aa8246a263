"""The runs of a sweep: composed, each once, and those of the agents that they start from."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rl_warmup.config.identity import identity, run_folder, study_folder
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError, declared
from rl_warmup.config.transfer import source_of
from rl_warmup.records import study as study_files
from rl_warmup.run.sources import unready
from rl_warmup.status.plan import Plan
from rl_warmup.status.states import ForeignRecordError, kind_of, read_state

KEPT = 20
"""Runs of a sweep up to which each keeps its last agent, unless `keep` says otherwise."""


@dataclass(frozen=True)
class Job:
    """One run of a sweep: its overrides, its config, its folder."""

    overrides: tuple[str, ...]
    config: RunConfig
    folder: Path

    @property
    def planned(self) -> study_files.Planned:
        """What plan.json holds of it."""
        return study_files.Planned(kind_of(identity(self.config)), phases_of(self.config).env_steps)


def compose_jobs(combinations: Iterable[Sequence[str]], compose: Callable[[list[str]], RunConfig]) -> list[Job]:
    """The jobs of a sweep, each run once: combinations that differ only in what a shape ignores are one run.

    Raises:
        ConfigError: for the first combination that cannot be trained, or where what is of the whole sweep is swept.
    """
    jobs: dict[Path, Job] = {}
    configs = []
    for overrides in combinations:
        try:
            config = compose(list(overrides))
        except ConfigError as error:
            raise ConfigError(f"{error} (in {' '.join(overrides)})") from error
        folder = run_folder(config)
        jobs.setdefault(folder, Job(tuple(overrides), config, folder))
        configs.append(config)
    if len({study_folder(config) for config in configs}) > 1:
        raise ConfigError("a sweep belongs to one study; runs_dir and study.name cannot be swept")
    for name in (name for name, _, how in declared(RunConfig) if not how.sweepable):
        if any(getattr(config, name) != getattr(configs[0], name) for config in configs):
            raise ConfigError(f"{name} is of the whole sweep and cannot be swept")
    return list(jobs.values())


def plan_of(jobs: Sequence[Job], retries: int) -> Plan:
    """What is to be done for `jobs`, which are of one study.

    Raises:
        ConfigError: if the record of another run is in a run's folder.
    """
    try:
        runs = [read_state(job.folder, identity(job.config)) for job in jobs]
    except ForeignRecordError as error:
        raise ConfigError(str(error)) from error
    return Plan(study_folder(jobs[0].config), runs, {job.folder.name: job.planned for job in jobs}, retries)


def with_keep(jobs: Sequence[Job]) -> list[Job]:
    """The jobs of a sweep, which keep their last agents if there are few and `keep` does not say otherwise."""
    if jobs[0].config.keep is not None or len(jobs) > KEPT:
        return list(jobs)
    return [Job((*job.overrides, "keep=last"), replace(job.config, keep="last"), job.folder) for job in jobs]


def source_jobs(jobs: Sequence[Job]) -> list[Job]:
    """The runs that train the agents which jobs start from and which are not there yet, each once."""
    found: dict[Path, Job] = {}
    for job in jobs:
        source = source_of(job.config)
        if source is not None and unready(job.config):
            folder = run_folder(source)
            if folder not in found or source.keep_replay:  # one of its runs wants the replay buffer
                found[folder] = Job((*job.overrides, "init.source_only=true"), source, folder)
    return list(found.values())
