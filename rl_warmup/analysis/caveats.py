"""Caveats of a comparison or a study: unequal seeds, versions, budgets; runs at the floor."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from rl_warmup.analysis.cells import Block
from rl_warmup.analysis.declaration import Family
from rl_warmup.analysis.metrics.table import Metric
from rl_warmup.analysis.pairs import Pairing, seeds_words
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.runs import Run
from rl_warmup.run.compose import conf_dir

SWEPT = ("learning_rate", "schedule.name")  # a study compares within each of them, and that is its purpose


def note_unpaired(pairing: Pairing, problems: Problems) -> None:
    """Name the seeds that are not scored in all arms."""
    scored = [{run.seed for run in cell.scored} for _, cell in pairing.terms]
    paired = set(pairing.seeds)
    if pairing.contrast is not None:
        unpaired = sorted(set.union(*scored) - paired)
        if unpaired:
            problems.note(f"{pairing.label}: {seeds_words(unpaired)} not scored in all its arms, not paired")
        return
    for seeds, arm in zip(scored, ("the treatment", "the control"), strict=True):
        if seeds - paired:
            problems.note(
                f"{pairing.label}: {seeds_words(sorted(seeds - paired))} scored in {arm} only, not paired"
            )


def note_differences(pairing: Pairing, problems: Problems) -> None:
    """Name what should be the same in all runs of a comparison and is not."""
    runs = [run for row in pairing.runs for run in row]
    for what, found in _circumstances(runs).items():
        problems.note(f"{pairing.label}: its runs have different {what}: {', '.join(found)}")


def note_undefined(pairing: Pairing, metrics: Iterable[Metric], problems: Problems) -> None:
    """Name the metrics that are undefined for some seeds, which are left out of their comparisons."""
    where: dict[tuple[int, ...], list[str]] = {}
    for metric in metrics:
        treatment, control = pairing.values(metric.name)
        seeds = tuple(np.array(pairing.seeds, dtype=np.int64)[np.isnan(treatment + control)].tolist())
        if seeds:
            where.setdefault(seeds, []).append(metric.name)
    for seeds, names in where.items():
        left_out = f"{seeds_words(seeds)}, left out there"
        which = "every pair, not compared" if len(seeds) == len(pairing.seeds) else left_out
        problems.note(f"{pairing.label}: {', '.join(names)} undefined in {which}")


def note_runs(blocks: Sequence[Block], problems: Problems) -> None:
    """Name the runs that are scored at the floor, of each cell."""
    for block in blocks:
        for cell in block.cells:
            seeds = [run.seed for run in cell.scored if run.status == "diverged"]
            if seeds:
                env, algo, trainer, _ = block.group
                problems.note(
                    f"{cell.arm} ({env} {algo} {trainer}): {seeds_words(seeds)} diverged "
                    f"({len(seeds)} of {len(cell.scored)}), scored at the floor from there on"
                )


def note_borrowed(blocks: Sequence[Block], problems: Problems) -> None:
    """Name environments that are scored as another: `env.id` was set, the rest of the group `env` was not."""
    environments = {(str(own.settings.get("env.name")), str(own.settings.get("env.id"))) for own in blocks}
    for name, found in sorted(environments):
        path = conf_dir() / "env" / f"{name}.yaml"
        known = yaml.safe_load(path.read_text())["id"] if path.is_file() else found
        if found != known:
            problems.note(
                f"{found} was trained as env={name}, which is {known}: give it an env.name, env.return_floor, "
                "env.return_low, env.return_high, env.threshold, env.reward_max and learning_rate of its own"
            )


def note_mixture(blocks: Sequence[Block], pairings: Sequence[Pairing], problems: Problems) -> None:
    """Name what differs between the runs of an environment and algorithm without being compared."""
    named = {what for pairing in pairings for what in _circumstances([r for row in pairing.runs for r in row])}
    groups: dict[tuple[str, str], list[Block]] = {}
    for block in blocks:
        groups.setdefault(block.group[:2], []).append(block)
    for (env, algo), members in groups.items():
        settings = [block.settings for block in members]
        for key in sorted({key for own in settings for key in own} - set(SWEPT)):
            found = sorted({_number_or_text(own.get(key)) for own in settings})
            if len(found) > 1:
                values = ", ".join(str(value) for _, _, value in found)
                problems.note(
                    f"{env} {algo}: the runs have different {key}: {values}; each is compared only with its like"
                )
        runs = [run for block in members for cell in block.cells for run in cell.scored]
        for what, different in _circumstances(runs).items():
            if what not in named and what != "devices":
                problems.note(f"{env} {algo}: the runs have different {what}: {', '.join(different)}")


def note_limits(
    families: Mapping[Family, Sequence[tuple[Sequence[str], Sequence[str]]]], problems: Problems
) -> None:
    """What limits the verdicts of a family, each limit once with the number of comparisons it applies to.

    families: name -> for each comparison the notes of its verdict, and why it has none.
    """
    for family, members in families.items():
        notes = [note for found, _ in members for note in found]
        barred = {reason for _, reasons in members for reason in reasons}
        kinds: dict[str, list[str]] = {}
        for note in notes:
            if note not in barred:
                kinds.setdefault(note if note.startswith("pilot") else note.partition(": ")[0], []).append(note)
        for kind, same in kinds.items():
            counted = f"({len(same)} of {len(members)} {family} comparisons)"
            if len(set(same)) == 1:
                problems.note(f"{same[0]} {counted}")
            else:
                problems.note(f"{kind} {counted}, for example: {same[0].removeprefix(kind + ': ')}")


def _circumstances(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Devices, commits and versions that are not the same in all runs: what they are called, and the values."""
    values = [
        {
            "devices": run.info.get("device"),
            "git commits": run.info.get("git_commit"),
            **{f"versions of {name}": value for name, value in (run.info.get("versions") or {}).items()},
        }
        for run in runs
    ]
    found = {}
    for what in sorted({what for value in values for what in value}):
        different = sorted({str(value.get(what)) for value in values})
        if len(different) > 1:
            found[what] = different
    return found


def _number_or_text(value: Any) -> tuple[bool, float, str]:
    """A value in words, with what sorts numbers by their size."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return not number, float(value) if number else 0.0, str(value)
