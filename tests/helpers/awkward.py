"""Studies that break reports, as record files, and their report as a person reads it: the same in every medium."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from helpers.synthetic import DECLARED, STEPS, write_run
from numpy.typing import ArrayLike

from rl_warmup.analysis import FloatArray
from rl_warmup.records.schema import table_schemas
from rl_warmup.records.study import write_declaration
from rl_warmup.report.command import main

BOUNDED = {"env.return_floor": -3.0, "env.threshold": 95.0, "env.ceiling": 100.0}
"""Normalized returns from -.03 to 1, as CartPole's."""
UNBOUNDED = {"env.return_floor": -3.0, "env.threshold": 95.0}
RISE = np.array([0.5, 0.8, 1.0, 1.0, 1.0, 1.0])


def curves(final: ArrayLike, rise: FloatArray = RISE) -> FloatArray:  # [seeds] -> [seeds, evaluations]
    """Curves in normalized return that rise to each seed's final one."""
    return np.asarray(final, dtype=np.float64)[:, np.newaxis] * rise


def shifted(base: FloatArray, by: ArrayLike) -> FloatArray:  # [seeds, evaluations], [seeds]
    """The same curves, each higher by its own amount everywhere: final and area differ by the same."""
    return base + np.asarray(by, dtype=np.float64)[:, np.newaxis]


def dead(base: FloatArray, seeds: Iterable[int], at: float = 0.05) -> FloatArray:
    """The same curves, some of which end dead: from the middle on at `at`."""
    found = base.copy()
    found[list(seeds), base.shape[1] // 2 :] = at
    return found


def write_arm(
    study: Path,
    warmup: str,
    normalized: ArrayLike,  # [seeds, evaluations]
    *,
    seeds: Sequence[int] | None = None,
    changes: Mapping[str, Any] = BOUNDED,
    **options: Any,
) -> None:
    """Record an arm: its first run through the door that trainers use, the others as copies with their own returns.

    Args:
        changes: values of the config by dotted keys; `options` as `write_run` takes them.
    """
    low, high = changes.get("env.return_low", 0.0), changes.get("env.return_high", 100.0)
    returns = low + (high - low) * np.asarray(normalized, dtype=np.float64)
    seeds = range(len(returns)) if seeds is None else seeds
    env = {key.removeprefix("env."): value for key, value in changes.items() if key.startswith("env.")}
    info = {"bounds": {"floor": env.get("floor", env.get("return_floor")), "ceiling": env.get("ceiling")}}
    options["info"] = info | options.get("info", {})
    first = write_run(study, warmup, seeds[0], returns[0], changes=changes, **options)
    steps = options.get("steps", STEPS)
    for seed, own in zip(seeds[1:], returns[1:], strict=True):
        _write_again(first, seed, steps, own)


def _write_again(first: Path, seed: int, steps: Sequence[int], returns: FloatArray) -> None:
    """The same run with another seed and other evaluations."""
    info = json.loads((first / "run.json").read_text())
    run_id = f"{info['run_id'].rpartition('-s')[0]}-s{seed}"
    info |= {"seed": seed, "run_id": run_id, "config": info["config"] | {"seed": seed}}
    folder = first.parent / run_id
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(info))
    for name in ("episodes", "updates"):
        (folder / f"{name}.parquet").hardlink_to(first / f"{name}.parquet")
    rows = {
        "env_step": steps,
        "returns": [[value - 1, value + 1] for value in returns],
        "lengths": [[1, 1]] * len(steps),
    }
    schema = table_schemas(info["config"]["algo"]["name"])["evaluations"]
    pl.DataFrame(rows, schema=schema).write_parquet(folder / "evaluations.parquet")


@dataclass(frozen=True)
class Told:
    """A report as it is told: what it ended with, report.json, and the lines of each medium."""

    code: int
    report: dict[str, Any]
    lines: Mapping[str, tuple[str, ...]]  # by medium

    @property
    def problems(self) -> list[str]:
        """The caveats of report.json."""
        return list(self.report["problems"])

    def row(self, metric: str, **where: Any) -> dict[str, Any]:
        """The only comparison on a metric, of those that have the values `where`."""
        rows = (row for row in self.report["comparisons"] if row["metric"] == metric)
        (found,) = [row for row in rows if all(row[key] == value for key, value in where.items())]
        return dict(found)

    def verdicts(self, *metrics: str, key: str = "verdict", **where: Any) -> set[str]:
        """The verdicts on these metrics."""
        return {str(self.row(metric, **where)[key]) for metric in metrics}

    def sentence(self, *words: str) -> str:
        """The first line of report.json that has all these words, in any case; every medium has such a line."""
        for medium, lines in self.lines.items():
            assert self._first(medium, words) is not None, f"{medium} never says {words}:\n" + "\n".join(lines)
        return str(self._first("report.json", words))

    def says(self, *words: str) -> bool:
        """Whether any medium has a line with all these words."""
        return any(self._first(medium, words) is not None for medium in self.lines)

    def _first(self, medium: str, words: Sequence[str]) -> str | None:
        lines = self.lines[medium]
        return next((line for line in lines if all(word.lower() in line.lower() for word in words)), None)


def told(study: Path, declared: Mapping[str, Any] | None = DECLARED) -> Told:
    """What `python -m rl_warmup.report` says of a study, which is declared before if it is to be."""
    if declared is not None:
        write_declaration(study, declared)
    out, errors = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        code = main([str(study), "--no-figures"])
    assert "Traceback" not in errors.getvalue()
    report = json.loads((study / "report.json").read_text(encoding="utf-8"))
    markdown = (study / "report.md").read_text(encoding="utf-8").replace("\\", "")
    lines = {
        "report.json": (*report["answers"], *report["problems"]),
        "terminal": tuple(out.getvalue().splitlines()),
        "report.md": tuple(markdown.splitlines()),
    }
    return Told(
        code, report, {medium: tuple(text.replace("−", "-") for text in said) for medium, said in lines.items()}
    )
