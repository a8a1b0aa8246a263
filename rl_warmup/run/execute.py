"""Resolved configs -> recorded runs, whatever happens on the way."""

import platform
import re
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib import import_module
from typing import Any

from rl_warmup.config.conf import hyperparameters
from rl_warmup.config.constants import borrowed_env, bounds_of
from rl_warmup.config.identity import arm_of, cell_label, identity, run_folder, run_id, study_folder
from rl_warmup.config.learning_rate import phases_of
from rl_warmup.config.schema import RunConfig, WarmupConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.records import locks, provenance, write
from rl_warmup.records.checkpoints import Checkpoint
from rl_warmup.records.leases import Lease, LeaseError
from rl_warmup.records.read import finished_status
from rl_warmup.records.schema import RecordError, Unwritable
from rl_warmup.run.sources import source_info
from rl_warmup.tracking.live import Tracker, open_tracker
from rl_warmup.trainers.protocol import Train


def execute(config: RunConfig) -> str:
    """Train one agent and record it; `execute_stack` of one."""
    (status,) = execute_stack([config])
    return status


def execute_stack(configs: Sequence[RunConfig]) -> list[str]:
    """Train agents that are of one stack and record each; those finished or another process's are left as they are.

    Returns:
        The status of each run: completed, diverged, failed, or running in another process.

    Raises:
        ConfigError: if the records cannot be written any more; the runs resume from their checkpoints next time.
        KeyboardInterrupt: after what was recorded has been written; unfinished runs stay `running`, and resume
            from their checkpoints next time.
    """
    try:
        with ExitStack() as leases:
            leased = _lease(configs, leases)
            ours = [(config, _opened(config, lease, len(leased))) for config, lease in leased]
            _train_all(ours)
            trained = {run_id(config): recorder.status for config, recorder in ours}
    except (RecordError, OSError) as error:
        raise ConfigError(f"the run cannot be recorded: {error}") from error
    return [trained.get(run_id(config)) or finished_status(run_folder(config)) or "running" for config in configs]


def _lease(configs: Sequence[RunConfig], leases: ExitStack) -> list[tuple[RunConfig, Lease]]:
    """What is neither finished nor another process's, each run with its lease until `leases` is closed."""
    ours = []
    for config in configs:
        folder = run_folder(config)
        with suppress(LeaseError):
            lease = None if finished_status(folder) else leases.enter_context(locks.run_lock(folder))
            if lease is not None and finished_status(folder) is None:  # meanwhile another process may have done it
                ours.append((config, lease))
    return ours


def run_info(config: RunConfig, members: int) -> dict[str, Any]:
    """What run.json says about a run from its first moment on; `members` are trained with it, itself counted."""
    return {
        "run_id": run_id(config),
        "study": config.study.name,
        "arm": arm_of(config).label,
        "cell": cell_label(config),
        "seed": config.seed,
        "warmup": warmup_info(config.warmup),
        **({} if config.study.looks is None else {"looks": dict(config.study.looks)}),
        "config": identity(config),
        **source_info(config),
        "borrowed_env": borrowed_env(vars(config.env)),
        "bounds": bounds_of(vars(config.env)) | {"floor_declared": config.env.floor is not None},
        "hyperparameters": hyperparameters(config),
        "tuned_learning_rate": config.tuned_learning_rate,
        "planned_gradient_steps": phases_of(config).gradient_steps,
        "members": members,
        "device": config.device,
        "threads": config.threads,
        "host": platform.node(),
        "hardware": provenance.hardware(config.device),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
    }


def warmup_info(warmup: WarmupConfig) -> dict[str, Any]:
    """The settings of a warmup, those that few have only where they are set."""
    seldom = {"target": None, "control": None, "repeat": None, "match": None, "on": "all", "of": "learning_rate"}
    return {key: value for key, value in vars(warmup).items() if seldom.get(key, ...) != value}


class RunRecorder:
    """Records and tracks one run; the outcome is recorded once."""

    def __init__(
        self, config: RunConfig, writer: write.RunWriter, tracker: Tracker | None = None, members: int = 1
    ) -> None:
        """`members`: how many runs share the process."""
        self.status, self.restored = "running", writer.restored
        self._writer, self._tracker, self._members = writer, tracker, members
        self._keep, self._env_steps = config.keep, phases_of(config).env_steps
        self._seconds = self._pause = config.checkpoint.seconds
        self._ended, self._evaluated, self._saved = False, False, time.monotonic()

    @property
    def checkpoint_due(self) -> bool:
        """Whether it was evaluated since the last checkpoint, and enough time has passed."""
        return self._evaluated and time.monotonic() - self._saved >= self._pause

    def emit(self, table: str, row: Mapping[str, Any]) -> None:
        """Record one row; at an evaluation what is recorded is also tracked."""
        self._writer.append(table, row)
        if table == "evaluations":
            self._evaluated = True
            if self._tracker is not None:
                self._tracker.send(self._writer.recorded)

    @property
    def agent_due(self) -> bool:
        """Whether the agent is to be kept as it was evaluated last; of equally good ones the later is the best."""
        info = self._writer.info
        if self._keep == "best":
            latest, kept = info["latest_return"], info["model"]
            return latest is not None and (kept is None or latest >= kept["return"])
        return self._keep == "last" and bool(info["env_steps"] == self._env_steps)

    def keep(self, files: Mapping[str, bytes]) -> None:
        """Keep the agent in the run's folder."""
        self._writer.keep(files)

    def resumed(self, environments: str) -> None:
        """Record that the run was resumed, its environments `replayed` or `reset`."""
        self._writer.resumed(environments)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in the run's folder."""
        began = time.monotonic()
        self._writer.save(checkpoint)
        self._saved, self._evaluated = time.monotonic(), False
        hundredfold = 100 * (self._saved - began) * self._members  # so that checkpoints take 1% of the time at most
        self._pause = max(self._seconds, hundredfold) if self._seconds else 0.0

    def diverge(self, reason: str) -> None:
        """Record that the agent has diverged."""
        self.end("diverged", reason)

    def end(self, status: str, error: str | None) -> None:
        """Record how the run ended, unless it has ended before."""
        if self._ended:
            return
        self.status, self._ended = status, True
        try:
            if status == "failed":
                self._writer.forget()
            self._writer.finish(status, error)
        finally:
            if self._tracker is not None:
                self._tracker.finish(self._writer.info, self._writer.recorded)


def _opened(config: RunConfig, lease: Lease, members: int) -> RunRecorder:
    """The open records of a run. W&B can have one run open in a process, so that only a single one is tracked."""
    writer = write.open_run(run_folder(config), run_info(config, members), asdict(config), lease)
    tracker = None
    if members == 1:
        tracker = open_tracker(config.tracking, study_folder(config), writer.info, asdict(config))
        writer.start_clock()  # a server that was waited for has not trained
    return RunRecorder(config, writer, tracker, members)


def _train_all(ours: Sequence[tuple[RunConfig, RunRecorder]]) -> None:
    """Train the members of a stack, those together that are resumed from the same step."""
    groups: dict[tuple[int, int], list[tuple[RunConfig, RunRecorder]]] = {}
    for config, recorder in ours:
        found = recorder.restored
        groups.setdefault((found.env_step, found.origin) if found else (0, 0), []).append((config, recorder))
    try:
        for group in groups.values():
            _train(*zip(*group, strict=True))
    except (KeyboardInterrupt, Unwritable) as stop:
        for _, recorder in ours:
            with suppress(Unwritable):
                recorder.end("running", str(stop) or "interrupted")
        raise


def _train(configs: Sequence[RunConfig], recorders: Sequence[RunRecorder]) -> None:
    status, error = "completed", None
    try:
        # imported by its name, since planning needs no torch
        train: Train = import_module(f"rl_warmup.trainers.{configs[0].trainer.name}.train").train
        train(configs, recorders)
    except Unwritable:
        raise
    except (Exception, SystemExit) as reason:
        if was_interrupted(reason):
            raise KeyboardInterrupt from reason
        status, error = "failed", "".join(traceback.format_exception(_advised(reason, len(configs))))
    for recorder in recorders:
        recorder.end(status, error)


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error came while a Ctrl-C was being handled: some clean-up code fails when it is cut short."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _advised(error: BaseException, members: int) -> BaseException:
    """An error that names the way out, if a stack ran out of memory; else the error itself."""
    # On a CPU torch raises a plain RuntimeError.
    lacking = isinstance(error, MemoryError) or re.search("out of memory|can't allocate memory", str(error))
    if not lacking or members == 1:
        return error
    advice = f"out of memory in a stack of {members} runs; hydra.launcher.width={members // 2} makes smaller ones"
    advised = MemoryError(advice)
    advised.__cause__ = error
    return advised
