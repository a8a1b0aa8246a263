"""What baselines.py makes of scores, a number per seed: intervals, a verdict in words, and Markdown."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from baselines_cases import Published
from scipy import stats

from rl_warmup.analysis.statistics.estimators import iqm, iqm_interval

Interval = tuple[float, float] | None


def t_interval(mean: float, sd: float, n: int) -> Interval:
    """95% interval of a mean over n seeds, mean ± t(n - 1) sd / sqrt(n); None for n < 2."""
    if n < 2:
        return None
    half = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n)
    return mean - half, mean + half


def summary(lines: Sequence[dict[str, Any]], measure: str) -> dict[str, Any] | None:
    """Mean and IQM over seeds with their 95% intervals; None without runs that have the measure."""
    scores = np.array([line[measure] for line in lines if line[measure] is not None], dtype=np.float64)
    if not scores.size:
        return None
    spread = float(scores.std(ddof=1)) if scores.size > 1 else 0.0
    return {
        "n": int(scores.size),
        "mean": float(scores.mean()),
        "sd": spread,
        "interval": t_interval(float(scores.mean()), spread, scores.size),
        "iqm": float(iqm(scores)),
        "iqm_interval": iqm_interval(scores),
    }


def published_interval(published: Published) -> Interval:
    """The interval of a publication; None for one run, whose spread is that of its episodes, and below 3."""
    if published.seeds < 3 or published.sd is None:
        return None
    return t_interval(published.mean, published.sd, published.seeds)


def overlap(one: Interval, other: Interval) -> bool:
    """Whether two closed intervals have a point in common."""
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]


def verdict(mine: dict[str, Any], plain: dict[str, Any] | None, published: Published | None) -> str:
    """How our interval lies to those it is held against, in words."""
    interval = mine["interval"]
    if interval is None:
        return "one seed: no interval"
    others = {
        "plain Stable-Baselines3": plain and plain["interval"],
        "published": published and published_interval(published),
    }
    held = {name: overlap(interval, other) for name, other in others.items() if other is not None}
    below = published is not None and others["published"] is None and interval[1] < published.mean
    if any(held.values()):
        apart = [f"apart from {name}" for name, good in held.items() if not good]
        said = "overlaps " + " and ".join(name for name, good in held.items() if good)
        return "; ".join([said, *apart, *["below the published run"] * below])
    if held:
        return f"differs from {' and '.join(held)}: find out why"
    if published is None:
        return "nothing to hold it against"
    return "below the published run: find out why" if below else "reaches the published run"


# --- Markdown ---

HEADER = ("case", "steps", "published", "ours", "plain Stable-Baselines3", "IQM: ours, plain", "")


def row(result: dict[str, Any]) -> tuple[str, ...]:
    """A line of the table."""
    both = [result["ours"], result["plain"]]
    measured = [f"{one['mean']:.4g}{shown(one['interval'])}, n = {one['n']}" if one else "–" for one in both]
    middles = ", ".join(f"{one['iqm']:.4g}{shown(one['iqm_interval'])}" for one in both if one)
    return (
        result["case"],
        f"{result['env_steps']:,}".replace(",", " "),
        said(result["published"]),
        *measured,
        middles,
        result["verdict"],
    )


def shown(interval: Sequence[float] | None) -> str:
    """An interval behind its number."""
    return "" if interval is None else f" [{interval[0]:.4g}, {interval[1]:.4g}]"


def said(published: dict[str, Any] | None) -> str:
    """A published figure with what it is."""
    if published is None:
        return "–"
    spread = "" if published["sd"] is None else f" ± {published['sd']:.4g}"
    kind = "one run" if published["seeds"] == 1 else f"{published['seeds']} seeds"
    return f"{published['mean']:.4g}{spread} ({kind}){shown(published['interval'])}"


def markdown(results: Sequence[dict[str, Any]]) -> str:
    """The table of all cases, and under it what belongs to each."""
    lines = ["# Baselines", "", *INTRODUCTION, "", *table_lines(results), ""]
    for result in results:
        source = result["published"]["source"] if result["published"] else "no publication"
        notes = [source, *([result["note"]] if result["note"] else []), f"measure: {result['measure']}"]
        where = [*result["hardware"], f"commits {', '.join(commit[:10] for commit in result['commits'])}"]
        packages = ", ".join(f"{package} {number}" for package, number in result["versions"].items())
        lines += [f"**{result['case']}** ({'; '.join(notes)}), {'; '.join(where)}, {result['written']}; {packages}"]
        lines += ["", f"    {result['sweep']}", ""]
    return "\n".join(lines)


SETTINGS = {"cleanrl": "CleanRL's", "gymnax": "gymnax-blines'"}
"""Whose settings a case has, by the first word of its name; without one those of conf/tuned/."""
INTRODUCTION = (
    "`python benchmarks/baselines.py` wrote these files: the published settings without warmup, mean over seeds",
    "with its 95% interval. Return of the final policy, deterministic, over 20 episodes; in the settings of",
    "CleanRL and gymnax-blines that of the last 100 training episodes. A published single run has the spread of",
    "its episodes, not of runs.",
)


def table_lines(results: Sequence[dict[str, Any]]) -> list[str]:
    """A Markdown table of results."""
    return in_pipes([HEADER, ("---",) * len(HEADER), *map(row, results)])


def short_table(results: Sequence[dict[str, Any]]) -> list[str]:
    """The table of the project's README: one row per environment, one column per algorithm."""
    cells: dict[str, dict[str, str]] = {}
    for result in results:
        *of, algo, env = result["case"].split("-")
        name = f"{env}, {SETTINGS[of[0]]} settings" if of else env
        cells.setdefault(name, {})[algo] = short_cell(result)
    rows = [(name, *(cell.get(algo, "") for algo in ("ppo", "dqn"))) for name, cell in cells.items()]
    return in_pipes([("published · ours · plain Stable-Baselines3", "PPO", "DQN"), ("---",) * 3, *rows])


def short_cell(result: dict[str, Any]) -> str:
    """Published, ours and plain, means with their intervals."""
    published, both = result["published"], (result["ours"], result["plain"])
    means = [f"{one['mean']:.4g}{shown(one['interval'])}" if one else "–" for one in both]
    return " · ".join([f"{published['mean']:.4g}" if published else "–", *means])


def in_pipes(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return ["| " + " | ".join(line) + " |" for line in rows]
