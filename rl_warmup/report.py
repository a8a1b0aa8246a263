"""`python -m rl_warmup.report DIR`: the records of a study -> report.json, figures, tables on the terminal."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rl_warmup.analysis import Analysis, analyse
from rl_warmup.records import RecordError, write_text
from rl_warmup.summary import as_json
from rl_warmup.terminal import show

PIPED_WIDTH = 140  # columns where the output is no terminal

_EXPLANATION = """\
Compares every arm of a study with its control, paired by seed, and says what the warmup did:
better, worse, equivalent or inconclusive, in final return, area under the curve, shortfall
(stability) and share of runs that did not learn. Needs nothing but the record files in DIR.
Runs that are not finished or cannot be read are left out and named.

writes into DIR:
  report.json   all numbers, and `problems`: whatever makes a reader doubt them
  figures/      evaluation curves, learning rates delivered, paired differences (PNG and SVG)

exit code:
  0  everything was analyzed
  1  the report was written, but some run or file was left out
  2  there is nothing to report on
"""


def report(folder: Path, console: Console, figures: bool = True) -> int:
    """Analyze the study in `folder`, write report.json and the figures into it, print it; the exit code.

    0: everything was analyzed. 1: the report was written, but something was left out. 2: there was nothing to
    report on, or the report cannot be written; one message on stderr says why.
    """
    try:
        analysis = analyse(folder)
        if not analysis.contexts:
            raise RecordError(f"{folder} holds no readable run: {'; '.join(analysis.problems)}")
        paths = _write(analysis, folder, figures)
    except (RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not console.is_terminal:
        console.width = max(console.width, PIPED_WIDTH)
    show(as_json(analysis), console)
    console.print("\nwritten:")
    for path in paths:
        console.print(f"  {path}", soft_wrap=True, highlight=False, markup=False)
    if analysis.left_out:
        print("incomplete: some runs or files were left out; they are named under Problems", file=sys.stderr)
    return 1 if analysis.left_out else 0


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
    parser.add_argument("--no-figures", action="store_true", help="write report.json only")
    arguments = parser.parse_args(argv)
    return report(arguments.folder, Console(), figures=not arguments.no_figures)


def _write(analysis: Analysis, folder: Path, figures: bool) -> list[Path]:
    """Write report.json, then the figures; the files that a person may open."""
    path = folder / "report.json"
    write_text(path, json.dumps(as_json(analysis), indent=2, allow_nan=False, ensure_ascii=False) + "\n")
    if not figures:
        return [path]
    from rl_warmup.figures import draw  # matplotlib takes half a second to import

    return [path, *(file for file in draw(analysis, folder / "figures") if file.suffix == ".png")]


if __name__ == "__main__":
    sys.exit(main())
