"""What is compared, seed by seed: a treatment with its control, or a contrast of several arms."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.cells import Block, Cell
from rl_warmup.analysis.constants import Scale
from rl_warmup.analysis.declaration import Family
from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.runs import Run, same_dose
from rl_warmup.config.study import without_warmup

Term = tuple[float, Cell]  # weight and arm; a treatment and its control weigh 1 and -1


@dataclass(frozen=True)
class Pairing:
    """Arms with weights that sum to 0, by the seeds that were scored in all of them."""

    block: Block  # of the first arm with a positive weight
    terms: tuple[Term, ...]
    family: Family
    pairs: tuple[tuple[int, ...], ...]  # one row per seed: index among the scored runs of each term
    barred: tuple[str, ...] = ()  # why no verdict is allowed
    contrast: str | None = None  # name of the contrast, None for a treatment and its control

    @classmethod
    def of(cls, block: Block, terms: Sequence[Term], family: Family, contrast: str | None = None) -> "Pairing":
        """Pair the runs by seed, in the order of the first term's."""
        places = [{run.seed: index for index, run in enumerate(cell.scored)} for _, cell in terms]
        seeds = [seed for seed in places[0] if all(seed in place for place in places)]
        return cls(
            block, tuple(terms), family, tuple(tuple(p[seed] for p in places) for seed in seeds), (), contrast
        )

    @property
    def normalized(self) -> bool:
        """Whether its arms are scored in normalized return, not in the environment's own."""
        return all(cell.normalized for _, cell in self.terms)

    @property
    def treatment(self) -> Cell:
        """The arm with the first positive weight."""
        return self._side(1)[0][1]

    @property
    def control(self) -> Cell:
        """The arm with the first negative weight."""
        return self._side(-1)[0][1]

    @property
    def treatment_label(self) -> str:
        """What is added, in words: the treatment, or the arms of a contrast with a positive weight."""
        return self._label(1)

    @property
    def control_label(self) -> str:
        """What is taken away, in words: the control, or the arms of a contrast with a negative weight."""
        return self._label(-1)

    @property
    def label(self) -> str:
        """The comparison in words."""
        env, algo, trainer, _ = self.block.group
        what = f"contrast {self.contrast}" if self.contrast else f"{self.treatment.arm} against {self.control.arm}"
        return f"{what} ({env} {algo} {trainer})"

    @property
    def runs(self) -> tuple[tuple[Run, ...], ...]:
        """The runs of each pair, in the order of the terms."""
        cells = [cell for _, cell in self.terms]
        return tuple(tuple(cell.scored[i] for cell, i in zip(cells, row, strict=True)) for row in self.pairs)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each pair."""
        return tuple(self.terms[0][1].scored[row[0]].seed for row in self.pairs)

    @property
    def weight(self) -> float:
        """Half the sum of the absolute weights: 1 for a treatment and its control."""
        return sum(abs(weight) for weight, _ in self.terms) / 2

    def bound(self, metric: Metric) -> float | None:
        """The largest |D| that is possible within the bounds of the metric; None: these are not known.

        (high - low) * sum |w| / 2 where all arms have the same bounds.
        """
        ends = [metric.bounds(Scale.of(cell.settings)) for _, cell in self.terms]
        known = [(weight, end) for (weight, _), end in zip(self.terms, ends, strict=True) if end is not None]
        if len(known) < len(ends):
            return None
        most = sum(max(weight * low, weight * high) for weight, (low, high) in known)
        least = sum(min(weight * low, weight * high) for weight, (low, high) in known)
        return max(most, -least)

    def values(self, metric: str) -> tuple[FloatArray, FloatArray]:
        """Positive and negative part of sum(weight · metric), [pairs] each; nan where a run's value is."""
        rows = np.array(self.pairs, dtype=np.int64).reshape(-1, len(self.terms))
        parts = np.zeros((2, len(rows)))
        for column, (weight, cell) in enumerate(self.terms):
            parts[int(weight < 0)] += abs(weight) * cell.scores[metric][rows[:, column]]
        return parts[0], parts[1]

    def defined(self, metric: str) -> tuple[FloatArray, FloatArray, tuple[int, ...]]:
        """Both parts, [defined pairs] each, and the seeds of the pairs on which all arms have the metric."""
        treatment, control = self.values(metric)
        known = np.isfinite(treatment - control)
        seeds = tuple(seed for seed, use in zip(self.seeds, known, strict=True) if use)
        return treatment[known], control[known], seeds

    def _side(self, sign: int) -> list[Term]:
        return [(weight, cell) for weight, cell in self.terms if weight * sign > 0]

    def _label(self, sign: int) -> str:
        """The arms of one sign; those of a contrast with learning rate and schedule, where these are several."""
        side = self._side(sign)
        if self.contrast is None:
            return side[0][1].short
        several = [
            len({cell.settings[key] for _, cell in self.terms}) > 1 for key in ("learning_rate", "schedule.name")
        ]
        words = []
        for weight, cell in side:
            at = f" at {cell.settings['learning_rate']:.4g}" if several[0] else ""
            base = f" {cell.settings['schedule.name']}" if several[1] else ""
            words.append(f"{abs(weight):g} × {cell.short}{at}{base}")
        return " + ".join(words)


def barred(pairing: Pairing, problems: Problems) -> tuple[str, ...]:
    """Why a comparison cannot have a verdict, whatever the returns are."""
    if len(pairing.pairs) < 2:
        arms = "both arms" if len(pairing.terms) == 2 else f"all {len(pairing.terms)} arms"
        return (f"{len(pairing.pairs)} seeds are scored in {arms}, and it takes two",)
    reasons = _constants_reasons(pairing)
    for one, other in combinations(range(len(pairing.terms)), 2):
        first, second = (pairing.terms[place][1] for place in (one, other))
        # where they differ in nothing but the warmup, their learning rates must not be the same
        if without_warmup(first.settings) == without_warmup(second.settings):
            reasons += _dose_reasons(pairing, one, other, problems)
    return tuple(reasons)


def _constants_reasons(pairing: Pairing) -> list[str]:
    """What is not known of the environment, and would have to be guessed for a verdict."""
    reasons = []
    if len({cell.normalized for _, cell in pairing.terms}) > 1:
        reasons.append("the constants that normalize returns are known for some of its arms only")
    runs = [run for _, cell in pairing.terms for run in cell.scored]
    seeds = {run.seed for run in runs if run.status == "diverged" and run.worst is None}
    if seeds:
        reasons.append(
            f"{seeds_words(sorted(seeds))} diverged, and env.return_floor, the score of that, is not known"
        )
    return reasons


def _dose_reasons(pairing: Pairing, one: int, other: int, problems: Problems) -> tuple[str, ...]:
    who, whose = "", "the control's"
    if pairing.contrast is not None:
        who, whose = f" of {pairing.terms[one][1].arm}", f"those of {pairing.terms[other][1].arm}"
    same = [same_dose(row[one], row[other]) for row in pairing.runs]
    if all(answer is None for answer in same):
        return (f"the delivered learning rates{who} are not known in both runs of any pair",)
    if all(answer is not False for answer in same):
        return (f"the delivered learning rates{who} do not differ at all from {whose}",)
    seeds = [seed for seed, answer in zip(pairing.seeds, same, strict=True) if answer]
    if seeds:
        text = f"the delivered learning rates{who} do not differ in {seeds_words(seeds)}"
        problems.add("mixed", text, pairing.label)
    return ()


def seeds_words(seeds: Iterable[int]) -> str:
    """Seeds in words.

    >>> seeds_words([3]), seeds_words([0, 2])
    ('seed 3', 'seeds 0, 2')
    """
    seeds = list(seeds)
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
