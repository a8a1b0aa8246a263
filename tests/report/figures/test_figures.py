"""Figures: drawn from known studies, looked at as pixels and as matplotlib artists."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from helpers.studies import many_arms
from helpers.synthetic import DECLARED, LEARNS, STEPS, write_run, write_study
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.study import Analysis, analyse
from rl_warmup.report.figures import Drawn, draw, lines
from rl_warmup.report.figures.diagnostics import diagnostics
from rl_warmup.report.figures.differences import differences
from rl_warmup.report.figures.lines import curves, learning_rates, time_to_threshold
from rl_warmup.report.figures.panels import COLORS, CONTROL, STYLE, looks_of
from rl_warmup.report.figures.sheets import Sheet, file_name

CONFIRMATORY = with_role("confirmatory")
KINDS = ("forest", "curves", "differences", "time_to_threshold", "learning_rate", "diagnostics")


@pytest.fixture(autouse=True)
def style() -> Iterator[None]:
    with mpl.rc_context(STYLE):
        yield


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Two learning rates, a control, a confirmatory and an exploratory arm, four seeds: no grid to speak of."""
    study = tmp_path_factory.mktemp("study")
    arms = {"none": 0.0, "linear": 15.0}
    return analyse(write_study(study, arms, range(4), learning_rates=(1e-3, 1e-2)))


@pytest.fixture(scope="module")
def drawn(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> list[Drawn]:
    return draw(analysis, tmp_path_factory.mktemp("drawn") / "figures")


def sheet_of(found: Sheet | None) -> Sheet:
    assert found is not None
    return found


def panels_of(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]


def has_color(path: Path, color: str) -> bool:
    pixels = imread(path)[..., :3].reshape(-1, 3)
    return bool((np.abs(pixels - to_rgb(color)).max(axis=1) < 0.02).sum() > 20)


def test_every_figure_is_a_png_an_svg_and_a_table(drawn: list[Drawn]) -> None:
    assert [figure.kind for figure in drawn] == list(KINDS)
    assert [figure.name for figure in drawn] == ["forest", *(f"{kind}-toy-ppo" for kind in KINDS[1:])]
    folder = drawn[0].files[0].parent
    assert sorted(folder.iterdir()) == sorted(path for figure in drawn for path in figure.files)
    for figure in drawn:
        assert [path.name for path in figure.files] == [f"{figure.name}.{kind}" for kind in ("png", "svg", "csv")]
        height, width = imread(figure.files[0]).shape[:2]
        assert width == 1500
        assert height > 350
        assert pl.read_csv(figure.files[2]).height > 0
        assert figure.title
        assert figure.caption.endswith(".")


def test_every_title_says_what_it_was_trained_on_and_n(drawn: list[Drawn]) -> None:
    assert drawn[0].title == "All comparisons, n = 4 pairs of seeds"
    for figure in drawn[1:]:
        assert "PPO (sb3) on toy, 5,000 environment steps, n = " in figure.title


def test_arms_have_their_colors(drawn: list[Drawn]) -> None:
    for figure in drawn[1:]:
        assert has_color(figure.files[0], COLORS[0]), figure.name
    assert has_color(drawn[1].files[0], CONTROL)


def test_the_same_analysis_gives_the_same_files(analysis: Analysis, drawn: list[Drawn], tmp_path: Path) -> None:
    for one, other in zip(draw(analysis, tmp_path / "again"), drawn, strict=True):
        for first, second in zip(one.files, other.files, strict=True):
            assert first.read_bytes() == second.read_bytes(), first.name
    assert b"<dc:date>" not in drawn[0].files[1].read_bytes()


def test_curves_are_the_iqm_with_single_runs_and_the_threshold(analysis: Analysis) -> None:
    block = analysis.blocks[0]
    sheet = sheet_of(curves([block], looks_of(analysis, [block])))
    (axes,) = sheet.figure.axes
    thick = [line for line in axes.lines if line.get_linewidth() > 1]
    assert [line.get_color() for line in thick] == [CONTROL, COLORS[0]]
    middle_two = np.sort(block.cells[0].returns, axis=0)[1:3].mean(axis=0)  # of four runs
    np.testing.assert_allclose(thick[0].get_ydata(), middle_two)
    assert list(thick[0].get_xdata()) == list(STEPS)
    thin = [collection for collection in axes.collections if collection.get_zorder() == 1]
    assert [to_hex(runs.get_color()[0]) for runs in thin] == [CONTROL, COLORS[0].lower()]
    np.testing.assert_allclose(thin[0].get_segments()[3][:, 1], block.cells[0].returns[3])
    assert any(np.allclose(line.get_ydata(), 90) for line in axes.lines)
    assert "n = 4 runs an arm" in sheet.title
    assert "solved (90)" in sheet.caption
    assert axes.get_xlabel() == "environment steps"
    assert [text.get_text() for text in axes.texts] == ["none", "linear 20%\ngradient steps"]


def test_one_panel_a_learning_rate(analysis: Analysis) -> None:
    looks = looks_of(analysis, analysis.blocks)
    for figure in (curves, learning_rates, time_to_threshold):
        sheet = sheet_of(figure(analysis.blocks, looks))
        assert panels_of(sheet.figure) == ["learning rate 0.001", "learning rate 0.01"]


def test_many_single_runs_are_pixels_in_the_svg(
    analysis: Analysis, drawn: list[Drawn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert b"<image" not in drawn[1].files[1].read_bytes()
    monkeypatch.setattr(lines, "RASTERIZED", 10)
    again = draw(analysis, tmp_path)[1]
    assert again.kind == "curves"
    assert b"<image" in again.files[1].read_bytes()


def test_names_of_many_arms_lie_beside_their_panel_and_not_over_each_other(tmp_path: Path) -> None:
    found = analyse(many_arms(tmp_path, 6, rates=(0.1, 0.2, 0.3)))
    names = [cell.short for cell in found.blocks[0].cells]
    sheet = sheet_of(curves(found.blocks, looks_of(found, found.blocks)))
    sheet.figure.draw_without_rendering()
    axes = sheet.figure.axes[2]
    assert sorted(text.get_text().replace("\n", " ") for text in axes.texts) == sorted(names)
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
    assert boxes[-1].y1 < axes.get_window_extent().y1 + 12  # half a name above the panel
    assert max(box.x1 for box in boxes) < sheet.figure.bbox.x1


def test_too_many_arms_to_be_named_beside_their_panel_have_a_legend(tmp_path: Path) -> None:
    found = analyse(many_arms(tmp_path, 12, rates=(0.1, 0.2, 0.3)))
    sheet = sheet_of(curves(found.blocks, looks_of(found, found.blocks)))
    sheet.figure.draw_without_rendering()
    (legend,) = sheet.figure.legends
    assert len(legend.get_texts()) == 12
    assert legend.get_texts()[0].get_text() == "none"
    box = legend.get_window_extent()
    assert box.x1 < sheet.figure.bbox.x1
    assert box.y0 > sheet.figure.axes[0].title.get_window_extent().y1 - 3
    assert not any(axes.texts for axes in sheet.figure.axes)


def test_many_panels_are_wrapped(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"none": 0, "linear": 5}, range(1), learning_rates=(0.1, 0.2, 0.3, 0.4, 0.5))
    found = analyse(study)
    sheet = sheet_of(curves(found.blocks, looks_of(found, found.blocks)))
    assert len(panels_of(sheet.figure)) == 5
    assert "n = 1 run an arm" in sheet.title
    assert "interval" not in sheet.caption
    named = [index for index, axes in enumerate(sheet.figure.axes) if axes.texts]
    assert named == [2, 4]  # the last of each row


def test_learning_rates_are_those_recorded_at_the_ends_of_the_phases(analysis: Analysis) -> None:
    block = analysis.blocks[0]
    sheet = sheet_of(learning_rates([block], looks_of(analysis, [block])))
    (axes,) = sheet.figure.axes
    control, linear = axes.lines
    assert linear.get_color() == COLORS[0]
    assert list(linear.get_xdata())[:4] == [1, 4, 5, 8]
    np.testing.assert_allclose(linear.get_ydata()[:4], [1e-3 / 8, 4e-3 / 8, 5e-3 / 8, 1e-3])
    np.testing.assert_allclose(control.get_ydata(), 1e-3)
    assert control.get_linewidth() > linear.get_linewidth()
    assert axes.get_yscale() == "linear"  # a linear ramp looks like one
    assert axes.get_ylim()[0] == 0
    assert "seed 0" in sheet.title
    assert "The first 16 of 40 gradient steps" in sheet.caption  # the ramp ends at step 8
    assert max(linear.get_xdata()) == 16
    assert sheet.frame["gradient_step"].max() == 40  # the table has them all


def test_runs_that_never_reach_the_threshold_stay_in_the_denominator(tmp_path: Path) -> None:
    for seed, last in enumerate((100.0, 100.0, 50.0, 50.0)):
        write_run(tmp_path, "none", seed, [0, 0, last, last, last, last])
    found = analyse(tmp_path)
    sheet = sheet_of(time_to_threshold(found.blocks, looks_of(found, found.blocks)))
    (line,) = sheet.figure.axes[0].lines
    shares = dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert shares == {0: 0, 2000: 0.5, 5000: 0.5}
    assert sheet.frame["n_reached"].unique().to_list() == [2]


def test_differences_show_a_dot_a_pair_with_mean_and_interval(tmp_path: Path) -> None:
    arms = {"none": 0, "linear": 10}
    found = analyse(write_study(tmp_path, arms, range(8), declared=DECLARED | {"smallest_effect": 0.03}))
    sheet = sheet_of(differences(found.comparisons, CONFIRMATORY, looks_of(found, found.blocks)))
    assert panels_of(sheet.figure) == ["final", "area", "shortfall", "not learned"]
    axes, result = sheet.figure.axes[0], found.comparisons[0]
    dots, intervals, means = axes.collections
    assert sorted(dots.get_offsets()[:, 0]) == pytest.approx(sorted(result.differences))
    assert intervals.get_segments()[0][:, 0] == pytest.approx([result.paired.ci_low, result.paired.ci_high])
    assert means.get_offsets()[0, 0] == pytest.approx(result.paired.estimate)
    (band,) = axes.patches
    assert band.get_x() == pytest.approx(-0.03)
    assert "n = 8 pairs" in sheet.title
    assert axes.get_xlabel() == "treatment − control\n(normalized return)"
    arrows = [axes.texts[0].get_text() for axes in sheet.figure.axes]
    assert arrows == ["better →", "better →", "← better", "← better"]


def test_few_pairs_have_no_interval_and_the_note_says_so(tmp_path: Path) -> None:
    found = analyse(write_study(tmp_path, {"none": 0, "linear": 10}, range(3)))
    sheet = sheet_of(differences(found.comparisons, CONFIRMATORY, looks_of(found, found.blocks)))
    assert "too few pairs for a 95% interval" in sheet.caption
    _, intervals, means = sheet.figure.axes[0].collections
    assert len(intervals.get_segments()) == 0
    assert len(means.get_offsets()) == 1


def test_exploratory_means_are_hollow(tmp_path: Path) -> None:
    found = analyse(write_study(tmp_path, {"none": 0, "linear": 10, "cosine": 5}, range(7)))
    sheet = sheet_of(differences(found.comparisons, CONFIRMATORY, looks_of(found, found.blocks)))
    means = sheet.figure.axes[0].collections[-1]
    faces = {to_hex(color) for color in means.get_facecolor()}
    assert faces == {"#ffffff", COLORS[1].lower()}  # cosine, linear
    assert "hollow: exploratory" in sheet.caption


def test_diagnostics_are_medians_over_seeds_on_a_page_of_four_learning_rates(tmp_path: Path) -> None:
    rates = (0.1, 0.2, 0.3, 0.4, 0.5)
    found = analyse(write_study(tmp_path, {"none": 0, "linear": 5}, range(2), learning_rates=rates))
    pages = diagnostics(found.blocks, looks_of(found, found.blocks))
    assert [sheet.part for sheet in pages] == ["", "2"]
    assert [len(sheet.figure.axes) for sheet in pages] == [5 * 3, 5 * 2]  # five quantities
    assert "n = 2 runs an arm (1 of 2)" in pages[0].title
    labels = [axes.get_ylabel() for axes in pages[0].figure.axes if axes.get_ylabel()]
    assert labels[0] == "loss"
    assert labels[-1] == "clip fraction\n(share of samples)"
    for line in pages[0].figure.axes[0].lines:
        np.testing.assert_allclose(line.get_ydata(), 0.5)


def test_what_is_not_there_is_not_drawn(tmp_path: Path) -> None:
    write_run(tmp_path, "linear", 0, LEARNS[:3], status="failed")
    assert draw(analyse(tmp_path), tmp_path / "figures") == []


def test_a_single_run_has_curves_and_no_differences(tmp_path: Path) -> None:
    write_run(tmp_path, "linear", 0)
    found = draw(analyse(tmp_path), tmp_path / "figures")
    assert [figure.kind for figure in found] == ["curves", "time_to_threshold", "learning_rate", "diagnostics"]


def test_a_diverged_run_is_drawn_at_the_floor_and_its_updates_as_far_as_they_go(tmp_path: Path) -> None:
    write_run(tmp_path, "none", 0)
    write_run(tmp_path, "none", 1, LEARNS[:2], status="diverged")
    found = draw(analyse(tmp_path), tmp_path / "figures")
    table = pl.read_csv(found[0].files[2])
    assert table.filter(seed=1)["return"].to_list() == [0.0, 40.0, -100.0, -100.0, -100.0, -100.0]


def test_file_names_say_no_more_than_needed() -> None:
    groups = [("cartpole", "ppo", "sb3", 5000), ("cartpole", "ppo", "stacked", 5000), ("a b/c", "dqn", "sb3", 10)]
    names = [file_name(group, groups) for group in groups]
    assert names == ["cartpole-ppo-sb3-5000", "cartpole-ppo-stacked-5000", "a-b-c-dqn"]


def test_analysis_and_figures_import_no_trainer_no_tracker_and_no_pyplot() -> None:
    code = "import sys, rl_warmup.report.command, rl_warmup.report.figures; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "matplotlib.figure" in found
    assert not {"torch", "stable_baselines3", "wandb", "matplotlib.pyplot"} & set(found)
