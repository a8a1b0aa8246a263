"""Which comparisons ask the same question in several environments: same arms, algorithm, rate and schedule."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rl_warmup.analysis.cells import rate_scale
from rl_warmup.analysis.declaration import Declaration
from rl_warmup.analysis.metrics.registry import with_role
from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.analysis.pairs import Pairing
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.statistics.pooled import Pooled, Stratum, pooled
from rl_warmup.analysis.statistics.verdicts import differences_of

Order = Literal["pooled_first", "holm"]
LISTED = 4  # more comparisons of one environment than these are counted, not listed


@dataclass(frozen=True)
class Question:
    """A confirmatory comparison that two or more environments have, one pairing each, by rising name."""

    pairings: tuple[Pairing, ...]
    without: Mapping[str, str] = field(default_factory=dict)  # environments that are left out, and why

    @property
    def environments(self) -> tuple[str, ...]:
        """Those that are asked; nothing is claimed of any other."""
        return tuple(_env(pairing) for pairing in self.pairings)


def questions_of(pairings: Sequence[Pairing], problems: Problems) -> list[Question]:
    """The questions of a study; what is compared and cannot be pooled is named in `problems`.

    Equal are algorithm, trainer, base schedule, the learning rate as a multiple of the tuned one (where none is
    known, the rate itself), the arms by their labels or the contrast by its name, and by what the comparison
    differs from others beside it. What is the environment's own may differ: its settings, budget and tuned rate.
    """
    asked: dict[Hashable, list[Pairing]] = defaultdict(list)
    for pairing in pairings:
        if pairing.family == "confirmatory":
            asked[_key(pairing)].append(pairing)
    found, alone = [], defaultdict(list)
    for same in asked.values():
        rivals = _rivals(same[0], pairings)
        if len(rivals) > 1:
            for members in _apart(same, problems):
                question = _question(members, rivals, problems)
                if question is not None:
                    found.append(question)
                elif len(members) == 1:
                    alone[_where(same[0])].append(members[0])
    for where, members in alone.items():
        _note_alone(members, where, problems)
    return found


def _key(pairing: Pairing) -> Hashable:
    """What two environments must share for one question."""
    settings, scale = pairing.block.settings, rate_scale(pairing.block)
    schedule = tuple((key, str(settings[key])) for key in sorted(settings) if key.startswith("schedule."))
    rate = ("rate", settings["learning_rate"]) if scale is None else ("scale", scale)
    arms = pairing.contrast or (pairing.treatment.short, pairing.control.short)
    return _where(pairing), schedule, rate, pairing.block.rest, arms


def _env(pairing: Pairing) -> str:
    return pairing.block.group[0]


def _where(pairing: Pairing) -> tuple[str, str]:
    """Algorithm and trainer."""
    _, algo, trainer, _ = pairing.block.group
    return algo, trainer


def _rivals(one: Pairing, pairings: Sequence[Pairing]) -> list[str]:
    """The environments in which the algorithm of a pairing is compared."""
    return sorted({_env(other) for other in pairings if _where(other) == _where(one)})


def _apart(same: Sequence[Pairing], problems: Problems) -> list[list[Pairing]]:
    """Pairings of one question with one of each environment; by their budgets where an environment has several."""
    if len({_env(pairing) for pairing in same}) == len(same):
        return [sorted(same, key=_env)]
    budgets: dict[int, list[Pairing]] = defaultdict(list)
    for pairing in same:
        budgets[pairing.block.group[-1]].append(pairing)
    parts = []
    for budget, members in budgets.items():
        twice = {env for env in map(_env, members) if [_env(other) for other in members].count(env) > 1}
        if twice:
            text = f"not pooled: {name_of(members[0])} is there twice in {', '.join(sorted(twice))}"
            problems.add("pooled", f"{text} with {budget:,} steps", " ".join(_where(members[0])))
        else:
            parts.append(sorted(members, key=_env))
    return parts


def _question(members: Sequence[Pairing], rivals: Sequence[str], problems: Problems) -> Question | None:
    """The question that these pairings ask, without those that cannot take part; None with fewer than two."""
    without = {env: "it has no such comparison" for env in rivals if env not in map(_env, members)}
    for pairing in members:
        if not pairing.normalized:
            without[_env(pairing)] = "its returns are not normalized"
        elif pairing.barred:
            without[_env(pairing)] = "; ".join(pairing.barred)
    asked = tuple(pairing for pairing in members if _env(pairing) not in without)
    if len(asked) < 2 and len(members) == 1:
        return None
    if without:
        what = "is not pooled over environments" if len(asked) < 2 else f"is pooled without {', '.join(without)}"
        reasons = "; ".join(f"{env}: {why}" for env, why in without.items())
        problems.add("pooled", f"{name_of(members[0])} {what}: {reasons}", " ".join(_where(members[0])))
    return Question(asked, without) if len(asked) > 1 else None


def _note_alone(members: Sequence[Pairing], where: tuple[str, str], problems: Problems) -> None:
    """Name the comparisons that no other environment has."""
    names = [f"{name_of(pairing)} ({_env(pairing)})" for pairing in members]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    are = "is" if len(names) == 1 else "are"
    text = f"{', '.join(names[:LISTED])}{more} {are} in one environment only, so not pooled"
    why = "elsewhere the arms, the schedule or the multiple of the tuned learning rate are others"
    problems.add("pooled", f"{text}: {why}", " ".join(where))


def name_of(pairing: Pairing) -> str:
    """A comparison and its learning rate, wherever it is."""
    scale, rate = rate_scale(pairing.block), pairing.block.settings["learning_rate"]
    at = f"learning rate {rate:.4g}" if scale is None else f"{scale:.4g}× the tuned learning rate"
    if pairing.contrast:
        return f"contrast {pairing.contrast}, {at}"
    return f"{pairing.treatment.short} against {pairing.control.short}, {at}"


@dataclass(frozen=True)
class Asked:
    """A question on one metric, over the environments that have it in two or more pairs."""

    question: Question
    metric: Metric
    smallest_effect: float | None
    pooled: Pooled


def asked(questions: Sequence[Question], declared: Declaration, problems: Problems) -> list[Asked]:
    """The questions on every confirmatory metric; the environments without a metric are named in `problems`."""
    found = []
    for question in questions:
        for metric in with_role("confirmatory"):
            strata = [(pairing, _stratum(pairing, metric)) for pairing in question.pairings]
            have = [(pairing, stratum) for pairing, stratum in strata if len(stratum) > 1]
            without = {_env(one): f"no {metric.name}" for one, stratum in strata if len(stratum) < 2}
            if without:
                text = f"{metric.name} is pooled without {', '.join(without)}, where it is undefined"
                problems.add("pooled", f"{name_of(question.pairings[0])}: {text}", " ".join(_where(strata[0][0])))
            if len(have) > 1:
                part = Question(tuple(pairing for pairing, _ in have), {**question.without, **without})
                found.append(_answer(part, metric, [stratum for _, stratum in have], declared))
    return found


def _answer(question: Question, metric: Metric, strata: Sequence[Stratum], declared: Declaration) -> Asked:
    one, effect = question.pairings[0], declared.effect(metric)
    effect = None if effect is None else effect * one.weight
    bounds = [pairing.bound(metric) for pairing in question.pairings]
    binary = metric.binary and one.contrast is None
    return Asked(question, metric, effect, pooled(strata, smallest_effect=effect, bounds=bounds, binary=binary))


def _stratum(pairing: Pairing, metric: Metric) -> Stratum:
    """Seed -> difference, for the seeds on which all arms have the metric."""
    treatment, control, seeds = pairing.defined(metric.name)
    return dict(zip(seeds, differences_of(treatment, control).tolist(), strict=True))


def order_of(
    declared: Declaration, found: Sequence[Asked], pairings: Sequence[Pairing], problems: Problems
) -> Order:
    """The order of the confirmatory tests: as declared, else by what is known of the environments."""
    if not found:
        if declared.order == "pooled_first":
            problems.add("pooled", "study.order=pooled_first, and no question is pooled: Holm over all comparisons")
        return "holm"
    if declared.order is not None:
        return "holm" if declared.order == "holm" else "pooled_first"
    declared_ones = [pairing for pairing in pairings if pairing.family == "confirmatory"]
    alike = all(pairing.normalized for pairing in declared_ones) and all(
        len({pairing.bound(metric) is None for pairing in declared_ones}) == 1
        for metric in with_role("confirmatory")
    )
    if alike:
        text = "the pooled questions are tested first, then each environment (study.order=pooled_first)"
    else:
        text = (
            "Holm over all comparisons, pooled ones too (study.order=holm), as environments are not normalized or "
        )
        text += "bounded alike"
    problems.add("assumed", f"assumed: {text}")
    return "pooled_first" if alike else "holm"


def parents_of(found: Sequence[Asked], tested: Sequence[tuple[Pairing, Metric]]) -> list[int | None]:
    """For the pooled questions, then for what is `tested` in one environment: the place of its question."""
    places = {
        (id(pairing), one.metric.name): place
        for place, one in enumerate(found)
        for pairing in one.question.pairings
    }
    return [*[None] * len(found), *(places.get((id(pairing), metric.name)) for pairing, metric in tested)]
