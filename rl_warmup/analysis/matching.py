"""Which cells are compared with which: every arm with its block's control, and the declared contrasts."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from rl_warmup.analysis.caveats import note_differences, note_unpaired
from rl_warmup.analysis.cells import Block, Cell, Group, differing
from rl_warmup.analysis.declaration import Declaration
from rl_warmup.analysis.pairs import Pairing, Term, barred
from rl_warmup.analysis.problems import Problems
from rl_warmup.config.recorded import value_of
from rl_warmup.config.study import Contrast, matches, without_warmup, words


def pairings_of(blocks: Sequence[Block], declared: Declaration, problems: Problems) -> list[Pairing]:
    """All comparisons of a study; what cannot be compared is named in `problems`."""
    pairings = []
    for block in blocks:
        control = _control(block, blocks, declared, problems)
        if control is not None:
            treatments = [cell for cell in block.cells if cell is not control]
            against = [(cell, ((1.0, cell), (-1.0, control))) for cell in treatments]
            pairings += [Pairing.of(block, terms, declared.family(cell.settings)) for cell, terms in against]
    for contrast in declared.contrasts:
        pairings += contrasted(blocks, contrast, problems)
    for wanted in declared.comparisons or ():
        if not any(matches(wanted, cell.settings) for block in blocks for cell in block.cells):
            problems.add("missing", f"the declared comparison {words(wanted)} has no runs at all")
    return [_checked(pairing, problems) for pairing in pairings]


def contrasted(blocks: Sequence[Block], contrast: Contrast, problems: Problems) -> list[Pairing]:
    """A contrast in every block that has all its arms; where a group has no such block, once in the whole group."""
    groups: dict[Group, list[Block]] = defaultdict(list)
    for block in blocks:
        groups[block.group].append(block)
    found = [pairing for members in groups.values() for pairing in _in_group(members, contrast, problems)]
    if not any(_matching([cell for block in blocks for cell in block.cells], contrast)):
        problems.add("missing", f"the declared contrast {contrast.name} has no runs at all")
    return found


def _in_group(members: Sequence[Block], contrast: Contrast, problems: Problems) -> list[Pairing]:
    """The contrast in the blocks of a group that have all its arms, or in the whole group where none has."""
    arms_of = [(block, _matching(block.cells, contrast)) for block in members]
    whole = [(block.label, arms) for block, arms in arms_of if all(arms)]
    if not whole:
        arms = _matching([cell for block in members for cell in block.cells], contrast)
        whole = [(" ".join(map(str, members[0].group)), arms)] if any(arms) else []
        arms_of = []
    found = [pairing for where, arms in whole for pairing in _contrast(where, arms, members, contrast, problems)]
    for block, arms in arms_of:
        if any(arms) and all(matches(without_warmup(where), block.settings) for _, where in contrast.terms):
            lacking = [words(where) for (_, where), cells in zip(contrast.terms, arms, strict=True) if not cells]
            if lacking:
                text = f"the contrast {contrast.name} has no runs of {', '.join(lacking)}"
                problems.add("missing", text, block.label)
    return found


def _contrast(
    where: str, arms: Sequence[Sequence[Cell]], members: Sequence[Block], contrast: Contrast, problems: Problems
) -> list[Pairing]:
    """The contrast where every arm is one cell; else nothing, and why."""
    untested = f"the contrast {contrast.name} is not tested:"
    for (_, conditions), cells in zip(contrast.terms, arms, strict=True):
        if len(cells) != 1:
            what = f"is {len(cells)} arms ({', '.join(cell.arm for cell in cells)})" if cells else "has no runs"
            problems.add("missing", f"{untested} {words(conditions)} {what}", where)
    if any(len(cells) != 1 for cells in arms):
        return []
    terms: list[Term] = [(weight, cell) for (weight, _), (cell,) in zip(contrast.terms, arms, strict=True)]
    if len({id(cell) for _, cell in terms}) < len(terms):
        problems.add("missing", f"{untested} two of its arms are the same runs", where)
        return []
    first = next(cell for weight, cell in terms if weight > 0)
    block = next(block for block in members if any(cell is first for cell in block.cells))
    return [Pairing.of(block, terms, "confirmatory", contrast.name)]


def _matching(cells: Sequence[Cell], contrast: Contrast) -> list[list[Cell]]:
    """The cells that are each arm of the contrast."""
    return [[cell for cell in cells if matches(where, cell.settings)] for _, where in contrast.terms]


def _checked(pairing: Pairing, problems: Problems) -> Pairing:
    """The pairing with the reasons why it may have no verdict."""
    note_unpaired(pairing, problems)
    note_differences(pairing, problems)
    reasons = barred(pairing, problems)
    for reason in reasons:
        problems.add("no verdict", f"no verdict: {reason}", pairing.label)
    return replace(pairing, barred=reasons)


def _control(block: Block, blocks: Sequence[Block], declared: Declaration, problems: Problems) -> Cell | None:
    """The only control of a block, or None, and why."""
    controls = [cell for cell in block.cells if matches(declared.control, cell.settings)]
    if controls:
        _note_missing(block, declared, problems)
    if len(controls) == 1:
        return controls[0]
    if controls:
        arms = ", ".join(cell.arm for cell in controls)
        text = f"{arms} all are {words(declared.control)}; no control, no comparison"
    else:
        text = _no_control(block, blocks, declared)
    problems.add("missing", text, block.label)
    return None


def _no_control(block: Block, blocks: Sequence[Block], declared: Declaration) -> str:
    """Say that a block has no control, and by what the nearest one elsewhere differs."""
    text = f"no run is its control ({words(declared.control)}), so nothing is compared"
    elsewhere = [
        other.settings for other in blocks if any(matches(declared.control, cell.settings) for cell in other.cells)
    ]
    if not elsewhere:
        return text
    own = block.settings
    nearest = min(elsewhere, key=lambda other: len(differing(own, other)))
    by = ", ".join(
        f"{key} ({value_of(own, key)}, there {value_of(nearest, key)})" for key in differing(own, nearest)
    )
    return f"{text}; the nearest control differs in {by}"


def _note_missing(block: Block, declared: Declaration, problems: Problems) -> None:
    """Name the declared comparisons that should be in a block that has the control, and are not."""
    for wanted in declared.comparisons or ():
        here = matches(without_warmup(wanted), block.settings)
        if here and not any(matches(wanted, cell.settings) for cell in block.cells):
            problems.add("missing", f"the declared comparison {words(wanted)} has no runs", block.label)
