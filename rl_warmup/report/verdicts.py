"""The words of verdicts, the same in every output: symbols, meanings, and the verdict of a row of report.json."""

from collections.abc import Mapping

from rl_warmup.analysis.statistics import scopes
from rl_warmup.analysis.statistics.scopes import Headline
from rl_warmup.report.words import Row

SYMBOLS: Mapping[str, str] = {
    "better": "▲",
    "worse": "▼",
    "equivalent": "=",
    "better in the runs seen": "△",
    "worse in the runs seen": "▽",
    "equivalent in the runs seen": "≈",
    "inconclusive": "?",
}
MEANINGS: Mapping[str, str] = {  # the table of docs/verdicts.md
    "better": "the mean over all seeds is better, whatever rare runs do",
    "worse": "the mean over all seeds is worse, whatever rare runs do",
    "equivalent": "the mean over all seeds differs by less than δ, whatever rare runs do",
    "better in the runs seen": "the runs seen are better; a collapse too rare to be seen could undo it",
    "worse in the runs seen": "the runs seen are worse; a collapse too rare to be seen could undo it",
    "equivalent in the runs seen": "the runs seen differ by less than δ; a rare collapse could undo it",
    "inconclusive": "none of these is shown",
}
EQUAL = "equivalent: p of the mean is that of equivalence"
SEEN = "seen: in the runs seen, and not shown for the mean, whatever rare runs do"


def headline(row: Row) -> Headline:
    """The verdict of a comparison in words; one of an earlier version knew the runs seen only.

    >>> headline({"verdict": "inconclusive", "verdict_in_runs_seen": "better"})
    'better in the runs seen'
    """
    if "verdict_in_runs_seen" in row or row["verdict"] not in ("better", "worse"):
        return scopes.headline(row["verdict"], row.get("verdict_in_runs_seen", "inconclusive"))
    return scopes.headline("inconclusive", row["verdict"])


def scope_of(row: Row) -> str:
    """Where the interval is that a verdict speaks of: `mean_ci` of the mean, `ci` of the runs seen.

    >>> scope_of({"verdict": "equivalent"}), scope_of({"verdict": "inconclusive"})
    ('mean_ci', 'ci')
    """
    return "ci" if row["verdict"] == "inconclusive" else "mean_ci"


def p_of_mean(row: Row) -> float | None:
    """The corrected p of the mean: of equivalence where that is the verdict."""
    p: float | None = row["p_equivalence_adjusted" if row["verdict"] == "equivalent" else "p_mean_adjusted"]
    return p


def brief(headline: Headline) -> str:
    """A verdict for a narrow column; `SEEN` says what it means.

    >>> brief("better in the runs seen"), brief("worse")
    ('better, seen', 'worse')
    """
    return headline.replace(" in the runs seen", ", seen")


def of_runs(failed: Row) -> str:
    """How many runs failed.

    >>> of_runs({"count": 10, "n": 120})
    '10 of 120'
    """
    return f"{failed['count']:,} of {failed['n']:,}"
