"""Uploading the records of a study to W&B: a W&B run for each, and the study's own."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rl_warmup.config.schema import TrackingConfig
from rl_warmup.records import models
from rl_warmup.records.locks import is_training
from rl_warmup.records.read import Record, read_config, read_study
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import counted, digest, first_line, quoted
from rl_warmup.tracking import client, rows
from rl_warmup.tracking.outage import record_outage
from rl_warmup.tracking.sent import Destination, announce, publishing, run_digest, try_lock
from rl_warmup.tracking.study_run import PROGRESS, current_report, publish_study

AT_ONCE = 4
"""Runs that are sent side by side: what takes time is the server's answers."""
FAILURES = 3
"""Runs that may fail to arrive before the rest is left for the next time."""
LOST_SECONDS = 5.0
"""Seconds that may be spent on runs that fail to arrive, likewise."""
IN_USE = "the study's own run, to which a sweep is sending its progress"


@dataclass(frozen=True)
class Item:
    """A record that is to be sent."""

    record: Record
    id: str
    digest: str
    metrics: Mapping[str, Any]

    @property
    def model(self) -> str | None:
        """Digest of the agent that the run kept, if it has all of its files."""
        kept = self.record.info.get("model")
        if not kept or not models.is_as_recorded(self.record.folder, kept["sha256"]):
            return None
        return digest(json.dumps(kept["sha256"], sort_keys=True))


def publish(
    folder: Path,
    settings: TrackingConfig,
    console: Console,
    *,
    checkpoints: bool = False,
    agents: bool = False,
    again: bool = False,
) -> int:
    """Send what is new of the study in `folder`; the exit code, with what is missing named on stderr.

    Args:
        checkpoints: send the checkpoint of every run that has one, as an artifact.
        agents: send the agent of every run that has kept one, as an artifact.
        again: ask the server about everything, also what the ledger says is there; rows are not doubled.

    Raises:
        RecordError: if `folder` is not the folder of a study, or another process publishes it.
        OSError: if the ledger cannot be written.
    """
    records, problems = read_study(folder)
    with publishing(folder):
        try:
            online = client.is_online(settings.mode)
            if online is None:
                console.print("W&B is disabled on this machine (WANDB_MODE); nothing is published")
                return 1
            to = Destination.of(folder, settings, online)
        except client.Unusable as error:
            return _missing(folder, [str(error)])
        report = current_report(folder, records)
        problems += [f"{record.folder.name} is being trained" for record in records if is_training(record.folder)]
        items = items_of(records, report)
        sender = Sender(to, checkpoints, agents, again)
        todo = [
            item
            for item in items  # offline a run that was tracked live lacks metrics only, and is left as it is
            if again
            or checkpoints
            or sender.lacks_agent(item)
            or not to.ledger.holds(to.name, item.id, item.digest, rows_only=not online)
        ]
        if to.online and todo:
            way_out = "--offline writes files instead, Ctrl-C stops it"
            announce(replace(settings, entity=to.entity), folder, len(todo), way_out, console)
        problems += sender.send_all(todo, console)
        if report and not sender.gave_up:
            with try_lock(folder, PROGRESS) as free:
                problems += publish_study(report, to, again) if free else [IN_USE]
    _report_sent(console, to, sender.arrived, len(todo), len(items))
    if agents:
        kept = sum(item.model is not None for item in items)
        console.print(f"{kept:,} of {counted(len(items), 'run')} kept an agent", highlight=False)
    return _missing(folder, problems)


class Sender:
    """Sends records side by side, and stops when the server fails."""

    def __init__(self, to: Destination, checkpoints: bool, agents: bool, again: bool) -> None:
        """See `publish`."""
        self._to, self._checkpoints, self._agents, self._again = to, checkpoints, agents, again
        self._failures, self._lost = 0, 0.0
        self.arrived, self._left = 0, 0

    @property
    def gave_up(self) -> bool:
        """Whether the server failed too often."""
        return self._failures >= FAILURES or self._lost >= LOST_SECONDS

    def lacks_agent(self, item: Item) -> bool:
        """Whether the agent of a run is to be sent."""
        wanted = self._agents and item.model is not None
        return wanted and (self._again or not self._to.ledger.holds(self._to.name, _agent(item), str(item.model)))

    def send_all(self, items: Sequence[Item], console: Console) -> list[str]:
        """Send records; what is missing then, in words."""
        columns = (TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as progress, ThreadPoolExecutor(AT_ONCE) as pool:
            sent = progress.track(pool.map(self._send, items), total=len(items))
            problems = [problem for problem in sent if problem]
        if self._left:
            problems.append(f"{counted(self._left, 'run')} more, since the server fails")
        return problems

    def _send(self, item: Item) -> str | None:
        """Send one record, unless the server failed too often; why it is missing, if it is."""
        if self.gave_up:
            self._left += 1
            return None
        began = time.monotonic()
        try:
            tables = {table: item.record.table(table) for table in rows.TABLES}
            config, with_agent = read_config(item.record.folder), self.lacks_agent(item)
        except (RecordError, OSError, yaml.YAMLError) as error:
            return first_line(error)
        try:
            address = self._upload(item, tables, config, with_agent)
            self._to.ledger.note(self._to.name, item.id, item.digest, address)
            if with_agent:
                self._to.ledger.note(self._to.name, _agent(item), str(item.model))
            self.arrived += 1
            return None
        except Exception as error:
            self._failures += 1
            self._lost += time.monotonic() - began
            record_outage(self._to.folder, first_line(error))
            return f"{item.record.folder.name}: {first_line(error)}"

    def _upload(self, item: Item, tables: Mapping[str, Any], config: Mapping[str, Any], with_agent: bool) -> str:
        """Send what W&B lacks of a record; its address there."""
        to, record = self._to, item.record
        run = client.start(to.online, to.settings, to.folder, record.info, config)
        for row in rows.numbered(tables, rows.sent_before(run)):
            run.log(row)
        if self._checkpoints and (record.folder / "checkpoint").is_dir():
            run.log_artifact(record.folder / "checkpoint", name=f"checkpoint-{item.id}", type="checkpoint")
        if with_agent:
            run.log_artifact(client.artifact(_agent(item), "model", models.present(record.folder)))
        rows.close(run, record.info, tables["updates"], item.metrics)
        return str(run.url or "")


def _agent(item: Item) -> str:
    """What the agent of a run is called, among the artifacts and in the ledger."""
    return f"model-{item.id}"


def items_of(records: Sequence[Record], report: Mapping[str, Any]) -> list[Item]:
    """What is to be sent of a study's runs: all that are not being trained."""
    metrics = {row["run_id"]: row["metrics"] for row in report.get("runs", ())}
    items = []
    for record in records:
        if is_training(record.folder):
            continue
        info, of_run = record.info, metrics.get(record.info["run_id"], {})
        wandb_id = client.wandb_id(info["run_id"], str(info.get("attempt_id", "")))
        items.append(Item(record, wandb_id, run_digest(record.folder, of_run), of_run))
    return items


def _report_sent(console: Console, to: Destination, arrived: int, todo: int, total: int) -> None:
    """Print what was sent, and where it is."""
    part = "" if arrived == todo else f" of {todo:,}"
    there = f", {total - todo:,} were there" if total > todo else ""
    where = f"into {to.folder / 'wandb'} (`wandb sync {quoted(to.folder / 'wandb')}/offline-run-*` uploads)"
    if to.online:
        address = (to.ledger.place(to.name, "study") or "").partition(" ")[2]
        where = f"to W&B: {address}" if address else "to W&B"
    console.print(
        f"{counted(arrived, 'run')}{part} sent {where}{there}", soft_wrap=True, highlight=False, markup=False
    )


def _missing(folder: Path, problems: Sequence[str]) -> int:
    """Name what is not published; the exit code."""
    for problem in problems:
        print(f"not published: {problem}", file=sys.stderr)
    if problems:
        print(f"python -m rl_warmup.publish {quoted(folder)} completes it", file=sys.stderr)
    return 1 if problems else 0
