"""The tables of a report as plain text cells: what a table is, and how one is made of rows of report.json."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rl_warmup.report.words import Row, capital, own_returns, place, short_rate, varied

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Entry:
    """The text of a cell; lines of detail below it, a verdict that colors it."""

    text: str
    detail: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Group:
    """Rows that belong together, under a heading if they have one."""

    heading: str
    rows: tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True)
class Table:
    """A table: numbers are in the columns after the first `words`."""

    name: str
    title: str
    caption: str
    columns: tuple[Entry, ...]
    groups: tuple[Group, ...]
    words: int = 1

    @property
    def rows(self) -> int:
        """Number of rows below headings."""
        return sum(len(group.rows) for group in self.groups)


Columns = Mapping[str, Callable[[Row], str | Entry]]


def grouped(rows: Sequence[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Rows with the same key, in the order in which the keys come first."""
    groups: dict[Key, list[Item]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def table(
    name: str,
    title: str,
    caption: str,
    rows: Sequence[Row],
    columns: Columns,
    heading: Callable[[Row], str] = lambda row: "",
    words: int = 1,
) -> Table | None:
    """A table with one row for each of `rows`, grouped by `heading`; None without rows."""
    if not rows:
        return None
    groups = [
        Group(text, tuple(tuple(_entry(make(row)) for make in columns.values()) for row in members))
        for text, members in grouped(rows, heading).items()
    ]
    return Table(name, title, caption, tuple(map(Entry, columns)), tuple(groups), words)


def heading_of(rows: Sequence[Row]) -> Callable[[Row], str]:
    """How a row is headed that compares two arms: which ones, where and at which learning rate."""
    named = varied(rows)

    def heading(row: Row) -> str:
        subject = f"{row['treatment']} against {row['control']}"
        if row.get("contrast") is not None:
            subject = f"contrast {row['contrast']}: {subject}"
        return f"{capital(subject)} · {place(row, named)} · learning rate {short_rate(row)}{own_returns(row)}"

    return heading


def _entry(value: str | Entry) -> Entry:
    return Entry(value) if isinstance(value, str) else value
