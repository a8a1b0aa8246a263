"""Jobs of a Ray cluster: one task per group of runs."""

import socket
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from rl_warmup.config.settings import ConfigError
from rl_warmup.records.words import first_line
from rl_warmup.run.launch.cluster import RemoteCluster, StackJob
from rl_warmup.run.launch.loop import Job, Loss
from rl_warmup.run.launch.packing import RunGroup

ray: Any = import_module("ray") if find_spec("ray") else None


@dataclass(frozen=True)
class RayJob(Job):
    """A task of Ray."""

    reference: Any

    def done(self) -> bool:
        """Whether the task has ended, in any way."""
        return bool(ray.wait([self.reference], timeout=0)[0])

    def lost(self) -> Loss | None:
        """Ray's error for the loss of the worker or its node, and its first line."""
        try:
            reason = ray.get(self.reference)
        except ray.exceptions.TaskCancelledError:
            return None
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error  # what the task raised
            return Loss(f"{type(cause).__name__}: {first_line(cause)}")
        return Loss(reason, failed="none") if reason else None

    def cancel(self) -> None:
        """Interrupt the task."""
        ray.cancel(self.reference)


@dataclass(frozen=True)
class RayCluster(RemoteCluster):
    """A running cluster, and what each of its jobs takes of a node."""

    address: str = "auto"
    num_cpus: float = 1
    num_gpus: float = 0

    def check(self) -> None:
        """Connect to the cluster."""
        if ray is None:
            raise ConfigError("Ray is not installed: pip install -c constraints-ray.txt 'rl-warmup[ray]'")
        try:
            if not ray.is_initialized():
                self._knock()
                ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"no Ray cluster at hydra.launcher.via.address={self.address} ({first_line(error)}); "
                "`ray start --head` begins one"
            ) from error
        if self.slots() < 1:
            raise ConfigError(f"the Ray cluster has no node with {self.num_cpus} CPUs and {self.num_gpus} GPUs")

    def _knock(self) -> None:
        """Raise an OSError if nothing answers at the address; Ray would wait for minutes."""
        host, colon, port = self.address.rpartition(":")
        if colon and port.isdecimal() and "/" not in host:
            socket.create_connection((host, int(port)), timeout=5.0).close()

    def slots(self) -> int:
        """Jobs that fit on its nodes."""
        takes = {kind: count for kind, count in (("CPU", self.num_cpus), ("GPU", self.num_gpus)) if count}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(int(min(node.get(kind, 0.0) // count for kind, count in takes.items())) for node in nodes)

    def gpus(self) -> float:
        """Those of a task."""
        return self.num_gpus

    def submit(self, group: RunGroup) -> RayJob:
        """Queue a task for a node with room for it; Ray itself does not retry it."""
        task = ray.remote(num_cpus=self.num_cpus, num_gpus=self.num_gpus, max_retries=0)(StackJob.__call__)
        return RayJob(task.remote(StackJob(group)))
