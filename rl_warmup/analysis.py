"""From the folder of a study to what report.json says: comparisons, cells, runs, dose and problems."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rl_warmup.cells import Cell, Context, contexts_of, differing
from rl_warmup.declaration import Declaration, declaration, matches, without_warmup, words
from rl_warmup.dose import same_dose
from rl_warmup.inference import Paired, Verdict, compare, decide
from rl_warmup.metrics import METRICS, Metric
from rl_warmup.readings import Problems, Run
from rl_warmup.records import read_study

Family = Literal["confirmatory", "exploratory"]
CORRECTIONS: Mapping[Family, Literal["holm", "fdr_bh"]] = {"confirmatory": "holm", "exploratory": "fdr_bh"}


@dataclass(frozen=True)
class Pairing:
    """A treatment and its control, by the seeds that were scored in both."""

    context: Context
    treatment: Cell
    control: Cell
    family: Family
    pairs: tuple[tuple[int, int], ...]  # index among the scored runs of treatment and of control
    barred: tuple[str, ...] = ()  # why no verdict is allowed

    @property
    def label(self) -> str:
        """The comparison in words."""
        env, algo, trainer, _ = self.context.group
        return f"{self.treatment.arm} against {self.control.arm} ({env} {algo} {trainer})"

    @property
    def runs(self) -> tuple[tuple[Run, Run], ...]:
        """Treatment and control run of each pair."""
        return tuple((self.treatment.scored[i], self.control.scored[j]) for i, j in self.pairs)

    def values(self, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores of treatment and control, [pairs] each, in the same order of seeds."""
        rows = np.array(self.pairs, dtype=np.int64).reshape(-1, 2)
        return self.treatment.scores[metric][rows[:, 0]], self.control.scores[metric][rows[:, 1]]


@dataclass(frozen=True)
class Comparison:
    """A pairing on one metric, with its verdict within its family."""

    pairing: Pairing
    metric: Metric
    smallest_effect: float | None
    paired: Paired
    verdict: Verdict

    @property
    def differences(self) -> NDArray[np.float64]:  # [pairs]
        """Treatment - control of each seed."""
        treatment, control = self.pairing.values(self.metric.name)
        return np.asarray(treatment - control)


@dataclass(frozen=True)
class Analysis:
    """All that can be said about a study."""

    folder: Path
    declaration: Declaration
    contexts: tuple[Context, ...]
    comparisons: tuple[Comparison, ...]
    problems: tuple[str, ...]
    left_out: bool  # whether a run or a file is not analyzed

    @property
    def cells(self) -> Iterator[tuple[Context, Cell]]:
        """Every cell with its context."""
        return ((context, cell) for context in self.contexts for cell in context.cells)


def analyse(folder: Path, rng: np.random.Generator | None = None) -> Analysis:
    """Analyze a study from its record files alone.

    `rng` draws the resamples of intervals and of tests with more than 20 pairs; by default always the same ones.

    Raises:
        RecordError: if `folder` is no folder or holds no run.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    records, unreadable = read_study(folder)
    problems = Problems()
    for text in unreadable:
        problems.leave_out(text)
    declared = declaration(folder, problems)
    contexts = contexts_of(records, problems)
    pairings = pairings_of(contexts, declared, problems)
    comparisons = comparisons_of(pairings, declared, rng)
    _note_limits(comparisons, problems)
    return Analysis(folder, declared, tuple(contexts), comparisons, tuple(problems.texts), problems.left_out)


def pairings_of(contexts: Sequence[Context], declared: Declaration, problems: Problems) -> list[Pairing]:
    """Every arm of each context with the context's control; what cannot be compared is named in `problems`."""
    pairings = []
    for context in contexts:
        controls = [cell for cell in context.cells if matches(declared.control, cell.settings)]
        if len(controls) == 1:
            others = [cell for cell in context.cells if cell is not controls[0]]
            pairings += [_pairing(context, cell, controls[0], declared, problems) for cell in others]
        elif controls:
            arms = ", ".join(cell.arm for cell in controls)
            problems.note(f"{context.label}: {arms} all are {words(declared.control)}; no control, no comparison")
        else:
            problems.note(_no_control(context, contexts, declared))
        _note_missing(context, bool(controls), declared, problems)
    for wanted in declared.comparisons or ():
        if not any(matches(wanted, cell.settings) for context in contexts for cell in context.cells):
            problems.note(f"the declared comparison {words(wanted)} has no runs at all")
    return pairings


def comparisons_of(
    pairings: Sequence[Pairing], declared: Declaration, rng: np.random.Generator
) -> tuple[Comparison, ...]:
    """Compare each pairing on each metric; verdicts are given within each family, over all its comparisons."""
    found: list[Comparison] = []
    for family, correction in CORRECTIONS.items():
        todo = [
            (pairing, metric) for pairing in pairings if pairing.family == family for metric in METRICS.values()
        ]
        paired = [_compare(pairing, metric, declared, rng) for pairing, metric in todo]
        verdicts = decide(
            [
                (result, metric.better, declared.effect(metric))
                for result, (_, metric) in zip(paired, todo, strict=True)
            ],
            correction,
        )
        found += [
            Comparison(pairing, metric, declared.effect(metric), result, _allowed(verdict, pairing.barred))
            for (pairing, metric), result, verdict in zip(todo, paired, verdicts, strict=True)
        ]
    return tuple(found)


def _compare(pairing: Pairing, metric: Metric, declared: Declaration, rng: np.random.Generator) -> Paired:
    treatment, control = pairing.values(metric.name)
    effect = declared.effect(metric)
    return compare(treatment, control, smallest_effect=effect, binary=metric.binary, rng=rng)


def _allowed(verdict: Verdict, barred: tuple[str, ...]) -> Verdict:
    """The verdict, or none where something forbids it."""
    if not barred:
        return verdict
    return replace(verdict, verdict="inconclusive", n_to_decide=None, notes=(*barred, *verdict.notes))


def _pairing(
    context: Context, treatment: Cell, control: Cell, declared: Declaration, problems: Problems
) -> Pairing:
    place = {run.seed: index for index, run in enumerate(control.scored)}
    pairs = tuple((index, place[run.seed]) for index, run in enumerate(treatment.scored) if run.seed in place)
    pairing = Pairing(context, treatment, control, declared.family(treatment.settings), pairs)
    _note_unpaired(pairing, problems)
    _note_differences(pairing, problems)
    barred = _barred(pairing, problems)
    for reason in barred:
        problems.note(f"{pairing.label}: no verdict: {reason}")
    return replace(pairing, barred=barred)


def _barred(pairing: Pairing, problems: Problems) -> tuple[str, ...]:
    """Why a comparison cannot have a verdict, whatever the returns are."""
    if len(pairing.pairs) < 2:
        return (f"{len(pairing.pairs)} seeds are scored in both arms, and it takes two",)
    same = [same_dose(treatment, control) for treatment, control in pairing.runs]
    if all(answer is None for answer in same):
        return ("the delivered learning rates are not known in both runs of any pair",)
    if all(answer is not False for answer in same):
        return ("the delivered learning rates do not differ at all from the control's",)
    seeds = [treatment.seed for (treatment, _), answer in zip(pairing.runs, same, strict=True) if answer]
    if seeds:
        problems.note(f"{pairing.label}: the delivered learning rates do not differ in {_seeds(seeds)}")
    return ()


def _note_unpaired(pairing: Pairing, problems: Problems) -> None:
    treatment = {run.seed for run in pairing.treatment.scored}
    control = {run.seed for run in pairing.control.scored}
    for alone, arm in ((treatment - control, "the treatment"), (control - treatment, "the control")):
        if alone:
            problems.note(f"{pairing.label}: {_seeds(sorted(alone))} scored in {arm} only, not paired")


def _note_differences(pairing: Pairing, problems: Problems) -> None:
    """Name what should be the same in all runs of a comparison and is not."""
    infos = [run.info for pair in pairing.runs for run in pair]
    values = [{"device": info.get("device"), **(info.get("versions") or {})} for info in infos]
    for key in sorted({key for value in values for key in value}):
        found = sorted({str(value.get(key)) for value in values})
        if len(found) > 1:
            what = "devices" if key == "device" else f"versions of {key}"
            problems.note(f"{pairing.label}: its runs have different {what}: {', '.join(found)}")


def _no_control(context: Context, contexts: Sequence[Context], declared: Declaration) -> str:
    """Say that a context has no control, and by what the nearest one elsewhere differs."""
    text = f"{context.label}: no run is its control ({words(declared.control)}), so nothing is compared"
    elsewhere = [
        other for other in contexts if any(matches(declared.control, cell.settings) for cell in other.cells)
    ]
    if not elsewhere:
        return text
    keys = min((differing(context.settings, other.settings) for other in elsewhere), key=lambda found: len(found))
    return f"{text}; the nearest control differs in {', '.join(keys)}"


def _note_missing(context: Context, controlled: bool, declared: Declaration, problems: Problems) -> None:
    """Name the declared comparisons that should be in a context that has the control, and are not."""
    for wanted in declared.comparisons or ():
        here = controlled and matches(without_warmup(wanted), context.settings)
        if here and not any(matches(wanted, cell.settings) for cell in context.cells):
            problems.note(f"{context.label}: the declared comparison {words(wanted)} has no runs")


def _note_limits(comparisons: Sequence[Comparison], problems: Problems) -> None:
    """What limits the verdicts of a family, each limit once with the number of comparisons it applies to."""
    for family in CORRECTIONS:
        members = [comparison for comparison in comparisons if comparison.pairing.family == family]
        notes = [note for comparison in members for note in comparison.verdict.notes]
        barred = {reason for comparison in members for reason in comparison.pairing.barred}
        for note in dict.fromkeys(notes):
            if note not in barred:
                problems.note(f"{note} ({notes.count(note)} of {len(members)} {family} comparisons)")


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
