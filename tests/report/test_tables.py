"""The tables of a report: what stands in which cell."""

import pytest
from helpers.example_report import PLAN, comparison, critical_rate, report

from rl_warmup.report import cell_tables, comparison_tables, robustness_tables
from rl_warmup.report.tables import Table


def texts(table: Table | None, row: int = 0) -> dict[str, str]:
    """Text and detail of a row by column."""
    assert table is not None
    entries = [row for group in table.groups for row in group.rows][row]
    return {c.text: f"{e.text} {e.detail}".strip() for c, e in zip(table.columns, entries, strict=True)}


def test_a_glance_has_a_row_a_pair_of_arms_whatever_the_order_of_the_comparisons() -> None:
    content = report()
    content["comparisons"].sort(key=lambda row: row["metric"])
    table = comparison_tables.glance(content)
    assert table is not None
    assert [column.text for column in table.columns] == ["final", "area", "shortfall", "not learned"]
    assert table.rows == 4
    row = next(group for group in table.groups if "0.004 (4×)" in group.heading and "Linear" in group.heading)
    assert [entry.verdict for entry in row.rows[0]] == [
        "inconclusive",
        "inconclusive",
        "better in the runs seen",
        "inconclusive",
    ]
    assert (row.rows[0][2].text, row.rows[0][2].detail) == ("-0.120", "[-0.190, -0.050]")


def test_a_glance_marks_what_is_exploratory() -> None:
    rows = [comparison(0.004, "final", family="exploratory")]
    table = comparison_tables.glance(report() | {"comparisons": rows})
    assert table is not None
    assert table.groups[0].heading.endswith("exploratory")


def test_the_main_table_holds_every_confirmatory_comparison() -> None:
    table = comparison_tables.comparisons(report(), "confirmatory")
    assert table is not None
    assert table.rows == 13
    assert texts(table, 1) == {
        "metric": "area",
        "verdict": "▼ worse",
        "n": "20",
        "difference": "-0.089",
        "runs seen: 95%": "[-0.134, -0.044]",
        "adjusted p": ".031",
        "mean: 95%": "[-0.156, -0.022]",
        "adjusted p of the mean": ".04",
        "did not learn": "2 / 5 of 20",
    }


def test_an_equivalent_row_has_the_interval_and_the_p_that_say_so() -> None:
    rows = [comparison(0.001, "final")]
    row = texts(comparison_tables.comparisons(report() | {"comparisons": rows}, "confirmatory"))
    assert (row["verdict"], row["adjusted p of the mean"]) == ("= equivalent", ".0016")
    glance = comparison_tables.glance(report() | {"comparisons": rows})
    assert glance is not None
    assert glance.groups[0].rows[0][0].detail == "[-0.026, +0.034]"


def test_undefined_numbers_are_dashes() -> None:
    unknown = ("estimate", "ci_low", "ci_high", "p_adjusted", "pairing_correlation", "iqm", "p_mean_adjusted")
    unknown += ("mean_ci_low", "mean_ci_high", "p_mean", "failures", "pairs_won", "p_phan")
    rows = [comparison(0.004, "final", **dict.fromkeys(unknown))]
    row = texts(comparison_tables.comparisons(report() | {"comparisons": rows}, "confirmatory"))
    assert {text for name, text in row.items() if name not in ("metric", "verdict", "n", "pairs to decide")} == {
        "–"
    }
    row = texts(comparison_tables.sensitivity(report() | {"comparisons": rows}))
    assert {row[key] for key in ("Welch", "pairing ρ")} == {"–"}
    assert {row[key] for key in ("IQM", "Dirichlet", "Phan")} == {"– –"}


def test_other_methods_stand_beside_with_their_intervals() -> None:
    row = texts(comparison_tables.sensitivity(report() | {"comparisons": [comparison(0.004, "shortfall")]}))
    assert row == {
        "metric": "shortfall",
        "sign flips": ".002 [-0.190, -0.050]",
        "unpaired": ".003",
        "Welch": "–",
        "Dirichlet": ".01 [-0.225, -0.015]",
        "Phan": ".02 [-0.260, +0.020]",
        "betting": ".09 [-0.295, +0.055]",
        "equivalence": "<.001",
        "IQM": "-0.120 –",
        "pairing ρ": "0.42",
    }


def test_failures_pairs_won_and_plans_have_a_table() -> None:
    rows = [comparison(0.004, "shortfall", plan=PLAN), comparison(0.004, "area", plan=PLAN | {"mean": None})]
    table = comparison_tables.failures(report() | {"comparisons": rows})
    assert texts(table) == {
        "metric": "shortfall",
        "did not learn": "2 / 5 of 20 [1.2%, 32%] / [8.7%, 49%]",
        "McNemar p": ".38 mid-p .23",
        "pairs won": "16 of 19 [60%, 97%]",
        "sign test p": ".0044",
        "undone by": "10% excluded: above 32%",
        "pairs to decide": "40 / 1,200 / 90",
    }
    assert texts(table, 1)["pairs to decide"] == "40 / – / 90"


def test_the_critical_rate_has_a_row_an_arm() -> None:
    treatment, control = (texts(robustness_tables.critical_rates(report()), index) for index in (0, 1))
    assert (treatment["η50"], control["η50"]) == ("0.0152", "0.0079")
    assert treatment["log2 ratio"] == "+0.94 [+0.31, ∞]"
    assert control["share that learned, by rate"] == "100% 80% 20%"
    censored = critical_rate(eta50_control=None, censored_control="above", log2_ratio=None, finding="censored")
    content = report() | {"robustness": {"edges": [censored], "sensitivity": []}}
    assert texts(robustness_tables.critical_rates(content), 1)["η50"] == "– above the grid"
    assert texts(robustness_tables.critical_rates(content))["log2 ratio"] == "–"


def test_stability_stands_beside_its_noise_floor() -> None:
    row = texts(cell_tables.stability(report()))
    assert row == {"arm": "none", "n": "20", "drawdown max": "0.8 floor 0.15\nabove 40%", "recovered": "0.8"}


def test_metrics_that_no_arm_has_make_no_column() -> None:
    assert list(texts(cell_tables.diagnostics(report()))) == ["arm", "n", "grad norm"]


def test_times_dose_and_seeds() -> None:
    assert texts(cell_tables.time_to_threshold(report())) == {
        "arm": "none",
        "reached": "18 of 20",
        "restricted mean": "45%",
        "median": "not reached",
    }
    assert texts(cell_tables.dose(report()), 1)["budget lost"] == "5%"
    assert texts(cell_tables.across_seeds(report()))["diverged"] == "5% [0.89%, 24%]"
    assert texts(robustness_tables.dispersion(report()))["adjusted p"] == ".12"
    assert texts(robustness_tables.phi(report()))["Φ"] == "0.210"


@pytest.mark.parametrize("make", [comparison_tables.glance, cell_tables.scores, robustness_tables.dispersion])
def test_without_rows_there_is_no_table(make: object) -> None:
    assert callable(make)
    assert make(report() | {"comparisons": [], "cells": [], "dispersion": []}) is None
