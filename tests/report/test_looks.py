"""What a report says of looks, by the rows of report.json."""

from typing import Any

from rl_warmup.report.looks import decided_at, intervals, sentences

LOOKS = {"every": 20, "most": 60, "spending": "pocock", "planned": [20, 40, 60], "refused": None}


def report(taken: list[int], at: list[int | None], **looks: Any) -> dict[str, Any]:
    rows = [{"family": "confirmatory", "decided_at": one, "n": taken[-1] if taken else 25} for one in at]
    return {"looks": {**LOOKS, "taken": taken, **looks}, "comparisons": [*rows, {"family": "exploratory"}]}


def test_an_early_stop_is_said_and_what_it_does_to_estimates() -> None:
    (text,) = sentences(report([20, 40], [20, 40, 40]))
    assert text.startswith(
        "this study looks at 20, 40 and 60 pairs, spending pocock, and stopped at 40, where all is "
    )
    assert "(3 comparisons: 1 decided at 20 and 2 decided at 40)" in text
    assert "Seeds were added by this rule only." in text
    assert "estimates after an early stop are too large" in text


def test_the_end_and_what_is_open_are_said() -> None:
    (text,) = sentences(report([20, 40, 60], [None, 60]))
    assert "and went to the end, 60 (2 comparisons: 1 decided at 60 and 1 open)" in text
    (text,) = sentences(report([20], [None]))
    assert "and has 20 so far (1 comparison: 1 open)" in text


def test_looks_that_do_not_hold_are_said_to() -> None:
    (text,) = sentences(report([], [], refused="25 pairs are no planned look (20, 40, 60)"))
    assert text == (
        "looks were declared at 20, 40 and 60 pairs, and they do not hold: 25 pairs are no planned look (20, 40, "
        "60). The verdicts are exploratory, as of a study of fixed n."
    )
    assert intervals(report([], [], refused="…")) == "uncorrected"


def test_a_study_without_looks_says_nothing() -> None:
    assert sentences({"comparisons": []}) == []
    assert intervals({}) == "uncorrected"
    assert decided_at({"n": 20}) == ""
