"""The default study by several launchers: processes here, jobs of a batch system, tasks of a Ray cluster.

    python benchmarks/launchers.py [--launchers stacked batch_local ray_cluster] [--folder FOLDER] [override]

batch_local hands stacks over as hydra/launcher=slurm does, to submitit's local executor in Slurm's place; for
ray_cluster a Ray cluster of two nodes with a core each is started on the loopback interface (the extra `ray`).

Printed: the hardware, a table, and in what the records and report.json differ from those of the first launcher
but for times and commands; then the exit code is 1.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from same import differences
from sweeps import machine, table

from rl_warmup.records.read import read_study

LAUNCHERS = ("stacked", "batch_local", "ray_cluster")


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--launchers", nargs="+", choices=LAUNCHERS, default=list(LAUNCHERS))
    parser.add_argument("--folder", type=Path, help="for the records, which are removed if none is given")
    parser.add_argument("overrides", nargs="*", default=["study=quick"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        return compare(arguments.launchers, arguments.overrides, (arguments.folder or Path(temporary)).absolute())


def compare(launchers: Sequence[str], overrides: Sequence[str], folder: Path) -> int:
    """Train the sweep by every launcher; the exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    print(machine(), flush=True)
    rows, amiss = [], []
    first = folder / launchers[0]
    for launcher in launchers:
        study = folder / launcher
        with cluster(launcher) as own:
            seconds = trained([*overrides, f"hydra/launcher={launcher}", *own], study)
        records, _ = read_study(study)
        amiss += [f"{launcher}: {text}" for text in differences(study, first)] if study != first else []
        rows.append([launcher, len(records), round(seconds)])
    table(("hydra/launcher", "runs", "s"), rows)
    print("", *amiss or [f"All rows and the report are those of hydra/launcher={launchers[0]}."], sep="\n")
    return 1 if amiss else 0


def trained(overrides: Sequence[str], study: Path) -> float:
    """Train a sweep into a folder; the seconds that it took."""
    where = [f"runs_dir={study.parent}", f"study.name={study.name}", "tracking=disabled"]
    began = time.monotonic()
    with study.with_suffix(".log").open("w") as log:
        subprocess.run(
            [sys.executable, "-m", "rl_warmup.run", "-m", *overrides, *where], stdout=log, stderr=log, check=True
        )
    return time.monotonic() - began


@contextmanager
def cluster(launcher: str) -> Iterator[list[str]]:
    """Two nodes of Ray while they are needed; overrides that lead to them."""
    if launcher != "ray_cluster":
        yield []
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1}
    nodes = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    nodes.add_node(**node)
    try:
        yield [f"hydra.launcher.via.address={nodes.address}"]
    finally:
        nodes.shutdown()


if __name__ == "__main__":
    sys.exit(main())
