import math

import numpy as np
import pytest

from rl_warmup.analysis.statistics.spending import RULES, Spending, spent


@pytest.mark.parametrize("rule", RULES)
def test_a_level_is_spent_once_and_more_of_it_with_every_pair(rule):
    shares = np.linspace(0.01, 1, 50)
    by = [spent(0.05, share, rule) for share in shares]
    assert by[-1] == pytest.approx(0.05, abs=1e-15)
    assert np.all(np.diff([0.0, *by]) >= 0)


def test_pocock_by_hand():
    # ln(1 + (e - 1) / 2) = ln(1.85914) = .62011
    assert spent(0.05, 0.5, "pocock") == pytest.approx(0.0310057, abs=1e-7)
    assert spent(0.025, 0.5, "pocock") == pytest.approx(0.0155029, abs=1e-7)


@pytest.mark.parametrize(("share", "published"), [(0.25, 8.85754e-5), (0.5, 0.0055746), (0.75, 0.0236251)])
def test_obrien_fleming_is_the_published_table(share, published):
    # PharmCat/SeqBounds.jl, README: bounds([.25, .5, .75, 1], .05)
    assert spent(0.05, share, "obrien_fleming") == pytest.approx(published, rel=2e-6)


def test_nothing_of_no_level_is_spent_and_all_of_a_whole_one():
    for rule in RULES:
        assert spent(0.0, 0.3, rule) == 0
        assert spent(1.0, 1.0, rule) == pytest.approx(1)


@pytest.mark.parametrize("rule", RULES)
def test_what_is_spent_at_the_looks_sums_to_what_is_spent_by_them(rule):
    spending = Spending((20, 40, 100), rule)
    assert np.cumsum(spending.at(0.05)) == pytest.approx(spending.by(0.05))
    assert spending.by(0.05)[1] == spent(0.05, 0.4, rule)


@pytest.mark.parametrize("counts", [(), (0, 10), (10, 10), (20, 10)])
def test_looks_that_do_not_rise_are_refused(counts):
    with pytest.raises(ValueError, match="give rising numbers of 1 or more"):
        Spending(counts, "pocock")


def test_other_rules_levels_and_shares_are_refused():
    with pytest.raises(ValueError, match="unknown spending 'haybittle': use one of pocock, obrien_fleming"):
        spent(0.05, 0.5, "haybittle")
    for level, share in [(-0.1, 0.5), (1.1, 0.5), (0.05, 0.0), (0.05, 1.5), (math.nan, 0.5)]:
        with pytest.raises(ValueError, match="give a level in"):
            spent(level, share, "pocock")
