"""Environments without constants of their own: what is still compared, what is not, and how it is mended."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.synthetic import CONFIG, LEARNS, cell_row, on, said, two_arms, write_run

from rl_warmup.analysis.constants import given
from rl_warmup.analysis.study import Analysis, analyse
from rl_warmup.config.settings import ConfigError
from rl_warmup.report.content import as_json

ALL = ("return_floor", "return_low", "return_high", "threshold")
CONSTANTS = {key: CONFIG["env"][key] for key in ALL}
SHIFTS = [10.0, 11.0, 12.0]


def lacking(*keys: str) -> dict[str, Any]:
    return {f"env.{key}": None for key in keys}


def study(folder: Path, *keys: str, **more: Any) -> Path:
    """Two arms whose records lack these constants."""
    return two_arms(folder, SHIFTS, changes={**lacking(*keys), **more})


def compared(analysis: Analysis) -> dict[str, float | None]:
    return {found.metric.name: found.paired.estimate for found in analysis.comparisons}


def written(path: Path, **constants: Any) -> str:
    path.write_text(yaml.safe_dump({"name": "mine", "id": "Toy-v0", **constants}))
    return str(path)


def test_without_constants_returns_are_compared_as_they_are(tmp_path: Path) -> None:
    known, bare = analyse(two_arms(tmp_path / "known", SHIFTS)), analyse(study(tmp_path / "bare", *ALL))
    assert compared(bare).keys() == compared(known).keys() - {
        "shortfall",
        "not_learned",
        "time_to_threshold",
        "collapses",
    }
    for metric in ("final", "area", "best", "online_return", "drawdown_max"):  # normalized by 1/100 where known
        one, other = on(bare, metric), on(known, metric)
        assert one.paired.estimate == pytest.approx(100 * other.paired.estimate), metric
        assert one.paired.p_value == other.paired.p_value
        assert (one.smallest_effect, one.verdict.plan) == (None, None)
        assert one.verdict.verdict_in_runs_seen == other.verdict.verdict_in_runs_seen
    (problem,) = [str(found) for found in bare.problems if found.kind == "constants"]
    assert problem.startswith(
        "Toy-v0 (toy) has no env.return_floor, env.return_low, env.return_high, env.threshold, env.floor and "
        "env.ceiling: undefined are "
        "shortfall, not_learned, time_to_threshold, collapses, recovered; final, area, best, online_return, "
    )
    for words in (
        "are in its own returns, without a smallest effect, and so never “equivalent”; critical learning rates are",
        "a run that diverged has no score, and no comparison with one has a verdict; verdicts on returns are of "
        "the runs seen, and none of the mean, whatever rare runs do. To mend this report: ",
        "python -m rl_warmup.measure env=gym env.id=Toy-v0 --output env.yaml, give there what it leaves null, and "
        f"python -m rl_warmup.report {tmp_path / 'bare'} --env env.yaml",
    ):
        assert words in problem
    assert not [found for found in known.problems if found.kind == "constants"]


@pytest.mark.parametrize(
    ("key", "lost"),
    [
        ("return_low", {"shortfall", "not_learned", "collapses"}),
        ("return_floor", set()),
    ],
)
def test_each_constant_is_missed_by_the_metrics_that_need_it(key: str, lost: set[str], tmp_path: Path) -> None:
    known = compared(analyse(two_arms(tmp_path / "known", SHIFTS)))
    analysis = analyse(study(tmp_path / "bare", key))
    assert compared(analysis).keys() == known.keys() - lost
    scale = 100 if key == "return_low" else 1
    assert compared(analysis)["final"] == pytest.approx(scale * (known["final"] or 0))
    assert said(analysis, f"has no env.{key}")
    row = cell_row(analysis, "linear")
    assert row.get("normalized", True) is (key != "return_low")
    assert (row["shares"]["not_learned"]["share"] is None) is (key == "return_low")


def test_without_a_threshold_the_reference_is_taken_for_it(tmp_path: Path) -> None:
    analysis = analyse(study(tmp_path / "bare", "threshold"))
    as_reference = analyse(two_arms(tmp_path / "known", SHIFTS, changes={"env.threshold": 100.0}))
    assert compared(analysis) == compared(as_reference)
    assert said(analysis, "Toy-v0: env.threshold is not known, and env.return_high=100 is taken for it")
    assert cell_row(analysis, "linear")["time_to_threshold"]["reached"] == 3


def test_a_diverged_run_without_a_floor_leaves_no_verdict_and_is_not_dropped(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", "return_floor")
    write_run(folder, "none", 3, changes=lacking("return_floor"))
    write_run(folder, "linear", 3, LEARNS[:2], status="diverged", changes=lacking("return_floor"))
    analysis = analyse(folder)
    final = on(analysis, "final")
    assert (final.paired.n, final.seeds, final.verdict.verdict) == (3, (0, 1, 2), "inconclusive")
    assert said(analysis, "no verdict: seed 3 diverged, and env.return_floor, the score of that, is not known")
    assert said(analysis, "final, area", "undefined in seed 3, left out there")
    assert not said(analysis, "scored at the floor")
    assert cell_row(analysis, "linear")["n_diverged"] == 1
    bound = {"bounds": {"floor": -50.0, "ceiling": None}}  # is the worst that is scored
    for seed in (3, 4):
        write_run(tmp_path / "t", "none", seed, changes=lacking("return_floor"))
        diverged: dict[str, Any] = {"status": "diverged", "changes": lacking("return_floor"), "info": bound}
        write_run(tmp_path / "t", "linear", seed, LEARNS[:2], **diverged)
    assert on(analyse(tmp_path / "t"), "final").differences.tolist() == [(-50 - 100) / 100] * 2


def test_constants_of_a_file_take_the_place_of_those_in_the_records(tmp_path: Path) -> None:
    known = analyse(two_arms(tmp_path / "known", SHIFTS))
    bare = study(tmp_path / "bare", *ALL)
    mended = analyse(bare, sources=[given(written(tmp_path / "mine.yaml", **CONSTANTS))])
    assert [cell.scores["final"].tolist() for _, cell in mended.cells] == [[1.0] * 3, [1.1, 1.11, 1.12]]
    assert compared(mended) == compared(known)
    assert said(
        mended,
        "scored by env.return_floor=-100, env.return_low=0, env.return_high=100, env.threshold=90 of --env ",
    )
    half = analyse(tmp_path / "known", sources=[given(written(tmp_path / "half.yaml", return_high=50, ceiling=95))])
    assert on(half, "final").paired.estimate == 0  # 100 and more are scored as the ceiling
    assert said(half, "evaluations of 6 runs beyond env.floor=-100 and env.ceiling=95, scored as that: 33.33% of ")
    assert said(half, "env.threshold=90")  # what the file leaves null is the record's


@pytest.mark.parametrize("recorded", [True, False])
def test_borrowed_constants_are_not_used(recorded: bool, tmp_path: Path) -> None:
    changes = {"env.name": "cartpole", "env.id": "Pendulum-v1"}
    two_arms(tmp_path / "s", SHIFTS, changes=changes, info={"borrowed_env": "CartPole-v1"} if recorded else {})
    analysis = analyse(tmp_path / "s")
    assert on(analysis, "final").paired.estimate == pytest.approx(11.0)
    assert said(
        analysis, "Pendulum-v1 was trained as env=cartpole, which is CartPole-v1, whose constants are not used"
    )
    for built_in in ("CartPole-v1", "Acrobot-v1"):
        two_arms(tmp_path / built_in, SHIFTS, changes={**lacking("return_low"), "env.id": built_in})
        name = {"CartPole-v1": "cartpole", "Acrobot-v1": "acrobot"}[built_in]
        assert said(analyse(tmp_path / built_in), f"report {tmp_path / built_in} --env {name}")
        assert on(analyse(tmp_path / built_in, sources=[given(name)]), "final").pairing.normalized


def test_arms_on_different_scales_are_never_one_comparison(tmp_path: Path) -> None:
    two_arms(tmp_path / "s", SHIFTS)
    study(tmp_path / "s", "return_high")
    analysis = analyse(tmp_path / "s")
    finals = sorted(found.paired.estimate or 0 for found in analysis.comparisons if found.metric.name == "final")
    assert finals == pytest.approx([0.11, 11.0])
    assert [row.get("normalized", True) for row in as_json(analysis)["cells"]] == [True, True, False, False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: x", "does not describe an environment: it has no `id`"),
        ("id: [", "cannot be read: "),
        ("{id: Toy-v0, return_low: much}", "return_low is 'much'; give a finite number, or null"),
        ("{id: Toy-v0, return_low: .nan}", "return_low is nan; give a finite number"),
        ("{id: Toy-v0, return_low: 2, return_high: 1}", "env.return_low=2 and env.return_high=1 must satisfy"),
        ("{id: Toy-v0, kwargs: {a: 1}}", "no run of .* is of Toy-v0 as it is made there"),
        (None, r"is no file, and none of .*cartpole"),
    ],
)
def test_a_file_that_gives_no_constants_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    two_arms(tmp_path / "s", SHIFTS)
    if content is not None:
        (tmp_path / "e.yaml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        analyse(tmp_path / "s", sources=[given(str(tmp_path / "e.yaml"))])


def test_bounds_are_those_that_a_run_was_recorded_with(tmp_path: Path) -> None:
    shifts = [10.0, 11.0]
    free = analyse(two_arms(tmp_path / "free", shifts))  # recorded before there were any
    bounds = {"bounds": {"floor": 50.0, "ceiling": 100.0}}
    held = analyse(two_arms(tmp_path / "held", shifts, info=bounds))
    assert on(free, "final").paired.estimate == pytest.approx(0.105)
    assert on(held, "final").paired.estimate == 0.0  # 110 and 111 are scored as 100
    curves = np.clip(np.add.outer([0.0, 10.0, 11.0], LEARNS), 50, 100)
    gains = np.trapezoid(curves, axis=1)[1:] - np.trapezoid(curves, axis=1)[0]
    assert on(held, "area").paired.estimate == pytest.approx(gains.mean() / 5 / 100)
    assert on(held, "online_return").differences.max() < on(free, "online_return").differences.max()
    assert json.loads((tmp_path / "held" / "none-0.001-s0" / "run.json").read_text())["bounds"] == bounds["bounds"]
