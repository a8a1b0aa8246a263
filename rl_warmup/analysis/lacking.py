"""What a report cannot say without constants of an environment, how to mend it, and returns beyond its bounds."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from rl_warmup.analysis.cells import Block
from rl_warmup.analysis.constants import Given
from rl_warmup.analysis.metrics.curve import normalise
from rl_warmup.analysis.metrics.registry import metrics
from rl_warmup.analysis.metrics.table import NORMALIZED
from rl_warmup.analysis.problems import Problems
from rl_warmup.analysis.runs import Run
from rl_warmup.config.constants import (
    BOUNDS,
    SCORING,
    Env,
    borrowed_words,
    bound_words,
    known_as,
    lacking,
    measure_command,
    words,
)
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.words import counted, quoted


def note_constants(blocks: Sequence[Block], sources: Sequence[Given], folder: Path, problems: Problems) -> None:
    """Name environments whose constants are missing, another's, or given with the report, and what follows.

    Raises:
        ConfigError: if no run is of an environment of `sources`.
    """
    runs = [run for block in blocks for cell in block.cells for run in cell.runs]
    for run in runs:
        env, source = run.info["config"]["env"], run.info["constants_from"]
        if source is not None:
            known = ", ".join(f"env.{key}={env[key]:g}" for key in SCORING if env.get(key) is not None)
            problems.add("constants", f"scored by {known} of --env {source}, not as recorded", str(env.get("id")))
        missing = [key for key in lacking(env) if key != "return_floor" or run.worst is None]
        if "threshold" in missing and not {"return_low", "return_high"} & set(missing):
            missing.remove("threshold")
            text = f"env.threshold is not known, and env.return_high={env['return_high']:g} is taken for it"
            problems.add("assumed", text, str(env.get("id")))
        if missing := [*missing, *(key for key in BOUNDS if env.get(key) is None)]:
            text = f"{_why(run, missing)}: {_what_follows(missing)}. To mend this report: {_way_out(env, folder)}"
            problems.add("constants", text)
    for one in sources:
        if one.source not in {run.info["constants_from"] for run in runs}:
            raise ConfigError(f"--env {one.source}: no run of {folder} is of {one.env['id']} as it is made there")


def note_bounds(blocks: Sequence[Block], problems: Problems) -> None:
    """Count the evaluations whose returns are scored as a bound of the environment, with each arm's share."""
    for block in blocks:
        beyond = [cell for cell in block.cells if cell.beyond.any()]
        if beyond:
            bounds = bound_words(beyond[0].scored[0].info["bounds"])
            counts = np.concatenate([cell.beyond.sum(axis=1) for cell in beyond])
            what = f"{counted(int(counts.sum()), 'evaluation')} of {counted(int((counts > 0).sum()), 'run')}"
            shares = ", ".join(f"{cell.clipped or 0:.2%} of those of {cell.short}" for cell in beyond)
            problems.add("constants", f"{what} beyond {bounds}, scored as that: {shares}", block.label)


def _why(run: Run, missing: Collection[str]) -> str:
    """Which constants a run lacks, and why."""
    env, known = run.info["config"]["env"], run.info["borrowed_env"]
    if known:
        return f"{borrowed_words(env, known)}, whose constants are not used, so that {words(missing)} are not known"
    deep = ""
    if "floor" in missing and env.get("return_floor") is not None:
        z = normalise(env["return_floor"], env["return_low"], env["return_high"])
        deep = f", and env.return_floor={env['return_floor']:g} is {z:.3g} of normalized return"
    return f"{env.get('id')} ({env.get('name')}) has no {words(missing)}{deep}"


def _what_follows(missing: Collection[str]) -> str:
    """What cannot be computed without these constants, and in which unit the rest is."""
    needs = {"threshold": {"threshold"} & set(missing), "reference": {"return_low", "return_high"} & set(missing)}
    lost = [one.name for one in metrics().values() if any(needs[need] for need in one.needed)]
    parts = [f"undefined are {', '.join(lost)}"] if lost else []
    if needs["reference"]:
        raw = [one.name for one in metrics().values() if one.unit.startswith(NORMALIZED) and one.name not in lost]
        parts += [
            f"{', '.join(raw)} are in its own returns, without a smallest effect, and so never “equivalent”",
            "critical learning rates are not known",
        ]
    if "return_floor" in missing:
        parts.append("a run that diverged has no score, and no comparison with one has a verdict")
    if set(BOUNDS) & set(missing):
        parts.append("verdicts on returns are of the runs seen, and none of the mean, whatever rare runs do")
    return "; ".join(parts)


def _way_out(env: Env, folder: Path) -> str:
    again = f"python -m rl_warmup.report {quoted(folder)} --env"
    if known := known_as(env):
        return f"{again} {known}"
    return f"{measure_command(env)} --output env.yaml, give there what it leaves null, and {again} env.yaml"
