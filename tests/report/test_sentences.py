"""What report.json says in words."""

import re

import pytest
from helpers.example_report import NOTES, PROBLEMS, comparison, critical_rate, report

from rl_warmup.analysis.problems import Problem
from rl_warmup.report.sentences import answers, limits, sentences, summary, verdict
from rl_warmup.report.sentences import critical_rate as critical_rate_sentence


def said(kind: str, **changes: object) -> str:
    """The only sentence of a kind in a report of one comparison."""
    content = report() | {"comparisons": [comparison(0.004, "shortfall", **changes)]}
    (found,) = [sentence.text for sentence in sentences(content) if sentence.kind == kind]
    return found


def test_the_answer_comes_first_and_counts_every_verdict() -> None:
    assert report()["answers"][0] == (
        "In 13 confirmatory comparisons the treatment was better in 2 (shortfall, not learned), worse in 1 (area), "
        "equivalent in 1 (final) and inconclusive in 9."
    )


def test_a_better_arm_is_said_with_place_size_interval_n_and_p() -> None:
    assert report()["answers"][1] == (
        "Better: Linear warmup over 10% of the gradient steps, PPO on CartPole at 4× the tuned learning rate "
        "(0.004): less shortfall by 0.12 [0.05, 0.19] of normalized return, n = 20 pairs, adjusted p = .031."
    )


def test_a_cost_is_said_as_a_share_of_what_the_control_had() -> None:
    (worse,) = [text for text in report()["answers"] if text.startswith("Worse")]
    assert "at the tuned learning rate (0.001): smaller area under the curve by 0.089 [0.044, 0.134]" in worse
    assert "(11% of the control's 0.80)" in worse
    assert "The price: 5% of the summed learning rate is not delivered to the optimizer." in report()["answers"]


def test_equivalent_names_its_bound_and_what_it_does_not_exclude() -> None:
    (equivalent,) = [text for text in report()["answers"] if text.startswith("Equivalent")]
    assert "+0.004 [-0.016, +0.024] of normalized return, is shown to be smaller than 0.05" in equivalent
    assert "adjusted p of equivalence = .0016" in equivalent
    assert any("collapse rates under 14% are not excluded" in text for text in limits(report(), PROBLEMS, NOTES))


def test_shares_of_runs_are_percentage_points() -> None:
    row = comparison(0.016, "not_learned")
    assert "fewer runs that did not learn by 25 [5, 45] percentage points" in verdict(row, report())


@pytest.mark.parametrize(("sign", "words"), [(1, "more shortfall by 0.12"), (-1, "less shortfall by 0.12")])
def test_the_direction_is_a_word_and_the_size_has_no_sign(sign: int, words: str) -> None:
    low, high = sorted((sign * 0.05, sign * 0.19))
    row = comparison(0.004, "shortfall", estimate=sign * 0.12, ci_low=low, ci_high=high)
    assert f"{words} [0.05, 0.19]" in verdict(row, report())


def test_an_interval_without_an_end_stays_open() -> None:
    row = comparison(0.004, "shortfall", estimate=-0.12, ci_low=None, ci_high=-0.05)
    assert "less shortfall by 0.12 [0.05, ∞]" in verdict(row, report())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"n_to_decide": 36},
            "1 of 1 comparison is not decided by these runs; about 36 pairs of seeds would decide it.",
        ),
        ({"n_to_decide": None}, "1 of 1 comparison is not decided by these runs."),
    ],
)
def test_an_open_comparison_says_what_would_decide_it(row: dict[str, object], words: str) -> None:
    assert said("inconclusive", verdict="inconclusive", **row) == words


def test_all_open_is_said_as_such() -> None:
    assert said("summary", verdict="inconclusive") == (
        "These runs cannot tell what warmup does: the only confirmatory comparison is inconclusive."
    )


def test_without_a_declaration_the_exploratory_family_is_counted_and_nothing_else_is_claimed() -> None:
    content = report() | {"comparisons": [comparison(0.004, "shortfall", family="exploratory", n=8)]}
    content["study"]["declared"] = False
    texts = answers(content, limits(content, (), ()))
    assert texts[0].startswith("In 1 exploratory comparison warmup was better in 1 (shortfall)")
    assert not any(text.startswith("Better") for text in texts)
    assert "No study was declared before training, so every comparison is exploratory." in texts
    assert "This is a pilot: 8 pairs of seeds in each comparison, fewer than 20." in texts


def test_nothing_to_compare_is_no_answer() -> None:
    empty = {"comparisons": [], "cells": [], "dose": [], "robustness": {"edges": [], "sensitivity": []}}
    assert report(**empty)["answers"][0].startswith("No arm could be compared")


def test_limits_name_diverged_failed_and_barred_comparisons() -> None:
    texts = limits(report(), PROBLEMS, NOTES)
    assert any("inert lr=1" in text and "do not differ" in text for text in texts)
    assert any(text.startswith("3 of 120 runs diverged") and "1 of 20 in linear" in text for text in texts)
    assert "1 run failed and is not scored." in texts
    assert not any("pilot" in text for text in texts)


def test_a_limit_that_comes_many_times_is_counted() -> None:
    barred = [Problem("no verdict", f"arm {n}", "the delivered learning rates do not differ") for n in range(9)]
    rows = [comparison(0.004, "final", n=n) for n in (12, 17, 20)]
    texts = limits(report(comparisons=rows), barred, ())
    assert "5 more pairs of arms have no verdict; the problems say why." in texts
    assert sum("do not differ" in text for text in texts) == 4
    assert "this is a pilot: 12 to 17 pairs of seeds in 2 of 3 comparisons, fewer than 20." in texts


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "raises the learning rate at which half of the runs still learn, from 0.0079 to 0.015"),
        ({"finding": "harms", "log2_ratio": -1.0}, "lowers the learning rate"),
        (
            {"finding": "refuted"},
            "does not move the learning rate at which half of the runs still learn by half an",
        ),
        ({"finding": "undecided"}, "is undecided"),
        (
            {"finding": "censored", "eta50_treatment": None, "log2_ratio": None},
            "the grid of learning rates does not",
        ),
        ({"finding": "undecided", "eta50_treatment": None}, "the grid of learning rates does not reach it"),
    ],
)
def test_learning_rate_robustness_is_one_sentence(changes: dict[str, object], words: str) -> None:
    text = critical_rate_sentence(critical_rate(**changes), report())
    assert words in text
    assert text.count(". ") == 0


def test_trainer_and_budget_are_named_where_they_differ() -> None:
    rows = [comparison(0.004, "shortfall"), comparison(0.004, "shortfall", trainer="stacked", total_timesteps=9000)]
    texts = report(comparisons=rows)["answers"]
    assert any("PPO (stacked) on CartPole, 9,000 steps at" in text for text in texts)
    assert any("PPO (sb3) on CartPole, 50,000 steps at" in text for text in texts)


def test_a_contrast_is_called_by_its_name() -> None:
    row = comparison(0.004, "final", contrast="dip", verdict="worse", estimate=-0.2, ci_low=-0.3, ci_high=-0.1)
    assert verdict(row, report()).startswith("the contrast “dip”, PPO on CartPole")
    assert "the treatment was" in summary(report() | {"comparisons": [row]})


def test_sentences_are_plain_text_with_a_capital_and_an_end() -> None:
    for text in report()["answers"]:
        assert re.fullmatch(r"[A-Z0-9].*\.", text), text
        assert "None" not in text
        assert "  " not in text


def test_many_verdicts_are_gathered_by_arm() -> None:
    rates = [2.0**k for k in range(9)]
    rows = [comparison(0.004, "area", verdict="worse") | {"learning_rate": rate} for rate in rates]
    rows.append(comparison(0.004, "final", verdict="worse"))
    worse = [text for text in report(comparisons=rows)["answers"] if text.startswith("Worse")]
    assert worse == [
        "Worse: Linear warmup over 10% of the gradient steps, PPO on CartPole: area under the curve at 9 learning "
        "rates (1 to 256) and final return at 4× the tuned learning rate (0.004)."
    ]
