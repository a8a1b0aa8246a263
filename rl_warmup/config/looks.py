"""When a study looks at its comparisons: after which numbers of seeds, and by which rule its level is spent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Rule = Literal["pocock", "obrien_fleming"]
RULES = get_args(Rule)
LEAST = 20  # pairs at the first look
EXAMPLE = "{every: 20, most: 100, spending: pocock}"


@dataclass(frozen=True)
class Looks:
    """A study that trains seeds in batches, the same in all arms, and looks when a batch is complete in all."""

    every: int
    most: int
    spending: Rule

    @property
    def counts(self) -> tuple[int, ...]:
        """Seeds at each look.

        >>> Looks(20, 60, "pocock").counts
        (20, 40, 60)
        """
        return tuple(range(self.every, self.most + 1, self.every))

    @property
    def words(self) -> str:
        """The looks in words.

        >>> Looks(20, 60, "pocock").words
        'looks at 20, 40 and 60 pairs, spending pocock'
        """
        *first, last = map(str, self.counts)
        return f"looks at {', '.join(first)} and {last} pairs, spending {self.spending}"


def looks_of(declared: Any) -> Looks | None:
    """The looks that a study declares, as its YAML holds them; None is none.

    Raises:
        ValueError: for anything but `every` and `most`, whole numbers of seeds, and a spending rule; for looks
            below 20 seeds, for a single one, and for a `most` at which there would be none.
    """
    if declared is None:
        return None
    if not isinstance(declared, Mapping) or not {"every", "most"} <= set(declared) <= {"every", "most", "spending"}:
        raise ValueError(f"{declared!r} does not say when to look; give a mapping like {EXAMPLE}")
    every, most, spending = declared["every"], declared["most"], declared.get("spending", "pocock")
    for name, value in (("every", every), ("most", most)):
        if type(value) is not int:
            raise ValueError(f"{name} is {value!r}; give a whole number of seeds, as in {EXAMPLE}")
    if every < LEAST:
        why = f"below {LEAST} pairs a look does not see the rare runs that collapse"
        raise ValueError(f"every is {every}; use {LEAST} or more, {why}")
    if most < 2 * every or most % every:
        nearest = max(2, round(most / every)) * every
        raise ValueError(f"most is {most}; use a multiple of every={every} from {2 * every} on, e.g. {nearest}")
    if spending not in RULES:
        raise ValueError(f"spending is {spending!r}; use one of: {', '.join(RULES)}")
    return Looks(every, most, spending)
