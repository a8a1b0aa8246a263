"""What a run that starts from an agent gains and loses, on curves worked out by hand."""

import numpy as np
import pytest

from rl_warmup.analysis.metrics.transfer import (
    area_gain,
    early_fall,
    final_gain,
    forgetting,
    jump_start,
    recovery,
)

T = [0, 5, 10, 50, 100]


@pytest.mark.parametrize(
    ("z", "fall", "back"),
    [
        ([0.8, 0.9, 0.8, 0.7, 0.9], 0.0, 0.0),  # none early
        ([0.8, 0.2, 0.5, 0.8, 0.9], 0.6, 0.5),
        ([0.8, 0.5, 0.2, 0.7, 0.9], 0.6, 1.0),
        ([0.8, 0.2, 0.9, 0.1, 0.0], 0.6, 0.1),  # later falls count elsewhere
        ([0.8, 0.2, 0.5, 0.6, 0.7], 0.6, 1.0),  # never
    ],
)
def test_falls_and_recoveries(z: list[float], fall: float, back: float) -> None:
    assert early_fall(T, [z])[0] == pytest.approx(fall)
    assert recovery(T, [z])[0] == back


def test_each_run_beside_its_own_from_scratch() -> None:
    z, scratch = [[0.5, 0.5, 0.5, 0.5, 1.0], [0.2] * 5], [[0.0, 0.0, 0.0, 0.5, 0.8], [0.1] * 5]
    np.testing.assert_allclose(jump_start(T, z, scratch), [0.5, 0.1])
    np.testing.assert_allclose(final_gain(T, z, scratch), [0.1, 0.1])  # mean of the last two
    areas = [(0.5 * 50 + 0.75 * 50 - (0.25 * 40 + 0.65 * 50)) / 100, 0.1]
    np.testing.assert_allclose(area_gain(T, z, scratch), areas)


def test_against_itself_nothing_is_gained() -> None:
    z = np.random.default_rng(0).random((4, 5))
    for measure in (jump_start, area_gain, final_gain):
        np.testing.assert_array_equal(measure(T, z, z), 0)


def test_what_was_forgotten_is_below_zero() -> None:
    np.testing.assert_allclose(forgetting([[1.0, 0.2], [0.3, 0.6]]), [-0.8, 0.3])
