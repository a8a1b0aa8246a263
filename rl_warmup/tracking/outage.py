"""An outage of W&B's server: recorded once in the study's folder, so that its other runs do not wait for it."""

import time
from pathlib import Path

OUTAGE = 600.0
"""Seconds for which a server that did not answer is not asked again by the runs of the same study."""


_FILE = Path("wandb", "no-answer.txt")


def record_outage(folder: Path, reason: str) -> None:
    """Have the other runs of the study, in any process, not wait for the server that did not answer."""
    (folder / _FILE).parent.mkdir(parents=True, exist_ok=True)
    (folder / _FILE).write_text(reason + "\n", encoding="utf-8")


def has_outage(folder: Path) -> bool:
    """Whether the server did not answer a run of the study a short time ago."""
    try:
        return time.time() - (folder / _FILE).stat().st_mtime < OUTAGE
    except OSError:
        return False


def end_outage(folder: Path) -> None:
    """Ask the server again."""
    (folder / _FILE).unlink(missing_ok=True)
