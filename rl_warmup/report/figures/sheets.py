"""A figure as a sheet of paper: its title, how to read it, the table it shows, and the files it is written to."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from rl_warmup.analysis.cells import Group
from rl_warmup.report.figures.panels import CONTROL, WIDTH, Looks, natural
from rl_warmup.report.words import environment, range_words

DPI = 150
SVG_DPI = 100  # of what is pixels in an SVG
LEADING = 1.35  # height of a line of text as a multiple of its size

Kind = Literal["forest", "curves", "heatmap", "differences", "learning_rate", "diagnostics", "time_to_threshold"]


@dataclass(frozen=True)
class Sheet:
    """A figure with the table that it shows; `part` distinguishes several of a kind."""

    kind: Kind
    title: str
    caption: str
    frame: pl.DataFrame
    figure: Figure
    part: str = ""


def headline(
    figure: Figure, title: str, note: str, names: Sequence[str] = (), looks: Looks | None = None
) -> tuple[Text, Text]:
    """The title above a figure, below it a legend of the `names` if there are any; at the foot how to read it."""
    lines = textwrap.wrap(title, int(WIDTH * 10.4))
    columns = max(1, int(WIDTH / (0.75 + 0.068 * max(map(len, names), default=0))))
    rows = -(-len(names) // columns)
    above = figure.suptitle("\n".join([*lines, *[" "] * rows]), x=0.01, ha="left", linespacing=LEADING)
    if looks is not None and names:
        top = 1 - (0.14 + len(lines) * LEADING * 11 / 72) / figure.get_size_inches()[1]
        _legend(figure, names, looks, columns, top)
    text = "\n".join(wrapped(note))
    below = figure.supxlabel(text, x=0.01, ha="left", fontsize=8.5, color="0.35", linespacing=LEADING)
    return above, below


def wrapped(note: str) -> list[str]:
    """The lines of a note at the foot of a figure."""
    return textwrap.wrap(note, int(WIDTH * 15.8))


def place(group: Group) -> str:
    """Algorithm, environment, trainer and budget in words.

    >>> place(("cartpole", "ppo", "sb3", 50000))
    'PPO (sb3) on CartPole, 50,000 environment steps'
    """
    env, algo, trainer, total = group
    return f"{algo.upper()} ({trainer}) on {environment(env)}, {total:,} environment steps"


def runs_words(counts: Iterable[int]) -> str:
    """How many runs an arm has, where it has any.

    >>> runs_words([1, 0]), runs_words([10, 8])
    ('1 run', '8 to 10 runs')
    """
    known = [count for count in counts if count]
    return f"{range_words(known)} run{'s' if max(known) > 1 else ''}"


def file_name(group: Group, groups: Sequence[Group]) -> str:
    """What a group's files are called: environment and algorithm, and the rest only where it is needed.

    >>> file_name(("cartpole", "ppo", "sb3", 5000), [("cartpole", "ppo", "sb3", 5000)])
    'cartpole-ppo'
    """
    alike = [other for other in groups if other[:2] == group[:2]]
    parts = group[:2] if len(alike) == 1 else group
    return re.sub(r"[^\w.-]+", "-", "-".join(map(str, parts)))


def save(sheet: Sheet, stem: Path) -> tuple[Path, Path, Path]:
    """Write a figure as PNG (150 dpi) and SVG and its table as CSV; the same sheet gives the same files."""
    png, svg, csv = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg", "csv"))
    engine = sheet.figure.get_layout_engine()
    if engine is not None:
        engine.execute(sheet.figure)
        sheet.figure.set_layout_engine(None)  # what is laid out once need not be laid out again for each file
    sheet.figure.savefig(png, dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": 4})
    sheet.figure.savefig(svg, dpi=SVG_DPI, metadata={"Date": None, "Creator": None})
    sheet.frame.drop("panel", strict=False).write_csv(csv)
    return png, svg, csv


def _legend(figure: Figure, names: Sequence[str], looks: Looks, columns: int, top: float) -> None:
    names = sorted(names, key=lambda name: (looks[name][0] != CONTROL, natural(name)))
    lines = [Line2D([], [], color=looks[name][0], linestyle=looks[name][1], linewidth=2) for name in names]
    key = figure.legend(
        lines, names, loc="upper left", bbox_to_anchor=(0.0, top), ncols=columns, frameon=False, labelspacing=0.4
    )
    key.set_in_layout(False)  # its room is that of the blank lines below the title
