"""Whether a member of a stack lived through the run of Stable-Baselines3 whose draws it was fed."""

import numpy as np
import pytest
from helpers.sinks import Rows


def same_episodes(mine: Rows, theirs: Rows, tolerance: float) -> None:
    """Same actions, hence the same episodes and evaluations; continuous rewards within a relative tolerance."""
    for table in ("evaluations", "episodes"):
        assert len(mine[table]) == len(theirs[table])
        for row, expected in zip(mine[table], theirs[table], strict=True):
            assert row["env_step"] == expected["env_step"]
            assert row.keys() == expected.keys()
            for key in row.keys() & {"length", "lengths"}:
                assert row[key] == expected[key]
            for key in row.keys() & {"return", "returns"}:
                assert row[key] == pytest.approx(expected[key], rel=tolerance)


def same_updates(mine: Rows, theirs: Rows) -> None:
    """The same rows of updates, counts exactly and the others as far as float32 goes."""
    assert len(mine["updates"]) == len(theirs["updates"]) >= 2
    for row, expected in zip(mine["updates"], theirs["updates"], strict=True):
        assert row.keys() == expected.keys()
        for key, value in expected.items():
            if key == "clip_fraction" and row["learning_rate_last"] == 0:
                continue  # the clip range is 0 too: the last bit of a ratio of 1 decides what is clipped
            exact = key in ("env_step", "gradient_step", "n_steps", "n_below_99")
            near = key.startswith("learning_rate") or key in ("omega_sum", "base_learning_rate")
            tolerance = 0 if exact else 1e-9 if near else 2e-3
            np.testing.assert_allclose(row[key], value, rtol=tolerance, atol=0 if exact else tolerance, err_msg=key)
