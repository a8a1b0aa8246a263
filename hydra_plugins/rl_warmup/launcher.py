"""The adapter by which Hydra finds our launcher; what it does is in rl_warmup/run/launch/."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from rl_warmup.config.schema import ConfigError, RunConfig
from rl_warmup.run.compose import SweepComposer
from rl_warmup.run.launch.packing import check_counts

if TYPE_CHECKING:
    from rl_warmup.run.launch.cluster import Cluster


@dataclass
class LauncherConf:
    """Settings of `hydra.launcher`; null has them chosen from cores, device and memory."""

    _target_: str = "hydra_plugins.rl_warmup.launcher.StackedLauncher"
    workers: int | None = None  # processes, each training a stack; with `via` jobs at a time
    width: int | None = None  # runs in a stack at most
    via: Any = None  # where stacks are jobs: a launcher of hydra-submitit-launcher, or a RayCluster


ConfigStore.instance().store(group="hydra/launcher", name="stacked", node=LauncherConf, provider="rl_warmup")


class StackedLauncher(Launcher):
    """Trains the jobs of a sweep: stacked runs together, as stacks, those of Stable-Baselines3 one a process."""

    def __init__(self, workers: int | None = None, width: int | None = None, via: Any = None) -> None:
        self._workers, self._width, self._via = workers, width, via

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what is needed to compose jobs."""
        from rl_warmup.run.launch.processes import start_server  # late: Hydra imports every plugin in every process

        self._context, self._config = hydra_context, config
        start_server()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Compose and train jobs, all checked before the first starts; for Hydra's own sweepers."""
        from rl_warmup.config.identity import run_folder

        compose = SweepComposer(self._context.config_loader, self._config)
        try:
            configs = [compose(overrides) for overrides in job_overrides]
            self.check(configs)
        except ConfigError as error:
            sys.exit(f"error: {error}")
        self.launch_runs(list({run_folder(config): config for config in configs}.values()))
        return [
            _returned(overrides, run_folder(config))
            for overrides, config in zip(job_overrides, configs, strict=True)
        ]

    def check(self, configs: Sequence[RunConfig]) -> None:
        """Refuse impossible settings, and a cluster that cannot be reached.

        Raises:
            ConfigError: naming the setting and the way out.
        """
        check_counts(self._workers, self._width)
        if self._via is None:
            return
        cluster = self._cluster()
        cluster.check()
        if cluster.gpus() and any(config.device == "cpu" for config in configs):
            raise ConfigError(
                "hydra.launcher.via asks for GPUs, and device is cpu; give device=cuda (auto looks for one here)"
            )

    def launch_runs(self, configs: Sequence[RunConfig]) -> None:
        """Train runs that are resolved and checked."""
        if self._via is not None:
            from rl_warmup.run.launch.cluster import train_on

            train_on(self._cluster(), configs, self._workers, self._width)
        else:
            from rl_warmup.run.launch.processes import (
                train_runs,  # late: Hydra imports every plugin in every process
            )

            train_runs(configs, self._workers, self._width)

    def _cluster(self) -> "Cluster":
        from rl_warmup.run.launch.ray_cluster import RayCluster
        from rl_warmup.run.launch.slurm import BatchSystem

        if isinstance(self._via, RayCluster):
            return self._via
        kind = {"SlurmLauncher": "slurm", "LocalLauncher": "local"}.get(type(self._via).__name__)
        if kind is None:
            raise ConfigError(
                f"hydra.launcher.via={type(self._via).__name__} cannot be handed stacks; use hydra/launcher=slurm, "
                "batch_local or ray_cluster"
            )
        return BatchSystem(kind, self._via.params)


def _returned(overrides: Sequence[str], folder: Path) -> JobReturn:
    """What Hydra's own sweepers are told of a run: they raise the error of one that failed."""
    from rl_warmup.records.read import finished_status

    status = finished_status(folder)
    if status is not None:
        return JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=status)
    why = RuntimeError(f"{folder} is not finished; python -m rl_warmup.status {folder.parent} says why")
    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=why)
