"""Figures of what `diagnostics=full` measured: one for each mechanism, from known columns."""

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from helpers.synthetic import write_run, write_study

from rl_warmup.analysis.study import Analysis, analyse
from rl_warmup.report.figures import draw
from rl_warmup.report.figures.frames import by_cell
from rl_warmup.report.figures.mechanisms import MECHANISMS, mechanism_frame, mechanisms, warmup_end
from rl_warmup.report.figures.panels import STYLE, looks_of

MEASURED = [0, 1, 2, 3, 4, 9]  # of ten phases
FULL = {"diagnostics": "full"}


def _measured(value: float) -> list[float | None]:
    return [value + phase if phase in MEASURED else None for phase in range(10)]


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Two arms, three seeds; the sharpness of seed s at phase p is s + p, one noise scale cannot be seen."""
    study = tmp_path_factory.mktemp("study")
    for seed in range(3):
        for warmup in ("none", "linear"):
            noise = _measured(100.0)
            noise[0] = math.inf if seed else 50.0
            updates = {
                "sharpness": _measured(seed),
                "stability_limit": _measured(38.0),
                "noise_scale_actor": noise,
                "churn": [math.nan if phase in MEASURED else None for phase in range(10)],
            }
            write_run(study, warmup, seed, changes=FULL, updates=updates)
    return analyse(study)


def test_a_mechanism_is_shown_at_the_phases_that_were_measured(analysis: Analysis) -> None:
    frame = by_cell(analysis.blocks, lambda block, cell: mechanism_frame(MECHANISMS[0], block, cell))
    own = frame.filter(arm="none", quantity="sharpness")
    assert own["gradient_step"].to_list() == [4 * (phase + 1) for phase in MEASURED]
    assert own["median"].to_list() == [1.0 + phase for phase in MEASURED]
    assert own["quartile_low"].to_list() == [0.5 + phase for phase in MEASURED]
    assert own["n"].to_list() == [3] * len(MEASURED)


def test_what_is_undefined_is_left_out_and_what_cannot_be_seen_is_a_gap(analysis: Analysis) -> None:
    policy, noise = (next(one for one in MECHANISMS if one.part == part) for part in ("policy", "noise"))
    frames = [
        by_cell(analysis.blocks, lambda block, cell, one=one: mechanism_frame(one, block, cell))
        for one in (policy, noise)
    ]
    assert "churn" not in frames[0]["quantity"].to_list()
    actor = frames[1].filter(arm="none", quantity="noise_scale_actor")
    assert actor["median"].to_list()[:2] == [math.inf, 101.0]


def test_a_warmup_ends_where_the_rate_stays_at_its_base(analysis: Analysis) -> None:
    (none, linear) = (analysis.blocks[0].cells[i].scored[0].updates for i in (0, 1))
    assert none is not None
    assert linear is not None
    assert warmup_end(none) is None
    assert warmup_end(linear) == 4  # of eight steps: the second phase of four ends at the base
    assert warmup_end(linear[::-1]) is None  # an annealing never comes back


def test_there_is_a_figure_for_every_mechanism_with_its_ends_and_limits(analysis: Analysis) -> None:
    with mpl.rc_context(STYLE):
        sheets = mechanisms(analysis.blocks, looks_of(analysis, analysis.blocks))
    assert [sheet.part for sheet in sheets] == ["sharpness", "layers", "policy", "units", "noise"]
    assert all(sheet.kind == "diagnostics" and "no verdict" in sheet.caption for sheet in sheets)
    axes = sheets[0].figure.axes
    assert [one.get_ylabel() for one in axes] == ["critical\nsharpness", "preconditioned\nsharpness"]
    assert axes[-1].get_xscale() == "log"
    limits = [line for line in axes[0].lines if line.get_linewidth() == 0.6]
    assert len(limits) == 2
    np.testing.assert_allclose(limits[0].get_ydata(), [38.0 + phase for phase in MEASURED])
    ends = [line.get_xdata()[0] for line in axes[0].lines if line.get_linestyle() == ":"]
    assert ends == [4]
    assert len(sheets[1].figure.axes) == 12  # relative update and angle of six layers


def test_they_are_drawn_for_full_diagnostics_only(analysis: Analysis, tmp_path: Path) -> None:
    names = [one.name for one in draw(analysis, tmp_path / "full")]
    assert sum(name.startswith("diagnostics-toy-ppo-") for name in names) == len(MECHANISMS)
    study = write_study(tmp_path / "study", {"none": 0.0, "linear": 5.0}, range(2))
    drawn = draw(analyse(study), tmp_path / "basic")
    assert [one.name for one in drawn if one.kind == "diagnostics"] == ["diagnostics-toy-ppo"]
