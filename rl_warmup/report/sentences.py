"""What report.json says, in sentences: the answer first, then each verdict, then what limits them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rl_warmup.analysis.problems import Problem
from rl_warmup.analysis.statistics.scopes import ALPHA, Headline
from rl_warmup.analysis.statistics.verdicts import ENOUGH_PAIRS, SMALL
from rl_warmup.records.words import counted
from rl_warmup.report import looks, pooled, words
from rl_warmup.report.comparison_sentences import failed, has_failures, too_small, verdict
from rl_warmup.report.robustness_sentences import critical_rate, dose
from rl_warmup.report.verdicts import headline
from rl_warmup.report.words import Row, listed

Kind = Headline | Literal["summary", "looks", "plan", "robustness", "dose", "limit"]
VERDICTS: tuple[Headline, ...] = get_args(Headline)
OF_MEAN = ("better", "worse", "equivalent")
PAIR = (*words.GROUP, "schedule", "learning_rate", "treatment_arm", "control_arm", "contrast")
OPEN_SENTENCES = 4  # more of a kind than these are counted, not listed
VERDICT_SENTENCES = 8  # more of a verdict than these are gathered, a sentence an arm


@dataclass(frozen=True)
class Sentence:
    """A sentence and what it is about."""

    kind: Kind
    text: str

    @property
    def plain(self) -> str:
        """The sentence without a symbol beside it: a verdict begins with its word."""
        return f"{self.kind.capitalize()}: {self.text}" if self.kind in VERDICTS else self.text


def answers(report: Mapping[str, Any], limits: Sequence[str]) -> list[str]:
    """The `answers` of report.json: its findings and then its limits, as plain text."""
    return [*(sentence.plain for sentence in findings(report)), *map(words.capital, limits)]


def sentences(report: Mapping[str, Any]) -> list[Sentence]:
    """The `answers` of report.json, the answer first, each with what it is about."""
    found = findings(report)
    return [*found, *(Sentence("limit", text) for text in report["answers"][len(found) :])]


def findings(report: Mapping[str, Any]) -> list[Sentence]:
    """Summary, decided comparisons, open ones, their plan, robustness and dose of a report, in this order.

    Needs all of report.json but `answers`, `figures` and `reproduce`.
    """
    rows = [row for row in report["comparisons"] if row["family"] == "confirmatory"]
    named, first = words.varied(report["comparisons"]), pooled.rows_of(report)
    texts: list[tuple[Kind, str]] = [
        ("summary", summary(report)),
        *(("looks", text) for text in looks.sentences(report)),
        *((kind, text) for kind in VERDICTS[:-1] for text in _decided(kind, first, report, named)),
        *(("inconclusive", text) for text in _undecided(first, report, named, "pooled question")),
        *(("plan", text) for text in _plan(first, "seeds in each environment")),
        *((kind, text) for kind in VERDICTS[:-1] for text in _decided(kind, rows, report, named)),
        *(("inconclusive", text) for text in _undecided(rows, report, named)),
        *(("plan", text) for text in _plan(rows)),
        *(("robustness", critical_rate(row, report, named)) for row in report["robustness"]["edges"]),
        *(("dose", text) for text in dose(report)),
    ]
    return [Sentence(kind, words.capital(text)) for kind, text in texts]


def summary(report: Mapping[str, Any]) -> str:
    """The verdicts of the confirmatory family counted, or of the exploratory one where nothing was declared."""
    comparisons = report["comparisons"]
    if not comparisons:
        return "no arm could be compared with a control, so there is no answer; the problems say why."
    family = "confirmatory" if any(row["family"] == "confirmatory" for row in comparisons) else "exploratory"
    main = [name for name, metric in report["study"]["metrics"].items() if metric["role"] == "confirmatory"]
    rows = [row for row in comparisons if row["family"] == family and row["metric"] in main]
    what = "the treatment" if any(row["contrast"] for row in rows) else "warmup"
    over_all = pooled.summary(report, what) if family == "confirmatory" else ""
    found = [kind for kind in VERDICTS if any(headline(row) == kind for row in rows)]
    if found == ["inconclusive"]:
        every = f"all {len(rows)}" if len(rows) > 1 else "the only"
        are = "comparisons are" if len(rows) > 1 else "comparison is"
        small = f", {len(_small(rows))} because the difference is too small to matter" if _small(rows) else ""
        return f"{over_all}these runs cannot tell what {what} does: {every} {family} {are} inconclusive{small}."
    parts = [f"{kind} in {_counted_metrics(rows, kind)}" for kind in found]
    nothing = "" if set(found) & set(OF_MEAN) else "; nothing is shown for the mean, whatever rare runs do"
    return f"{over_all}in {counted(len(rows), f'{family} comparison')} {what} was {listed(parts)}{nothing}."


def _decided(kind: Headline, rows: Sequence[Row], report: Mapping[str, Any], named: Sequence[str]) -> list[str]:
    """A sentence for each comparison with this verdict; where they are many, one for each arm."""
    found = [row for row in rows if headline(row) == kind]
    if len(found) <= VERDICT_SENTENCES:
        return [verdict(row, report, named) for row in found]
    arms: dict[str, dict[str, list[Row]]] = {}
    for row in found:
        metrics = arms.setdefault(f"{words.compared(row, report)}, {words.place(row, named)}", {})
        metrics.setdefault(words.nouns(row["metric"])[0], []).append(row)
    return [f"{arm}: {listed([_at(*item) for item in metrics.items()])}." for arm, metrics in arms.items()]


def _at(noun: str, rows: Sequence[Row]) -> str:
    """On which metric and at how many learning rates comparisons have a verdict."""
    rates = sorted({row["learning_rate"] for row in rows})
    if len(rates) == 1:
        return f"{noun} at {words.rate(rows[0])}"
    return f"{noun} at {len(rates)} learning rates ({rates[0]:.4g} to {rates[-1]:.4g})"


def limits(report: Mapping[str, Any], problems: Iterable[Problem]) -> list[str]:
    """What a reader must know before believing a verdict.

    Args:
        report: All of report.json but `answers`, `figures` and `reproduce`.
        problems: Those of the analysis.
    """
    comparisons = report["comparisons"]
    confirmatory = [row for row in comparisons if row["family"] == "confirmatory"]
    texts = []
    if comparisons and not report["study"]["declared"]:
        texts.append("no study was declared before training, so every comparison is exploratory.")
    pairs = [row["n"] for row in confirmatory or comparisons]
    if few := [n for n in pairs if n < ENOUGH_PAIRS]:
        which = "each comparison" if len(few) == len(pairs) else f"{len(few)} of {len(pairs)} comparisons"
        n = words.range_words(few)
        texts.append(f"this is a pilot: {n} pairs of seeds in {which}, fewer than {ENOUGH_PAIRS}.")
    barred = [f"{problem}." for problem in problems if problem.kind == "no verdict"]
    texts += barred[:OPEN_SENTENCES]
    if len(barred) > OPEN_SENTENCES:
        texts.append(f"{len(barred) - OPEN_SENTENCES} more pairs of arms have no verdict; the problems say why.")
    texts += pooled.limits(report)
    texts += [f"{problem}." for problem in problems if problem.kind == "pooled"]
    texts += [str(problem) for problem in problems if problem.kind == "constants"]
    return texts + _lost_runs(report["cells"], report["runs"])


def _lost_runs(cells: Sequence[Row], runs: Sequence[Row]) -> list[str]:
    """Runs that diverged, by arm, and runs that failed."""
    texts = []
    if diverged := [row for row in cells if row["n_diverged"]]:
        total = f"{sum(row['n_diverged'] for row in cells)} of {counted(sum(row['n'] for row in cells), 'run')}"
        arms = [f"{row['n_diverged']} of {row['n']} in {row['short']} at {words.rate(row)}" for row in diverged]
        most = listed(arms) if len(arms) <= OPEN_SENTENCES else f"in {len(arms)} arms, which the problems name"
        unscored = any(run["status"] == "diverged" and run["metrics"]["final"] is None for run in runs)
        scored = "not all with a score" if unscored else "which is scored as the worst attainable return"
        texts.append(f"{total} diverged, {scored}: {most}.")
    if failed := sum(row["n_failed"] for row in cells):
        texts.append(f"{counted(failed, 'run')} failed and {'is' if failed == 1 else 'are'} not scored.")
    return texts


def _counted_metrics(rows: Sequence[Row], kind: Headline) -> str:
    """How many rows have this verdict, and on which metrics if it is a decision."""
    names = [words.metric_name(row["metric"]) for row in rows if headline(row) == kind]
    return str(len(names)) if kind == "inconclusive" else f"{len(names)} ({', '.join(dict.fromkeys(names))})"


def _undecided(
    rows: Sequence[Row], report: Mapping[str, Any], named: Sequence[str], noun: str = "comparison"
) -> list[str]:
    """What is open: differences too small to matter, failures, then how many comparisons, and of what p."""
    found = [row for row in rows if headline(row) == "inconclusive"]
    if not found:
        return []
    small, unsaid = _small(found), _unsaid_failures(rows)
    texts = [too_small(row, report, named) for row in small] if len(small) <= OPEN_SENTENCES else []
    texts += [failed(row, report, named) for row in unsaid[:OPEN_SENTENCES]]
    many = f"; {len(small)} of them are significant but too small to matter" if len(small) > OPEN_SENTENCES else ""
    more = len(unsaid) - OPEN_SENTENCES
    many += f"; runs failed in {counted(more, 'more pair')} of arms, see the tables" if more > 0 else ""
    many += pooled.untested(found)
    are = "is" if len(found) == 1 else "are"
    said = f"{len(found)} of {counted(len(rows), noun)} {are} not decided by these runs{many}"
    return [*texts, f"{said}{_corrected(found, len(rows))}."]


def _small(rows: Sequence[Row]) -> list[Row]:
    """Those that are open because their difference is too small to matter."""
    return [
        row
        for row in rows
        if headline(row) == "inconclusive" and any(note.startswith(SMALL) for note in row["notes"])
    ]


def _unsaid_failures(rows: Sequence[Row]) -> list[Row]:
    """One row for each pair of arms of which some run failed, and no sentence of a verdict says so."""
    pairs: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        pairs.setdefault(tuple(row[key] for key in PAIR), []).append(row)
    return [
        members[0]
        for members in pairs.values()
        if all(headline(row) == "inconclusive" for row in members) and has_failures(members[0])
    ]


def _corrected(found: Sequence[Row], tests: int) -> str:
    """That p of verdicts are corrected and intervals are not, where the two differ."""
    beyond = [row for row in found if (row["p_value"] or 1) <= ALPHA < (row["p_adjusted"] or 0)]
    if not beyond:
        return ""
    have = "1 has" if len(beyond) == 1 else f"{len(beyond)} have"
    return f"; {have} p ≤ .05 before the correction for {tests} comparisons, not after; intervals are not corrected"


def _plan(rows: Sequence[Row], what: str = "pairs") -> list[str]:
    """How many pairs, or what else, decide what is open of the mean, and what stays open even with so many."""
    found = [row for row in rows if row["verdict"] == "inconclusive"]
    plans = [row["plan"] for row in found if row["plan"] and row["plan"]["pairs"]]
    if not plans:
        return []
    pairs = {
        key: words.range_words(known)
        for key in ("in_runs_seen", "mean", "equivalent")
        if (known := [plan[key] for plan in plans if plan[key] is not None])
    }
    said = {"in_runs_seen": "in the runs seen", "mean": "for the mean", "equivalent": "for “equivalent”"}
    takes = listed([f"{count} {said[key]}" for key, count in pairs.items()])
    most = [max(plan[key] for plan in plans) for key in ("open_at_zero", "open_at_half")]
    zero, half = ("under 1%" if value < 0.005 else f"up to {value:.0%}" for value in most)
    of = "what is" if len(plans) == len(found) else f"{len(plans)} of the {len(found)} comparisons that are"
    return [
        f"{what} that decide {of} open for the mean, in 80% of such studies: {takes}; even then {zero} stay open "
        f"where the true difference is 0, and {half} where it is half the smallest effect that matters."
    ]
