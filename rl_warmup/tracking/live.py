"""Weights & Biases: a copy of a run's rows for its web pages, never a condition for the run.

What W&B shows can be rebuilt from the record files, so a failure here ends in a warning and training continues.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from rl_warmup.config.schema import TrackingConfig
from rl_warmup.records.words import first_line
from rl_warmup.tracking import client, rows
from rl_warmup.tracking.outage import end_outage, has_outage, record_outage
from rl_warmup.tracking.sent import Publications, run_digest

_LOG = logging.getLogger(__name__)
_UNFINISHED: list[Callable[[], object]] = []


def open_tracker(
    settings: TrackingConfig, folder: Path, info: Mapping[str, Any], config: Mapping[str, Any]
) -> Tracker | None:
    """Open the W&B run of one attempt; None where nothing is tracked.

    A server that fails leaves an offline run for `wandb sync`, a client that fails leaves no W&B run: either logs
    one warning, and the study's other runs do not ask that server for a while.

    Args:
        folder: of the study; files go to `folder`/wandb.
        info: of run.json, as `client.start` takes it.
    """
    if settings.name == "disabled":
        return None
    while _UNFINISHED:  # of this process, as after an exception: one run at a time
        client.within(client.FINISH_SECONDS, _UNFINISHED.pop())
    try:
        run = _open(settings, folder, info, config)
        if run is None:
            return None
        _UNFINISHED.append(run.finish)
        entity = settings.entity if run.offline else run.entity
        to = client.destination(settings.project, entity, not run.offline)
        return Tracker(run, rows.sent_before(run), folder / info["run_id"], to)
    except Exception as error:
        _LOG.warning("W&B does not start (%s): this run is recorded, but not tracked.", first_line(error))
        return None


def _open(
    settings: TrackingConfig, folder: Path, info: Mapping[str, Any], config: Mapping[str, Any]
) -> client.Run | None:
    """The open W&B run; None for users who have disabled W&B on their machine."""
    online = client.is_online(settings.mode)
    if online is None:
        return None
    if online and has_outage(folder):
        _LOG.warning("W&B did not answer a run of this study a short time ago: this run is tracked offline.")
        online = False
    try:
        run = client.start(online, settings, folder, info, config)
        if online:
            end_outage(folder)
    except Exception as error:
        record_outage(folder, first_line(error))
        client.restart()
        run = client.start(False, settings, folder, info, config)
        _LOG.warning("W&B fails at the start (%s): this run is tracked offline.", first_line(error))
    return run


class Tracker:
    """Sends what is recorded of a run to its open W&B run; never raises, and does nothing after a failure."""

    def __init__(self, run: client.Run, sent: Mapping[str, int], folder: Path, destination: str) -> None:
        """`sent`: rows of each table that are at W&B; `folder`: of the run; `destination`: see `Publications`."""
        self._run: client.Run | None = run
        self._sent, self._folder, self._destination = sent, folder, destination

    def send(self, tables: Mapping[str, pl.DataFrame]) -> None:
        """Send the rows of the recorded `tables` that W&B lacks."""
        if self._run is None:
            return
        try:
            for row in rows.numbered(tables, self._sent, thinned=False):
                self._run.log(row)
            self._sent = {table: max(sent, tables[table].height) for table, sent in self._sent.items()}
        except Exception as error:
            self._run = None
            _LOG.warning("W&B fails (%s): the rest of this run is recorded, not tracked.", first_line(error))

    def finish(self, info: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> None:
        """Send what is left, close the run, and note that it is published; a client that hangs is abandoned."""
        self.send(tables)
        run, self._run = self._run, None
        _UNFINISHED.clear()
        if run is None:
            return
        if not client.within(client.FINISH_SECONDS, lambda: self._close(run, info, tables["updates"])):
            self._give_up(f"it still hangs {client.FINISH_SECONDS:g} s after the run")

    def _close(self, run: client.Run, info: Mapping[str, Any], updates: pl.DataFrame) -> None:
        try:
            rows.close(run, info, updates, metrics={})
            Publications(self._folder.parent).note(self._destination, run.id, run_digest(self._folder), run.url)
        except Exception as error:
            self._give_up(first_line(error))

    def _give_up(self, reason: str) -> None:
        record_outage(self._folder.parent, reason)
        _LOG.warning(
            "W&B did not close this run (%s); `wandb sync` or `python -m rl_warmup.publish` completes it.", reason
        )
