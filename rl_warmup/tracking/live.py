"""Weights & Biases: a copy of a run's rows for its web pages, never a condition for the run.

What W&B shows can be rebuilt from the record files, so a failure here ends in a warning and training continues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from rl_warmup.config.schema import TrackingConfig
from rl_warmup.records.words import first_line
from rl_warmup.tracking import client
from rl_warmup.tracking.outage import end_outage, has_outage, record_outage
from rl_warmup.tracking.rows import TABLES, counter, history_row, numbered
from rl_warmup.tracking.sent import Publications, run_digest
from rl_warmup.tracking.waiting import within

_LOG = logging.getLogger(__name__)
_UNFINISHED: list[Callable[[], object]] = []


class Tracker(Protocol):
    """Receives a run's rows as they are made; never raises."""

    def log(self, table: str, row: Mapping[str, Any]) -> None:
        """Take one row of `evaluations`, `episodes` or `updates`."""

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        """Close the run with its final values; an exit code other than 0 marks it as failed."""


def tracker(
    settings: TrackingConfig,
    folder: Path,
    info: Mapping[str, Any],
    config: Mapping[str, Any],
    before: Mapping[str, pl.DataFrame] | None = None,
) -> Tracker:
    """Open the W&B run of one attempt.

    A server that fails leaves an offline run for `wandb sync`, a client that fails leaves no W&B run: either logs
    one warning, and the study's other runs do not ask that server for a while.

    Args:
        settings: of the config group `tracking`.
        folder: of the study; files go to `folder`/wandb.
        info: of run.json, as `client.arguments` takes it.
        config: what W&B shows as the run's config.
        before: the rows of a run that is resumed, sent where W&B lacks them.

    Raises:
        ValueError: for a name or mode that does not exist.
    """
    client.check(settings)
    if settings.name == "disabled":
        return _Run(None)
    while _UNFINISHED:  # of this process, as after an exception: one run at a time
        within(client.FINISH_SECONDS, _UNFINISHED.pop())
    try:
        run, online = _open(settings.mode, client.arguments(settings, folder, info), config, folder)
        if run is None:
            return _Run(None)
        _UNFINISHED.append(run.finish)
        to = client.destination(settings.project, run.entity if online else settings.entity, online)
        tracked = _Run(run, folder, info["run_id"], to)
        tracked.resume(before or {}, online)
        return tracked
    except Exception as error:
        _LOG.warning("W&B does not start (%s): this run is recorded, but not tracked.", first_line(error))
        return _Run(None)


def _open(
    mode: str, arguments: dict[str, Any], config: Mapping[str, Any], folder: Path
) -> tuple[client.Run | None, bool]:
    """The open W&B run, None for users who have disabled W&B on their machine, and whether it is online."""
    online = client.is_online(mode)
    if online is None:
        return None, False
    if online and has_outage(folder):
        _LOG.warning("W&B did not answer a run of this study a short time ago: this run is tracked offline.")
        online = False
    try:
        run = client.start(online, arguments, config)
        if online:
            end_outage(folder)
        return run, online
    except Exception as error:
        record_outage(folder, first_line(error))
        client.restart()
        run = client.start(False, arguments, config)
        _LOG.warning("W&B fails at the start (%s): this run is tracked offline.", first_line(error))
        return run, False


class _Run:
    """The tracker of an open W&B run; does nothing without one, or after a failure."""

    def __init__(
        self, run: client.Run | None, folder: Path | None = None, run_id: str = "", destination: str = ""
    ) -> None:
        self._run, self._folder, self._run_id, self._destination = run, folder, run_id, destination
        self._made = dict.fromkeys(TABLES, 0)
        self._sent = dict.fromkeys(TABLES, 0)

    def resume(self, before: Mapping[str, pl.DataFrame], online: bool) -> None:
        """Take up the count of rows, and send those `before` that W&B lacks."""
        assert self._run is not None
        self._made |= {table: frame.height for table, frame in before.items()}
        self._sent |= sent_before(self._run, online)
        if before:
            for row in numbered(before, self._sent):
                self._run.log(row)

    def log(self, table: str, row: Mapping[str, Any]) -> None:
        """Send one row, unless an earlier session has sent it."""
        if self._run is None:
            return
        try:
            named = history_row(table, row)
            self._made[table] += 1
            if self._made[table] > self._sent[table]:
                self._run.log(named | {counter(table): self._made[table]})
        except Exception as error:
            self._run = None
            _LOG.warning("W&B fails (%s): the rest of this run is recorded, not tracked.", first_line(error))

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        """Close the run, and note that it is published; a client that hangs is abandoned."""
        run, self._run = self._run, None
        _UNFINISHED.clear()
        if run is None:
            return
        in_time = within(client.FINISH_SECONDS, lambda: self._close(run, summary, exit_code))
        if not in_time:
            self._give_up(f"it still hangs {client.FINISH_SECONDS:g} s after the run")

    def _close(self, run: client.Run, summary: Mapping[str, Any], exit_code: int) -> None:
        try:
            client.close(run, summary, exit_code)
            if self._folder is not None and (self._folder / self._run_id / "run.json").exists():
                sent = run_digest(self._folder / self._run_id)
                Publications(self._folder).note(self._destination, run.id, sent, run.url)
        except Exception as error:
            self._give_up(first_line(error))

    def _give_up(self, reason: str) -> None:
        if self._folder is not None:
            record_outage(self._folder, reason)
        _LOG.warning(
            "W&B did not close this run (%s); `wandb sync` or `python -m rl_warmup.publish` completes it.", reason
        )


def sent_before(run: client.Run, online: bool) -> dict[str, int]:
    """How many rows of each table the server, or offline the files of earlier sessions, have of a run."""
    arrived: Any = run.summary if online else client.written_before(run)
    return {table: int(arrived.get(counter(table)) or 0) for table in TABLES}
