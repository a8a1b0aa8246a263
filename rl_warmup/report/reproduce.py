"""Where the numbers of a report come from: commands, versions, hardware and time, from the records."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rl_warmup.analysis.runs import Run
from rl_warmup.records.study import read_commands


def reproduce(folder: Path, runs: Iterable[Run]) -> dict[str, Any]:
    """What it takes to make the runs of a study again; a list holds every value that occurs among its runs."""
    infos = [run.info for run in runs]
    times = {key: sorted(str(info[key]) for info in infos if info.get(key)) for key in ("started", "finished")}
    return {
        "commands": read_commands(folder),
        "versions": _versions(infos),
        "hardware": _values(infos, "hardware"),
        "git_commits": _values(infos, "git_commit"),
        "devices": _values(infos, "device"),
        "threads": _values(infos, "threads"),
        "started": times["started"][0] if times["started"] else None,
        "finished": times["finished"][-1] if times["finished"] else None,
        "training_hours": round(
            sum((info.get("wall_seconds") or 0.0) / info.get("members", 1) for info in infos) / 3600, 3
        ),
    }


def _values(infos: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
    return sorted({info[key] for info in infos if info.get(key) is not None})


def _versions(infos: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for info in infos:
        for name, version in (info.get("versions") or {}).items():
            found[name].add(str(version))
    return {name: sorted(versions) for name, versions in sorted(found.items())}
