"""Figures: drawn from known studies, looked at as pixels and as matplotlib artists."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from synthetic import DECLARED, LEARNS, STEPS, write_run, write_study

from rl_warmup.analysis import Analysis, analyse
from rl_warmup.figures import curves, differences, draw, iqm_band, learning_rates
from rl_warmup.panels import COLORS, CONTROL, file_name, looks_of, spread


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Two learning rates, a control, a confirmatory and an exploratory arm, four seeds."""
    study = tmp_path_factory.mktemp("study")
    arms = {"none": 0.0, "linear": 15.0, "cosine": -20.0}
    return analyse(write_study(study, arms, range(4), learning_rates=(1e-3, 1e-2)))


def panels_of(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes if axes.get_visible()]


def has_color(path: Path, color: str) -> bool:
    pixels = imread(path)[..., :3].reshape(-1, 3)
    return bool((np.abs(pixels - to_rgb(color)).max(axis=1) < 0.02).sum() > 20)


def test_every_figure_is_a_png_and_an_svg_with_all_arms_in_it(analysis: Analysis, tmp_path: Path) -> None:
    paths = draw(analysis, tmp_path / "figures")
    stems = ("curves-toy-ppo", "learning_rate-toy-ppo", "differences-toy-ppo")
    assert [path.name for path in paths] == [f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(path.name for path in paths)
    for path in paths[::2]:
        assert all(length > 400 for length in imread(path).shape[:2])
        assert has_color(path, COLORS[1])  # linear
        # the rates of cosine are those of linear here, which is drawn over it
        assert has_color(path, COLORS[0])
    assert has_color(paths[0], CONTROL)


def test_the_same_analysis_gives_the_same_files(analysis: Analysis, tmp_path: Path) -> None:
    first, second = (draw(analysis, tmp_path / name) for name in ("one", "two"))
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert b"<dc:date>" not in first[1].read_bytes()


def test_curves_are_the_iqm_with_single_runs_and_the_threshold(analysis: Analysis) -> None:
    context = analysis.contexts[0]
    figure = curves([context], looks_of(analysis, [context]))
    assert figure is not None
    (axes,) = figure.axes
    thick = [line for line in axes.lines if line.get_linewidth() > 1]
    assert [line.get_color() for line in thick] == [CONTROL, COLORS[0], COLORS[1]]
    middle_two = np.sort(context.cells[0].returns, axis=0)[1:3].mean(axis=0)  # of four runs
    np.testing.assert_allclose(thick[0].get_ydata(), middle_two)
    assert thick[0].get_xdata().tolist() == list(STEPS)
    assert sum(line.get_linewidth() == 0.5 for line in axes.lines) == 3 * 4
    assert any(np.allclose(line.get_ydata(), 90) for line in axes.lines)
    assert "n = 4 runs" in figure.get_suptitle()
    assert axes.get_xlabel() == "environment steps"
    assert {text.get_text() for text in axes.texts} > {"none", "linear 20% gradient steps"}


def test_one_panel_a_learning_rate(analysis: Analysis) -> None:
    looks = looks_of(analysis, analysis.contexts)
    for figure in (curves(analysis.contexts, looks), learning_rates(analysis.contexts, looks)):
        assert panels_of(figure) == ["learning rate 0.001", "learning rate 0.01"]


def test_many_panels_are_wrapped_and_share_a_legend(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"none": 0, "linear": 5}, range(1), learning_rates=(0.1, 0.2, 0.3, 0.4, 0.5))
    found = analyse(study)
    figure = curves(found.contexts, looks_of(found, found.contexts))
    assert len(panels_of(figure)) == 5
    assert figure is not None
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["none", "linear 20% gradient steps"]
    assert "n = 1 run an arm" in figure.get_suptitle()


def test_learning_rates_are_those_recorded_at_the_ends_of_the_phases(analysis: Analysis) -> None:
    context = analysis.contexts[0]
    figure = learning_rates([context], looks_of(analysis, [context]))
    assert figure is not None
    (axes,) = figure.axes
    control, *_, linear = axes.lines
    assert linear.get_color() == COLORS[1]
    assert linear.get_xdata()[:4].tolist() == [1, 4, 5, 8]
    np.testing.assert_allclose(linear.get_ydata()[:4], [1e-3 / 8, 4e-3 / 8, 5e-3 / 8, 1e-3])
    np.testing.assert_allclose(control.get_ydata(), 1e-3)
    assert axes.get_yscale() == "linear"  # a linear ramp looks like one
    assert axes.get_ylim()[0] == 0
    assert "seed 0" in figure.get_suptitle()


def test_differences_show_a_dot_a_pair_with_mean_and_interval(tmp_path: Path) -> None:
    arms = {"none": 0, "linear": 10}
    found = analyse(write_study(tmp_path, arms, range(8), declared=DECLARED | {"smallest_effect": 0.03}))
    figure = differences(found.comparisons, looks_of(found, found.contexts))
    assert panels_of(figure) == ["final", "area", "shortfall", "not learned"]
    assert figure is not None
    axes, result = figure.axes[0], found.comparisons[0]
    (dots,) = axes.collections
    assert sorted(dots.get_offsets()[:, 0]) == pytest.approx(sorted(result.differences))
    interval, mean = axes.lines[0], axes.lines[1]
    assert interval.get_xdata() == pytest.approx([result.paired.ci_low, result.paired.ci_high])
    assert mean.get_xdata() == pytest.approx([result.paired.estimate])
    (band,) = axes.patches
    assert band.get_x() == pytest.approx(-0.03)
    assert "n = 8 pairs" in figure.get_suptitle()
    assert axes.get_xlabel() == "treatment − control\n(normalized return; higher is better)"


def test_few_pairs_have_no_interval_and_the_title_says_so(tmp_path: Path) -> None:
    found = analyse(write_study(tmp_path, {"none": 0, "linear": 10}, range(3)))
    figure = differences(found.comparisons, looks_of(found, found.contexts))
    assert figure is not None
    assert "too few pairs for a 95% interval" in figure.get_suptitle()
    assert [line.get_linestyle() for line in figure.axes[0].lines] == ["None", "-"]  # the mean, the line at 0


def test_what_is_not_there_is_not_drawn(tmp_path: Path) -> None:
    write_run(tmp_path, "linear", 0, LEARNS[:3], status="failed")
    found = analyse(tmp_path)
    assert draw(found, tmp_path / "figures") == []


def test_a_single_run_has_curves_and_no_differences(tmp_path: Path) -> None:
    write_run(tmp_path, "linear", 0)
    paths = draw(analyse(tmp_path), tmp_path / "figures")
    assert [path.name for path in paths[::2]] == ["curves-toy-ppo.png", "learning_rate-toy-ppo.png"]


def test_looks_are_different_for_many_arms_and_black_is_the_control(analysis: Analysis) -> None:
    looks = looks_of(analysis, analysis.contexts)
    assert looks["none"] == (CONTROL, "-")
    assert len(set(looks.values())) == len(looks) == 3


def test_file_names_say_no_more_than_needed() -> None:
    groups = [("cartpole", "ppo", "sb3", 5000), ("cartpole", "ppo", "stacked", 5000), ("a b/c", "dqn", "sb3", 10)]
    names = [file_name(group, groups) for group in groups]
    assert names == ["cartpole-ppo-sb3-5000", "cartpole-ppo-stacked-5000", "a-b-c-dqn"]


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


def test_analysis_and_figures_import_no_trainer_no_tracker_and_no_pyplot() -> None:
    code = "import sys, rl_warmup.report, rl_warmup.figures; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "matplotlib.figure" in found
    assert not {"torch", "stable_baselines3", "wandb", "matplotlib.pyplot"} & set(found)
