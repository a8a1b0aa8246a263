"""Jobs of Slurm, or processes in their place, through submitit and the settings of hydra-submitit-launcher."""

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rl_warmup.config.hardware import cores
from rl_warmup.config.settings import ConfigError
from rl_warmup.records.words import error_line
from rl_warmup.run.launch.cluster import RemoteCluster, StackJob
from rl_warmup.run.launch.loop import Job, Loss
from rl_warmup.run.launch.packing import RunGroup

STOPPED = ("CANCELLED", "TIMEOUT", "PREEMPTED", "REQUEUED")
"""States of jobs that Slurm or a person ended: no failure of their runs, which resume the next time."""
RULE = "-" * 22 + "\n"
"""Before and after the traceback in submitit's message of a job that failed."""


@dataclass
class BatchJob(Job):
    """A job of submitit."""

    job: Any
    asked: float = field(default_factory=time.monotonic)

    def done(self) -> bool:
        """Whether it has left the queue and the nodes; a lost one leaves no result, so Slurm is queried."""
        force = time.monotonic() - self.asked > 60.0  # submitit's own intervals grow to ten minutes
        if force:
            self.asked = time.monotonic()
        return bool(self.job.done(force_check=force))

    def lost(self) -> Loss | None:
        """If it ended without a result, by its state and with the file that has its output."""
        from submitit.core.utils import FailedJobError

        error = self.job.exception()
        if error is None:
            reason = self.job.result()
            return Loss(reason, failed="none") if reason else None
        if self.job.state.startswith(STOPPED):
            return None
        what = f"was lost (state {self.job.state})"
        if isinstance(error, FailedJobError):  # an UncompletedJobError too
            what = f"failed ({error_line(str(error).split(RULE)[1])})"
        return Loss(f"its job {self.job.job_id} {what}, see {self.job.paths.stderr}")

    def cancel(self) -> None:
        """`scancel`, or what it sends; submitit's own interrupt would give a local job a second to end."""
        process = getattr(self.job, "_process", None)
        if process is not None:
            process.terminate()
        else:
            self.job.cancel(check=False)


@dataclass(frozen=True)
class BatchSystem(RemoteCluster):
    """Slurm, or processes of this machine in its place."""

    kind: str  # slurm or local
    settings: Mapping[str, Any]  # those of hydra-submitit-launcher
    available: int | None = None  # cores of this machine; None counts them

    def check(self) -> None:
        """Look for Slurm's commands."""
        try:
            self._executor()
        except (RuntimeError, OSError) as error:
            way_out = "start the sweep where sbatch and srun are"
            raise ConfigError(f"jobs cannot be submitted: {error}; {way_out}") from error

    def slots(self) -> int:
        """Slurm's `array_parallelism`; of this machine the cores over the cores of a job."""
        if self.kind == "slurm":
            return int(self.settings["array_parallelism"])
        return max(1, (self.available or cores()) // (self.settings["cpus_per_task"] or 1))

    def gpus(self) -> float:
        """Those of a node, of which a job is given one."""
        return float(self.settings.get("gpus_per_node") or 0)

    def at_most(self) -> int | None:
        """The processes here have no queue."""
        return self.slots() if self.kind == "local" else None

    def submit(self, group: RunGroup) -> BatchJob:
        """Queue a job, which a Ctrl-C in this terminal does not reach."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return BatchJob(self._executor().submit(StackJob(group)))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _executor(self) -> Any:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        own = dict(self.settings)
        folder = own.pop("submitit_folder")
        retries = {f"{self.kind}_max_num_timeout": own.pop("max_num_timeout")} if "max_num_timeout" in own else {}
        executor = submitit.AutoExecutor(folder, cluster=self.kind, **retries)
        shared = {setting.name for setting in fields(BaseQueueConf)}
        executor.update_parameters(
            **{key if key in shared else f"{self.kind}_{key}": value for key, value in own.items()}
        )
        return executor
