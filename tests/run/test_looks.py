"""Sweeps in batches of seeds, which stop when all is decided; runs are recorded by hand, the looks are real."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from helpers.configs import Configure
from helpers.synthetic import update_rows
from rich.console import Console

from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.study import read_looks, read_runs
from rl_warmup.records.write import recording
from rl_warmup.report import command as report
from rl_warmup.run.execute import run_info
from rl_warmup.run.jobs import Job, compose_jobs
from rl_warmup.run.sweep import run_sweep
from rl_warmup.status.command import main as status

OVERRIDES = [
    *("device=cpu", "total_timesteps=600", "evaluation.count=3", "tracking=disabled", "study.name=seq"),
    *("study.control={warmup.name: none}", "study.looks={every: 20, most: 40}"),
]
Score = Callable[[RunConfig], float]


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report has tests of its own and takes a second."""
    monkeypatch.setattr(report, "report", lambda folder, console: 0)


@pytest.fixture
def arms(configure: Configure) -> list[RunConfig]:
    return [configure(*OVERRIDES, f"warmup={name}") for name in ("none", "linear")]


def jobs_of(arms: Sequence[RunConfig], seeds: Sequence[int] = range(40)) -> list[Job]:
    configs = [replace(arm, seed=seed) for arm in arms for seed in seeds]
    return compose_jobs([[str(i)] for i in range(len(configs))], lambda overrides: configs[int(overrides[0])])


def record(job: Job, score: Score, status: str = "completed") -> None:
    """Record a job as if it had been trained."""
    about = run_info(job.config, 1)
    with patch("os.fsync"), recording(job.folder, about, {"algo": {"name": "ppo"}}) as writer:
        for row in update_rows(1e-3, 1.0 if job.config.warmup.name == "none" else 8.0):
            writer.append("updates", dict.fromkeys(writer.recorded["updates"].schema, 0.5) | row)
        steps, learned = job.planned.env_steps, score(job.config)
        for step, value in ((0, 22.0), (steps // 2, learned), (steps, learned)):
            writer.append("evaluations", {"env_step": step, "returns": [value], "lengths": [1]})
        writer.finish(status, "lost" if status == "failed" else None)


def worse(config: RunConfig) -> float:
    """Warmup learns nothing, its control everything."""
    noise = float(np.random.default_rng([config.seed, 7]).uniform(0, 5))
    return 495 + noise if config.warmup.name == "none" else 22 + noise


def alike(config: RunConfig) -> float:
    """Both arms learn in half of the runs."""
    return float(np.random.default_rng([config.seed, config.warmup.name == "none"]).choice([30.0, 500.0]))


class Launched:
    """A launch that records runs, and remembers which."""

    def __init__(self, score: Score, fail: Sequence[int] = (), killed_after: int | None = None) -> None:
        self.score, self.fail, self.left = score, fail, killed_after
        self.batches: list[set[int]] = []
        self.runs = 0

    def __call__(self, jobs: list[Job]) -> None:
        self.batches.append({job.config.seed for job in jobs})
        for job in jobs:
            if self.left == 0:
                raise KeyboardInterrupt
            record(job, self.score, "failed" if job.config.seed in self.fail else "completed")
            self.left, self.runs = None if self.left is None else self.left - 1, self.runs + 1


def swept(jobs: Sequence[Job], launch: Any) -> tuple[int, str]:
    out = io.StringIO()
    code = run_sweep(jobs, launch, "the command", Console(file=out, width=300))
    return code, out.getvalue()


def test_it_stops_when_all_is_decided_and_again(arms: list[RunConfig], capsys: pytest.CaptureFixture[str]) -> None:
    jobs = jobs_of(arms)
    folder, launch = jobs[0].folder.parent, Launched(worse)
    code, out = swept(jobs, launch)
    assert (code, launch.batches) == (0, [set(range(20))])
    assert "looks at 20, 40 pairs of seeds, at most 80 runs" in out
    assert "batch 1 of at most 2, seeds 0 to 19: 40 runs to train" in out
    assert "look at 20 pairs: 4 of 4 comparisons are decided; the study stops, with 40 of at most 80 runs" in out
    assert len(read_runs(folder).runs) == 40  # what was never begun is not missing
    assert status([str(folder)]) == 0
    assert "4 of 4 comparisons are decided, so that it has stopped" in capsys.readouterr().out
    before, again = (folder / "looks.json").read_bytes(), Launched(worse)
    code, out = swept(jobs, again)
    assert (code, again.batches) == (0, [])
    assert "40 runs in" in out
    assert "so that it has stopped" in out
    assert (folder / "looks.json").read_bytes() == before


def test_it_goes_to_the_end_and_batches_are_seeds_in_their_order(arms: list[RunConfig]) -> None:
    jobs = jobs_of(arms, [*range(100, 120), *range(5, 25)])
    launch = Launched(alike)
    code, out = swept(jobs, launch)
    assert (code, launch.batches) == (0, [set(range(5, 25)), set(range(100, 120))])
    assert "the study continues" in out
    assert "it was the last look" in out
    taken = read_looks(jobs[0].folder.parent)
    assert taken is not None
    assert [look.pairs for look in taken.taken] == [20, 40]
    assert taken.stopped


@pytest.mark.parametrize("after", [47, *(pytest.param(after, marks=pytest.mark.long) for after in (3, 40, 79))])
def test_killed_anywhere_it_sees_and_trains_the_same(arms: list[RunConfig], after: int, tmp_path: Path) -> None:
    whole = jobs_of([replace(arm, runs_dir=str(tmp_path / "whole")) for arm in arms])
    swept(whole, Launched(alike))
    jobs = jobs_of([replace(arm, runs_dir=str(tmp_path / "killed")) for arm in arms])
    with pytest.raises(KeyboardInterrupt):
        swept(jobs, Launched(alike, killed_after=after))
    rest = Launched(alike)
    assert swept(jobs, rest)[0] == 0
    assert rest.runs == 80 - after
    assert read_looks(jobs[0].folder.parent) == read_looks(whole[0].folder.parent)


def test_no_look_before_a_batch_is_complete(arms: list[RunConfig], capsys: pytest.CaptureFixture[str]) -> None:
    jobs, launch = jobs_of(arms), Launched(worse, fail=[7])
    folder = jobs[0].folder.parent
    code, out = swept(jobs, launch)
    assert (code, len(launch.batches)) == (1, 1)
    assert "the batch is not complete, and there is no look before it is" in out
    assert "failed: " in capsys.readouterr().err
    assert status([str(folder)]) == 1
    assert "trains 2 runs of this batch" in capsys.readouterr().out
    again = Launched(worse)
    assert swept(jobs, again)[0] == 0
    assert again.batches == [{7}]


def test_runs_of_a_later_batch_that_finished_first_are_not_looked_at(arms: list[RunConfig]) -> None:
    jobs = jobs_of(arms)
    for job in jobs:
        if job.config.seed in (20, 21):
            record(job, worse)
    launch = Launched(worse)
    assert swept(jobs, launch)[0] == 0
    assert launch.batches == [set(range(20))]


def test_between_two_batches_status_says_what_comes(
    arms: list[RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = jobs_of(arms)
    with pytest.raises(KeyboardInterrupt):
        swept(jobs, Launched(alike, killed_after=40))
    folder = jobs[0].folder.parent
    for job in jobs:
        if not job.folder.exists():
            assert job.config.seed >= 20
    capsys.readouterr()
    assert status([str(folder)]) == 1
    assert "at 20 pairs 0 of 4 comparisons are decided" in capsys.readouterr().out


def test_a_plan_writes_nothing(arms: list[RunConfig]) -> None:
    jobs = jobs_of([replace(arm, plan_only=True) for arm in arms])
    code, out = swept(jobs, Launched(worse))
    assert code == 0
    assert "80 runs in" in out
    assert "looks at 20, 40 pairs of seeds, at most 80 runs" in out
    assert not jobs[0].folder.parent.exists()


def test_seeds_must_be_as_many_as_the_last_look_in_every_arm(arms: list[RunConfig]) -> None:
    with pytest.raises(ConfigError, match=r"ends at 40 pairs, and .* has 30 seeds .*seed='range\(0,40\)'"):
        swept(jobs_of(arms, range(30)), Launched(worse))
    uneven = [*jobs_of(arms[:1]), *jobs_of(arms[1:], range(1, 41))]
    with pytest.raises(ConfigError, match="has 40 seeds of 41 in this sweep: give every arm the same 40"):
        swept(uneven, Launched(worse))


def test_a_study_with_looks_keeps_its_seeds(arms: list[RunConfig]) -> None:
    swept(jobs_of(arms), Launched(worse))
    with pytest.raises(ConfigError, match=r"looks at the seeds 0 to 39, and this sweep has 40 to 79: a study with"):
        swept(jobs_of(arms, range(40, 80)), Launched(worse))


def test_a_study_with_looks_keeps_its_arms(arms: list[RunConfig], configure: Configure) -> None:
    swept(jobs_of(arms), Launched(worse))
    more = [*arms, configure(*OVERRIDES, "warmup=cosine")]
    with pytest.raises(
        ConfigError, match="looks at 80 runs in all, and this sweep has 120: a study with looks keeps"
    ):
        swept(jobs_of(more), Launched(worse))


def test_looks_are_not_changed_after_the_first_run(arms: list[RunConfig]) -> None:
    swept(jobs_of(arms), Launched(worse))
    study = replace(arms[0].study, looks={"every": 20, "most": 60})
    with pytest.raises(ConfigError, match="was declared with another looks"):
        swept(jobs_of([replace(arm, study=study) for arm in arms], range(60)), Launched(worse))


def test_a_sweep_without_the_control_is_refused(arms: list[RunConfig]) -> None:
    with pytest.raises(ConfigError, match=r"no run of this sweep has warmup.name=none, so that a look"):
        swept(jobs_of(arms[1:]), Launched(worse))


def test_runs_from_before_the_looks_were_declared_do_not_count(arms: list[RunConfig]) -> None:
    jobs = jobs_of(arms)
    undeclared = [
        replace(job, config=replace(job.config, study=replace(job.config.study, looks=None))) for job in jobs
    ]
    for job in undeclared[:1]:
        record(job, worse)
    with pytest.raises(
        ConfigError, match=r"1 run of 40 were trained without looks, e.g. .*give this study another"
    ):
        swept(jobs, Launched(worse))
