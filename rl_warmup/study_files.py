"""What the folder of a study holds beside its runs: what was declared, and the commands that trained it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rl_warmup.records import RecordError, first_line, write_text


def write_study_plan(folder: Path, plan: Mapping[str, Any]) -> None:
    """Write study.yaml: name, control, comparisons and smallest effect, as they were declared before training."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "study.yaml", yaml.safe_dump(dict(plan), sort_keys=False))


def read_study_plan(folder: Path) -> dict[str, Any] | None:
    """study.yaml of a study's folder, None where the study was not declared.

    Raises:
        RecordError: if it is damaged.
    """
    path = folder / "study.yaml"
    if not path.exists():
        return None
    try:
        plan = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise RecordError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(plan, dict):
        raise RecordError(f"{path} is not a mapping with name, control, comparisons and smallest_effect")
    return plan


def note_command(folder: Path, command: str) -> None:
    """Add a command that trains runs of a study to its commands.txt, a line each, if it is not there yet."""
    commands = read_commands(folder)
    if command not in commands:
        write_text(folder / "commands.txt", "\n".join([*commands, command]) + "\n")


def read_commands(folder: Path) -> list[str]:
    """The commands by which the runs of a study were trained, in the order of their first use."""
    path = folder / "commands.txt"
    return path.read_text().splitlines() if path.exists() else []
