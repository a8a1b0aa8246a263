"""What run.json says of a run when a process opens its records, and while it trains."""

import math
from collections.abc import Mapping
from typing import Any

from rl_warmup.records.checkpoints import Checkpoint


def begin(
    info: Mapping[str, Any],
    earlier: Mapping[str, Any],
    checkpoint: Checkpoint | None,
    restarted_because: str | None,
    attempt_id: str,
    now: str,
) -> dict[str, Any]:
    """run.json of a run when a process opens its records.

    With a checkpoint, an interrupted run is resumed in the same attempt, one whose process was recorded as killed
    in another. Without one it restarts, in another attempt.

    Args:
        info: what is the same in every session.
        earlier: run.json as the last session left it; empty if there was none.
        restarted_because: why its checkpoint is not used, if there is one.
        attempt_id: of the attempt, if it is another.
    """
    same = checkpoint is not None and earlier["status"] == "running"
    attempts = earlier.get("earlier_attempts", [])
    if earlier and not same:
        kept = ("attempt_id", "status", "error", "started", "env_steps")
        attempts = [*attempts, {key: earlier.get(key) for key in kept}]
    clocks = () if checkpoint is None else (earlier, checkpoint.values)  # the one that was written last is ahead
    return {
        **info,
        "status": "running",
        "attempt_id": earlier["attempt_id"] if same else attempt_id,
        "error": None,
        "started": earlier["started"] if same else now,
        "sitting_started": now,
        "finished": None,
        "wall_seconds": max((clock.get("wall_seconds") or 0.0 for clock in clocks), default=None),
        "env_steps": 0,
        "gradient_steps": 0,
        "latest_return": None,
        "model": None if checkpoint is None else checkpoint.values.get("model"),
        "resumed": earlier.get("resumed", []) if checkpoint is not None else [],
        "begun_again": restarted_because,
        "earlier_attempts": attempts,
    }


def progress(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json says of how far a run is, from the last row of a table."""
    if table == "updates":
        return {"gradient_steps": row["gradient_step"]}
    if table == "evaluations":
        latest = sum(row["returns"]) / len(row["returns"])
        return {"env_steps": row["env_step"], "latest_return": latest if math.isfinite(latest) else None}
    return {}
