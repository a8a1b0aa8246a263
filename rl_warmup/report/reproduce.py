"""What it takes to make the runs of a study again, and what plays its agents."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_warmup.records.study import read_commands
from rl_warmup.records.words import quoted


def reproduce(folder: Path, infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What it takes to make the runs of a study again; a list holds every value that occurs among its runs."""
    times = {key: [str(info[key]) for info in infos if info.get(key)] for key in ("started", "finished")}
    hours = sum((info.get("wall_seconds") or 0.0) / info.get("members", 1) for info in infos) / 3600
    versions: dict[str, set[str]] = defaultdict(set)
    for info in infos:
        for name, version in (info.get("versions") or {}).items():
            versions[name].add(str(version))
    lists = {"hardware": "hardware", "git_commits": "git_commit", "devices": "device", "threads": "threads"}
    return {
        "commands": read_commands(folder),
        "versions": {name: sorted(found) for name, found in sorted(versions.items())},
        **{key: sorted({info[one] for info in infos if info.get(one) is not None}) for key, one in lists.items()},
        "started": min(times["started"], default=None),
        "finished": max(times["finished"], default=None),
        "training_hours": round(hours, 3),
        **_agents(folder, infos),
    }


def _agents(folder: Path, infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many runs kept their agents, and what plays the best one of every environment and algorithm."""
    best: dict[tuple[str, str], tuple[float, str]] = {}
    kept = [info for info in infos if info.get("model")]
    for info in kept:
        returned, task = info["model"]["return"], (info["config"]["env"]["id"], info["config"]["algo"]["name"])
        found = (-math.inf if returned is None else float(returned), str(info["run_id"]))
        best[task] = max(found, best.get(task, found))
    commands = [f"python -m rl_warmup.enjoy {quoted(folder / run_id)}" for _, run_id in best.values()]
    return {"agents": {"kept": len(kept), "runs": len(infos), "commands": commands}} if kept else {}
