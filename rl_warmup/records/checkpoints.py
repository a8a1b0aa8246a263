"""What an unfinished run needs to resume: JSON, arrays and `weights_only` tensors, never unpickled.

`<run>/checkpoint/<environment steps>/` holds state.json, arrays.npz, tensors.pt and sha256.json, the digests of the
three, and the agent that the run had kept by then (`keep=best`). A new checkpoint is written beside the old one,
which is removed once the new one is in its place.
"""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rl_warmup.records import models
from rl_warmup.records.atomic import replacing, sync, uninterrupted
from rl_warmup.records.words import first_line

FOLDER = "checkpoint"
_FILES = ("state.json", "arrays.npz", "tensors.pt")


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message gives the reason."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of one agent between an update phase and the next rollout."""

    env_step: int
    origin: int
    """Environment steps done when the environments were made that it acts in; their actions since are kept."""
    values: dict[str, Any]  # whatever JSON can hold
    arrays: dict[str, NDArray[Any]]
    tensors: dict[str, Any]  # or state_dicts of them


def write(
    run: Path, checkpoint: Checkpoint, belongs: Mapping[str, Any], check: Callable[[], None] | None = None
) -> None:
    """Keep a checkpoint of the run in `run`; `belongs` is what must be the same when it is read.

    A kill or an exception at any moment leaves the one before or this one whole; `check`: see `replacing`.

    Raises:
        OSError: if it cannot be written.
    """
    place = run / FOLDER / str(checkpoint.env_step)
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place, check) as temporary:
        _write_files(temporary, checkpoint, belongs)
        models.keep_in(temporary, run)
    sync(place.parent)
    for other in place.parent.iterdir():
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


def _write_files(folder: Path, checkpoint: Checkpoint, belongs: Mapping[str, Any]) -> None:
    folder.mkdir()
    state = {"env_step": checkpoint.env_step, "origin": checkpoint.origin, "values": checkpoint.values}
    (folder / "state.json").write_text(json.dumps({**state, "belongs": belongs}), encoding="utf-8")
    with (folder / "arrays.npz").open("wb") as arrays:
        np.savez(arrays, allow_pickle=False, **checkpoint.arrays)
    _save(checkpoint.tensors, folder / "tensors.pt")
    digests = {name: _digest(folder / name) for name in _FILES}
    (folder / "sha256.json").write_text(json.dumps(digests), encoding="utf-8")


def _save(tensors: Mapping[str, Any], path: Path) -> None:
    import torch  # planning does without it

    try:
        with uninterrupted(), path.open("wb") as file:
            torch.save(tensors, file)
    except RuntimeError as error:  # torch's own complaint about a file that could not be written to its end
        raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


def read(run: Path, belongs: Mapping[str, Any]) -> Checkpoint | None:
    """The newest checkpoint of the run in `run`; None if there is none.

    Raises:
        CheckpointError: if it is damaged, or of another config or version.
    """
    place = newest(run)
    if place is None:
        return None
    import torch

    try:
        digests = json.loads((place / "sha256.json").read_text(encoding="utf-8"))
        if damaged := [name for name in _FILES if digests[name] != _digest(place / name)]:
            raise CheckpointError(f"its checkpoint is damaged: {', '.join(damaged)}")
        state = json.loads((place / "state.json").read_text(encoding="utf-8"))
        _check_belongs(state["belongs"], belongs)
        with np.load(place / "arrays.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        tensors = torch.load(place / "tensors.pt", weights_only=True, map_location="cpu")
        return Checkpoint(state["env_step"], state["origin"], state["values"], arrays, tensors)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:  # torch's own message explains how to run what is in there
        raise CheckpointError("its checkpoint cannot be read: tensors.pt holds more than tensors") from error
    except Exception as error:  # whatever a damaged or hostile file makes of the readers
        raise CheckpointError(f"its checkpoint cannot be read: {first_line(error)}") from error


def newest(run: Path) -> Path | None:
    """The folder of the run's newest checkpoint; None if there is none."""
    folder = run / FOLDER
    places = [path for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return max(places, key=lambda path: int(path.name), default=None)


def start_of(run: Path) -> tuple[int, int]:
    """(env_step, origin) of the run's checkpoint; zeros where it will begin."""
    if place := newest(run):
        with suppress(OSError, ValueError, AttributeError):
            state = json.loads((place / "state.json").read_text(encoding="utf-8"))
            return int(state.get("env_step", 0)), int(state.get("origin", 0))
    return 0, 0


def remove(run: Path) -> None:
    """Remove the run's checkpoint, if there is one."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def _check_belongs(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    expected = json.loads(json.dumps(wanted))  # tuples are lists there
    there, here = found["config"], expected["config"]
    if there != here:
        keys = ", ".join(key for key in {**here, **there} if there.get(key) != here.get(key))
        raise CheckpointError(f"its checkpoint is of another config: {keys}")
    now, then = expected["versions"] or {}, found["versions"] or {}
    if changed := [name for name in then if now.get(name) != then[name]]:
        versions = "; ".join(f"{name} {then[name]}, now {now.get(name)}" for name in changed)
        raise CheckpointError(f"its checkpoint was made with {versions}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
