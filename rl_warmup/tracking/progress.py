"""A sweep in W&B: its progress while it trains, in the study's own run; its runs when it is over."""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from rl_warmup.config.schema import RunConfig, TrackingConfig
from rl_warmup.records.schema import RecordError
from rl_warmup.records.words import first_line, quoted
from rl_warmup.status.live import ORDER, Shown, steps_done
from rl_warmup.status.states import RunState
from rl_warmup.tracking import client
from rl_warmup.tracking.outage import has_outage, record_outage
from rl_warmup.tracking.sent import Destination, announce, try_lock
from rl_warmup.tracking.study_run import PROGRESS, start_study_run

PERIOD = 10.0
"""Seconds between two rows of progress."""
MOST_OFFLINE = 1000
"""Runs of a sweep whose offline files are written unasked: half a megabyte each, three in a second."""

_LOG = logging.getLogger(__name__)


def progress_row(
    shown: Mapping[Path, Shown],
    totals: Mapping[Path, int],
    cells: Mapping[Path, str],
    seconds: float,
    before: Sequence[RunState] = (),
) -> dict[str, float]:
    """How far a sweep is: runs by status, environment steps, the share that is done, the mean return so far.

    Args:
        shown: what is seen of the run in each folder.
        totals: environment steps that each will take.
        cells: the cell that each belongs to; runs without a return yet do not count in its mean.
        seconds: since the sweep began.
        before: runs of the sweep that were done before it began, and count as done.
    """
    counts = Counter([run.status for run in shown.values()] + [run.state for run in before])
    steps_before = sum(run.env_steps for run in before)
    returns: dict[str, list[float]] = {}
    for folder, run in shown.items():
        if run.latest_return is not None:
            returns.setdefault(cells[folder], []).append(run.latest_return)
    values: dict[str, float] = {
        **{status: counts[status] for status in ORDER},
        "env_steps": steps_before + sum(run.env_steps for run in shown.values()),
        "share": (steps_before + steps_done(shown, totals)) / (steps_before + sum(totals.values())),
        "seconds": seconds,
        **{f"return/{cell}": sum(found) / len(found) for cell, found in returns.items()},
    }
    return {f"{PROGRESS}/{name}": value for name, value in values.items()}


@contextmanager
def sweep_progress(config: RunConfig, folder: Path, look: Callable[[], Mapping[str, float]]) -> Iterator[None]:
    """While it is entered, sends what `look` sees to the study's own W&B run; never raises, nor waits for long."""
    if config.tracking.name == "disabled":
        yield
        return
    exit_code: Future[int] = Future()
    sender = threading.Thread(target=_send, args=(config, folder, look, exit_code), daemon=True)
    sender.start()
    try:
        yield
    except BaseException:
        exit_code.set_result(1)
        raise
    else:
        exit_code.set_result(0)
    finally:
        sender.join(client.FINISH_SECONDS)
        if sender.is_alive():
            _fail(folder, f"it still hangs {client.FINISH_SECONDS:g} s after the sweep")


def _send(config: RunConfig, folder: Path, look: Callable[[], Mapping[str, float]], exit_code: Future[int]) -> None:
    """Send rows until the exit code of the sweep is known."""
    try:
        with try_lock(folder, PROGRESS) as free:
            online = (
                client.is_online(config.tracking.mode) if free else None
            )  # else another process reports its runs
            if online is None or (online and has_outage(folder)):
                return
            to = Destination.of(folder, config.tracking, online)
            run = start_study_run(folder.name, to, asdict(config.study))
            run.define_metric(f"{PROGRESS}/*", step_metric=f"{PROGRESS}/env_steps")
            while not wait([exit_code], PERIOD).done:
                run.log(dict(look()))
            run.log(dict(look()))
            client.close(run, {}, exit_code.result())
    except Exception as error:
        _fail(folder, first_line(error))


def _fail(folder: Path, reason: str) -> None:
    record_outage(folder, reason)
    _LOG.warning("W&B fails (%s): it does not show the progress of this sweep.", reason)


def announce_tracking(tracking: TrackingConfig, folder: Path, runs: int, console: Console) -> None:
    """Print where so many runs of a study will be sent, before the first upload; nothing if they are not."""
    if tracking.name == "disabled":
        return
    with suppress(client.Unusable):  # whatever is to send them says why it cannot
        if client.is_online(tracking.mode) and not has_outage(folder):
            announce(tracking, folder, runs, "tracking=disabled switches this off", console)


def publish_after(tracking: TrackingConfig, folder: Path, runs: int, console: Console) -> None:
    """Send what a sweep of `runs` has recorded and W&B lacks; what cannot be sent is reported and costs nothing."""
    if tracking.name == "disabled":
        return
    by_hand = f"python -m rl_warmup.publish {quoted(folder)}"
    try:
        online = client.is_online(tracking.mode)
        if online is None:
            return
        if online and has_outage(folder):
            print(f"W&B did not answer; {by_hand} sends what it lacks", file=sys.stderr)
        elif not online and runs > MOST_OFFLINE:
            text = f"{by_hand} --offline writes files for `wandb sync`"
            console.print(text, soft_wrap=True, highlight=False, markup=False)
        else:
            from rl_warmup.tracking.upload import publish

            publish(folder, tracking, console)
    except (RecordError, OSError, client.Unusable) as error:
        print(f"{error}; {by_hand} sends what W&B lacks", file=sys.stderr)
