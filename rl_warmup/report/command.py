"""`python -m rl_warmup.report DIR`: the records of a study -> report.json, figures, tables on the terminal."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rl_warmup import terminal
from rl_warmup.analysis.constants import given
from rl_warmup.analysis.study import Analysis, analyse
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.atomic import write_text
from rl_warmup.records.schema import RecordError
from rl_warmup.report.archive import archive
from rl_warmup.report.content import as_json
from rl_warmup.report.markdown import latex, markdown
from rl_warmup.report.sentences import answers, limits
from rl_warmup.report.terminal import show

PIPED_WIDTH = 140  # columns where the output is no terminal

_EXPLANATION = """\
Compares every arm of a study with its control, paired by seed, and says what the warmup did to
final return, area under the curve, shortfall (stability) and share of runs that did not learn:
better, worse or equivalent (the mean, whatever rare runs do), better or worse in the runs seen,
or inconclusive (docs/verdicts.md). Needs nothing but the record files in DIR.
Runs that are not finished or cannot be read are left out and named.

writes into DIR, or where --out says:
  report.html   the answer, figures, tables, protocol: one file that needs no network
  report.md     the answer and the main table, for a README or an issue
  report.tex    the main table, for a paper
  report.json   all numbers, and `problems`: what limits them
  figures/      every figure as PNG and SVG, and its data as CSV

exit code:
  0  everything was analyzed
  1  the report was written, but some run or file was left out
  2  there is nothing to report on
"""


def report(
    folder: Path,
    console: Console,
    figures: bool = True,
    out: Path | None = None,
    envs: Sequence[str] = (),
    small: Path | None = None,
) -> int:
    """Analyze the study in `folder`, write the report and its figures into it or `out`, print it; the exit code.

    `envs`: YAML files of environments, or names of those in conf/env/, whose constants the runs are scored by.
    `small`: a folder for the small form of the study.
    0: everything was analyzed. 1: the report was written, but something was left out. 2: there was nothing to
    report on, or the report cannot be written; one message on stderr says why.
    """
    try:
        analysis = analyse(folder, sources=[given(env) for env in envs])
        if not analysis.blocks:
            raise RecordError(f"{folder} holds no readable run: {'; '.join(map(str, analysis.problems))}")
    except (RecordError, ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        content, paths = write(analysis, out or folder, figures)
    except OSError as error:
        print(f"error: the report cannot be written: {error}; --out DIR writes it elsewhere", file=sys.stderr)
        return 2
    try:
        paths += [archive(analysis, small)] if small else []
    except (RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not console.is_terminal:
        console.width = max(console.width, PIPED_WIDTH)
    show(content, console)
    console.print("\nwritten:")
    for path in paths:
        console.print(f"  {path}", soft_wrap=True, highlight=False, markup=False)
    if analysis.left_out:
        print("incomplete: some runs or files were left out; they are named under Problems", file=sys.stderr)
    return 1 if analysis.left_out else 0


@terminal.command("the same command makes the report")
def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command line; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m rl_warmup.report",
        description=_EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", metavar="DIR", type=Path, help="folder of a study, e.g. runs/quick or runs/single"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write there instead, e.g. if DIR may only be read")
    parser.add_argument(
        "--env",
        metavar="FILE",
        action="append",
        default=[],
        help="YAML file of an environment (or a name of conf/env) with constants that the records lack",
    )
    parser.add_argument(
        "--archive",
        metavar="DIR",
        type=Path,
        help="also write the study in small form there, of which the same report can be made without its records; "
        "arms of it that are there already stay",
    )
    parser.add_argument("--no-figures", action="store_true", help="write and show everything but the figures")
    arguments = parser.parse_args(argv)
    figures, out, envs = not arguments.no_figures, arguments.out, arguments.env
    return report(arguments.folder, Console(), figures, out, envs, arguments.archive)


def write(analysis: Analysis, folder: Path, figures: bool = True) -> tuple[dict[str, Any], list[Path]]:
    """Write figures, report.json, and the report as HTML, Markdown and LaTeX; its content and the files.

    Raises:
        OSError: if a file cannot be written.
    """
    from rl_warmup.report.html import render  # it and the figures import matplotlib, which takes half a second

    content = as_json(analysis)
    content["answers"] = answers(content, limits(content, analysis.problems))
    content["figures"] = _draw(analysis, folder / "figures") if figures else []
    files = {
        "report.html": render(content, folder / "figures"),
        "report.md": markdown(content),
        "report.tex": latex(content),
        "report.json": json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_text(folder / name, text)
    drawn = [folder / "figures" / f"{figure['name']}.png" for figure in content["figures"]]
    return content, [*(folder / name for name in files), *drawn]


def _draw(analysis: Analysis, folder: Path) -> list[dict[str, str]]:
    from rl_warmup.report.figures import draw

    drawn = draw(analysis, folder)
    return [{key: getattr(figure, key) for key in ("name", "kind", "title", "caption")} for figure in drawn]
