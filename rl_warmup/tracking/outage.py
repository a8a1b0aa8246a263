"""A server that does not answer: noted once in the study's folder, so that its other runs do not wait for it."""

import time
from pathlib import Path

SILENCE = 600.0
"""Seconds for which a server that did not answer is not asked again by the runs of the same study."""


def note_silence(folder: Path, reason: str) -> None:
    """Have the other runs of the study, in whatever process, not wait for the server that did not answer."""
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    _silence(folder).write_text(reason + "\n")


def is_silent(folder: Path) -> bool:
    """Whether the server did not answer a run of the study a short time ago."""
    try:
        return time.time() - _silence(folder).stat().st_mtime < SILENCE
    except OSError:
        return False


def prolong_silence(folder: Path) -> None:
    """As long as a sweep lasts, the price of a server that does not answer is paid once."""
    if is_silent(folder):
        _silence(folder).touch()


def forget_silence(folder: Path) -> None:
    """Ask the server again."""
    _silence(folder).unlink(missing_ok=True)


def _silence(folder: Path) -> Path:
    return folder / "wandb" / "no-answer.txt"
