"""`python -m rl_warmup.dashboard DIR`: report.json of a study -> its W&B workspaces and its W&B report."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from rl_warmup import terminal
from rl_warmup.config.schema import TrackingConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.publish import chosen, command_line
from rl_warmup.records import atomic, words
from rl_warmup.records.read import Record, read_study
from rl_warmup.records.schema import RecordError
from rl_warmup.tracking import client, upload
from rl_warmup.tracking.sent import Destination, publishing
from rl_warmup.tracking.study_run import current_report, drawn, is_sent, study_run_id

if TYPE_CHECKING:
    from rl_warmup.tracking.views import View

SAVE_SECONDS = 6.0
"""Patience with a server that does not answer when a workspace or report is saved; then the others wait too."""

_EXPLANATION = """\
Makes the W&B workspace of a study (one for each algorithm and environment) and a W&B report with
its findings, from report.json, or brings them up to date: verdicts, return curves by warmup and
learning rate, stability, dose, diagnostics, parallel coordinates, diverged runs. What they show is
sent by `python -m rl_warmup.publish DIR`. DIR/published.jsonl says where they are; what did not
change is not sent again. DIR/dashboard.json holds their specification in any case; without an API
key (`wandb login` stores one), or with --offline, that is all.

exit code:
  0  they are up to date at W&B, or without an API key the specification is written
  1  W&B did not take them; the specification is written, and the same command tries again
  2  DIR is not the folder of a study with runs to report on, another process publishes it,
     or wandb-workspaces is not installed
"""


def dashboard(folder: Path, settings: TrackingConfig, console: Console, *, again: bool = False) -> int:
    """Write dashboard.json, and bring the workspaces and the report of a study at W&B up to date; the exit code.

    Args:
        settings: project, entity and mode of W&B.
        again: send also what the ledger says is there.

    Raises:
        RecordError: if `folder` is not that of a study with runs to report on, or another process publishes it.
        ImportError: if wandb-workspaces is not installed.
        OSError: if the specification or the ledger cannot be written.
    """
    from rl_warmup.tracking.views import views  # needs the extra `dashboard`

    records, _ = read_study(folder)
    with publishing(folder):
        report = current_report(folder, records)
        if not report:
            raise RecordError(f"{folder} has no run to report on")
        name = str(report["study"]["name"] or folder.name)
        found = views(name, report, settings.project, [path.stem for path in drawn(folder, report)])
        atomic.write_text(folder / "dashboard.json", specification(found, folder, settings))
        online = client.is_online(settings.mode)
        if not online:
            how = _apply(folder, settings) if online is False else "enable W&B first (WANDB_MODE)"
            _print(console, f"written: {folder / 'dashboard.json'}; W&B is not asked. To apply it: {how}")
            return 0
        to = Destination.of(folder, settings, online=True)
        if missing := unpublished(records, report, to):
            way_out = f"python -m rl_warmup.publish {words.quoted(folder)} sends what is shown"
            _print(console, f"not published: {missing}; {way_out}")
        return _save(found, study_run_id(name, to), to, console, again)


def specification(found: Sequence[View], folder: Path, settings: TrackingConfig) -> str:
    """The text of dashboard.json: the specifications of workspaces and report, and how to apply them."""
    content = {
        "apply": _apply(folder, settings),
        "project": settings.project,
        "entity": settings.entity,
        "workspaces": [view.spec for view in found if view.key != "report"],
        "report": next(view.spec for view in found if view.key == "report"),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def unpublished(records: Sequence[Record], report: Mapping[str, Any], to: Destination) -> str:
    """What of the study is not at W&B as it is now, in words; "" if all is."""
    runs = sum(not to.ledger.holds(to.name, item.id, item.digest) for item in upload.items_of(records, report))
    parts = [words.counted(runs, "run")] if runs else []
    return " and ".join(parts + ([] if is_sent(report, to) else ["the study's tables and figures"]))


def _save(found: Sequence[View], study_run: str, to: Destination, console: Console, again: bool) -> int:
    """Send the views that changed, and print where all are; stops where the server fails."""
    from rl_warmup.tracking.views import save

    for view in found:
        known = to.ledger.place(to.name, view.key)
        done = "unchanged"
        if again or known is None or not to.ledger.holds(to.name, view.key, view.digest):
            done = "updated" if known else "created"
            try:
                known = client.in_time(SAVE_SECONDS, partial(save, view, str(to.entity), study_run, known))
            except Exception as error:
                client.restart()  # a client that waits for an answer would keep the process
                print(f"error: W&B did not take the {view.key}: {words.first_line(error)}", file=sys.stderr)
                print("dashboard.json holds it, and the same command tries again", file=sys.stderr)
                return 1
            to.ledger.note(to.name, view.key, view.digest, known)
        _print(console, f"{view.key} {done}: {known.split()[-1]}")
    return 0


def _apply(folder: Path, settings: TrackingConfig) -> str:
    entity = ["--entity", settings.entity] if settings.entity else []
    where = shlex.join([str(folder), "--project", settings.project, *entity])
    return f"wandb login; python -m rl_warmup.publish {where}; python -m rl_warmup.dashboard {where}"


def _print(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)


@terminal.command("the same command does the rest")
def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command line; the exit code."""
    given = command_line("python -m rl_warmup.dashboard", _EXPLANATION, "write dashboard.json").parse_args(argv)
    try:
        return dashboard(given.folder, chosen(given), Console(), again=given.again)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "wandb_workspaces":
            raise
        install = "pip install -c constraints.txt -e '.[dashboard]'"
        print(f"error: wandb-workspaces is not installed: {install}", file=sys.stderr)
        return 2
    except (ConfigError, RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except client.Unusable as error:
        print(f"error: {error}; dashboard.json is written, and the same command tries again", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
