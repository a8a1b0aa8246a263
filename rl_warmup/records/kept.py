"""Which runs kept their agents: found by what a person types, and named where one of them was meant."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_warmup.records import models
from rl_warmup.records.locks import is_training
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import quoted

LISTED = 5
"""Runs that are named where one of them was probably meant."""


def find_run(given: str, runs_dir: Path) -> Path:
    """The folder of a run, by its path or, in the studies of `runs_dir`, by its id.

    Raises:
        RecordError: if there is none, or several; with those that were probably meant.
    """
    path = Path(given)
    if (path / "run.json").exists():
        return path
    found = sorted(runs_dir.glob(f"*/{path.name}/run.json")) if path.name == given else []
    if len(found) == 1:
        return found[0].parent
    if found:
        raise RecordError(f"{given} is in several studies; give one of {_listed([at.parent for at in found])}")
    if path.is_dir():
        said, near = f"{path} is no run", sorted(path.glob(f"*/{models.MODEL}"))
    else:
        said, near = f"there is no run {path}", sorted(runs_dir.glob(f"*/*/{models.MODEL}"))
    if not near:
        raise RecordError(f"{said}, and no run near it has kept its agent; train one: python -m rl_warmup.run")
    raise RecordError(f"{said}; agents were kept by {_listed([at.parent for at in near])}")


def why_no_agent(folder: Path, info: Mapping[str, Any]) -> str:
    """Why a run kept no agent, and how to have one."""
    if is_training(folder):
        return "it is being trained, and the last agent is kept at its end"
    if info["status"] == "running":
        return "it was interrupted; the same command trains the rest"
    if info["status"] == "failed":
        return "it failed; the same command tries it again"
    if info["status"] == "diverged":
        return "it diverged, and has no last one; keep=best keeps that of its best evaluation"
    return (
        "none was kept; keep=last or keep=best keeps one. A run that is recorded is not trained again: use another "
        "study.name, or move its folder away"
    )


def _listed(folders: Sequence[Path]) -> str:
    more = f" and {len(folders) - LISTED} more" if len(folders) > LISTED else ""
    return ", ".join(map(quoted, folders[:LISTED])) + more
