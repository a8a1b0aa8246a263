"""How numbers, places and arms of report.json are put into words: the same in sentences, tables and pages."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rl_warmup.records.words import counted

Row = Mapping[str, Any]
GROUP = ("env", "algo", "trainer", "total_timesteps")  # keys of a row by which tables and figures are grouped
ENVIRONMENTS = {  # others are called as their config calls them
    "cartpole": "CartPole",
    "acrobot": "Acrobot",
    "mountaincar": "MountainCar",
    "lunarlander": "LunarLander",
    "minigrid_fourrooms": "FourRooms",
}
_NOUNS = {
    "final": ("final return", "lower", "higher"),
    "area": ("area under the curve", "smaller", "larger"),
    "shortfall": ("shortfall", "less", "more"),
    "not_learned": ("runs that did not learn", "fewer", "more"),
}
_MINUS = re.compile(r"(?<![\w.)])-(?=[\d.∞])")


def number(value: float | None, unknown: str = "–", sign: bool = False, digits: int = 3) -> str:
    """A value with three decimals, or as many as asked for; from a million on, with three digits.

    >>> number(0.12345), number(-0.0001, sign=True), number(2.5e12), number(None)
    ('0.123', '0.000', '2.5e+12', '–')
    """
    if value is None:
        return unknown
    if abs(value) >= 1e6:
        return f"{value:+.3g}" if sign else f"{value:.3g}"
    rounded = round(value, digits) + 0.0  # no minus before zero
    return f"{rounded:+.{digits}f}" if sign and rounded else f"{rounded:.{digits}f}"


def share(value: float | None, unknown: str = "–") -> str:
    """A share as a percentage.

    >>> share(0.0893), share(0.125), share(None)
    ('8.9%', '12%', '–')
    """
    if value is None:
        return unknown
    return f"{100 * value:.2g}%" if abs(value) < 0.1 else f"{100 * value:.0f}%"


def interval(low: float | None, high: float | None, sign: bool = True, digits: int = 3) -> str:
    """An interval; an end that few pairs leave open is infinite.

    >>> interval(-0.1, None), interval(0.05, 0.19, sign=False, digits=2)
    ('[-0.100, ∞]', '[0.05, 0.19]')
    """
    return f"[{number(low, '-∞', sign, digits)}, {number(high, '∞', sign, digits)}]"


def p_value(value: float | None) -> str:
    """A p value with its relation.

    >>> p_value(0.03125), p_value(0.0002), p_value(1.0), p_value(None)
    ('= .031', '< .001', '= 1', 'unknown')
    """
    if value is None:
        return "unknown"
    return "< .001" if value < 0.001 else f"= {bare_p(value)}"


def bare_p(value: float | None) -> str:
    """A p value for a column of them.

    >>> bare_p(0.03125), bare_p(0.0002), bare_p(0.999), bare_p(None)
    ('.031', '<.001', '1', '–')
    """
    if value is None:
        return "–"
    return "<.001" if value < 0.001 else f"{float(f'{value:.2g}'):g}".removeprefix("0")


def metric_name(name: str) -> str:
    """A metric's name as a heading.

    >>> metric_name("not_learned")
    'not learned'
    """
    return name.replace("_", " ")


def unit(row: Row, report: Mapping[str, Any]) -> str:
    """The unit of a comparison's metric; of one that is not normalized, in the environment's own returns."""
    named = str(report["study"]["metrics"][row["metric"]]["unit"])
    return named if row.get("normalized", True) else named.removeprefix("normalized ")


def own_returns(row: Row) -> str:
    """What is added to a heading whose numbers are not normalized.

    >>> own_returns({"env": "mine", "normalized": False}), own_returns({"env": "mine"})
    (' · returns not normalized', '')
    """
    return "" if row.get("normalized", True) else " · returns not normalized"


def arm_words(label: str, report: Mapping[str, Any]) -> str:
    """The short label of an arm as a phrase; a report of an earlier version has none."""
    return str(report.get("arms", {}).get(label, label))


def compared(row: Row, report: Mapping[str, Any]) -> str:
    """What a comparison compares, as the subject of a sentence."""
    if row["contrast"] is not None:
        return f"the contrast “{row['contrast']}”"
    controls = {cell["warmup"]["name"] for cell in report["cells"] if cell["short"] == row["control"]}
    words = arm_words(row["treatment"], report)
    return words if controls == {"none"} else f"{words} against {arm_words(row['control'], report)}"


def nouns(metric: str) -> tuple[str, str, str]:
    """What a metric measures, and the words for less and for more of it.

    >>> nouns("shortfall"), nouns("time_to_threshold")
    (('shortfall', 'less', 'more'), ('time to threshold', 'lower', 'higher'))
    """
    return _NOUNS.get(metric, (metric_name(metric), "lower", "higher"))


def rate(row: Row) -> str:
    """The peak learning rate, and how it relates to the tuned one where that is known.

    >>> rate({"learning_rate": 0.004, "learning_rate_scale": 4.0, "schedule": "constant"})
    '4× the tuned learning rate (0.004)'
    >>> rate({"learning_rate": 0.004, "learning_rate_scale": None, "schedule": "cosine"})
    'learning rate 0.004 (cosine)'
    >>> rate({"learning_rate": None, "learning_rate_scale": 16.0, "schedule": "constant"})
    '16× the tuned learning rates'
    """
    scale, schedule = row["learning_rate_scale"], "" if row["schedule"] == "constant" else row["schedule"]
    if row["learning_rate"] is None:  # of several environments, each with a tuned one
        return f"{'' if scale == 1 else f'{scale:.4g}× '}the tuned learning rates" + (
            f" ({schedule})" * bool(schedule)
        )
    value = f"{row['learning_rate']:.4g}"
    if scale is None:
        return f"learning rate {value}" + (f" ({schedule})" if schedule else "")
    times = "" if scale == 1 else f"{scale:.4g}× "
    return f"{times}the tuned learning rate ({', '.join(filter(None, (value, schedule)))})"


def short_rate(row: Row, schedule: bool = True, gap: str = " ") -> str:
    """The peak learning rate for a column of a table, with the base `schedule` unless it is shown elsewhere.

    >>> short_rate({"learning_rate": 0.004, "learning_rate_scale": 4.0, "schedule": "constant"})
    '0.004 (4×)'
    """
    base = f" {row['schedule']}" if schedule and row["schedule"] != "constant" else ""
    scale = row["learning_rate_scale"]
    if row["learning_rate"] is None:
        return f"{scale:.4g}× tuned{base}"
    return f"{row['learning_rate']:.4g}{base}" + ("" if scale is None else f"{gap}({scale:.4g}×)")


def tuned_rate(rate: float, scale: float | None) -> str:
    """The peak learning rate for a panel of a figure.

    >>> tuned_rate(0.004, 4.0), tuned_rate(0.001, 1.0), tuned_rate(0.004, None)
    ('0.004 (4× tuned)', '0.001 (tuned)', '0.004')
    """
    if scale is None:
        return f"{rate:.4g}"
    return f"{rate:.4g} ({'' if scale == 1 else f'{scale:.4g}× '}tuned)"


def varied(rows: Sequence[Row]) -> tuple[str, ...]:
    """Which of trainer and budget must be named, because the rows differ in them."""
    return tuple(key for key in ("trainer", "total_timesteps") if len({row[key] for row in rows}) > 1)


def place(row: Row, named: Sequence[str] = ()) -> str:
    """Algorithm and environment, and trainer and budget where they are among `named`.

    >>> place({"algo": "ppo", "env": "cartpole", "total_timesteps": 50000}, ["total_timesteps"])
    'PPO on CartPole, 50,000 steps'
    """
    trainer = f" ({row['trainer']})" if "trainer" in named else ""
    budget = f", {row['total_timesteps']:,} steps" if "total_timesteps" in named and row["env"] else ""
    where = environment(row["env"]) if row["env"] else together(row["environments"])
    return f"{row['algo'].upper()}{trainer} on {where}{budget}"


def together(names: Sequence[str]) -> str:
    """The environments of a pooled question.

    >>> together(["cartpole", "acrobot"])
    'these 2 environments together (CartPole and Acrobot)'
    """
    return f"these {len(names)} environments together ({listed([environment(name) for name in names])})"


def environment(name: str) -> str:
    """The name of an environment as its authors write it, where it is known."""
    return ENVIRONMENTS.get(name, name)


def range_words(counts: Sequence[int]) -> str:
    """Counts as a number or a range.

    >>> range_words([10]), range_words([10, 8, 9])
    ('10', '8 to 10')
    """
    return f"{counts[0]:,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"


def listed(words: Sequence[str]) -> str:
    """Words in a row.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def agents_words(agents: Mapping[str, Any]) -> str:
    """Of how many runs there is an agent, before the commands that play some."""
    which = "the best one" if len(agents["commands"]) == 1 else "the best one of each task"
    return f"{agents['kept']:,} of {counted(agents['runs'], 'run')} kept the agent; this plays {which}:"


def minus(text: str) -> str:
    """The same with typographic minus signs before numbers.

    >>> minus("-0.1 [-∞, 0.2] of linear-10%")
    '−0.1 [−∞, 0.2] of linear-10%'
    """
    return _MINUS.sub("−", text)


def capital(text: str) -> str:
    """A text with a capital at its start, the rest as it is."""
    return text[:1].upper() + text[1:]
