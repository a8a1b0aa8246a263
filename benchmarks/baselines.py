"""The published settings trained again, without warmup, beside the published figures and plain Stable-Baselines3.

    python benchmarks/baselines.py [CASE ...] [--seeds N] [--plain N] [--runs-dir DIR] [--no-training]

Ours: an ordinary sweep of warmup=none per case, in DIR/baseline-CASE. Plain: the same settings in plain.py's words,
DIR/baseline-CASE/plain.jsonl, one line per seed. Finished runs of both are used again, so that the same command
resumes after Ctrl-C. Seeds mean other random numbers on the two sides: compare distributions, not pairs.

Both sides are measured alike, a number per seed: mean return of the final policy, deterministic, over 20 episodes;
for CleanRL's figures that of the last 100 training episodes. Shown: mean over seeds with its 95% interval (t), IQM
(BCa). Our interval has to overlap that of plain Stable-Baselines3 or of a publication with 3 seeds or more. A
published single run is no distribution: an interval that lies below it is pointed out.

Every case writes OUT/CASE.json; OUT/README.md is the table of all of them.
"""

import argparse
import json
import shlex
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from baselines_cases import CASES, Case
from baselines_table import markdown, published_interval, short_table, summary, table_lines, verdict
from joblib import Parallel, delayed
from plain import train
from sweeps import ONE_THREAD, STACKED, finished, machine, run_shown

from rl_warmup.records.provenance import git_commit, hardware, versions
from rl_warmup.records.read import Record

EPISODES = 20  # of the final policy
LAST = 100  # training episodes
PROCESSES = 2


# --- training ---


def command(case: Case, seeds: int) -> list[str]:
    """Our sweep of a case, without where it is recorded."""
    fixed = [f"seed=range(0,{seeds})", f"evaluation.episodes={EPISODES}", "device=cpu", "tracking=disabled"]
    return [f"algo={case.algo}", f"env={case.env}", "warmup=none", *fixed, *case.overrides, *case.trainer]


def train_ours(name: str, seeds: int, folder: Path, steps: int | None) -> None:
    """Train what is missing of our side.

    Raises:
        SystemExit: if the sweep fails.
    """
    if set(range(seeds)) <= {record.info["seed"] for record in finished(folder / study(name, steps))}:
        return
    places = [f"study.name={study(name, steps)}", f"runs_dir={folder}"]
    budget = [] if steps is None else [f"total_timesteps={steps}"]
    swept = [sys.executable, "-m", "rl_warmup.run", "-m", *command(CASES[name], seeds), *budget, *places]
    run_shown(swept, {} if CASES[name].trainer == STACKED else ONE_THREAD)


def train_plain(name: str, seeds: int, folder: Path, steps: int | None) -> None:
    """Train what is missing of the other side, a line per finished seed."""
    path = folder / study(name, steps) / "plain.jsonl"
    done = lines_of(path)
    missing = sorted(set(range(seeds)) - {line["seed"] for line in done})
    jobs = (delayed(train)(name, seed, EPISODES, steps) for seed in missing)
    path.parent.mkdir(parents=True, exist_ok=True)
    for result in Parallel(min(PROCESSES, len(missing)) or 1, return_as="generator_unordered")(jobs):
        done.append({**result, "hardware": hardware("cpu"), "versions": versions()})
        replace(path, "".join(json.dumps(line) + "\n" for line in done))
        print(f"{name}: plain seed {result['seed']} after {result['seconds']:.0f} s", flush=True)


def study(name: str, steps: int | None) -> str:
    """Name of the study that holds the runs of a case."""
    return f"baseline-{name}" if steps is None else f"baseline-{name}-{steps}"


def lines_of(path: Path) -> list[dict[str, Any]]:
    """What a file of JSON lines holds; nothing if it is not there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    written = path.with_suffix(".tmp")
    written.write_text(text, encoding="utf-8")
    written.replace(path)


# --- reading ---


def ours(folder: Path, name: str, seeds: int, steps: int | None) -> list[dict[str, Any]]:
    """What our runs scored, by seed.

    Raises:
        SystemExit: if there are runs of more than one setting.
    """
    records = [record for record in finished(folder / study(name, steps)) if record.info["seed"] < seeds]
    settings = {record.setting for record in records}
    if len(settings) > 1:
        sys.exit(f"{folder / study(name, steps)} holds runs of {len(settings)} settings; use another --runs-dir")
    return sorted(map(scored, records), key=lambda line: line["seed"])


def scored(record: Record) -> dict[str, Any]:
    """Of one run: what `plain.train` returns, and where it comes from; return_floor if it diverged."""
    final = float(record.evaluations()["returns"].list.mean()[-1])
    training = record.table("episodes")["return"].tail(LAST).mean()
    if record.status == "diverged":
        final = training = float(record.config["env"]["return_floor"])
    return {
        "seed": record.info["seed"],
        "final": final,
        "training": training,
        "env_steps": record.info["env_steps"],
        "hardware": record.info["hardware"],
        "versions": record.info["versions"],
        "commit": record.info["git_commit"],
    }


def result_of(name: str, mine: list[dict[str, Any]], other: list[dict[str, Any]], seeds: int) -> dict[str, Any]:
    """All that OUT/CASE.json holds."""
    case = CASES[name]
    own, plain = summary(mine, case.measure), summary(other, case.measure)
    assert own is not None
    published = case.published
    return {
        "case": name,
        "command": shlex.join(["python", "benchmarks/baselines.py", name]),
        "sweep": shlex.join(["python", "-m", "rl_warmup.run", "-m", *command(case, seeds)]),
        "measure": case.measure,
        "note": case.note,
        "env_steps": max(line["env_steps"] for line in mine),
        "published": published and {**vars(published), "interval": published_interval(published)},
        "ours": {**own, "returns": {str(line["seed"]): line[case.measure] for line in mine}},
        "plain": plain and {**plain, "returns": {str(line["seed"]): line[case.measure] for line in other}},
        "verdict": verdict(own, plain, published),
        "hardware": sorted({line["hardware"] for line in [*mine, *other]}),
        "commits": sorted({str(line["commit"]) for line in mine}),
        "versions": mine[-1]["versions"],
        "written": datetime.now(UTC).date().isoformat(),
    }


def write(out: Path, result: dict[str, Any]) -> None:
    """Write a case, and the table of all cases that are there."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    (out / f"{result['case']}.json").write_text(text + "\n", encoding="utf-8")
    (out / "README.md").write_text(markdown(results_in(out)), encoding="utf-8")


def results_in(out: Path) -> list[dict[str, Any]]:
    """What is written of the cases, in their order."""
    paths = [out / f"{name}.json" for name in CASES]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def seeds_of(name: str, arguments: argparse.Namespace) -> tuple[int, int]:
    """Of ours and of plain Stable-Baselines3."""
    case, plain = CASES[name], arguments.plain
    return arguments.seeds or case.seeds, case.plain if plain is None else plain


def complete(name: str, arguments: argparse.Namespace) -> None:
    """Train what is missing of both sides."""
    mine, others = seeds_of(name, arguments)
    train_ours(name, mine, arguments.runs_dir, arguments.steps)
    train_plain(name, others, arguments.runs_dir, arguments.steps)


def compared(name: str, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The result of a case, which is also written unless it is a trial; None without runs of ours."""
    seeds, others = seeds_of(name, arguments)
    mine = ours(arguments.runs_dir, name, seeds, arguments.steps)
    lines = lines_of(arguments.runs_dir / study(name, arguments.steps) / "plain.jsonl")
    other = sorted((line for line in lines if line["seed"] < others), key=lambda line: line["seed"])
    if not mine:
        return None
    result = result_of(name, mine, other, seeds)
    if arguments.steps is None:
        write(arguments.out, result)
    return result


def main() -> None:
    """Train what is missing, case by case, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; default: all, in this order"
    )
    parser.add_argument("--seeds", type=int, help="of ours; default: the case's")
    parser.add_argument(
        "--plain", type=int, help="seeds of plain Stable-Baselines3, 0 for none; default: the case's"
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("runs/reference/baselines"))
    parser.add_argument(
        "--steps", type=int, help="environment steps of a run: a trial, whose results are only printed"
    )
    parser.add_argument("--no-training", action="store_true", help="use what is there")
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - CASES.keys():
        parser.error(f"no case {', '.join(sorted(unknown))}; use {', '.join(CASES)}")
    print(f"{machine()}; commit {git_commit()}", flush=True)
    results, failed = [], False
    for name in arguments.cases or CASES:
        try:
            if not arguments.no_training:
                complete(name, arguments)
        except (Exception, SystemExit):  # the other cases are trained all the same
            traceback.print_exc()
            failed = True
        if result := compared(name, arguments):
            results.append(result)
            print(*table_lines([result]), sep="\n", flush=True)
    print("", *table_lines(results), "", *short_table(results), sep="\n", flush=True)
    sys.exit(failed or any("find out why" in result["verdict"] for result in results))


if __name__ == "__main__":
    main()
