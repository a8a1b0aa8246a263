"""The tables behind the figures, and the colors and places of what is drawn."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers.synthetic import STEPS, update_rows, write_run, write_study
from hypothesis import given
from hypothesis import strategies as st

from rl_warmup.analysis.study import Analysis, analyse
from rl_warmup.report.figures.frames import (
    by_cell,
    comparison_frame,
    curve_frame,
    diagnostic_frame,
    dose_frame,
    iqm_band,
    pair_frame,
    panel_of,
    threshold_frame,
)
from rl_warmup.report.figures.panels import CONTROL, inside, looks_of, spread


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Two learning rates, three arms, six seeds."""
    arms = {"none": 0.0, "linear": 5.0, "cosine": -20.0}
    return analyse(write_study(tmp_path_factory.mktemp("study"), arms, range(6), learning_rates=(1e-3, 1e-2)))


def test_curves_have_a_row_a_run_and_evaluation_and_the_iqm(analysis: Analysis) -> None:
    frame = by_cell(analysis.blocks, curve_frame)
    assert frame.height == 2 * 3 * (6 + 1) * len(STEPS)
    cell = analysis.blocks[0].cells[0]
    own = frame.filter(learning_rate=1e-3, arm="none")
    middle = own.filter(pl.col("seed").is_null())
    np.testing.assert_allclose(middle["return"], np.sort(cell.returns, axis=0)[1:5].mean(axis=0))
    assert (middle["ci_low"] <= middle["return"]).all()
    np.testing.assert_allclose(own.filter(seed=3)["return"], cell.returns[3])
    assert own.filter(seed=3)["ci_low"].null_count() == len(STEPS)


def test_a_single_run_has_no_interval(tmp_path: Path) -> None:
    write_run(tmp_path)
    frame = by_cell(analyse(tmp_path).blocks, curve_frame)
    assert frame["ci_low"].null_count() == frame.height == 2 * len(STEPS)


def test_comparisons_and_pairs_are_those_of_the_analysis(analysis: Analysis) -> None:
    comparisons = [found for found in analysis.comparisons if found.metric.name == "final"]
    frame, pairs = comparison_frame(comparisons), pair_frame(comparisons)
    assert frame["estimate"].to_list() == [found.paired.estimate for found in comparisons]
    assert frame["verdict"].to_list() == [found.verdict.headline for found in comparisons]
    assert pairs.height == 4 * 6
    means = pairs.group_by("treatment", "learning_rate", maintain_order=True).agg(pl.col("difference").mean())
    np.testing.assert_allclose(means["difference"], frame["estimate"])
    np.testing.assert_allclose(pairs["value_treatment"] - pairs["value_control"], pairs["difference"])


def test_shares_at_the_threshold_start_at_0_and_end_at_the_budget(analysis: Analysis) -> None:
    for arm in by_cell(analysis.blocks, threshold_frame).partition_by("panel", "arm"):
        assert arm["env_step"][0] == 0
        assert arm["env_step"][-1] == STEPS[-1]
        assert arm["share_reached"].is_sorted()
        assert arm["share_reached"][-1] == pytest.approx(arm["n_reached"][0] / arm["n"][0])


def test_the_dose_is_thinned_for_long_runs_and_keeps_a_short_ramp(tmp_path: Path) -> None:
    long = pl.DataFrame(update_rows(1e-3, 8.0)).drop("env_step")
    rows = pl.concat([long] * 1000).with_columns(gradient_step=4 * (pl.int_range(pl.len()) + 1))
    write_run(tmp_path, "linear")
    found = analyse(tmp_path)
    block = found.blocks[0]
    object.__setattr__(block.cells[0].scored[0], "updates", rows)
    frame = by_cell([block], dose_frame)
    assert frame.height < 2 * 1001
    assert frame["gradient_step"][:4].to_list() == [1, 4, 5, 8]
    assert frame["gradient_step"].max() == 4 * rows.height


def test_diagnostics_average_each_hundredth_of_a_run_then_over_seeds(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path, "none", seed)
    (block,) = analyse(tmp_path).blocks
    for seed, run in enumerate(block.cells[0].scored):
        steps = pl.int_range(1, 201, eager=True).alias("gradient_step")  # two phases in each hundredth
        loss = pl.Series([float(seed), seed + 1.0] * 100)
        table = run.updates.clear().select(pl.all().exclude("gradient_step", "n_steps", "loss"))
        rows = steps.to_frame().with_columns(loss=loss, n_steps=1, approx_kl=pl.lit(float("inf")))
        filled = rows.with_columns(pl.lit(0.5).alias(name) for name in table.columns if name not in rows.columns)
        object.__setattr__(run, "updates", filled)
    frame = by_cell([block], diagnostic_frame)
    loss = frame.filter(quantity="loss")
    assert loss["gradient_step"].to_list() == list(range(2, 201, 2))
    assert loss["median"].unique().to_list() == [1.5]
    assert loss["quartile_low"].unique().to_list() == [1.0]
    assert loss["quartile_high"].unique().to_list() == [2.0]
    assert loss["n"].unique().to_list() == [3]
    assert frame.filter(quantity="approx_kl").is_empty()  # nothing of it is finite


def test_nothing_is_known_of_runs_without_updates(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "updates.parquet").unlink()
    blocks = analyse(tmp_path).blocks
    assert by_cell(blocks, diagnostic_frame).is_empty()
    assert by_cell(blocks, dose_frame).is_empty()
    assert not by_cell(blocks, curve_frame).is_empty()


def test_panels_say_what_tells_them_apart(tmp_path: Path) -> None:
    write_run(tmp_path, info={"tuned_learning_rate": 5e-4})
    write_run(tmp_path, changes={"schedule.name": "cosine"})
    blocks = analyse(tmp_path).blocks
    titles = {panel_of(block, blocks) for block in blocks}
    assert titles == {"learning rate 0.001 (2× tuned), constant", "learning rate 0.001, cosine"}


def test_looks_are_different_for_many_arms_and_black_is_the_control(analysis: Analysis) -> None:
    looks = looks_of(analysis, analysis.blocks)
    assert looks["none"] == (CONTROL, "-")
    assert len(set(looks.values())) == len(looks) == 3


def test_the_band_resamples_whole_runs() -> None:
    values = np.random.default_rng(3).standard_normal((6, 2))
    values[:, 1] = -values[:, 0]
    low, high = iqm_band(values, np.random.default_rng(0), 400)
    np.testing.assert_allclose([low[0], high[0]], [-high[1], -low[1]])  # only if both columns have the same rows
    slow = []
    rng = np.random.default_rng(0)
    for rows in rng.integers(6, size=(400, 6)):
        slow.append(np.sort(values[rows, 0])[1:5].mean())
    assert (low[0], high[0]) == pytest.approx(np.quantile(slow, [0.025, 0.975]))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8), st.floats(0.01, 10))
def test_spread_names_keep_their_order_their_center_and_a_gap(values: list[float], gap: float) -> None:
    placed = spread(values, gap)
    order = np.argsort(values, kind="stable")
    assert np.all(np.diff(placed[order]) >= gap * (1 - 1e-6) - 1e-9)
    assert placed.mean() == pytest.approx(np.mean(values), abs=1e-6)
    if np.all(np.diff(np.sort(values)) > gap):
        np.testing.assert_allclose(placed, values, atol=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.12))
def test_names_that_fit_stay_beside_their_panel(values: list[float], gap: float) -> None:
    placed = spread(inside(values, gap), gap)
    assert placed.min() >= -1e-9
    assert placed.max() <= 1 + 1e-9
    assert np.all(np.diff(np.sort(placed)) >= gap * (1 - 1e-6) - 1e-9)
