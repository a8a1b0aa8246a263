"""The states of a study's runs, each run.json read once; no torch, so that ten thousand take seconds."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from sys import intern
from typing import Any

from rl_warmup.config.study import flat
from rl_warmup.records.checkpoints import start_of
from rl_warmup.records.locks import is_training
from rl_warmup.records.provenance import versions
from rl_warmup.records.read import no_study, read_info
from rl_warmup.records.schema import FINISHED, RecordError
from rl_warmup.records.words import error_line
from rl_warmup.records.write import seconds_trained, session_started

STATES = ("completed", "diverged", "running", "failed", "interrupted", "unreadable", "missing")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RunState:
    """What is known of a run from run.json and its lock, in a few hundred bytes."""

    run_id: str
    state: str
    """One of `STATES`; `running` only while a process holds its lock."""
    kind: str = UNKNOWN
    """See `kind_of`."""
    env_steps: int = 0
    """Environment steps done, up to the last evaluation; of a run that is to resume, up to its checkpoint."""
    seconds: float = 0.0
    """Seconds that one process has spent on it: all its sessions, shared among the members of a stack."""
    session: tuple[float, float] | None = None
    """When the last session began and ended, or now; seconds since 1970."""
    members: int = 1
    failures: int = 0
    """Attempts that failed; interruptions are none."""
    error: str | None = None
    """What went wrong, in one line."""
    versions: str = ""
    """In what the versions that made it differ from today's, in words."""

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.state in FINISHED

    def is_to_do(self, retries: int) -> bool:
        """Whether a sweep trains it that tries a failed run `retries` times again."""
        if self.state == "failed":
            return self.failures <= retries
        return self.state in ("missing", "interrupted")


def read_state(folder: Path, identity: Mapping[str, Any] | None = None) -> RunState:
    """The state of the run in `folder`; with `identity`, only if the record is of that canonical config.

    Raises:
        ForeignRecordError: if it is the record of another.
    """
    try:
        info = read_info(folder)
    except RecordError as error:
        if is_training(folder):
            return RunState(folder.name, "running")
        if not os.path.exists(folder / "run.json"):  # noqa: PTH110, it is faster
            return RunState(folder.name, "missing")
        return RunState(folder.name, "unreadable", error=str(error))
    if identity is not None and info["config"] != identity:
        raise ForeignRecordError(folder, info["config"], identity)
    try:
        return _of(folder, info)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        return RunState(folder.name, "unreadable", error=f"{folder / 'run.json'} holds what it should not: {error}")


def read_states(folder: Path, expected: Iterable[str] = ()) -> Iterator[RunState]:
    """The state of every run of a study, in the order of run ids; `expected` are missing if they have no record.

    Raises:
        RecordError: if `folder` is no folder.
    """
    if not folder.is_dir():
        raise no_study(folder)
    wanted = set(expected)
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries if entry.is_dir()}
    for name in sorted(names | wanted):
        found = read_state(folder / name)
        if name in wanted or found.state != "missing" or (folder / name / "config.yaml").exists():
            yield found


class ForeignRecordError(RecordError):
    """A record in the folder of a run that is not that run's."""

    def __init__(self, folder: Path, found: Any, wanted: Mapping[str, Any]) -> None:
        there, here = flat(found if isinstance(found, Mapping) else {"config": found}), flat(wanted)
        keys = sorted(key for key in {**there, **here} if there.get(key) != here.get(key))
        differ = ", ".join(f"{key} {there.get(key)} instead of {here.get(key)}" for key in keys[:3])
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        super().__init__(
            f"{folder} holds the record of another config ({differ}{more}); it is neither used nor overwritten: "
            "move it away, or use another study.name"
        )


def kind_of(config: Mapping[str, Any]) -> str:
    """Trainer, algorithm and environment of a canonical config, e.g. `stacked ppo CartPole-v1`."""
    try:
        return intern(f"{config['trainer']['name']} {config['algo']['name']} {config['env']['id']}")
    except (KeyError, TypeError):
        return UNKNOWN


def _of(folder: Path, info: Mapping[str, Any]) -> RunState:
    state = str(info["status"])
    if state not in FINISHED:
        state = "running" if is_training(folder) else "failed" if state == "failed" else "interrupted"
    members = int(info.get("members") or 1)
    session = _session(info, state == "running")
    live = state == "running" and session is not None
    attempts = [info, *info.get("earlier_attempts", ())]
    return RunState(
        run_id=folder.name,
        state=intern(state),
        kind=kind_of(info["config"]),
        env_steps=start_of(folder)[0] if state in ("failed", "interrupted") else int(info.get("env_steps") or 0),
        seconds=(seconds_trained(info) if live else info.get("wall_seconds") or 0.0) / members,
        session=session,
        members=members,
        failures=sum(attempt.get("status") == "failed" for attempt in attempts),
        error=error_line(info.get("error")),
        versions=_changed(json.dumps(info.get("versions") or {})),
    )


def _session(info: Mapping[str, Any], running: bool) -> tuple[float, float] | None:
    try:
        began = session_started(info).timestamp()
        ended = datetime.now().timestamp() if running else datetime.fromisoformat(info["finished"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return None
    return began, ended


@cache
def _changed(recorded: str) -> str:
    now, then = versions(), json.loads(recorded)
    changed = [name for name in then if now.get(name) != then[name]]
    return ", ".join(f"{name} {then[name]} (now {now.get(name, 'not installed')})" for name in changed)
