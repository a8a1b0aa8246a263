"""What report.json says in words."""

import re

import pytest
from helpers.example_report import PLAN, PROBLEMS, comparison, critical_rate, report

from rl_warmup.analysis.problems import Problem
from rl_warmup.report.comparison_sentences import verdict
from rl_warmup.report.robustness_sentences import critical_rate as critical_rate_sentence
from rl_warmup.report.sentences import answers, limits, sentences, summary


def said(kind: str, **changes: object) -> str:
    """The only sentence of a kind in a report of one comparison."""
    content = report() | {"comparisons": [comparison(0.004, "shortfall", **changes)]}
    (found,) = [sentence.text for sentence in sentences(content) if sentence.kind == kind]
    return found


def test_the_answer_comes_first_and_counts_every_verdict() -> None:
    assert report()["answers"][0] == (
        "In 13 confirmatory comparisons the treatment was better in 1 (not learned), worse in 1 (area), equivalent "
        "in 1 (final), better in the runs seen in 1 (shortfall) and inconclusive in 9."
    )


def test_what_the_runs_seen_show_is_said_with_what_would_undo_it() -> None:
    assert report()["answers"][4] == (
        "Better in the runs seen: Linear warmup over 10% of the gradient steps, PPO on CartPole at 4× the tuned "
        "learning rate (0.004): less shortfall by 0.12 [0.05, 0.19] of normalized return, n = 20 pairs, adjusted "
        "p = .031. Runs that did not learn: 2 of 20 against 5 of 20 (exact McNemar p = .38). Pairs: 16 won, 3 "
        "lost, 1 tied (sign test p = .0044). Not shown for the mean: it is undone if 10% of the treated runs lose "
        "everything, and 20 pairs exclude only rates above 32%."
    )


def test_what_holds_for_the_mean_has_its_own_interval_and_p() -> None:
    row = comparison(0.001, "area")
    assert "area under the curve by 0.089 [0.022, 0.156] of normalized return" in verdict(row, report())
    assert "adjusted p = .04, whatever rare runs do, but fewer of its runs did not learn: 2 of 20" in verdict(
        row, report()
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bound": None}, ". Not shown for the mean, which takes bounds of the metric."),
        ({"break_even": None}, ". Not shown for the mean, whatever rare runs do (adjusted p = .3)."),
        (
            {"break_even": {"rate": 0.4, "excluded": 0.26}},
            "if 40% of the treated runs lose everything, and 20 pairs ",
        ),
        ({"break_even": {"rate": 0.4, "excluded": 0.26}}, "20 pairs exclude rates above 26%"),
        ({"verdict_in_runs_seen": "worse"}, "if 10% of the runs of the control lose everything"),
    ],
)
def test_why_it_is_not_shown_for_the_mean(changes: dict[str, object], words: str) -> None:
    assert words in verdict(comparison(0.004, "shortfall", **changes), report())


def failures(treatment: int, control: int, n: int = 40) -> dict[str, object]:
    arms = {"treatment": treatment, "control": control}
    return {"p_value": 0.125, "p_mid": 0.06} | {
        arm: {"count": count, "n": n, "low": 0.0, "high": 0.9, "upper": count / n + 0.05}
        for arm, count in arms.items()
    }


@pytest.mark.parametrize(
    ("of_mean", "failed", "words"),
    [
        (
            "better",
            (4, 0),
            ", but more of its runs did not learn: 4 of 40 against 0 of 40 (exact McNemar p = .12; ",
        ),
        (
            "worse",
            (0, 4),
            ", but fewer of its runs did not learn: 0 of 40 against 4 of 40 (exact McNemar p = .12; ",
        ),
        (
            "better",
            (0, 4),
            ". Runs that did not learn: 0 of 40 against 4 of 40 (exact McNemar p = .12; rates up to 5% and ",
        ),
        ("worse", (4, 0), ". Runs that did not learn: 4 of 40 against 0 of 40 ("),
        (
            "better",
            (0, 0),
            ". Runs that did not learn: 0 of 40 against 0 of 40 (rates up to 5% and 5% are not excluded). ",
        ),
        (
            "equivalent",
            (4, 0),
            ". Runs that did not learn: 4 of 40 against 0 of 40 (exact McNemar p = .12; rates up to 15%",
        ),
    ],
)
def test_failures_are_in_every_answer(of_mean: str, failed: tuple[int, int], words: str) -> None:
    """That a better arm fails more often is in the same sentence."""
    row = comparison(0.001, "final", verdict=of_mean, failures=failures(*failed))
    assert words in verdict(row, report())
    assert "did not learn" not in verdict(row | {"failures": None}, report())


def test_what_is_significant_and_too_small_is_open() -> None:
    small = "significant but smaller than 0.05; too few pairs to call it equivalent"
    row = comparison(0.001, "final", n=10, verdict="inconclusive", p_adjusted=0.004, notes=[small], failures=None)
    content = report(comparisons=[row])
    found = [sentence.text for sentence in sentences(content) if sentence.kind == "inconclusive"]
    assert found == [
        "Linear warmup over 10% of the gradient steps, PPO on CartPole at the tuned learning rate (0.001): the "
        "difference in final return, +0.004 [-0.016, +0.024] of normalized return, adjusted p = .004, is "
        "significant but smaller than 0.05; 10 pairs are too few to call it equivalent.",
        "1 of 1 comparison is not decided by these runs.",
    ]
    many = [sentence.text for sentence in sentences(report(comparisons=[row] * 5))]
    assert many[0].endswith("are inconclusive, 5 because the difference is too small to matter.")
    assert (
        many[1]
        == "5 of 5 comparisons are not decided by these runs; 5 of them are significant but too small to matter."
    )


def test_failures_are_said_where_nothing_is_decided() -> None:
    row = comparison(0.004, "final", failures=failures(4, 0), p_value=0.5)
    texts = [found.text for found in sentences(report(comparisons=[row])) if found.kind == "inconclusive"]
    assert texts == [
        "Linear warmup over 10% of the gradient steps, PPO on CartPole at 4× the tuned learning rate (0.004): "
        "4 of 40 against 0 of 40 runs did not learn (exact McNemar p = .12; rates up to 15% and 5% are not "
        "excluded).",
        "1 of 1 comparison is not decided by these runs.",
    ]
    others = [row | {"treatment_arm": f"arm {k}"} for k in range(6)]
    texts = [found.text for found in sentences(report(comparisons=others)) if found.kind == "inconclusive"]
    assert texts[4].endswith("not decided by these runs; runs failed in 2 more pairs of arms, see the tables.")
    decided = [comparison(0.004, "shortfall"), row]
    texts = [found.text for found in sentences(report(comparisons=decided)) if found.kind == "inconclusive"]
    assert texts == ["1 of 2 comparisons is not decided by these runs."]


def test_that_intervals_are_not_corrected_is_said_where_it_matters() -> None:
    row = comparison(0.001, "final", verdict="inconclusive", p_value=0.02, p_adjusted=0.16)
    rows = [row, comparison(0.004, "final", p_value=0.5)]
    assert [found.text for found in sentences(report(comparisons=rows)) if found.kind == "inconclusive"][-1] == (
        "2 of 2 comparisons are not decided by these runs; 1 has p ≤ .05 before the correction for 2 "
        "comparisons, not after; intervals are not corrected."
    )


def test_a_cost_is_said_as_a_share_of_what_the_control_had() -> None:
    (worse,) = [text for text in report()["answers"] if text.startswith("Worse")]
    assert "at the tuned learning rate (0.001): smaller area under the curve by 0.089 [0.022, 0.156]" in worse
    assert "(11% of the control's 0.80)" in worse
    assert "The price: 5% of the summed learning rate is not delivered to the optimizer." in report()["answers"]


def test_equivalent_names_its_bound_and_what_it_does_not_exclude() -> None:
    (equivalent,) = [text for text in report()["answers"] if text.startswith("Equivalent")]
    assert "+0.004 [-0.026, +0.034] of normalized return, is shown to be smaller than 0.05, whatever" in equivalent
    assert "adjusted p of equivalence = .0016" in equivalent
    assert "rates up to 28% and 46% are not excluded" in equivalent
    significant = verdict(comparison(0.001, "final", p_adjusted=0.006), report())
    assert (
        "= .0016; significant (adjusted p = .006), but too small to matter. Runs that did not learn: 2 of 20 "
        "against" in significant
    )
    failed = verdict(comparison(0.016, "not_learned", verdict="equivalent", smallest_effect=0.05), report())
    assert "-25.0 [-55.0, +5.0] percentage points, is shown to be smaller than 5 percentage points" in failed


def test_shares_of_runs_are_percentage_points() -> None:
    row = comparison(0.016, "not_learned")
    words = "fewer runs that did not learn (2 of 20 against 5 of 20) by 25 [-5, 55] percentage points, n = 20 pairs"
    assert words in verdict(row, report())


@pytest.mark.parametrize(("sign", "words"), [(1, "more shortfall by 0.12"), (-1, "less shortfall by 0.12")])
def test_the_direction_is_a_word_and_the_size_has_no_sign(sign: int, words: str) -> None:
    low, high = sorted((sign * 0.05, sign * 0.19))
    row = comparison(0.004, "shortfall", estimate=sign * 0.12, ci_low=low, ci_high=high)
    assert f"{words} [0.05, 0.19]" in verdict(row, report())


def test_an_interval_without_an_end_stays_open() -> None:
    row = comparison(0.004, "shortfall", estimate=-0.12, ci_low=None, ci_high=-0.05)
    assert "less shortfall by 0.12 [0.05, ∞]" in verdict(row, report())


def test_a_plan_says_what_decides_and_what_stays_open() -> None:
    rows = [
        comparison(0.004, "final", plan=PLAN),
        comparison(0.004, "area", plan=PLAN | {"mean": None, "pairs": 90}),
    ]
    (text,) = [found.text for found in sentences(report(comparisons=rows)) if found.kind == "plan"]
    assert text == (
        "Pairs that decide what is open for the mean, in 80% of such studies: 40 in the runs seen, 1,200 for the "
        "mean and 90 for “equivalent”; even then up to 2% stay open where the true difference is 0, and up to 45% "
        "where it is half the smallest effect that matters."
    )
    more = report(comparisons=[*rows, comparison(0.001, "shortfall")])
    part = "Pairs that decide 2 of the 3 comparisons that are open for the mean, in 80%"
    assert any(part in found.text for found in sentences(more))
    sure = report(comparisons=[comparison(0.004, "final", plan=PLAN | {"open_at_zero": 1e-14})])
    assert any("even then under 1% stay open where the" in found.text for found in sentences(sure))


def test_all_open_is_said_as_such() -> None:
    assert said("summary", verdict_in_runs_seen="inconclusive") == (
        "These runs cannot tell what warmup does: the only confirmatory comparison is inconclusive."
    )


def test_without_a_declaration_the_exploratory_family_is_counted_and_nothing_else_is_claimed() -> None:
    content = report() | {"comparisons": [comparison(0.004, "shortfall", family="exploratory", n=8)]}
    content["study"]["declared"] = False
    texts = answers(content, limits(content, ()))
    assert texts[0].startswith(
        "In 1 exploratory comparison warmup was better in the runs seen in 1 (shortfall); nothing is"
    )
    assert not any(text.startswith("Better") for text in texts)
    assert "No study was declared before training, so every comparison is exploratory." in texts
    assert "This is a pilot: 8 pairs of seeds in each comparison, fewer than 20." in texts


def test_nothing_to_compare_is_no_answer() -> None:
    empty = {"comparisons": [], "cells": [], "dose": [], "robustness": {"edges": [], "sensitivity": []}}
    assert report(**empty)["answers"][0].startswith("No arm could be compared")


def test_limits_name_diverged_failed_and_barred_comparisons() -> None:
    texts = limits(report(), PROBLEMS)
    assert any("inert lr=1" in text and "do not differ" in text for text in texts)
    assert any(text.startswith("3 of 120 runs diverged") and "1 of 20 in linear" in text for text in texts)
    assert "1 run failed and is not scored." in texts
    assert not any("pilot" in text for text in texts)


def test_a_limit_that_comes_many_times_is_counted() -> None:
    barred = [Problem("no verdict", f"arm {n}", "the delivered learning rates do not differ") for n in range(9)]
    rows = [comparison(0.004, "final", n=n) for n in (12, 17, 20)]
    texts = limits(report(comparisons=rows), barred)
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
    row = comparison(0.004, "final", contrast="dip", verdict_in_runs_seen="worse", estimate=-0.2)
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
