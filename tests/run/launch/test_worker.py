"""Processes that are interrupted, or whose parent was killed, end."""

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import multiprocessing, os, threading, time
from joblib import Parallel, delayed
from rl_warmup.run.launch.worker import end_with_parent

def work():
    end_with_parent()
    end_with_parent()
    watchers = sum(thread.name == "end with parent" for thread in threading.enumerate())
    os.write(1, f"{os.getpid()} {watchers}\\n".encode())
    time.sleep(60)

end_with_parent()
assert threading.active_count() == 1
Parallel(n_jobs=2)(delayed(work)() for _ in range(2))
"""


@pytest.mark.slow
def test_a_worker_ends_when_its_parent_was_killed() -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], **pipes) as parent:
        assert parent.stdout is not None
        workers = [parent.stdout.readline().split() for _ in range(2)]
        assert [watchers for _, watchers in workers] == ["1", "1"]
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(_exists(int(pid)) for pid, _ in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


DROPPED = """
import os, signal, sys, time
from rl_warmup.run.launch import worker

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)

worker.handle_interrupts(again=0.1)
sys.unraisablehook = lambda dropped: print("dropped", dropped.exc_type.__name__)
Finalized()
try:
    time.sleep(30)
except KeyboardInterrupt:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("met")
"""


def test_an_interrupt_that_python_drops_comes_again() -> None:
    done = subprocess.run([sys.executable, "-c", DROPPED], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["dropped", "KeyboardInterrupt", "met"]
