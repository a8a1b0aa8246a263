"""The pooled questions of a study over several environments: their rows of report.json, and sentences about them.

A row looks like that of a comparison, of `environments` instead of one `env`: the same words and tables serve.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rl_warmup.analysis.cells import rate_scale
from rl_warmup.analysis.comparison import Comparison
from rl_warmup.analysis.families import PooledComparison
from rl_warmup.analysis.statistics.verdicts import NOT_TESTED
from rl_warmup.records.words import counted
from rl_warmup.report import words
from rl_warmup.report.verdicts import headline
from rl_warmup.report.words import Row

ORDERS = {
    "pooled_first": "the pooled questions first, each with the same share of .05; once one is rejected, its "
    "environments by Holm",
    "holm": "Holm over the confirmatory family",
}


def values(found: PooledComparison) -> dict[str, Any]:
    """What the row of a pooled question says."""
    asked, one = found.asked, found.asked.question.pairings[0]
    scale = rate_scale(one.block)
    _, algo, trainer, _ = one.block.group
    return {
        **vars(asked.pooled),
        "n_seeds": asked.pooled.n_seeds,
        **vars(asked.pooled.paired),
        **vars(found.verdict),
        "env": None,
        "environments": list(asked.question.environments),
        "without": dict(asked.question.without),
        "algo": algo,
        "trainer": trainer,
        "total_timesteps": None,
        "schedule": one.block.settings["schedule.name"],
        "learning_rate": one.block.settings["learning_rate"] if scale is None else None,
        "learning_rate_scale": scale,
        "treatment_arm": None,
        "control_arm": None,
        "treatment": one.treatment_label,
        "control": one.control_label,
        "contrast": one.contrast,
        "metric": asked.metric.name,
        "family": "confirmatory",
        "smallest_effect": asked.smallest_effect,
        "failures": found.failures,
        "pairs_won": found.pairs_won,
        "break_even": found.break_even,
        "by_environment": [_of_environment(comparison) for comparison in found.comparisons],
        "notes": list(map(str, found.verdict.notes)),
    }


def _of_environment(found: Comparison) -> dict[str, Any]:
    paired, verdict = found.paired, found.verdict
    return {
        "env": found.pairing.block.group[0],
        "total_timesteps": found.pairing.block.group[-1],
        "learning_rate": found.pairing.block.settings["learning_rate"],
        **{
            key: getattr(paired, key)
            for key in ("n", "estimate", "ci_low", "ci_high", "mean_ci_low", "mean_ci_high")
        },
        "verdict": verdict.verdict,
        "verdict_in_runs_seen": verdict.verdict_in_runs_seen,
        "notes": list(map(str, verdict.notes)),
    }


def rows_of(report: Mapping[str, Any]) -> Sequence[Row]:
    """The pooled rows of a report; one of an earlier version has none."""
    found: Sequence[Row] = report.get("pooled", [])
    return found


def summary(report: Mapping[str, Any], what: str) -> str:
    """The pooled verdicts counted, in one sentence that names the environments; empty without any."""
    rows = rows_of(report)
    if not rows:
        return ""
    asked = {tuple(row["environments"]) for row in rows}
    where = words.together(rows[0]["environments"]) if len(asked) == 1 else "several environments together"
    kinds = list(dict.fromkeys(headline(row) for row in rows))
    if kinds == ["inconclusive"]:
        every = f"all {len(rows)} pooled questions are" if len(rows) > 1 else "the pooled question is"
        return f"these runs cannot tell what {what} does on {where}: {every} inconclusive. In each environment: "
    parts = []
    for kind in sorted(kinds, key=lambda kind: kind == "inconclusive"):
        names = [words.metric_name(row["metric"]) for row in rows if headline(row) == kind]
        names_said = "" if kind == "inconclusive" else f" ({', '.join(dict.fromkeys(names))})"
        parts.append(f"{kind} in {len(names)}{names_said}")
    asked_words = counted(len(rows), "pooled question")
    return f"in {asked_words} on {where} {what} was {words.listed(parts)}. In each environment: "


def is_tested(row: Row) -> bool:
    """Whether a comparison was tested: not so where its pooled question is open."""
    return not any(note.startswith(f"{NOT_TESTED}:") for note in row["notes"])


def untested(rows: Sequence[Row]) -> str:
    """How many open comparisons were not tested, to be added to a sentence; empty without any."""
    count = sum(not is_tested(row) for row in rows)
    which = f"{count} of them" if count < len(rows) else "none of them"
    said = "were not tested" if 1 < count < len(rows) else "was tested" if count > 1 else "was not tested"
    return f"; {which} {said}, as their pooled question is open" if count else ""


def pairs(row: Row) -> str:
    """The number of pairs, and of the seeds that all environments of a pooled question have."""
    seeds = f" of {counted(row['n_seeds'], 'seed')}" if "n_seeds" in row else ""
    return f"{counted(row['n'], 'pair')}{seeds}"


def agreement(row: Row) -> str:
    """In how many environments the difference has the sign of the pooled one; nothing of a single environment."""
    if "agreeing" not in row:
        return ""
    n = len(row["environments"])
    return f". In {row['agreeing']} of {counted(n, 'environment')} the difference has this sign"


def limits(report: Mapping[str, Any]) -> list[str]:
    """About which environments pooled answers are, and in which order was tested."""
    rows = rows_of(report)
    if not rows:
        return []
    names = sorted({env for row in rows for env in row["environments"]})
    about = words.listed([words.environment(name) for name in names])
    texts = [f"pooled answers are about the average of {about}, and about no environment that was not run."]
    few = [row for row in rows if row["bound"] is not None and row["n_seeds"] < max(_pairs(row))]
    if few:
        seeds = words.range_words([row["n_seeds"] for row in few])
        most = "of the mean pooled answers count seeds that all environments have"
        texts.append(f"{most}: {seeds} in {counted(len(few), 'pooled question')}.")
    return texts


def _pairs(row: Row) -> list[int]:
    return [one["n"] for one in row["by_environment"]]
