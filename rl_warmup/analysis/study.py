"""From the folder of a study to what report.json says: comparisons, dispersion, robustness, cells and problems."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import stats

from rl_warmup.analysis.caveats import (
    note_mixture,
    note_runs,
    note_untuned,
)
from rl_warmup.analysis.cells import Block, Cell, blocks_of
from rl_warmup.analysis.comparison import Comparison
from rl_warmup.analysis.constants import Given
from rl_warmup.analysis.declaration import Declaration, declaration
from rl_warmup.analysis.families import PooledComparison, comparisons_of
from rl_warmup.analysis.lacking import note_bounds, note_constants
from rl_warmup.analysis.looks import Looking, looking_of
from rl_warmup.analysis.lr_robustness import CriticalRate, Sensitivity, critical_rates_of, sensitivities_of
from rl_warmup.analysis.matching import pairings_of
from rl_warmup.analysis.pairs import Pairing
from rl_warmup.analysis.pooled import Order
from rl_warmup.analysis.problems import Problem, Problems
from rl_warmup.analysis.statistics.estimators import brown_forsythe_p
from rl_warmup.analysis.statistics.verdicts import adjusted
from rl_warmup.analysis.transfer import Transfer, transfers_of
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.archive import read_records

SPREAD_METRICS = ("final", "area")


@dataclass(frozen=True)
class Dispersion:
    """The spread over seeds in treatment and control of a pairing, on one metric; exploratory, never a verdict."""

    pairing: Pairing
    metric: str
    n: int
    mad_treatment: float  # median of |x - median x|, not rescaled, in the metric's unit
    mad_control: float
    p_value: float | None  # Brown-Forsythe permutation; None where it is undefined
    p_adjusted: float | None = None  # Benjamini-Hochberg over all dispersions of the study


@dataclass(frozen=True)
class Analysis:
    """All that can be said about a study."""

    folder: Path
    declaration: Declaration
    blocks: tuple[Block, ...]
    comparisons: tuple[Comparison, ...]
    problems: tuple[Problem, ...]
    dispersions: tuple[Dispersion, ...] = ()
    critical_rates: tuple[CriticalRate, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    pooled: tuple[PooledComparison, ...] = ()
    order: Order = "holm"  # of the confirmatory tests
    looking: Looking | None = None

    @property
    def left_out(self) -> bool:
        """Whether a run or a file is not analyzed."""
        return any(problem.kind == "left out" for problem in self.problems)

    @property
    def cells(self) -> Iterator[tuple[Block, Cell]]:
        """Every cell with its block."""
        return ((block, cell) for block in self.blocks for cell in block.cells)


def analyse(folder: Path, rng: np.random.Generator | None = None, sources: Sequence[Given] = ()) -> Analysis:
    """Analyze a study from nothing but its record files.

    `rng` draws the noise floors, by default always the same ones; nothing else depends on it.
    `sources`: constants of environments that take the place of those in the records.

    Raises:
        RecordError: if `folder` is no folder or holds no run.
        ConfigError: if no run is of an environment of `sources`, or the study is in small form.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    records, unreadable = read_records(folder)
    if sources and any(record.small for record in records):
        raise ConfigError(
            f"--env: {folder} is in small form, scored by the constants of its records; score the whole"
        )
    problems = Problems()
    for text in unreadable:
        problems.add("left out", text)
    declared = declaration(folder, problems)
    blocks = blocks_of(records, problems, rng, sources)
    note_constants(blocks, sources, folder, problems)
    note_bounds(blocks, problems)
    note_runs(blocks, problems)
    note_untuned(blocks, problems)
    pairings = pairings_of(blocks, declared, problems)
    note_mixture(blocks, pairings, problems)
    looking = looking_of(pairings, declared, problems)
    comparisons, pooled, order = comparisons_of(pairings, declared, problems, looking)
    critical_rates = critical_rates_of(blocks, declared.control, problems)
    transfers = transfers_of(blocks, problems)
    return Analysis(
        folder,
        declared,
        tuple(blocks),
        comparisons,
        tuple(problems.found.values()),
        dispersions_of(pairings),
        critical_rates,
        sensitivities_of(blocks),
        transfers,
        pooled,
        order,
        looking,
    )


def dispersions_of(pairings: Sequence[Pairing]) -> tuple[Dispersion, ...]:
    """Compare the spread over the paired seeds, for every pairing of two arms with two or more of them."""
    found = []
    for pairing in pairings:
        if pairing.contrast is None:
            for metric in SPREAD_METRICS:
                treatment, control, seeds = pairing.defined(metric)
                if len(seeds) > 1:
                    mads = [float(stats.median_abs_deviation(values)) for values in (treatment, control)]
                    p_value = brown_forsythe_p(treatment, control)
                    found.append(Dispersion(pairing, metric, len(seeds), mads[0], mads[1], p_value))
    p_adjusted = adjusted([one.p_value for one in found], "fdr_bh")
    return tuple(replace(one, p_adjusted=p) for one, p in zip(found, p_adjusted, strict=True))
