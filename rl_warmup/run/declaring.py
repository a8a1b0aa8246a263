"""What the folder of a study holds of a sweep before it is trained: its declaration, its plan, its command."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rl_warmup.config.identity import identity
from rl_warmup.config.schema import RunConfig, StudyConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.config.study import contrasts_of, matches, settings_of, words
from rl_warmup.records import atomic, locks
from rl_warmup.records import study as study_files
from rl_warmup.records.schema import RecordError
from rl_warmup.records.study import LooksTaken
from rl_warmup.run.jobs import Job
from rl_warmup.status.plan import Plan


def without_runs(jobs: Sequence[Job]) -> list[str]:
    """What the study declares and no run of the sweep has, perhaps by a slip that cannot be mended later."""
    study = jobs[0].config.study
    declared = [("control", study.control)] if study.control else []
    declared += [("comparisons", wanted) for wanted in study.comparisons or ()]
    declared += [("contrasts", where) for contrast in contrasts_of(study.contrasts) for _, where in contrast.terms]
    if not declared:
        return []
    planned = [settings_of({"config": identity(job.config), "warmup": asdict(job.config.warmup)}) for job in jobs]
    return [
        f"study.{what}: no run of this sweep has {words(wanted)}"
        for what, wanted in declared
        if not any(matches(wanted, settings) for settings in planned)
    ]


def write_plan(config: RunConfig, plan: Plan, command: str, taken: LooksTaken | None = None) -> None:
    """Record what is declared, what is planned, which looks were taken, and by which command."""
    folder = plan.folder
    atomic.check_writable(folder)
    try:
        with locks.study_lock(folder):
            if refuse_redeclared(folder, config.study) is None:
                study_files.write_declaration(folder, asdict(config.study))
            study_files.add_runs(folder, plan.planned, plan.retries)
            if taken is not None:
                study_files.write_looks(folder, taken)
            study_files.record_command(folder, command)
    except (OSError, RecordError) as error:
        raise ConfigError(f"the study cannot be written down in {folder}: {error}") from error


def refuse_redeclared(folder: Path, study: StudyConfig) -> dict[str, Any] | None:
    """What was declared before; a declaration is not changed after the study's first run.

    Raises:
        ConfigError: if `study` declares something else.
    """
    try:
        earlier = study_files.read_declaration(folder)
    except RecordError as error:
        raise ConfigError(f"{error}; mend it, or give the study another study.name") from error
    plan = asdict(study)
    if earlier is None or not study_files.is_declared(plan):
        return earlier
    changed = ", ".join(key for key in plan if plan[key] != earlier.get(key))
    if changed:
        way_out = "a declaration is not changed after the fact: give this one another study.name"
        raise ConfigError(f"{folder / 'study.yaml'} was declared with another {changed}; {way_out}")
    return earlier
