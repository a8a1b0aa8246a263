"""Which cells are compared with which: every arm with its block's control, and the declared contrasts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rl_warmup.analysis.caveats import note_differences, note_unpaired
from rl_warmup.analysis.cells import Block, Cell, Group, differing
from rl_warmup.analysis.declaration import Declaration
from rl_warmup.analysis.pairs import Pairing, Term, barred
from rl_warmup.analysis.problems import Problems
from rl_warmup.config.study import Contrast, matches, without_warmup, words


def pairings_of(blocks: Sequence[Block], declared: Declaration, problems: Problems) -> list[Pairing]:
    """All comparisons of a study; what cannot be compared is named in `problems`."""
    pairings = []
    for block in blocks:
        control = _control(block, blocks, declared, problems)
        for cell in block.cells if control else ():
            if control and cell is not control:
                terms = ((1.0, cell), (-1.0, control))
                pairings.append(Pairing.of(block, terms, declared.family(cell.settings)))
    for contrast in declared.contrasts:
        pairings += contrasted(blocks, contrast, problems)
    for wanted in declared.comparisons or ():
        if not any(matches(wanted, cell.settings) for block in blocks for cell in block.cells):
            problems.note(f"the declared comparison {words(wanted)} has no runs at all")
    return [_checked(pairing, problems) for pairing in pairings]


def contrasted(blocks: Sequence[Block], contrast: Contrast, problems: Problems) -> list[Pairing]:
    """A contrast in every block that has all its arms; where a group has none, once in the whole group."""
    groups: dict[Group, list[Block]] = {}
    for block in blocks:
        groups.setdefault(block.group, []).append(block)
    found, seen = [], False
    for members in groups.values():
        here = {block.label: _matching(block.cells, contrast) for block in members}
        seen = seen or any(cells for arms in here.values() for cells in arms)
        whole = [block for block in members if all(here[block.label])]
        for block in whole:
            found += _contrast(block.label, here[block.label], members, contrast, problems)
        if whole:
            _note_incomplete([block for block in members if block not in whole], contrast, problems)
        elif any(cells for arms in here.values() for cells in arms):
            everywhere = _matching([cell for block in members for cell in block.cells], contrast)
            found += _contrast(" ".join(map(str, members[0].group)), everywhere, members, contrast, problems)
    if not seen:
        problems.note(f"the declared contrast {contrast.name} has no runs at all")
    return found


def _contrast(
    where: str, arms: Sequence[Sequence[Cell]], members: Sequence[Block], contrast: Contrast, problems: Problems
) -> list[Pairing]:
    """The contrast where every arm is one cell; else nothing, and why."""
    for (_, conditions), cells in zip(contrast.terms, arms, strict=True):
        if len(cells) != 1:
            what = f"is {len(cells)} arms ({', '.join(cell.arm for cell in cells)})" if cells else "has no runs"
            problems.note(f"{where}: the contrast {contrast.name} is not tested: {words(conditions)} {what}")
    if any(len(cells) != 1 for cells in arms):
        return []
    terms: list[Term] = [(weight, cell) for (weight, _), (cell,) in zip(contrast.terms, arms, strict=True)]
    if len({id(cell) for _, cell in terms}) < len(terms):
        problems.note(f"{where}: the contrast {contrast.name} is not tested: two of its arms are the same runs")
        return []
    first = next(cell for weight, cell in terms if weight > 0)
    block = next(block for block in members if any(cell is first for cell in block.cells))
    return [Pairing.of(block, terms, "confirmatory", contrast.name)]


def _matching(cells: Sequence[Cell], contrast: Contrast) -> list[list[Cell]]:
    return [[cell for cell in cells if matches(where, cell.settings)] for _, where in contrast.terms]


def _note_incomplete(blocks: Sequence[Block], contrast: Contrast, problems: Problems) -> None:
    """Name the arms that a block lacks for a contrast which could be there."""
    for block in blocks:
        arms = _matching(block.cells, contrast)
        if not all(matches(without_warmup(where), block.settings) for _, where in contrast.terms):
            continue
        lacking = [words(where) for (_, where), cells in zip(contrast.terms, arms, strict=True) if not cells]
        if any(arms):
            problems.note(f"{block.label}: the contrast {contrast.name} has no runs of {', '.join(lacking)}")


def _checked(pairing: Pairing, problems: Problems) -> Pairing:
    note_unpaired(pairing, problems)
    note_differences(pairing, problems)
    reasons = barred(pairing, problems)
    for reason in reasons:
        problems.note(f"{pairing.label}: no verdict: {reason}")
    return replace(pairing, barred=reasons)


def _control(block: Block, blocks: Sequence[Block], declared: Declaration, problems: Problems) -> Cell | None:
    controls = [cell for cell in block.cells if matches(declared.control, cell.settings)]
    _note_missing(block, bool(controls), declared, problems)
    if len(controls) == 1:
        return controls[0]
    if controls:
        arms = ", ".join(cell.arm for cell in controls)
        problems.note(f"{block.label}: {arms} all are {words(declared.control)}; no control, no comparison")
    else:
        problems.note(_no_control(block, blocks, declared))
    return None


def _no_control(block: Block, blocks: Sequence[Block], declared: Declaration) -> str:
    """Say that a block has no control, and by what the nearest one elsewhere differs."""
    text = f"{block.label}: no run is its control ({words(declared.control)}), so nothing is compared"
    elsewhere = [other for other in blocks if any(matches(declared.control, cell.settings) for cell in other.cells)]
    if not elsewhere:
        return text
    nearest = min(elsewhere, key=lambda other: len(differing(block.settings, other.settings)))
    return f"{text}; the nearest control differs in {differences_words(block.settings, nearest.settings)}"


def differences_words(one: Mapping[str, object], other: Mapping[str, object]) -> str:
    """The settings by which two blocks differ, with both values."""
    keys = differing(one, other)
    return ", ".join(f"{key} ({one.get(key)}, there {other.get(key)})" for key in keys)


def _note_missing(block: Block, controlled: bool, declared: Declaration, problems: Problems) -> None:
    """Name the declared comparisons that should be in a block that has the control, and are not."""
    for wanted in declared.comparisons or ():
        here = controlled and matches(without_warmup(wanted), block.settings)
        if here and not any(matches(wanted, cell.settings) for cell in block.cells):
            problems.note(f"{block.label}: the declared comparison {words(wanted)} has no runs")
