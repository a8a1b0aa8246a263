"""The loop that trains, with a cluster whose jobs end as the test says."""

import os
import signal
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from helpers.configs import Configure
from helpers.stacks import TINY

from rl_warmup.config.identity import run_folder
from rl_warmup.records.read import read_info
from rl_warmup.records.write import recording
from rl_warmup.run.execute import run_info
from rl_warmup.run.launch.loop import Loss, train
from rl_warmup.run.launch.packing import RunGroup


class Scripted:
    """A cluster, and each of its jobs: a job ends at the second look and is lost as `losses` say, in order."""

    def __init__(self, *losses: Any, act: Callable[[int], None] = lambda looks: None) -> None:
        self.events: list[str] = []
        self._losses, self._act, self._looks = list(losses), act, 0

    def submit(self, group: RunGroup) -> "_Scripted":
        self.events.append(f"submit {group[0].seed}")
        return _Scripted(self, group[0].seed, self._losses.pop(0) if self._losses else None)

    def wait(self) -> None:
        self._looks += 1
        self._act(self._looks)


class _Scripted:
    def __init__(self, cluster: Scripted, seed: int, loss: Any) -> None:
        self._cluster, self._seed, self._loss, self._looks = cluster, seed, loss, 0

    def done(self) -> bool:
        self._looks += 1
        return self._loss != "never" and self._looks > 1

    def lost(self) -> Loss | None:
        self._cluster.events.append(f"lost {self._seed}")
        if self._loss == "interrupted":
            raise KeyboardInterrupt
        return self._loss  # type: ignore[no-any-return]

    def cancel(self) -> None:
        self._cluster.events.append(f"cancel {self._seed}")

    def kill(self) -> None:
        self._cluster.events.append(f"kill {self._seed}")


@pytest.fixture
def groups(configure: Configure) -> list[RunGroup]:
    return [(configure(*TINY, f"seed={seed}"),) for seed in range(3)]


def test_so_many_at_a_time_and_the_next_when_one_has_ended(groups: list[RunGroup]) -> None:
    cluster = Scripted()
    train(cluster, groups, 2)
    assert cluster.events == ["submit 0", "submit 1", "lost 0", "lost 1", "submit 2", "lost 2"]


@pytest.mark.parametrize(("failed", "recorded"), [("all", True), ("begun", False), ("none", False)])
def test_a_lost_job_is_reported_and_its_runs_fail_if_it_is_their_fault(
    failed: Any, recorded: bool, groups: list[RunGroup], capsys: pytest.CaptureFixture[str]
) -> None:
    lost = train(Scripted(Loss("it fell", "; hold it", failed)), groups[:1], 1)
    folder = run_folder(groups[0][0])
    assert lost == ({folder.name: "it fell"} if failed == "none" else {})
    assert (folder / "run.json").exists() == recorded
    assert not recorded or (read_info(folder)["status"], read_info(folder)["error"]) == ("failed", "it fell")
    said = "stack 1 of 1 (", ") was lost: it fell, with 1 runs unfinished; hold it\n"
    err = capsys.readouterr().err
    assert err == "" if failed == "begun" else (err.startswith(said[0]) and err.endswith(said[1]))


def test_what_a_job_has_begun_and_left_has_failed(groups: list[RunGroup]) -> None:
    (config,) = groups[0]

    class Begins(Scripted):
        def submit(self, group: RunGroup) -> _Scripted:
            with recording(run_folder(config), run_info(config, 1), asdict(config)):
                return super().submit(group)

    train(Begins(Loss("left", failed="begun")), groups[:1], 1)
    assert (read_info(run_folder(config))["status"], read_info(run_folder(config))["error"]) == ("failed", "left")


@pytest.mark.parametrize("by", ["a signal", "a job"])
def test_an_interrupt_stops_everything(by: str, groups: list[RunGroup], capsys: pytest.CaptureFixture[str]) -> None:
    first = "never" if by == "a signal" else "interrupted"
    cluster = Scripted(
        first, "never", act=lambda looks: os.kill(os.getpid(), signal.SIGTERM) if by == "a signal" else None
    )
    with pytest.raises(KeyboardInterrupt):
        train(cluster, groups, 2, {signal.SIGTERM}, patience=0.05)
    stopped = ["cancel 0", "cancel 1", *(["kill 0"] if by == "a signal" else []), "kill 1"]
    assert cluster.events == ["submit 0", "submit 1", *(["lost 0"] if by == "a job" else []), *stopped]
    assert capsys.readouterr().err.count("was interrupted with 1 runs unfinished") == 2
    assert not run_folder(groups[0][0]).exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
