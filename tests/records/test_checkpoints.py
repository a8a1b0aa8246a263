"""Checkpoints on disk: whole or not there, refused where they do not belong, never unpickled."""

import json
import os
import pickle
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch

from rl_warmup.records import checkpoints
from rl_warmup.records.checkpoints import Checkpoint, CheckpointError
from rl_warmup.run.execute import was_interrupted

BELONGS = {"config": {"seed": 0, "sizes": (1, 2)}, "versions": {"torch": "2"}}
FILES = ["state.json", "arrays.npz", "tensors.pt", "sha256.json"]


def state(step: int = 64) -> Checkpoint:
    arrays = {"log": np.arange(step, dtype=np.uint8), "mean": np.array([0.1, np.nan])}
    tensors = {"weights": torch.full((2, 3), float(step)), "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}}}
    return Checkpoint(step, 0, {"count": 1e-4 + step, "full": False, "words": [2**127]}, arrays, tensors)


def test_what_is_written_comes_back_and_the_newest_is_what_stays(tmp_path: Path) -> None:
    assert checkpoints.read(tmp_path, BELONGS) is None
    assert checkpoints.start_of(tmp_path) == (0, 0)
    for step in (64, 128, 1024):
        checkpoints.write(tmp_path, state(step), BELONGS)
    back, wanted = checkpoints.read(tmp_path, BELONGS), state(1024)
    assert back is not None
    assert (back.env_step, back.origin, back.values) == (1024, 0, wanted.values)
    assert all(np.array_equal(back.arrays[n], a, equal_nan=a.dtype.kind == "f") for n, a in wanted.arrays.items())
    assert torch.equal(back.tensors["weights"], wanted.tensors["weights"])
    assert back.tensors["optimizer"] == wanted.tensors["optimizer"]
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["1024"]
    assert checkpoints.start_of(tmp_path) == (1024, 0)
    checkpoints.remove(tmp_path)
    assert checkpoints.read(tmp_path, BELONGS) is None


@pytest.mark.parametrize("call", ["os.fsync", "torch.save", "numpy.savez", "pathlib.Path.replace", "shutil.rmtree"])
def test_an_end_at_any_moment_leaves_a_whole_one(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    checkpoints.write(tmp_path, state(64), BELONGS)
    with monkeypatch.context() as patched:
        patched.setattr(call, end)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.write(tmp_path, state(128), BELONGS)
    found = checkpoints.read(tmp_path, BELONGS)
    assert found is not None
    assert found.env_step in (64, 128)
    checkpoints.write(tmp_path, state(192), BELONGS)
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["192"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_damage_to_any_file_is_seen(name: str, damage: str, tmp_path: Path) -> None:
    checkpoints.write(tmp_path, state(), BELONGS)
    path = tmp_path / "checkpoint" / "64" / name
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle] ^= 1
    path.unlink()
    if damage != "missing":
        path.write_bytes(data if damage == "changed" else data[:middle])
    with pytest.raises(CheckpointError, match=r"its checkpoint (is damaged|cannot be read)"):
        checkpoints.read(tmp_path, BELONGS)


class Hostile:
    """What runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", ["arrays.npz", "tensors.pt"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_nothing_is_ever_unpickled(name: str, wrapped: bool, tmp_path: Path) -> None:
    checkpoints.write(tmp_path, state(), BELONGS)
    place, mark = tmp_path / "checkpoint" / "64", tmp_path / "ran"
    if not wrapped:
        (place / name).write_bytes(pickle.dumps(Hostile(mark)))
    elif name == "tensors.pt":
        torch.save({"weights": Hostile(mark)}, place / name)
    else:
        np.savez(place / name, log=np.array([Hostile(mark)], dtype=object), allow_pickle=True)
    digests = {file: checkpoints._digest(place / file) for file in FILES[:3]}
    (place / "sha256.json").write_text(json.dumps(digests))
    with pytest.raises(CheckpointError, match="its checkpoint cannot be read"):
        checkpoints.read(tmp_path, BELONGS)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("belongs", "message"),
    [
        ({**BELONGS, "config": {"seed": 1, "sizes": (1, 2)}}, "is of another config: seed$"),
        ({**BELONGS, "versions": {"torch": "3"}}, "was made with torch 2, now 3"),
        ({**BELONGS, "versions": {"numpy": "2"}}, "was made with torch 2, now None"),
    ],
)
def test_what_belongs_to_another_config_or_version_is_refused(
    belongs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    checkpoints.write(tmp_path, state(), BELONGS)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.read(tmp_path, belongs)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a finalizer drops what hits it
def test_ctrl_c_at_any_moment_of_a_save_leaves_a_whole_one(tmp_path: Path) -> None:
    def save(step: int) -> Callable[[], None]:
        return partial(checkpoints.write, tmp_path, state(step), BELONGS)

    newest, interrupted, draws = 4, 0, random.Random(0)
    lasts = min(_seconds(save(step)) for step in (1, 2, 3, 4))
    for step in range(5, 65):
        interrupted += _interrupted(draws.uniform(1e-5, lasts), save(step))
        found = checkpoints.read(tmp_path, BELONGS)
        assert found is not None
        assert found.env_step in (newest, step)
        newest = found.env_step
    assert interrupted >= 10
    checkpoints.write(tmp_path, state(100), BELONGS)
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["100"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a finalizer drops what hits it
def test_ctrl_c_while_torch_writes_ends_no_process(tmp_path: Path) -> None:
    """It aborted within some 100 saves: torch calls the `write` of its file from destructors."""
    save, draws = partial(checkpoints._save, state().tensors, tmp_path / "tensors.pt"), random.Random(0)
    lasts = min(_seconds(save) for _ in range(20))
    delays = [draws.uniform(1e-5, lasts) for _ in range(1000)]
    assert sum(_interrupted(delay, save) for delay in delays) >= 100


def _seconds(save: Callable[[], None]) -> float:
    began = time.perf_counter()
    save()
    return time.perf_counter() - began


def _interrupted(delay: float, save: Callable[[], None]) -> bool:
    """Whether Ctrl-C `delay` seconds after the start ended `save`."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        if saving:
            raise KeyboardInterrupt

    saving, earlier = True, signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        save()
        saving = False
    except (KeyboardInterrupt, RuntimeError, ValueError, OSError) as error:  # also as theirs
        if not was_interrupted(error):
            raise
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    return False
