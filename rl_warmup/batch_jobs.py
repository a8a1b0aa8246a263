"""Jobs of Slurm, or processes in their place, through submitit and the settings of hydra-submitit-launcher."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from rl_warmup.clusters import StackJob
from rl_warmup.config import ConfigError
from rl_warmup.stacks import cores

STOPPED = ("CANCELLED", "TIMEOUT", "PREEMPTED", "REQUEUED")
"""States of jobs that Slurm or a person ended: no failure of their runs, which go on the next time."""


@dataclass(frozen=True)
class BatchJob:
    """A job of submitit."""

    job: Any

    def done(self) -> bool:
        """Whether it has left the queue and the nodes."""
        return bool(self.job.done())

    def lost(self) -> str | None:
        """The error's last line, or the state in which it ended without a result."""
        from submitit.core.utils import UncompletedJobError

        error = self.job.exception()
        if error is None or self.job.state.startswith(STOPPED):
            return None
        if isinstance(error, UncompletedJobError):
            return f"its job {self.job.job_id} was lost (state {self.job.state}), see {self.job.paths.stderr}"
        return f"its job {self.job.job_id} failed, see {self.job.paths.stderr}"

    def cancel(self) -> None:
        """`scancel`, or an interrupt."""
        self.job.cancel(check=False)


class BatchSystem:
    """`kind` is slurm or local; `settings` are hydra-submitit-launcher's."""

    def __init__(self, kind: str, settings: Mapping[str, Any]) -> None:
        self._kind, self._settings = kind, settings

    def check(self) -> None:
        """Look for Slurm's commands.

        Raises:
            ConfigError: if they are not here.
        """
        try:
            self._executor()
        except (RuntimeError, OSError) as error:
            raise ConfigError(
                f"jobs cannot be submitted: {error}; start the sweep where sbatch and srun are"
            ) from error

    def slots(self) -> int:
        """Slurm's `array_parallelism`; of this machine the cores over the cores of a job."""
        if self._kind == "slurm":
            return int(self._settings["array_parallelism"])
        return max(1, cores() // (self._settings["cpus_per_task"] or 1))

    def submit(self, job: StackJob) -> BatchJob:
        """Queue a job."""
        return BatchJob(self._executor().submit(job))

    def _executor(self) -> Any:
        import submitit
        from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

        own = dict(self._settings)
        folder = own.pop("submitit_folder")
        retries = {f"{self._kind}_max_num_timeout": own.pop("max_num_timeout")} if "max_num_timeout" in own else {}
        executor = submitit.AutoExecutor(folder, cluster=self._kind, **retries)
        shared = {field.name for field in fields(BaseQueueConf)}
        executor.update_parameters(
            **{key if key in shared else f"{self._kind}_{key}": value for key, value in own.items()}
        )
        return executor
