"""One order for many hypotheses: a question over all environments first, then each environment under it."""

from collections.abc import Sequence


def gatekept(p_values: Sequence[float | None], parents: Sequence[int | None]) -> list[float | None]:
    """The p values adjusted for their number, where some hypotheses are tested only once their parent is rejected.

    A hypothesis without a parent and those under it are a tree. Each tree that holds an open hypothesis has the
    same share of the level. The parent uses all of it; once it is rejected, Holm's test of those under it does. The
    share of a tree in which all are rejected goes to the other trees. Without any parents this is Holm's test.

    The shares are Bonferroni's because a parent's level goes down to its own: it cannot go to other parents too,
    as in Holm's test among them. In an intersection of hypotheses, those of T trees, a hypothesis has the weight
    1/T where it is the parent, 1/(T k) where it is one of k under a parent that is not among them, and else 0. The
    weights sum to 1 and none falls where hypotheses are taken away, so that this is the closed test of all
    intersections by weighted Bonferroni: no true hypothesis of the family is rejected with a probability above the
    level, whatever the dependence.

    Args:
        p_values: None is no hypothesis; those under it then have no parent.
        parents: For each hypothesis the place of its parent; None: it is tested from the start.

    Returns:
        At most alpha exactly where the hypothesis is rejected at level alpha; never below the parent's.

    Raises:
        ValueError: for a parent that has a parent itself.

    Source: Bretz et al. 2009, doi 10.1002/sim.3495, a graph in which the last hypothesis of a tree passes its level
    on to the other trees.

    >>> gatekept([0.01, 0.02, 0.04], [None, 0, 0])  # the parent at .05, then Holm among the others
    [0.01, 0.04, 0.04]
    >>> gatekept([0.2, 0.001], [None, 0])  # the parent is open, and so is all that is under it
    [0.2, 0.2]
    """
    trees = _trees(p_values, parents)
    adjusted: dict[int, float] = {}
    reached = 0.0
    while trees:
        found = []
        for root, (top, under) in trees.items():
            stage = top or under
            found += [(len(trees) * len(stage) * (p_values[place] or 0.0), place, root) for place in stage]
        needed, place, root = min(found)
        adjusted[place] = reached = max(reached, min(1.0, needed))
        top, under = trees[root]
        (top or under).remove(place)
        if not under:
            del trees[root]
    return [adjusted.get(place) for place in range(len(p_values))]


def shares(p_values: Sequence[float | None], parents: Sequence[int | None]) -> list[int]:
    """By how much the smallest p of a stage is multiplied in `gatekept`: 1 / its share of the level at first."""
    found = [1] * len(p_values)
    trees = _trees(p_values, parents)
    for top, under in trees.values():
        for stage in (top, under):
            for place in stage:
                found[place] = len(trees) * len(stage)
    return found


def _trees(
    p_values: Sequence[float | None], parents: Sequence[int | None]
) -> dict[int, tuple[list[int], list[int]]]:
    """Place of each parent, or of a hypothesis alone -> itself, and what is under it."""
    trees: dict[int, tuple[list[int], list[int]]] = {}
    for place, (p, parent) in enumerate(zip(p_values, parents, strict=True)):
        if parent is not None and parents[parent] is not None:
            raise ValueError(
                f"hypothesis {place} is under {parent}, which is under another: give one level of them"
            )
        if p is None:
            continue
        if parent is None or p_values[parent] is None:
            trees.setdefault(place, ([], []))[0].append(place)
        else:
            trees.setdefault(parent, ([], []))[1].append(place)
    return trees
