"""The W&B client as we use it: discreet, with little patience, one run a call; the only code that imports it."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rl_warmup.config.schema import TrackingConfig
from rl_warmup.records.words import digest, first_line

if TYPE_CHECKING:
    import wandb

    Run = wandb.Run

# Patience in seconds. With INIT and FINISH a run waits for W&B less than 20 s.
INIT_SECONDS = 8.0  # with a server that does not answer when a run starts
UPLOAD_SECONDS = 7.0  # with the upload that is left when a run ends; the rest waits for `wandb sync` or `publish`
FINISH_SECONDS = 9.0  # with the client itself when a run ends
ASK_SECONDS = 6.0  # with a server that is asked for the owner of the key
READ_SECONDS = 5.0  # with the reader of an offline file, when a run resumes
TEARDOWN_SECONDS = 2.0  # with a client that is abandoned

Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)


class Unusable(Exception):
    """The client refuses its settings, or the server does not answer; the message says which."""


def within(seconds: float, action: Callable[[], object]) -> bool:
    """Whether `action` ended in time, be it by an exception; otherwise it runs on in a daemon thread."""
    begun = _begun(action)
    wait([begun], seconds)
    return begun.done()


def in_time(seconds: float, action: Callable[[], Result]) -> Result:
    """What `action` returns or raises; TimeoutError once it takes longer, and it runs on in a daemon thread."""
    try:
        return _begun(action).result(seconds)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {seconds:g} s") from error


def _begun(action: Callable[[], Result]) -> Future[Result]:
    future: Future[Result] = Future()

    def settle() -> None:
        try:
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=settle, daemon=True).start()
    return future


def _configured() -> wandb.Settings:
    """The client's settings."""
    import wandb

    os.environ.pop("WANDB_SERVICE", None)  # a service that is inherited ends with the process that started it
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # the client's telemetry is not the user's
    return wandb.setup(wandb.Settings(silent=True)).settings


def is_online(mode: str) -> bool | None:
    """Whether runs go to a server, by `mode`, WANDB_MODE and API key; None for users who have disabled W&B.

    Raises:
        Unusable: for a key, an address or a mode that the client refuses.
    """
    import wandb  # takes half a second, which a run without tracking does not pay

    try:
        configured = _configured().mode
        wanted = mode if mode != "auto" else os.environ.get("WANDB_MODE", configured)
        if wanted == "disabled":
            return None
        online = wanted not in ("offline", "dryrun") and bool(wandb.login(prompt=False, verify=False))
    except Exception as error:
        raise Unusable(f"W&B cannot be used: {first_line(error)}") from error
    if mode == "online" and not online:
        _warn_of_no_key()
    return online


@cache
def _warn_of_no_key() -> None:  # once a process
    _LOG.warning("W&B has no API key (`wandb login` stores one): this goes into offline files.")


def start(
    online: bool,
    settings: TrackingConfig,
    folder: Path,
    info: Mapping[str, Any],
    config: Mapping[str, Any],
    identity: str | None = None,
) -> wandb.Run:
    """Open a W&B run, or resume the one of the same id.

    Texts are cut to the lengths that W&B takes, some of them only at `wandb sync`.

    Args:
        online: otherwise into files for `wandb sync`.
        folder: of the study; files go to `folder`/wandb.
        info: of run.json: `run_id` and `attempt_id`, `cell` (the group), `arm` (the job type), `study` (a tag).
        identity: its W&B id, if not the one of `info`.

    Raises:
        OSError: if `folder`/wandb cannot be made; the client would take the system's temporary folder.
        Exception: what the client raises.
    """
    import wandb

    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    cell, study = info.get("cell"), info.get("study")
    run = wandb.init(
        mode="online" if online else "offline",
        config={key: value for key, value in config.items() if key != "runs_dir"},  # of nobody else's machine
        settings=wandb.Settings(**_discreet(wandb)),
        id=identity or wandb_id(info["run_id"], str(info.get("attempt_id", ""))),
        name=fit(info["run_id"], 128),
        group=fit(cell, 128) if cell else None,
        job_type=fit(info["arm"], 64),
        tags=[fit(study, 64)] if study else None,
        project=settings.project,
        entity=settings.entity,
        dir=str(folder),
        resume="allow",
        # By default the client returns the run that is still open: two runs of a process would be one.
        reinit="create_new",
    )
    for prefix in ("eval", "train", "dose", "diagnostics"):
        run.define_metric(f"{prefix}/*", step_metric="env_step")
    return run


def written_before(run: wandb.Run) -> dict[str, Any]:
    """The last values in the history of the files that earlier sessions left of a run, by W&B's own reader."""
    own = Path(run.dir).parent
    last: dict[str, Any] = {}
    for path in sorted(own.parent.glob(f"*run-*-{run.id}/*.wandb")):
        if path.parent != own:
            command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
            done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=READ_SECONDS)
            records = map(json.loads, done.stdout.splitlines())
            for row in (record["history"]["item"] for record in records if record["type"] == "history"):
                last |= row
    return last


def restart() -> None:
    """A fresh client: the old one may hold on to a run's id, or its service has died."""
    import wandb

    within(TEARDOWN_SECONDS, wandb.teardown)
    _configured()


def close(run: wandb.Run, summary: Mapping[str, Any], exit_code: int) -> None:
    """End a run with its final values; offline files of one that is at the server are marked as synced.

    Raises what the client raises, also for an upload that takes too long.
    """
    earlier: Any = dict(run.summary)  # None replaces a value that was sent before
    run.summary.update({key: value for key, value in summary.items() if value is not None or key in earlier})
    run.finish(exit_code=exit_code)
    if not run.offline:
        for path in Path(run.dir).parent.parent.glob(f"offline-run-*-{run.id}/*.wandb"):
            path.with_suffix(".wandb.synced").touch()


def api() -> wandb.Api:
    """The client's interface to the server; asks for the owner of the key. Raises what the client raises."""
    import wandb

    return wandb.Api()


def account(settings: TrackingConfig, online: bool) -> str | None:
    """The user or team to whom runs go, by the settings, the client's own, or the server, which knows by the key.

    Raises:
        Unusable: if the server does not answer in time; the client is a fresh one then.
    """
    if settings.entity or not online:
        return settings.entity
    try:
        return in_time(ASK_SECONDS, _default_entity)
    except Exception as error:
        restart()  # one that waits for an answer would keep the process
        raise Unusable(f"W&B does not say who we are: {first_line(error)}") from error


def destination(project: str, entity: str | None, online: bool) -> str:
    """Where a study is sent, as published.jsonl names it: server, user or team, project."""
    server = _configured().base_url if online else "offline"
    return f"{server}/{entity or ''}/{project}"


def web_address(project: str, entity: str | None) -> str:
    """Where a person finds what is sent; without asking the server, who knows the default entity."""
    configured = _configured()
    owner = entity or configured.entity
    if owner:
        return f"{configured.app_url}/{owner}/{project}"
    return f"the project {project} of your account at {configured.app_url}"


def _default_entity() -> str:
    asked = api()
    return str(asked.settings["entity"] or asked.default_entity)


def wandb_id(run_id: str, attempt_id: str) -> str:
    """The W&B id of one attempt: `run_id`-`attempt_id` in characters that W&B takes, 64 at most."""
    return fit(f"{run_id}-{attempt_id}", 64, unusual=r"[^A-Za-z0-9_.-]")


def fit(text: str, length: int, unusual: str = "") -> str:
    """`text`, or, where it is too long or has `unusual` characters, its tame beginning and its digest."""
    tame = re.sub(unusual, "-", text) if unusual else text
    if tame == text and len(text) <= length:
        return text
    return f"{tame[: length - 17]}-{digest(text)}"


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


def table(rows: Sequence[Mapping[str, Any]]) -> wandb.Table:
    """A table of W&B with a column for every key, numbers as numbers; a key that a row lacks is empty there."""
    import wandb

    columns: list[str | int] = list(dict.fromkeys(key for row in rows for key in row))
    return wandb.Table(
        columns=columns, data=[[row.get(str(key)) for key in columns] for row in rows], allow_mixed_types=True
    )


def artifact(name: str, kind: str, files: Sequence[Path]) -> wandb.Artifact:
    """An artifact of W&B with these files."""
    import wandb

    made = wandb.Artifact(name, kind)
    for path in files:
        made.add_file(str(path))
    return made


def image(path: Path) -> wandb.Image:
    """A picture of W&B."""
    import wandb

    return wandb.Image(str(path))
