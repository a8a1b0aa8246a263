"""Makes our launcher known to Hydra; it trains by rl_warmup/run/launch/."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError
from rl_warmup.run.compose import SweepComposer
from rl_warmup.run.launch.packing import check_counts

if TYPE_CHECKING:
    from rl_warmup.run.launch.cluster import RemoteCluster

# Hydra imports every plugin in every process: what only a sweep needs is imported in functions.


@dataclass
class LauncherConf:
    """Settings of `hydra.launcher`; null has them chosen from cores, device and memory."""

    _target_: str = "hydra_plugins.rl_warmup.launcher.StackedLauncher"
    workers: int | None = None  # processes, each training a stack; with `via` jobs at a time
    width: int | None = None  # runs in a stack at most
    via: Any = None  # where stacks are jobs: a launcher of hydra-submitit-launcher, or a RayCluster


ConfigStore.instance().store(group="hydra/launcher", name="stacked", node=LauncherConf, provider="rl_warmup")


class StackedLauncher(Launcher):
    """Trains the jobs of a sweep: stacked runs together, as stacks, those of Stable-Baselines3 one per process."""

    def __init__(self, workers: int | None = None, width: int | None = None, via: Any = None) -> None:
        self._workers, self._width = workers, width
        self._via = instantiate(via) if isinstance(via, Mapping) else via  # of Hydra 1.4 it is a config

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what composes jobs, and start what takes time."""
        from rl_warmup.run.launch.processes import start_server

        self._context, self._config = hydra_context, config
        start_server()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Compose and train jobs, all checked before the first starts; for Hydra's own sweepers."""
        from rl_warmup.config.identity import run_folder
        from rl_warmup.run.jobs import Job, source_jobs
        from rl_warmup.run.looks import OUR_SWEEPER, refuse_looks
        from rl_warmup.run.sources import unready
        from rl_warmup.run.sweep import print_plan

        compose = SweepComposer(self._context.config_loader, self._config)
        try:
            configs = [compose(overrides) for overrides in job_overrides]
            for config in configs:
                refuse_looks(config, OUR_SWEEPER)
            runs = list({run_folder(config): config for config in configs}.values())
            if any(config.plan_only for config in runs):
                print_plan(runs, Console())
                return [JobReturn(overrides=overrides, status=JobStatus.COMPLETED) for overrides in job_overrides]
            self.check(configs)
        except ConfigError as error:
            sys.exit(f"error: {error}")
        if agents := source_jobs([Job((), run, run_folder(run)) for run in runs]):
            self.launch_runs([job.config for job in agents])
        lost = {run_folder(run).name: reason for run in runs if (reason := unready(run))}
        if ready := [run for run in runs if run_folder(run).name not in lost]:
            lost |= self.launch_runs(ready)
        return [
            _returned(overrides, run_folder(config), lost)
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

    def memory(self, configs: Sequence[RunConfig]) -> list[str]:
        """What a plan says of the memory that runs need; nothing where a cluster has it.

        Raises:
            ConfigError: if they do not fit into this machine's.
        """
        from rl_warmup.run.launch import memory, processes

        check_counts(self._workers, self._width)
        return memory.memory_words(*processes.packed(configs, self._workers, self._width)) if not self._via else []

    def launch_runs(self, configs: Sequence[RunConfig]) -> dict[str, str]:
        """Train runs that are resolved and checked; why some were lost, where their records do not tell it."""
        from rl_warmup.run.launch import cluster, processes

        if self._via is None:
            return processes.train_runs(configs, self._workers, self._width)
        return cluster.train_on(self._cluster(), configs, self._workers, self._width)

    def _cluster(self) -> "RemoteCluster":
        from rl_warmup.run.launch.cluster import RemoteCluster
        from rl_warmup.run.launch.slurm import BatchSystem

        if isinstance(self._via, RemoteCluster):
            return self._via
        kind = {"SlurmLauncher": "slurm", "LocalLauncher": "local"}.get(type(self._via).__name__)
        if kind is None:
            raise ConfigError(
                f"hydra.launcher.via={type(self._via).__name__} cannot be handed stacks; use hydra/launcher=slurm, "
                "batch_local or ray_cluster"
            )
        return BatchSystem(kind, self._via.params)


def _returned(overrides: Sequence[str], folder: Path, lost: Mapping[str, str]) -> JobReturn:
    """What Hydra's own sweepers get for a run: its status, or an error that they raise."""
    from rl_warmup.records.read import finished_status, why_unfinished
    from rl_warmup.run.launch.processes import RunFailed

    status = finished_status(folder)
    if status is not None:
        return JobReturn(overrides=overrides, status=JobStatus.COMPLETED, _return_value=status)
    error = RunFailed(lost.get(folder.name) or why_unfinished(folder))
    return JobReturn(overrides=overrides, status=JobStatus.FAILED, _return_value=error)
