"""What run.json says when a process opens a run's records."""

from typing import Any

import pytest

from rl_warmup.records.checkpoints import Checkpoint
from rl_warmup.records.write import begin, progress

INFO = {"run_id": "r", "seed": 0}
RESUMED = [{"env_step": 8, "environments": "replayed"}]
LEFT = {
    **{"attempt_id": "old", "status": "running", "error": None, "started": "then", "env_steps": 16},
    **{"wall_seconds": 3.0, "resumed": RESUMED, "earlier_attempts": [{"attempt_id": "older"}]},
}
ATTEMPT = {"attempt_id": "old", "status": "running", "error": None, "started": "then", "env_steps": 16}
KILLED = {"status": "failed", "error": "killed by signal 9 (SIGKILL)"}


def checkpoint(seconds: float) -> Checkpoint:
    return Checkpoint(16, 0, {"wall_seconds": seconds}, {}, {})


@pytest.mark.parametrize(
    ("earlier", "found", "reason", "expected"),
    [
        ({}, None, None, ("new", "now", None, [], [])),
        (LEFT, checkpoint(2.0), None, ("old", "then", 3.0, RESUMED, [{"attempt_id": "older"}])),
        (LEFT, checkpoint(5.0), None, ("old", "then", 5.0, RESUMED, [{"attempt_id": "older"}])),
        (
            LEFT | KILLED,
            checkpoint(2.0),
            None,
            ("new", "now", 3.0, RESUMED, [{"attempt_id": "older"}, ATTEMPT | KILLED]),
        ),
        (LEFT, None, "damaged", ("new", "now", None, [], [{"attempt_id": "older"}, ATTEMPT])),
        (LEFT | KILLED, None, None, ("new", "now", None, [], [{"attempt_id": "older"}, ATTEMPT | KILLED])),
    ],
    ids=["first", "interrupted", "interrupted later", "killed", "bad checkpoint", "failed"],
)
def test_a_run_is_resumed_or_restarted(
    earlier: dict[str, Any], found: Checkpoint | None, reason: str | None, expected: tuple[Any, ...]
) -> None:
    info = begin(INFO, earlier, found, reason, "new", "now")
    assert INFO.items() <= info.items()
    assert (info["status"], info["error"], info["sitting_started"], info["begun_again"]) == (
        *("running", None, "now", reason),
    )
    names = ("attempt_id", "started", "wall_seconds", "resumed", "earlier_attempts")
    assert tuple(info[name] for name in names) == expected


def test_progress_is_that_of_the_last_row() -> None:
    assert progress("updates", {"gradient_step": 7}) == {"gradient_steps": 7}
    row = {"env_step": 64, "returns": [1.0, 3.0]}
    assert progress("evaluations", row) == {"env_steps": 64, "latest_return": 2.0}
    assert progress("evaluations", row | {"returns": [1.0, float("nan")]})["latest_return"] is None
    assert progress("episodes", {"env_step": 3}) == {}
