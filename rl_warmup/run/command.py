"""`python -m rl_warmup.run`: one composed config -> one recorded run; with `-m` or `study=NAME` a sweep."""

import argparse
import os
import sys
from importlib.util import find_spec
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from rl_warmup.config.conf import conf_dir
from rl_warmup.config.schema import ConfigError
from rl_warmup.records.schema import RecordError
from rl_warmup.run.compose import register_schema, resolved
from rl_warmup.run.launch.processes import train_apart
from rl_warmup.run.launch.worker import end_with_parent
from rl_warmup.run.single import run_single
from rl_warmup.run.suggestions import explained


def job(config: DictConfig) -> str | None:
    """What Hydra calls: once for a single run, once a job in a sweep (there, perhaps in another process)."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        end_with_parent()
        try:
            return train_apart(resolved(config, "sweep"))
        except ConfigError as error:  # not every launcher would print it
            print(f"error: {error}", file=sys.stderr, flush=True)
            raise
    try:
        sys.exit(run_single(resolved(config, "single"), HydraConfig.get().overrides, Console()))
    except (ConfigError, RecordError) as error:
        sys.exit(f"error: {error}")


def _refuse_missing_launcher() -> None:
    wanted = {"hydra/launcher=slurm", "hydra/launcher=batch_local"}.intersection(sys.argv)
    if wanted and find_spec("hydra_plugins.hydra_submitit_launcher") is None:
        sys.exit(f"error: {wanted.pop()} needs another package: pip install -c constraints.txt -e '.[slurm]'")


def _accept_lazy_help() -> None:
    """Let argparse of Python 3.14 take help that is not a string, as Hydra 1.3 gives it (its issue 3121)."""
    containers: Any = argparse._ActionsContainer
    check = getattr(containers, "_check_help", None)
    if check is not None:
        containers._check_help = lambda parser, action: isinstance(action.help, str) and check(parser, action)


def main() -> None:
    """Entry point of the command line."""
    register_schema()
    _accept_lazy_help()
    _refuse_missing_launcher()
    trace = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors, for us to explain
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(job)()
    except CompactHydraException as error:
        if trace == "1":
            raise
        sys.exit(f"error: {explained(error)}")
    except KeyboardInterrupt:
        sys.exit("interrupted: what is completed stays; the same command trains the rest")
