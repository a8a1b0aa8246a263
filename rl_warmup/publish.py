"""`python -m rl_warmup.publish DIR`: the records of a study -> W&B, a run each, and the study's own."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from rl_warmup import terminal
from rl_warmup.config.checks import check
from rl_warmup.config.schema import WANDB_NAME, TrackingConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.read import read_config
from rl_warmup.records.schema import RecordError
from rl_warmup.tracking.upload import publish

_EXPLANATION = """\
Sends the records of a study to W&B: one W&B run for every run that is not being trained, with
its config, curves, dose, diagnostics and metrics, and one for the study, with its tables and
figures. Sends only what is new or changed; published.jsonl in DIR says what was sent. Runs that
were tracked live are completed, not doubled. Without an API key (`wandb login` stores one), or
with --offline, writes offline files into DIR/wandb, which `wandb sync` uploads.

exit code:
  0  everything is published
  1  something is missing; it is named, and the same command completes it
  2  DIR is not the folder of a study, or another process publishes it
"""


def command_line(prog: str, explanation: str, offline: str) -> argparse.ArgumentParser:
    """What the commands that send a study to W&B have in common; `offline` is what they do without a server."""
    parser = argparse.ArgumentParser(
        prog=prog, description=explanation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder of a study, e.g. runs/quick")
    parser.add_argument("--project", help="W&B project (default: the one that the study's last run was given)")
    parser.add_argument("--entity", help="W&B user or team (default: likewise, or yours)")
    parser.add_argument("--offline", action="store_true", help=f"{offline}, and ask no server")
    parser.add_argument(
        "--again", action="store_true", help="ask the server about everything, do not trust the ledger"
    )
    return parser


def chosen(given: argparse.Namespace) -> TrackingConfig:
    """Where to send: as the command line says, or else as `tracking` of the study's last run did.

    Raises:
        ConfigError: for a name that W&B does not take.
    """
    last: Mapping[str, Any] = {}
    for path in sorted(given.folder.glob("*/config.yaml"), key=lambda path: path.stat().st_mtime, reverse=True):
        with suppress(OSError, yaml.YAMLError, KeyError, TypeError):  # that run is named as a problem later
            last = dict(read_config(path.parent)["tracking"])
            break
    settings = TrackingConfig(
        mode="offline" if given.offline else "auto",
        project=given.project or last.get("project", TrackingConfig.project),
        entity=given.entity or last.get("entity"),
    )
    for name, value in (("--project", settings.project), ("--entity", settings.entity)):
        if value is not None:
            check(name, value, WANDB_NAME)
    return settings


@terminal.command("what was sent stays; the same command sends the rest")
def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command line; the exit code."""
    parser = command_line("python -m rl_warmup.publish", _EXPLANATION, "write files for `wandb sync`")
    parser.add_argument("--checkpoints", action="store_true", help="also the checkpoints of unfinished runs")
    parser.add_argument(
        "--models", action="store_true", help="also the agents that runs kept (keep=), as artifacts"
    )
    given = parser.parse_args(argv)
    try:
        return publish(
            given.folder,
            chosen(given),
            Console(),
            checkpoints=given.checkpoints,
            agents=given.models,
            again=given.again,
        )
    except (ConfigError, RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
