"""The forest plot and the heat maps: all comparisons at a glance."""

import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from helpers.studies import many_arms
from helpers.synthetic import DECLARED, on, write_run, write_study
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.study import Analysis, analyse
from rl_warmup.report.figures import draw
from rl_warmup.report.figures.forest import forest
from rl_warmup.report.figures.heatmaps import heatmaps
from rl_warmup.report.figures.panels import STYLE, VERDICTS, looks_of

CONFIRMATORY = with_role("confirmatory")


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with mpl.rc_context(STYLE):
        yield


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Three learning rates, four warmups, eight seeds."""
    return analyse(many_arms(tmp_path_factory.mktemp("grid"), 4, (1e-3, 2e-3, 4e-3), seeds=8, shift=5.0))


def words(figure: Figure, axes: int) -> list[str]:
    return [text.get_text() for text in figure.axes[axes].texts]


def test_a_row_a_comparison_below_what_it_was_trained_on(grid: Analysis) -> None:
    (sheet,) = forest(grid.comparisons, CONFIRMATORY)
    labels = words(sheet.figure, 0)
    assert labels[:3] == ["comparison", "learning rate", "n"]
    assert labels[3:7] == ["PPO on toy, 5,000 steps (sb3)", "linear 2% gradient steps", "0.001", "8"]
    assert labels.count("linear 8% gradient steps") == 3
    titles = [axes.get_title(loc="left") for axes in sheet.figure.axes[1:]]
    assert titles == ["final", "area", "shortfall", "not learned"]
    assert sheet.title == "All comparisons, n = 8 pairs of seeds"
    assert sheet.frame.height == 3 * 3 * 4


def test_estimates_intervals_and_verdicts_are_those_of_the_analysis(tmp_path: Path) -> None:
    found = analyse(write_study(tmp_path, {"none": 0, "linear": 10}, range(8)))
    (sheet,) = forest(found.comparisons, CONFIRMATORY)
    for axes, metric in zip(sheet.figure.axes[1:], CONFIRMATORY, strict=True):
        result = on(found, metric.name)
        intervals, means = axes.collections
        assert means.get_offsets()[0, 0] == pytest.approx(result.paired.estimate)
        ends = [result.paired.ci_low, result.paired.ci_high]
        assert intervals.get_segments()[0][:, 0] == pytest.approx(ends)
        assert axes.texts[0].get_text() == VERDICTS[result.verdict.headline][0]
    assert "△" in words(sheet.figure, 1)
    counted = [text.get_text() for text in sheet.figure.texts]
    assert any(text.startswith("△  better in the runs seen (") for text in counted)


def test_an_interval_that_few_pairs_leave_open_is_dotted_to_the_edge(tmp_path: Path) -> None:
    found = analyse(write_study(tmp_path, {"none": 0, "linear": 10}, range(4)))
    (sheet,) = forest(found.comparisons, CONFIRMATORY)
    dotted = [line for line in sheet.figure.axes[1].lines if line.get_linestyle() == ":"]
    assert len(dotted) == 2
    assert {float(line.get_xdata()[1]) for line in dotted} == set(sheet.figure.axes[1].get_xlim())
    assert "dotted: too few pairs to bound it" in sheet.caption


def test_long_names_are_wrapped_and_nothing_overlaps(tmp_path: Path) -> None:
    for seed in range(6):
        for rate in (1e-3, 2e-3):
            write_run(tmp_path, "none", seed, learning_rate=rate)
            name = "linear-algo.n.steps=64-algo.batch.n=1024"
            write_run(tmp_path, "linear", seed, np.arange(6) + seed, learning_rate=rate, name=name)
    (sheet,) = forest(analyse(tmp_path).comparisons, CONFIRMATORY)
    sheet.figure.draw_without_rendering()
    assert any("\n" in label for label in words(sheet.figure, 0))
    boxes = [text.get_window_extent() for text in sheet.figure.axes[0].texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[i + 1 :])


def test_a_contrast_has_its_own_row(tmp_path: Path) -> None:
    arms = [
        {"weight": 1.0, "where": {"warmup.name": "linear"}},
        {"weight": -1.0, "where": {"warmup.name": "cosine"}},
    ]
    declared = DECLARED | {"contrasts": [{"name": "shape", "arms": arms}]}
    found = analyse(write_study(tmp_path, {"none": 0, "linear": 10, "cosine": 5}, range(7), declared=declared))
    (sheet,) = forest(found.comparisons, CONFIRMATORY)
    assert "contrast: shape" in words(sheet.figure, 0)
    assert len([label for label in words(sheet.figure, 0) if label == "7"]) == 3
    assert [figure.kind for figure in draw(found, tmp_path / "figures")].count("differences") == 1


def test_many_rows_are_continued_in_another_figure(grid: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[forest.__module__], "LONGEST", 5)
    pages = forest(grid.comparisons, CONFIRMATORY)
    assert [sheet.part for sheet in pages] == ["", "2"]
    assert [sheet.frame.height for sheet in pages] == [5 * 4, 4 * 4]
    assert pages[1].title.endswith("(2 of 2)")


def test_nothing_to_compare_is_no_forest() -> None:
    assert forest([], CONFIRMATORY) == []


def test_heat_maps_hold_the_iqm_and_the_difference_of_each_cell(grid: Analysis) -> None:
    (sheet,) = heatmaps(grid.blocks, grid.comparisons, looks_of(grid, grid.blocks))
    final, area, away, _ = sheet.figure.axes[:4]
    assert [axes.get_title(loc="left") for axes in (final, area)] == [
        "final: interquartile mean",
        "area: interquartile mean",
    ]
    assert [label.get_text() for label in final.get_yticklabels()][:2] == ["none", "linear 2% gradient steps"]
    assert [label.get_text() for label in away.get_xticklabels()] == ["0.001", "0.002", "0.004"]
    values = sheet.frame.filter(metric="final", learning_rate=2e-3)["iqm"].to_list()
    (mesh,) = [found for found in final.collections if isinstance(found, QuadMesh)]
    drawn = np.asarray(mesh.get_array()).reshape(4, 3)[:, 1]
    assert sorted(drawn) == pytest.approx(sorted(values))
    assert words(sheet.figure, 0)[1] == f"{drawn[0]:.2f}"
    assert words(sheet.figure, 2)[:3] == ["control"] * 3
    result = next(found for found in grid.comparisons if found.pairing.treatment_label.startswith("linear 2%"))
    assert result.metric.name == "final"
    estimate = f"{result.paired.estimate:+.2f}".replace("-", "−")
    assert words(sheet.figure, 2)[3] == f"{estimate} {VERDICTS[result.verdict.headline][0]}"
    assert "n = 8 runs a cell" in sheet.title


def test_a_cell_without_runs_is_a_dash(tmp_path: Path) -> None:
    for rate in (1e-3, 2e-3, 4e-3):
        write_run(tmp_path, "none", learning_rate=rate)
        if rate != 2e-3:
            write_run(tmp_path, "linear", learning_rate=rate)
    found = analyse(tmp_path)
    (sheet,) = heatmaps(found.blocks, found.comparisons, looks_of(found, found.blocks))
    assert words(sheet.figure, 0) == ["1.00", "1.00", "1.00", "1.00", "–", "1.00"]


def test_a_study_without_a_grid_has_no_heat_map(tmp_path: Path) -> None:
    found = analyse(write_study(tmp_path, {"none": 0, "linear": 5}, range(2), learning_rates=(1e-3, 2e-3)))
    assert heatmaps(found.blocks, found.comparisons, looks_of(found, found.blocks)) == []
