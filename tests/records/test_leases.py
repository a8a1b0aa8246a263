"""Who may write into a run's folder, seen from this machine and others; holders are real processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from rl_warmup.records import leases
from rl_warmup.records.leases import LeaseError, this_machine
from rl_warmup.records.locks import is_training, run_lock

HOUR = 3600.0
BEAT = 0.05
lock = partial(run_lock, beat=BEAT)

HOLD = """
import sys
from pathlib import Path
from rl_warmup.records.leases import LeaseError, lease
with lease(Path(sys.argv[1]), sys.argv[2], beat=0.02) as ours:
    print("held", flush=True)
    for line in sys.stdin:
        try:
            ours.check()
            print("ours", flush=True)
        except LeaseError as error:
            print(error, flush=True)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder."""
    folder = tmp_path / "study" / "run"
    folder.mkdir(parents=True)
    return folder


@contextmanager
def holder(folder: Path, machine: str) -> Iterator[subprocess.Popen[str]]:
    """A process of another machine, one whose file locks do not reach this one, that holds the run's lease."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), machine],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert said(process) == "held"
        yield process
        process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def asked(process: subprocess.Popen[str]) -> str:
    """What a holder says when it looks after its lease."""
    assert process.stdin is not None
    process.stdin.write("?\n")
    process.stdin.flush()
    return said(process)


def hearts(folder: Path) -> list[Path]:
    return list(folder.parent.glob(".heartbeat-*"))


def age(folder: Path, seconds: float = HOUR) -> None:
    """As if that much time had passed for the study's holders."""
    for heart in hearts(folder):
        os.utime(heart, (time.time() - seconds, time.time() - seconds))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_lease_is_one_process_s_and_leaves_an_empty_file(run: Path) -> None:
    assert not is_training(run)
    for number in (1, 2):
        with lock(run) as lease:
            lease.check()
            assert is_training(run)
            assert leases.is_leased(run, dead_on="elsewhere")
            with pytest.raises(
                LeaseError, match=rf"run is being trained by another process \(process {os.getpid()} on "
            ):
                leases._acquire(run, lease.holder, None, BEAT)
        assert not leases.is_leased(run, dead_on="elsewhere")
        assert names(run) == [f".lease-{number}", ".lock"]
        assert (run / f".lease-{number}").read_text() == ""
    assert hearts(run) == []


def test_many_leases_of_a_process_share_one_sign_of_life(run: Path) -> None:
    others = [run.with_name(f"run{i}") for i in range(3)]
    with lock(run), lock(others[0]), lock(others[1]):
        assert len(hearts(run)) == 1
        threads = threading.active_count()
        with lock(others[2]):
            assert threading.active_count() == threads
        before = hearts(run)[0].stat().st_mtime_ns
        time.sleep(0.3)
        assert hearts(run)[0].stat().st_mtime_ns > before


def test_a_process_of_another_machine_is_respected_while_it_lives_and_its_patience_after(run: Path) -> None:
    with holder(run, "other/1") as process:
        with pytest.raises(LeaseError, match=rf"another process \(process {process.pid} on other\)"), lock(run):
            pass
        assert is_training(run)
        assert asked(process) == "ours"
        process.kill()
        process.wait()
        with pytest.raises(LeaseError), lock(run):  # as far as can be seen from here it may only be slow
            pass
        age(run)
        assert not is_training(run)
        with lock(run) as lease:
            lease.check()
            assert [name for name in names(run) if "lease" in name] == [".lease-2"]
            assert len(hearts(run)) == 1


def test_a_process_that_was_suspended_and_replaced_writes_nothing_more(run: Path) -> None:
    with holder(run, "other/1") as process:
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        age(run)
        with lock(run) as lease:
            process.send_signal(signal.SIGCONT)
            assert asked(process) == (
                f"{run} was taken over by process {os.getpid()} on {this_machine().partition('/')[0]}, since this "
                "process had no heartbeat for 90 seconds; it writes nothing more there"
            )
            lease.check()
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0
    with lock(run) as lease:  # its release took nothing away
        lease.check()


def test_a_removed_lease_is_missed(run: Path) -> None:
    with lock(run) as lease:
        (run / ".lease-1").unlink()
        with pytest.raises(LeaseError, match="run was taken over, since this process"):
            lease.check()


def test_a_dead_process_of_this_machine_is_known_at_once(run: Path) -> None:
    with holder(run, this_machine()) as process:
        process.kill()
        process.wait()
        assert not is_training(run)
        with lock(run) as lease:
            lease.check()


def test_clocks_that_differ_take_no_lease_from_a_process_that_lives(run: Path) -> None:
    heart, over = run.parent / ".heartbeat-behind", threading.Event()
    heart.touch()

    def beat() -> None:
        beats = 0
        while not over.wait(0.01):
            beats += 1
            os.utime(heart, (beats, beats))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        while heart.stat().st_mtime > 100:
            time.sleep(0.01)
        assert not leases.beats(heart)
        assert not leases.has_died(heart, BEAT)
    finally:
        over.set()
        thread.join()
    assert leases.has_died(heart, BEAT)
    began = time.monotonic()
    assert leases.has_died(heart, BEAT)  # it was watched before
    assert time.monotonic() - began < 2 * BEAT
    heart.touch()
    assert not leases.has_died(heart, BEAT)


@pytest.mark.parametrize("text", ["{", "[1]", '{"machine": "m"}', '{"machine": "m", "pid": 1, "x": ""}'])
def test_a_lease_that_cannot_be_read_is_stale(text: str, run: Path) -> None:
    (run / ".lease-7").write_text(text)
    assert not is_training(run)
    with lock(run) as lease:
        lease.check()
        assert (run / ".lease-8").exists()


@pytest.mark.parametrize("create", [leases._create, leases._create_in_place])
def test_a_file_is_created_once(create: object, run: Path) -> None:
    assert callable(create)
    assert [create(run / ".lease-1", text) for text in ("one", "two")] == [True, False]
    assert names(run) == [".lease-1"]
    assert (run / ".lease-1").read_text() == "one"


RACE = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from rl_warmup.records.leases import LeaseError, lease
study, machine = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
began = float(sys.stdin.readline())
with ExitStack() as stack:
    for number, run in enumerate(sorted(study.glob("run*"))):
        time.sleep(max(0, began + number / 50 - time.time()))  # all at the same moment
        try:
            stack.enter_context(lease(run, machine, beat=0.01)).check()
            print(run.name, flush=True)
        except LeaseError:
            pass
    print("done", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_of_many_that_want_it_at_once_one_has_it(run: Path) -> None:
    stale = '{"machine": "gone", "pid": 1, "heart": ".heartbeat-gone"}'
    study, runs = run.parent, [run.with_name(f"run{i:03}") for i in range(60)]
    run.rmdir()
    (study / ".heartbeat-gone").touch()
    os.utime(study / ".heartbeat-gone", (1, 1))
    for number, folder in enumerate(runs):
        folder.mkdir()
        if number % 3:
            (folder / f".lease-{number}").write_text(stale if number % 3 == 1 else "")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen([sys.executable, "-c", RACE, str(study), f"machine{i}"], **pipes) for i in range(6)]
    assert [said(racer) for racer in racers] == ["ready"] * 6
    began = time.time() + 0.2
    for racer in racers:
        racer.stdin.write(f"{began}\n")
        racer.stdin.flush()
    won = {i: list(iter(lambda racer=racer: said(racer), "done")) for i, racer in enumerate(racers)}
    assert sorted(name for names in won.values() for name in names) == [folder.name for folder in runs]
    assert sum(bool(names) for names in won.values()) > 1
    assert all(len(list(folder.glob(".lease-*"))) == 1 for folder in runs)
    for racer in racers:
        racer.communicate()
        assert racer.returncode == 0
    assert not any(map(is_training, runs))
    assert hearts(runs[0]) == []
