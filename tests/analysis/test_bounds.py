"""Bounds of returns: recorded, of conf/env/, one pair for an environment; what comparisons make of them."""

from pathlib import Path
from typing import Any

import pytest
from helpers.synthetic import DECLARED, LEARNS, on, said, two_arms, write_run

from rl_warmup.analysis.constants import Scale, given, rescored
from rl_warmup.analysis.study import analyse
from rl_warmup.config.constants import BOUNDS
from rl_warmup.records.study import write_declaration
from rl_warmup.report.cell_tables import across_seeds
from rl_warmup.report.content import as_json

ACROBOT = {"name": "acrobot", "id": "Acrobot-v1", "return_floor": -500, "return_low": -499, "return_high": -73.5}
TOY = {"name": "toy", "id": "Toy-v0", "return_floor": -500.0, "return_low": 0.0, "return_high": 100.0}


def scored(env: dict[str, Any], bounds: dict[str, Any] | None = None, *sources: Any) -> dict[str, Any]:
    return rescored({"config": {"env": env}, "bounds": bounds}, sources)


def ends(info: dict[str, Any]) -> tuple[Any, Any]:
    """What a verdict may rely on."""
    return tuple(info["config"]["env"].get(key) for key in BOUNDS)


def test_an_old_record_gets_the_bounds_of_its_environment_in_conf() -> None:
    info = scored(ACROBOT)
    assert info["bounds"] == {"floor": -500, "ceiling": 0}
    assert info["bounds_added"] == {"floor": -500, "ceiling": 0}
    assert ends(info) == (-500, 0)
    assert scored(ACROBOT | {"kwargs": {"render_mode": None}})["bounds_added"] == {}  # another one
    assert scored(ACROBOT, {"floor": -450, "ceiling": -10})["bounds"] == {"floor": -450, "ceiling": -10}
    contradicted = scored(ACROBOT | {"return_high": 5})  # above the ceiling of conf/env/
    assert (contradicted["bounds_added"], ends(contradicted)) == ({}, (-500, None))


def test_a_deep_floor_that_nobody_declared_is_clipped_at_and_not_relied_on() -> None:
    undeclared = scored(TOY, {"floor": -500.0, "ceiling": 110.0})
    assert undeclared["bounds"] == {"floor": -500.0, "ceiling": 110.0}
    assert ends(undeclared) == (None, 110.0)
    declared = scored(TOY, {"floor": -500.0, "ceiling": 110.0, "floor_declared": True})
    assert ends(declared) == (-500.0, 110.0)
    assert ends(scored(TOY, {"floor": -50.0, "ceiling": 110.0})) == (-50.0, 110.0)  # no return_floor: a clip
    assert ends(scored(TOY | {"return_floor": -100.0}, {"floor": -100.0, "ceiling": None})) == (-100.0, None)


def test_bounds_that_are_given_take_the_place_of_recorded_ones(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text("{id: Toy-v0, floor: -20}")
    info = scored(TOY, {"floor": -500.0, "ceiling": 110.0}, given(str(tmp_path / "toy.yaml")))
    assert (info["bounds"], ends(info)) == ({"floor": -20, "ceiling": 110.0}, (-20, 110.0))


def test_the_scale_has_the_bounds_of_normalized_return() -> None:
    settings = {"env.return_low": -50.0, "env.return_high": 150.0, "env.floor": -100.0, "env.ceiling": 160.0}
    scale = Scale.of(settings)
    assert (scale.z_min, scale.z_max) == (-0.25, 1.05)
    raw = Scale.of(settings | {"env.return_high": None})
    assert (raw.normalized, raw.z_min, raw.z_max) == (False, -100.0, 160.0)


def test_runs_of_one_environment_have_one_pair_of_bounds(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    for seed, ceiling in enumerate((95.0, 105.0, None)):
        for warmup, shift in (("none", 0.0), ("linear", 10.0)):
            bounds = {"floor": -100.0, "ceiling": ceiling}
            write_run(folder, warmup, seed, [value + shift for value in LEARNS], info={"bounds": bounds})
    write_declaration(folder, DECLARED)
    analysis = analyse(folder)
    assert len(list(analysis.cells)) == 2
    assert on(analysis, "final").differences == pytest.approx([0.05] * 3)  # 110 is scored as 105
    assert on(analysis, "final").pairing.bound(on(analysis, "final").metric) == pytest.approx(2.05)
    assert said(analysis, "Toy-v0: its runs have different bounds; all are scored by env.floor=-100 and env.ceilin")


def test_without_bounds_no_mean_is_bounded_and_it_is_said_once(tmp_path: Path) -> None:
    bare = {"bounds": {"floor": -100.0, "ceiling": None}}
    analysis = analyse(two_arms(tmp_path / "s", [10.0, 11.0, 12.0], info=bare))
    bounds = {found.metric.name: found.pairing.bound(found.metric) for found in analysis.comparisons}
    assert {name for name, bound in bounds.items() if bound is not None} == {
        *("shortfall", "not_learned", "time_to_threshold"),  # which have no need of a ceiling
    }
    (problem,) = [str(found) for found in analysis.problems if found.kind == "constants"]
    assert problem == (
        "Toy-v0 (toy) has no env.ceiling: verdicts on returns are of the runs seen, and none of the mean, whatever "
        "rare runs do. To mend this report: python -m rl_warmup.measure env=gym env.id=Toy-v0 --output env.yaml, "
        f"give there what it leaves null, and python -m rl_warmup.report {tmp_path / 's'} --env env.yaml"
    )
    deep = {"info": {"bounds": {"floor": -500.0, "ceiling": 110.0}}, "changes": {"env.return_floor": -500.0}}
    found = analyse(two_arms(tmp_path / "t", [10.0, 11.0, 12.0], **deep))
    assert said(
        found, "Toy-v0 (toy) has no env.floor, and env.return_floor=-500 is -5 of normalized return: verdic"
    )


def test_the_pair_that_alone_moves_a_mean_is_named(tmp_path: Path) -> None:
    folder = two_arms(tmp_path / "s", [8.0] * 7, changes={"env.return_floor": -500.0})
    write_run(folder, "none", 7, changes={"env.return_floor": -500.0})
    write_run(folder, "linear", 7, [-500.0] * 6, changes={"env.return_floor": -500.0})
    analysis = analyse(folder)
    final = on(analysis, "final")
    assert final.paired.estimate == pytest.approx((7 * 0.08 - 6) / 8)
    moved = (7 * 0.08 - 6) / 8 - 0.08  # with it and without
    assert said(
        analysis,
        "linear-20%-gradient_steps lr=0.001 constant against none lr=0.001 constant (toy ppo sb3): the pair of "
        f"seed 7 alone moves the mean of final by {moved:.2g}, more than 0.05; the mean of area by",
    )
    assert final.pairing.bound(final.metric) is None  # the floor is deep, and nobody declared it
    assert final.verdict.plan is None
    even = analyse(two_arms(tmp_path / "t", [8.0] * 8))
    assert not [problem for problem in even.problems if problem.kind == "influence"]
    bare = {f"env.{key}": None for key in ("return_floor", "return_low", "return_high", "threshold")}
    raw = two_arms(tmp_path / "u", [1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 4000.0], changes=bare)
    assert said(analyse(raw), "the pair of seed 6 alone moves most of the standard deviation of final; most of")


def test_the_share_of_clipped_evaluations_is_that_of_each_arm(tmp_path: Path) -> None:
    held = {"info": {"bounds": {"floor": -100.0, "ceiling": 105.0}}}
    analysis = analyse(two_arms(tmp_path / "s", [10.0, 0.0], **held))
    assert [cell.clipped for _, cell in analysis.cells] == [0.0, 2 / 12]  # 110 twice
    assert [row["clipped"] for row in as_json(analysis)["cells"]] == [0.0, 2 / 12]
    shown = across_seeds(as_json(analysis))
    assert shown is not None
    assert "clipped evaluations" in [column.text for column in shown.columns]
    assert said(
        analysis, "2 evaluations of 1 run beyond env.floor=-100 and env.ceiling=105, scored as that: 16.67%"
    )


def test_the_bound_and_the_smallest_effect_of_a_contrast_grow_with_its_weights(tmp_path: Path) -> None:
    arms = [{"weight": 0.1, "where": {"warmup.name": "linear"}}, {"weight": -0.1, "where": {"warmup.name": "none"}}]
    times = [arm | {"weight": 100 * float(arm["weight"])} for arm in arms]
    folder = two_arms(tmp_path / "s", [1.0, 2.0, 3.0])
    write_declaration(folder, DECLARED | {"contrasts": [{"name": "a", "arms": arms}, {"name": "b", "arms": times}]})
    found = {one.pairing.contrast: one for one in analyse(folder).comparisons if one.metric.name == "final"}
    for name, weight in ((None, 1.0), ("a", 0.1), ("b", 10.0)):
        one = found[name]
        assert one.pairing.weight == pytest.approx(weight)
        assert one.smallest_effect == pytest.approx(0.05 * weight)
        assert one.pairing.bound(one.metric) == pytest.approx(3.0 * weight)  # returns from -100 to 200
        assert one.differences == pytest.approx([0.01 * weight, 0.02 * weight, 0.03 * weight])
