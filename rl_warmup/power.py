"""`python -m rl_warmup.power`: how many pairs of seeds a verdict takes, or the next study after a pilot."""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rl_warmup import terminal
from rl_warmup.analysis.comparison import Comparison
from rl_warmup.analysis.constants import Scale, given
from rl_warmup.analysis.metrics.table import METRICS
from rl_warmup.analysis.statistics.planning import (
    POWER,
    no_plan,
    pairs_for_equivalence,
    pairs_for_mean,
    pairs_in_runs_seen,
    plan,
)
from rl_warmup.analysis.statistics.scopes import ALPHA
from rl_warmup.analysis.study import analyse
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.schema import RecordError

EFFECTS = (0.05, 0.1, 0.2)
SDS = (0.02, 0.06, 0.1, 0.25)
BOUND = 1.03  # of CartPole, Acrobot and MiniGrid, about
VERDICTS = ("better/worse in the runs seen", "better/worse, the mean", "equivalent (the truth is 0)")
HEADINGS = ("n", "sd", "plan for", "runs seen", "mean", "equivalent", "open at 0", "at half")
NOTE = """\
plan for: the pilot's standard deviation, inflated so that the true one is larger after one pilot in five only.
runs seen, mean, equivalent: pairs of seeds that give this verdict with probability {power:.0%}, where the true
difference is the smallest effect that matters (better or worse) or 0 (equivalent).
open: probability that the largest of these numbers decides nothing, where the truth is 0, or half that effect."""
RANGES = {
    "effect": "numbers above 0",
    "sd": "numbers from 0 on",
    "bound": "a number above 0",
    "tests": "1 or more",
    "power": "a number from 0.5 to below 1",
    "alpha": "a number above 0 and below 0.5",
}
EPILOG = """\
A difference is that of two runs of one seed, with the treatment and with the control. Effects, standard deviations
and bounds are in its unit: normalized return, for returns. A verdict on "the mean" holds whatever rare runs do, one
"in the runs seen" does not reach beyond them (docs/verdicts.md). Holm asks the first of --tests comparisons for the
level alpha / tests.

examples:
  python -m rl_warmup.power                                  pairs by effect and standard deviation
  python -m rl_warmup.power env=lunarlander --tests 4        with the bounds of conf/env/lunarlander.yaml
  python -m rl_warmup.power --effect .1 --sd .15 --bound 1.2
  python -m rl_warmup.power runs/pilot                       the next study, from the differences of a pilot"""


def pairs_table(arguments: argparse.Namespace, bound: float) -> Table:
    """Pairs for every effect, verdict and standard deviation."""
    table = Table("effect", "verdict", *(f"sd {sd:g}" for sd in arguments.sd), box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    tests, power, alpha = arguments.tests or 1, arguments.power, arguments.alpha
    for effect in arguments.effect:
        found = [
            (
                pairs_in_runs_seen(effect, sd, tests, power=power, alpha=alpha),
                pairs_for_mean(effect, sd, bound, tests, power=power, alpha=alpha),
                pairs_for_equivalence(effect, sd, bound, tests, power=power, alpha=alpha),
            )
            for sd in arguments.sd
        ]
        for place, (verdict, pairs) in enumerate(zip(VERDICTS, zip(*found, strict=True), strict=True)):
            table.add_row("" if place else f"{effect:g}", verdict, *map(_number, pairs))
    return table


def _print_plan(comparisons: Sequence[Comparison], tests: int, arguments: argparse.Namespace, to: Console) -> None:
    """The plans of one pair of arms, a row for each metric; why there is none, below."""
    table = Table(title=comparisons[0].pairing.label, title_justify="left", box=None, pad_edge=False)
    table.add_column("metric", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    lines = []
    for one in comparisons:
        why = (
            "nothing says how large an effect matters" if one.smallest_effect is None else no_plan(one.differences)
        )
        if one.smallest_effect is None or why:
            lines.append(f"no plan for {one.metric.name}: {why}")
        else:
            table.add_row(one.metric.name, str(one.paired.n), *_planned(one, one.smallest_effect, tests, arguments))
    if table.rows:
        to.print(table)
    else:
        lines.insert(0, comparisons[0].pairing.label)
    for line in lines:
        to.print(line, soft_wrap=True, highlight=False, markup=False)
    to.print()


def _planned(one: Comparison, smallest_effect: float, tests: int, arguments: argparse.Namespace) -> Iterator[str]:
    """What the pilot says of one comparison that can be planned."""
    bound, power, alpha = one.pairing.bound(one.metric), arguments.power, arguments.alpha
    made = plan(one.differences, smallest_effect, bound, tests, power=power, alpha=alpha)
    assert made is not None
    yield from (f"{one.differences.std(ddof=1):.3g}", f"{made.sd:.3g}")
    yield from map(_number, (made.in_runs_seen, made.mean, made.equivalent))
    yield from ("–" if p is None else f"{p:.0%}" for p in (made.open_at_zero, made.open_at_half))


def _number(pairs: int | None) -> str:
    return "–" if pairs is None else f"{pairs:,}"


def _bound(arguments: argparse.Namespace, env: str | None) -> float:
    """The bound of the differences: as it is given, or that of an environment's returns."""
    if env is None:
        return float(arguments.bound)
    try:
        scale = Scale.of({f"env.{key}": value for key, value in given(env).env.items()})
    except ConfigError as error:
        raise ConfigError(str(error).replace("--env ", "env=", 1)) from error
    ends = METRICS["final"].bounds(scale)
    if ends is None or not scale.normalized:
        raise ConfigError(f"env={env} lacks return_low, return_high, floor or ceiling; give --bound instead")
    return ends[1] - ends[0]


def _print_pairs(arguments: argparse.Namespace, env: str | None, console: Console) -> None:
    bound = _bound(arguments, env)
    tests = arguments.tests or 1
    level = f"alpha {arguments.alpha:g}" + (f", Holm over {tests} comparisons" if tests > 1 else ", one comparison")
    of = f" ({env})" if env else ""
    console.print(
        f"Pairs of seeds for a power of {arguments.power:.0%}, {level}, differences within ±{bound:.3g}{of}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
    console.print(pairs_table(arguments, bound))


def _print_plans(arguments: argparse.Namespace, folder: Path, console: Console) -> None:
    found = [one for one in analyse(folder).comparisons if one.family == "confirmatory"]
    if not found:
        raise ConfigError(f"{folder} has no confirmatory comparison to plan; declare them in study.yaml")
    for _, members in groupby(found, key=lambda one: one.pairing.label):
        _print_plan(list(members), arguments.tests or len(found), arguments, console)
    console.print(NOTE.format(power=arguments.power), soft_wrap=True, highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rl_warmup.power",
        description="How many pairs of seeds a verdict takes, or, after a pilot, the next study.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", help="folder of a pilot, or env=NAME for the bounds of an environment")
    for name, values, what in (("effect", EFFECTS, "true differences"), ("sd", SDS, "of the differences")):
        about = f"{what} (default: {_listed(values)})"
        parser.add_argument(f"--{name}", type=float, nargs="+", metavar="X", default=values, help=about)
    parser.add_argument("--bound", type=float, default=BOUND, help=f"largest |difference| (default: {BOUND})")
    parser.add_argument("--tests", type=int, help="comparisons in the family (default: 1, or the pilot's)")
    parser.add_argument("--power", type=float, default=POWER, help=f"probability of the verdict (default: {POWER})")
    parser.add_argument("--alpha", type=float, default=ALPHA, help=f"level (default: {ALPHA})")
    return parser


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse numbers that mean nothing."""
    usable = {
        "effect": all(0 < effect < math.inf for effect in arguments.effect),
        "sd": all(0 <= sd < math.inf for sd in arguments.sd),
        "bound": 0 < arguments.bound < math.inf,
        "tests": arguments.tests is None or arguments.tests >= 1,
        "power": 0.5 <= arguments.power < 1,
        "alpha": 0 < arguments.alpha < 0.5,
    }
    for name, holds in usable.items():
        if not holds:
            value = getattr(arguments, name)
            shown = _listed(value) if isinstance(value, (list, tuple)) else f"{value:g}"
            raise ConfigError(f"--{name} {shown} is not usable; use {RANGES[name]}")


@terminal.command("nothing is changed")
def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the command line; the exit code."""
    arguments, console = _parser().parse_args(argv), Console()
    name, equals, env = (arguments.what or "").partition("=")
    try:
        _check(arguments)
        if arguments.what is None or (name, equals) == ("env", "="):
            _print_pairs(arguments, env or None, console)
        else:
            _print_plans(arguments, Path(arguments.what), console)
    except (ConfigError, RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
