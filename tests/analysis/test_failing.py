"""Failures, pairs won, the break-even rate and the plan beside the verdicts of a recorded study."""

from pathlib import Path

import pytest
from helpers.synthetic import LEARNS, on, two_arms, write_run

from rl_warmup.analysis.study import Analysis, analyse
from rl_warmup.report.content import as_json

DEAD = (0.0, 5.0, 5.0, 5.0, 5.0, 5.0)


def with_dead_runs(folder: Path, dead: int, pairs: int, gain: float) -> Analysis:
    """The treatment gains in every run but the first `dead`, which end dead; the control always learns."""
    for seed in range(pairs):
        level = [value - 10 + 0.1 * seed for value in LEARNS]
        write_run(folder, "none", seed, level)
        write_run(folder, "linear", seed, DEAD if seed < dead else [value + gain for value in level])
    return analyse(folder)


def test_failures_are_counted_in_the_pairs_of_a_comparison(tmp_path: Path) -> None:
    found = on(with_dead_runs(tmp_path / "s", dead=2, pairs=12, gain=10.0), "final")
    assert found.failures is not None
    assert (found.failures.treatment.count, found.failures.treatment.n) == (2, 12)
    assert (found.failures.control.count, found.failures.p_value) == (0, 0.5)
    assert (found.pairs_won.won, found.pairs_won.lost) == (10, 2)


def test_what_is_shown_in_few_runs_has_its_break_even_rate(tmp_path: Path) -> None:
    found = on(with_dead_runs(tmp_path / "s", dead=0, pairs=12, gain=10.0), "final")
    assert found.verdict.headline == "better in the runs seen"
    assert found.paired.bound == pytest.approx(3.0)  # z from -1 to 2
    assert found.break_even.rate == pytest.approx(0.1 / 3.1)
    assert found.break_even.excluded == pytest.approx(1 - 0.025 ** (1 / 12))
    assert found.verdict.plan is None  # without any scatter there is nothing to plan with


def test_worse_is_undone_by_losses_of_the_control(tmp_path: Path) -> None:
    found = on(analyse(two_arms(tmp_path / "s", [-10.0 - seed for seed in range(8)])), "final")
    assert found.verdict.headline == "worse in the runs seen"
    assert (found.pairs_won.won, found.pairs_won.lost) == (0, 8)
    assert found.break_even.excluded == pytest.approx(found.failures.control.high)


def test_what_is_open_has_a_plan_and_what_is_not_tested_has_none(tmp_path: Path) -> None:
    analysis = analyse(two_arms(tmp_path / "s", [3.0, -3.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5]))
    final = on(analysis, "final")
    assert final.verdict.headline == "inconclusive"
    assert (final.break_even, final.verdict.plan.in_runs_seen is None) == (None, False)
    assert on(analysis, "best").verdict.plan is None  # exploratory
    row = next(row for row in as_json(analysis)["comparisons"] if row["metric"] == "final")
    assert row["plan"]["in_runs_seen"] == final.verdict.plan.in_runs_seen
    assert row["failures"]["treatment"]["count"] == 0
    assert sum(row["pairs_won"][key] for key in ("won", "lost", "tied")) == 8
