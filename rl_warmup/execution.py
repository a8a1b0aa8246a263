"""One resolved config -> one recorded run, whatever happens on the way."""

import platform
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from rl_warmup import provenance, tracking
from rl_warmup.config import ConfigError, RunConfig
from rl_warmup.identity import arm_label, cell_label, identity, run_id
from rl_warmup.records import FINISHED, RecordError, RunWriter, read_info, recording
from rl_warmup.trainers import Diverged, Emit


class Train(Protocol):
    """A trainer's entry point."""

    def __call__(self, config: RunConfig, emit: Emit) -> None:
        """Train as `config` says."""


def execute(config: RunConfig) -> str:
    """Train one agent and record it; a run that is already finished is left as it is.

    Returns:
        The status of the run: completed, diverged or failed.

    Raises:
        ConfigError: if the records cannot be written, or another process is training the run.
        KeyboardInterrupt: after what was recorded has been written; the run stays `running`.
    """
    folder = run_folder(config)
    status = finished_status(folder)
    if status is not None:
        return status
    try:
        with recording(folder, run_info(config), asdict(config)) as writer:
            return _train(config, writer)
    except (RecordError, OSError) as error:
        raise ConfigError(f"the run cannot be recorded: {error}") from error


def study_folder(config: RunConfig) -> Path:
    """Where the runs of a study are."""
    assert config.study.name is not None
    return Path(config.runs_dir) / config.study.name


def run_folder(config: RunConfig) -> Path:
    """Where the record files of a run are."""
    return study_folder(config) / run_id(config)


def finished_status(folder: Path) -> str | None:
    """`completed` or `diverged` if the run in `folder` is finished, else None."""
    try:
        status = str(read_info(folder)["status"])
    except RecordError:
        return None
    return status if status in FINISHED else None


def run_info(config: RunConfig) -> dict[str, Any]:
    """What run.json says about a run from its first moment on."""
    return {
        "run_id": run_id(config),
        "study": config.study.name,
        "arm": arm_label(config),
        "cell": cell_label(config),
        "seed": config.seed,
        "warmup": asdict(config.warmup),
        "config": identity(config),
        "tuned_learning_rate": config.tuned_learning_rate,
        "device": config.device,
        "threads": config.threads,
        "host": platform.node(),
        "hardware": provenance.hardware(config.device),
        "versions": provenance.versions(),
        "git_commit": provenance.git_commit(),
    }


def _train(config: RunConfig, writer: RunWriter) -> str:
    tracker = tracking.tracker(
        config.tracking,
        config=asdict(config),
        run_id=writer.info["run_id"],
        attempt_id=writer.info["attempt_id"],
        group=writer.info["cell"],
        job_type=writer.info["arm"],
        study=str(config.study.name),
        folder=study_folder(config),
    )

    def emit(table: str, row: Any) -> None:
        writer.append(table, row)
        tracker.log(table, row)

    status, error = "failed", None
    try:
        _trainer(config.trainer.name)(config, emit)
        status = "completed"
    except Diverged as reason:
        status, error = "diverged", str(reason)
    except KeyboardInterrupt:
        status, error = "running", "interrupted"
        raise
    except (Exception, SystemExit):
        error = traceback.format_exc()
    finally:
        writer.finish(status, error)
        summary = {key: writer.info[key] for key in ("status", "error", "latest_return", "gradient_steps")}
        tracker.finish(summary, exit_code=0 if status in FINISHED else 1)
    return status


def _trainer(name: str) -> Train:
    assert name == "sb3", name  # validation knows no other
    from rl_warmup.trainers.sb3 import train  # imports torch, which planning does not need

    return train
