"""Studies with looks: at planned numbers of pairs verdicts are sequential, else exploratory, which is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.synthetic import DECLARED, LEARNS, on, said, write_run

from rl_warmup.analysis.stopping import looks_at
from rl_warmup.analysis.study import Analysis, analyse
from rl_warmup.records.schema import RecordError
from rl_warmup.records.study import write_declaration

LOOKS = {"every": 20, "most": 60, "spending": "pocock"}
METRICS = ("final", "area", "shortfall")  # all learn half of what the reference does


def study(
    folder: Path, pairs: int, shift: float = 40.0, looks: Any = LOOKS, more: int = 0, lost: int | None = None
) -> Path:
    """Pairs with a linear warmup that is worse by about `shift`, and `more` seeds of it alone; `lost`: a seed."""
    about = {} if looks is None else {"looks": looks}
    for seed in range(pairs + more):
        wobble = 3 * np.random.default_rng(seed).standard_normal()
        if seed < pairs:
            write_run(folder, "none", seed, info=about)
        status, why = ("failed", "lost") if seed == lost else ("completed", None)
        write_run(folder, "linear", seed, np.array(LEARNS) - shift - wobble, info=about, status=status, error=why)
    write_declaration(folder, {**DECLARED, "looks": LOOKS})
    return folder


def refused(found: Analysis, *parts: str) -> bool:
    """Whether nothing is sequential or confirmatory, and these words say why."""
    assert found.looking is not None
    assert all(part in str(found.looking.refused) for part in parts)
    assert said(found, "do not hold", "verdicts are exploratory", *parts)
    return all(one.family == "exploratory" and one.decided_at is None for one in found.comparisons)


def test_at_a_planned_look_verdicts_are_sequential(tmp_path: Path) -> None:
    found = analyse(study(tmp_path, 20))
    assert found.looking is not None
    assert found.looking.taken == (20,)
    assert found.looking.refused is None
    fixed = analyse(study(tmp_path / "fixed", 20, looks=None))
    for name in METRICS:
        one = on(found, name)
        assert (one.family, one.decided_at) == ("confirmatory", 20)
        p = on(fixed, name).paired.p_value
        assert p is not None
        assert one.paired.p_value is not None
        assert one.paired.p_value > p  # a look spends a part of the level only
        low, high = one.paired.ci_low, one.paired.ci_high
        seen = on(fixed, name).paired
        assert None not in (low, high, seen.ci_low, seen.ci_high)
        assert low < seen.ci_low  # type: ignore[operator]
        assert high > seen.ci_high  # type: ignore[operator]


def test_what_is_decided_early_stays_and_names_its_look(tmp_path: Path) -> None:
    found = analyse(study(tmp_path, 40))
    assert found.looking is not None
    assert found.looking.taken == (20, 40)
    assert {on(found, name).decided_at for name in METRICS} == {20}
    assert [(look.pairs, look.decided, look.comparisons) for look in looks_at(tmp_path, range(40))] == [
        (20, 3, 4),
        (40, 3, 4),
    ]


def test_a_look_sees_its_seeds_only(tmp_path: Path) -> None:
    study(tmp_path, 33)
    assert [look.pairs for look in looks_at(tmp_path, range(20))] == [20]
    with pytest.raises(RecordError, match=r"33 pairs are no planned look \(20, 40, 60\); give this study another"):
        looks_at(tmp_path, range(33))


def test_equal_arms_are_open(tmp_path: Path) -> None:
    found = analyse(study(tmp_path, 20, shift=0.0))
    assert on(found, "final").decided_at is None
    assert looks_at(tmp_path, range(20))[0].decided == 0


def test_a_number_of_pairs_without_a_look_is_refused(tmp_path: Path) -> None:
    assert refused(analyse(study(tmp_path, 25)), "25 pairs are no planned look (20, 40, 60)")


def test_seeds_of_one_arm_alone_are_refused(tmp_path: Path) -> None:
    found = analyse(study(tmp_path, 20, more=2))
    assert refused(found, "seeds 20, 21 of linear-20%", "are not in all arms: seeds are added to all alike")


def test_other_looks_than_those_of_the_runs_are_refused(tmp_path: Path) -> None:
    found = analyse(study(tmp_path / "other", 20, looks={"every": 20, "most": 100}))
    assert refused(
        found, "40 runs of 40 were trained under others (looks at 20, 40, 60, 80 and 100 pairs, spending"
    )
    found = analyse(study(tmp_path / "none", 20, looks=None))
    assert refused(found, "40 runs of 40 were trained without looks, e.g.")


def test_a_run_that_failed_leaves_its_batch_incomplete(tmp_path: Path) -> None:
    found = analyse(study(tmp_path, 20, lost=3))
    assert refused(found, "seed 3 of linear-20%", "are not scored: a look is for complete batches")


def test_a_metric_without_a_value_in_some_pair_is_refused(tmp_path: Path) -> None:
    study(tmp_path, 20)
    no_floor = {"env.return_floor": None}
    for seed in range(20):
        about = {"looks": LOOKS}
        if seed == 4:  # diverged, and what that scores is not known
            write_run(tmp_path, "cosine", seed, LEARNS[:3], info=about, status="diverged", changes=no_floor)
        else:
            write_run(tmp_path, "cosine", seed, info=about, changes=no_floor)
        write_run(tmp_path, "none", seed, info=about, changes=no_floor)
    write_declaration(tmp_path, {**DECLARED, "comparisons": [{"warmup.name": "cosine"}], "looks": LOOKS})
    assert refused(analyse(tmp_path), "final of cosine-20%", "is not known of seed 4")


def test_without_declared_looks_nothing_changes(tmp_path: Path) -> None:
    study(tmp_path, 20)
    write_declaration(tmp_path, DECLARED)
    found = analyse(tmp_path)
    assert found.looking is None
    assert on(found, "final").family == "confirmatory"
