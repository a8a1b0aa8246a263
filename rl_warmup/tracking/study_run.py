"""The W&B run of a whole study: tables, intervals and figures of its report, and the progress of its sweeps."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from rl_warmup.config.study import flat
from rl_warmup.records.read import Record
from rl_warmup.records.words import digest, first_line
from rl_warmup.report.pooled import rows_of
from rl_warmup.report.verdicts import headline as verdict
from rl_warmup.report.words import interval, number
from rl_warmup.tracking import client
from rl_warmup.tracking.outage import record_outage
from rl_warmup.tracking.sent import Destination

JOB_TYPE = "study"
PROGRESS = "progress"
"""What the columns of a sweep's progress begin with, and what the process does that sends them."""


def study_run_id(name: str, to: Destination) -> str:
    """The W&B id of the study's run, the same at every destination: made once, then found in the ledger.

    Raises:
        OSError: if the ledger cannot be written.
    """
    place = to.ledger.place(to.name, "study") or to.ledger.anywhere("study")
    if place is not None:
        return place.split()[0]
    made = client.wandb_id(f"study-{name}", uuid.uuid4().hex[:8])
    to.ledger.note(to.name, "study", "", made)
    return made


def start_study_run(name: str, to: Destination, config: Mapping[str, Any]) -> client.Run:
    """Open the study's run, or resume it. Raises what the client raises."""
    about = {"run_id": f"study {name}", "arm": JOB_TYPE, "study": name}
    return client.start(to.online, to.settings, to.folder, about, config, study_run_id(name, to))


def publish_study(report: Mapping[str, Any], to: Destination, again: bool) -> list[str]:
    """Send the report's tables and figures to the study's run, if they changed; what is missing then, in words."""
    if is_sent(report, to) and not again:
        return []
    try:
        run = start_study_run(str(report["study"]["name"] or to.folder.name), to, declared(report))
        content: dict[str, Any] = {
            f"report/{table}": client.table(rows) for table, rows in tables(report).items() if rows
        }
        content |= {f"figures/{path.stem}": client.image(path) for path in drawn(to.folder, report)}
        run.log(content)
        client.close(run, headline(report), 0)
        to.ledger.note(to.name, "study", _digest(report), f"{run.id} {run.url or ''}".strip())
    except Exception as error:
        record_outage(to.folder, first_line(error))
        return [f"the study's own run: {first_line(error)}"]
    return []


def current_report(folder: Path, records: Sequence[Record]) -> dict[str, Any]:
    """The content of report.json, which is written if it is not there or older than a record; {} without runs."""
    path = folder / "report.json"
    newest = max((record.folder / "run.json").stat().st_mtime for record in records) if records else 0.0
    if not path.exists() or path.stat().st_mtime < newest:
        from rl_warmup.report.command import report  # imports all that analysis needs

        report(folder, Console(file=StringIO()))
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def is_sent(report: Mapping[str, Any], to: Destination) -> bool:
    """Whether the study's own run has the content of this report."""
    return to.ledger.holds(to.name, "study", _digest(report))


def drawn(folder: Path, report: Mapping[str, Any]) -> list[Path]:
    """The figures of a report that are there to be sent."""
    paths = [folder / "figures" / f"{figure['name']}.png" for figure in report["figures"]]
    return [path for path in paths if path.exists()]


def declared(report: Mapping[str, Any]) -> dict[str, Any]:
    """The declaration of a study, as the config of its run."""
    kept = ("name", "description", "declared", "control", "comparisons", "contrasts", "smallest_effect")
    return {key: report["study"][key] for key in kept} | {"order": report["study"].get("order")}


def headline(report: Mapping[str, Any]) -> dict[str, Any]:
    """The answers and the numbers of verdicts, for the summary of the study's run."""
    verdicts = [verdict(row) for row in report["comparisons"] if row["family"] == "confirmatory"]
    counts = {f"verdicts/{verdict}": verdicts.count(verdict) for verdict in sorted(set(verdicts))}
    over_all = [verdict(row) for row in rows_of(report)]
    counts |= {f"pooled/{verdict}": over_all.count(verdict) for verdict in sorted(set(over_all))}
    return {"answers": "\n".join(report["answers"]), "problems": len(report["problems"]), **counts}


def tables(report: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The flat tables of a report: pooled questions and comparisons (with intervals), cells, intervals (per cell
    and metric), dose, edges, runs.
    """
    return {
        "pooled": [_flat({**row, "by_environment": _each(row)}) for row in rows_of(report)],
        "comparisons": [_flat({**row, "headline": verdict(row)}) for row in report["comparisons"]],
        "cells": [
            _flat({**row, "metrics": {}} | {name: values["mean"] for name, values in row["metrics"].items()})
            for row in report["cells"]
        ],
        "intervals": [
            {"cell": f"{row['env']} {row['algo']} {row['trainer']} {row['arm']}", "metric": name, **values}
            for row in report["cells"]
            for name, values in row["metrics"].items()
            if values["mean"] is not None
        ],
        "dose": [_flat(row) for row in report["dose"]],
        "edges": [_flat(row) for row in report["robustness"]["edges"]],
        "runs": [_flat(row) for row in report["runs"]],
    }


def _each(row: Mapping[str, Any]) -> list[str]:
    """The difference of each environment of a pooled question with its interval, in words."""
    parts = row["by_environment"]
    return [
        f"{part['env']} {number(part['estimate'], sign=True)} {interval(part['ci_low'], part['ci_high'])}"
        for part in parts
    ]


def _digest(report: Mapping[str, Any]) -> str:
    return digest(json.dumps(report, sort_keys=True))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without nesting, lists in words."""
    return {
        key: ", ".join(map(str, value)) if isinstance(value, list) else value for key, value in flat(row).items()
    }
