"""Caveats of a comparison or a study: unequal seeds, versions, budgets; runs at the floor."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from rl_warmup.analysis import FloatArray
from rl_warmup.analysis.cells import Block, said_by_name
from rl_warmup.analysis.pairs import Pairing, seeds_words
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.runs import Run
from rl_warmup.analysis.statistics.planning import FEWEST, one_pair_decides
from rl_warmup.analysis.statistics.verdicts import Note
from rl_warmup.config.conf import DEFAULTS, untuned_words
from rl_warmup.config.recorded import value_of

BEGIN = ("source", "timesteps", "optimizer", "replay", "critic_only")  # said by every arm that starts from an agent
SWEPT = ("learning_rate", "schedule.name", *(f"init.{key}" for key in BEGIN))  # compared only within


def note_unpaired(pairing: Pairing, problems: Problems) -> None:
    """Name the seeds that are not scored in all arms."""
    scored = [{run.seed for run in cell.scored} for _, cell in pairing.terms]
    paired = set(pairing.seeds)
    if pairing.contrast is not None:
        parts = {"not scored in all its arms": set.union(*scored) - paired}
    else:
        arms = zip(("treatment", "control"), scored, strict=True)
        parts = {f"scored in the {arm} only": seeds - paired for arm, seeds in arms}
    for what, seeds in parts.items():
        if seeds:
            problems.add("unpaired", f"{seeds_words(sorted(seeds))} {what}, not paired", pairing.label)


def note_differences(pairing: Pairing, problems: Problems) -> None:
    """Name what should be the same in all runs of a comparison and is not."""
    for what, values in _circumstances(chain.from_iterable(pairing.runs)).items():
        problems.add("mixed", f"its runs have different {what}: {values}", pairing.label)


def note_undefined(pairing: Pairing, defined: Mapping[str, Sequence[int]], problems: Problems) -> None:
    """Name the metrics that are undefined for some seeds, which are left out of their comparisons.

    Args:
        defined: Name of a metric -> the seeds for which it is defined in all arms.
    """
    metrics: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, known in defined.items():
        metrics[tuple(seed for seed in pairing.seeds if seed not in known)].append(name)
    for seeds, names in metrics.items():
        if seeds:
            every = len(seeds) == len(pairing.seeds)
            which = "every pair, not compared" if every else f"{seeds_words(seeds)}, left out there"
            problems.add("undefined", f"{', '.join(names)} undefined in {which}", pairing.label)


def note_influence(
    pairing: Pairing, compared: Mapping[str, tuple[Sequence[int], FloatArray, float | None]], problems: Problems
) -> None:
    """Name the seeds whose pair alone decides a mean, or where nothing says what matters, its standard deviation.

    Args:
        compared: Name of a metric -> the seeds, their differences, the smallest effect that matters. With fewer
            pairs than make a pilot every pair may decide, and none is named.
    """
    found: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, (seeds, differences, effect) in compared.items():
        if len(seeds) >= FEWEST:
            moves = (differences - differences.mean()) / (len(seeds) - 1)  # from the mean without each pair
            sizes = np.abs(moves)
            largest = int(np.argmax(sizes))
            if effect is not None and sizes[largest] > effect:
                far = sizes > max(
                    effect, sizes[largest] / 2
                )  # one that is far off brings the others to its other side
                named = tuple(seed for seed, one in zip(seeds, far, strict=True) if one)
                found[named].append(f"the mean of {name} by {moves[largest]:+.2g}, more than {effect:g}")
            elif effect is None and one_pair_decides(differences):
                found[seeds[largest],].append(f"most of the standard deviation of {name}")
    for named, what in found.items():
        who = "the pair of {} alone moves" if len(named) == 1 else "the pairs of {} each alone move"
        text = f"{who.format(seeds_words(named))} {'; '.join(what)}"
        problems.add("influence", text, pairing.label)


def note_runs(blocks: Sequence[Block], problems: Problems) -> None:
    """Name the runs that are scored at the floor, of each cell, and those with other updates than planned."""
    for block in blocks:
        env, algo, trainer, _ = block.group
        for cell in block.cells:
            where = f"{cell.arm} ({env} {algo} {trainer})"
            for run in cell.scored:
                if run.status == "completed" and (text := _fewer_steps(run, cell.settings)):
                    problems.add("mixed", text, where)
            seeds = [run.seed for run in cell.scored if run.status == "diverged" and run.worst is not None]
            if seeds:
                share = f"({len(seeds)} of {len(cell.scored)})"
                text = f"{seeds_words(seeds)} diverged {share}, scored at the floor from there on"
                problems.add("floor", text, where)


def _fewer_steps(run: Run, settings: Mapping[str, Any]) -> str:
    """That a run took other gradient steps than planned; where updates end early, too few for its warmup."""
    planned, taken = run.info.get("planned_gradient_steps"), run.info.get("gradient_steps")
    if planned is None or taken is None or planned == taken:
        return ""
    if settings.get("algo.target_kl") is None:
        return f"{run.run_id} took {taken} of {planned} planned gradient steps"
    warmup = settings.get("warmup.length", 0) if settings.get("warmup.clock") == "gradient_steps" else 0
    over = f"its warmup of {warmup:.0f} was not over"
    return f"{run.run_id} took {taken} of at most {planned} gradient steps: {over}" if taken < warmup else ""


def note_untuned(blocks: Sequence[Block], problems: Problems) -> None:
    """Name environments that were trained with the defaults of Stable-Baselines3, as their runs say."""
    for block in blocks:
        env, algo, *_ = block.group
        if any(run.info.get("hyperparameters") == DEFAULTS for cell in block.cells for run in cell.runs):
            problems.add("assumed", untuned_words(env, algo))


def note_mixture(blocks: Sequence[Block], pairings: Sequence[Pairing], problems: Problems) -> None:
    """Name what differs between the runs of an environment and algorithm without being compared."""
    named = {what for pairing in pairings for what in _circumstances(chain.from_iterable(pairing.runs))}
    groups: dict[tuple[str, str], list[Block]] = defaultdict(list)
    for block in blocks:
        groups[block.group[:2]].append(block)
    for group, members in groups.items():
        where = " ".join(group)
        settings = [block.settings for block in members]
        agents = [own for own in settings if "init.source" in own]  # from scratch nothing of `init` is set
        differing = {key: values for key, values in _differing(settings).items() if not key.startswith("init.")}
        differing |= {key: values for key, values in _differing(agents).items() if key.startswith("init.")}
        for key, values in differing.items():
            if key not in SWEPT and not all(said_by_name(key, own, differing, settings) for own in settings):
                text = f"the runs have different {key}: {values}; each is compared only with its like"
                problems.add("mixed", text, where)
        runs = [run for block in members for cell in block.cells for run in cell.scored]
        for what, values in _circumstances(runs).items():
            if what not in named and what != "devices":
                problems.add("mixed", f"the runs have different {what}: {values}", where)


def note_limits(families: Mapping[str, Sequence[Sequence[Note]]], problems: Problems) -> None:
    """Name what limits the verdicts of a family, each limit once with the number of comparisons it applies to.

    Args:
        families: Name -> for each comparison the notes of its verdict.
    """
    for family, members in families.items():
        limits: dict[str, list[Note]] = defaultdict(list)
        for note in chain.from_iterable(members):
            if note.kind != "no verdict":
                limits[note.text].append(note)
        for text, notes in limits.items():
            counted = f"({len(notes)} of {len(members)} {family} comparisons)"
            same = len(set(notes)) == 1
            differ = f"{text} {counted}, for example: {notes[0].detail}"
            problems.add("limit", f"{notes[0]} {counted}" if same else differ)


def _differing(about: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What is not the same in all of these, with its values in words, numbers by their size."""
    found = {}
    for key in sorted({key for own in about for key in own}):
        values = sorted({_number_or_text(value_of(own, key)) for own in about})
        if len(values) > 1:
            found[key] = ", ".join(text for *_, text in values)
    return found


def _circumstances(runs: Iterable[Run]) -> dict[str, str]:
    """Devices, commits and versions that are not the same in all runs."""
    about = [
        {
            "devices": run.info.get("device"),
            "git commits": run.info.get("git_commit"),
            **{f"versions of {name}": value for name, value in (run.info.get("versions") or {}).items()},
        }
        for run in runs
    ]
    return _differing(about)


def _number_or_text(value: Any) -> tuple[bool, float, str]:
    """A value in words, with what sorts numbers by their size."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return not number, float(value) if number else 0.0, str(value)
