"""Adam's corrections, and the factor on the rate that they amount to."""

import numpy as np
import pytest

from rl_warmup.schedules.corrections import bias_correction, restarted_factor


def test_bias_corrections_are_exact_for_betas_near_one() -> None:
    steps = np.array([1, 2, 1000])
    found = bias_correction(np.array([0.0, 0.9, 1 - 1e-9]), steps)
    np.testing.assert_allclose(found[0], 1, rtol=0)
    np.testing.assert_allclose(found[1], [0.1, 0.19, 1], rtol=1e-14)
    assert found[2] == pytest.approx([1e-9, 2e-9 - 1e-18, 999_999.5e-12], rel=1e-6)


def test_members_may_have_counts_of_their_own() -> None:
    found = bias_correction(np.array([0.9, 0.5]), np.array([[1, 2], [3, 1]]))
    np.testing.assert_allclose(found, [[0.1, 0.19], [0.875, 0.5]], rtol=1e-14)


@pytest.mark.parametrize(("steps", "mean"), [(20, 0.172), (128, 0.249), (320, 0.366)])
def test_the_mean_of_a_restarted_count_is_the_published_one(steps: int, mean: float) -> None:
    factors = [((1 - 0.999**t) ** 0.5) / (1 - 0.9**t) for t in range(1, steps + 1)]
    found = restarted_factor(0.9, 0.999, np.arange(1, steps + 1))
    np.testing.assert_allclose(found, factors, rtol=1e-10)
    assert found.mean() == pytest.approx(mean, abs=5e-4)
