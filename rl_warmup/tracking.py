"""Weights & Biases: a copy of a run's rows for its web pages, never a condition for the run.

What W&B shows can be rebuilt from the record files, so a failure here ends in a warning and training goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import wandb

INIT_SECONDS = 15.0
"""Patience with a server that does not answer when a run starts."""
UPLOAD_SECONDS = 15.0
"""Patience with the upload that is left over when a run ends; the rest waits for `wandb sync`."""
FINISH_SECONDS = 20.0
"""Patience with the client itself when a run ends."""

DOSE = frozenset(
    {"learning_rate_first", "learning_rate_last", "learning_rate_mean", "base_learning_rate"}
    | {"n_below_99", "omega_sum", "n_steps", "gradient_step"}
)
"""Columns of `updates` that say what the optimizer received; the others are diagnostics."""

_LOG = logging.getLogger(__name__)


class Settings(Protocol):
    """What this module needs to know of the config group `tracking`."""

    @property
    def name(self) -> str:
        """`wandb` or `disabled`."""

    @property
    def mode(self) -> str:
        """`auto` (online if an API key is configured), `online` or `offline`."""

    @property
    def project(self) -> str:
        """The W&B project."""

    @property
    def entity(self) -> str | None:
        """The W&B user or team; None for the user's default."""


class Tracker(Protocol):
    """Receives a run's rows as they are made; never raises."""

    def log(self, table: str, row: Mapping[str, Any]) -> None:
        """Take one row of `evaluations`, `episodes` or `updates`."""

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        """Close the run with its final values; an exit code other than 0 marks it as failed."""


def tracker(
    settings: Settings,
    *,
    config: Mapping[str, Any],
    run_id: str,
    attempt_id: str,
    group: str,
    job_type: str,
    study: str,
    folder: Path,
) -> Tracker:
    """Open the W&B run of one attempt; its files go to `folder`/wandb, its id is `run_id`-`attempt_id`.

    `group` is the run's cell, `job_type` its arm, `study` becomes a tag. A server that fails leaves an
    offline run for `wandb sync`, a client that fails leaves no W&B run: either logs one warning.

    Raises ValueError for a name or mode that does not exist.
    """
    _check(settings)
    if settings.name == "disabled":
        return _Run(None)
    try:
        # In place of a folder that cannot be written the client would take the system's temporary one.
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        # W&B refuses longer texts, some of them only when an offline run is synced.
        arguments = {
            "id": _fit(f"{run_id}-{attempt_id}", 64, unusual=r"[^A-Za-z0-9_.-]"),
            "name": _fit(run_id, 128),
            "group": _fit(group, 128),
            "job_type": _fit(job_type, 64),
            "tags": [_fit(study, 64)] if study else None,
            "project": settings.project,
            "entity": settings.entity,
            "config": dict(config),
            "dir": str(folder),
            # By default the client returns the run that is still open: two runs of a process would be one.
            "reinit": "finish_previous",
        }
        return _Run(_open(settings.mode, arguments))
    except Exception as error:
        _LOG.warning("W&B does not start (%s): this run is recorded, but not tracked.", _reason(error))
        return _Run(None)


def history_row(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The W&B history row of one trainer event: `env_step`, and eval/*, train/*, dose/* or diagnostics/*.

    None is dropped; NaN and infinities stay. Raises ValueError for an unknown table.

    >>> history_row("episodes", {"env_step": 40, "return": 12.0, "length": 12})
    {'env_step': 40, 'train/return': 12.0, 'train/length': 12}
    """
    values = {key: value for key, value in row.items() if key != "env_step"}
    if table == "evaluations":
        named = _evaluation(values["returns"], values["lengths"])
    elif table == "episodes":
        named = {f"train/{key}": value for key, value in values.items()}
    elif table == "updates":
        named = {f"{'dose' if key in DOSE else 'diagnostics'}/{key}": value for key, value in values.items()}
    else:
        raise ValueError(f"unknown table {table!r}; use 'evaluations', 'episodes' or 'updates'")
    return {"env_step": row["env_step"]} | {key: value for key, value in named.items() if value is not None}


class _Run:
    """The tracker of an open W&B run; does nothing without one, or after a failure."""

    def __init__(self, run: wandb.Run | None) -> None:
        self._run = run

    def log(self, table: str, row: Mapping[str, Any]) -> None:
        """Send one row."""
        if self._run is None:
            return
        try:
            self._run.log(history_row(table, row))
        except Exception as error:
            self._run = None
            _LOG.warning("W&B fails (%s): the rest of this run is recorded, not tracked.", _reason(error))

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        """Close the run; a client that hangs is left behind."""
        run, self._run = self._run, None
        if run is not None and not _within(FINISH_SECONDS, lambda: _close(run, summary, exit_code)):
            _LOG.warning("W&B still hangs %g s after the run; `wandb sync` uploads the rest.", FINISH_SECONDS)


def _check(settings: Settings) -> None:
    if settings.name not in ("wandb", "disabled"):
        raise ValueError(f"tracking.name is {settings.name!r}; use 'wandb' or 'disabled'")
    if settings.mode not in ("auto", "online", "offline"):
        raise ValueError(f"tracking.mode is {settings.mode!r}; use 'auto', 'online' or 'offline'")


def _open(mode: str, arguments: dict[str, Any]) -> wandb.Run | None:
    """The open W&B run; None for users who have disabled W&B on their machine."""
    import wandb  # takes half a second, which a run without tracking does not pay

    quiet = wandb.Settings(silent=True)
    configured = wandb.setup(quiet).settings.mode
    wanted = mode if mode != "auto" else os.environ.get("WANDB_MODE", configured)
    if wanted == "disabled":
        return None
    arguments["settings"] = _discreet(wandb)
    try:
        online = wanted not in ("offline", "dryrun") and _has_credentials(wandb)
        if mode == "online" and not online:
            _LOG.warning("W&B has no API key (`wandb login` stores one): this run is tracked offline.")
        run = wandb.init(mode="online" if online else "offline", **arguments)
    except Exception as error:
        # A fresh client: this one holds on to the run's id, or its service has died.
        _within(FINISH_SECONDS, wandb.teardown)
        wandb.setup(quiet)
        run = wandb.init(mode="offline", **arguments)
        _LOG.warning("W&B fails at the start (%s): this run is tracked offline.", _reason(error))
    for prefix in ("eval", "train", "dose", "diagnostics"):
        run.define_metric(f"{prefix}/*", step_metric="env_step")
    return run


def _has_credentials(wandb: Any) -> bool:
    """Whether an API key is configured anywhere the client looks; asks neither the user nor a server."""
    if wandb.run is not None:  # login refuses while a run is open, which init would close anyway
        _within(FINISH_SECONDS, wandb.run.finish)
    return bool(wandb.login(prompt=False, verify=False))


def _discreet(wandb: Any) -> dict[str, Any]:
    """Settings of a run that sends our rows and config, and nothing of the machine, the code, the console."""
    wanted = {
        "init_timeout": INIT_SECONDS,
        "finish_timeout": UPLOAD_SECONDS,
        "finish_timeout_raises": True,
        "use_dot_wandb": False,
        "silent": True,
        "quiet": True,
        "console": "off",
        "host": "",
        "save_code": False,
        "disable_code": True,
        "disable_git": True,
        "x_disable_machine_info": True,
        "x_disable_stats": True,
        "x_save_requirements": False,
    }
    # The client refuses settings that it does not know, and promises nothing for those that start with x_.
    return {key: value for key, value in wanted.items() if key in wandb.Settings.model_fields}


def _close(run: wandb.Run, summary: Mapping[str, Any], exit_code: int) -> None:
    try:
        run.summary.update({key: value for key, value in summary.items() if value is not None})
        run.finish(exit_code=exit_code)
    except Exception as error:
        _LOG.warning("W&B did not close this run (%s); `wandb sync` uploads the rest.", _reason(error))


def _within(seconds: float, action: Callable[[], object]) -> bool:
    """Whether `action` ended in time, be it by an exception; otherwise it goes on in a daemon thread."""

    def quietly() -> None:
        with contextlib.suppress(Exception):
            action()

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def _evaluation(returns: list[float], lengths: list[int]) -> dict[str, float]:
    if not returns:
        return {}
    with np.errstate(invalid="ignore"):  # a diverged run may return infinities of both signs
        return {
            "eval/return_mean": float(np.mean(returns)),
            "eval/return_min": float(np.min(returns)),
            "eval/return_max": float(np.max(returns)),
            "eval/length_mean": float(np.mean(lengths)),
        }


def _fit(text: str, length: int, unusual: str = "") -> str:
    """`text`, or, where it is too long or has `unusual` characters, its tame beginning and its digest."""
    tame = re.sub(unusual, "-", text) if unusual else text
    if tame == text and len(text) <= length:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{tame[: length - len(digest) - 1]}-{digest}"


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
