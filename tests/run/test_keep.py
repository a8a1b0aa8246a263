"""The agent that a run keeps: the last, or that of the best evaluation, also after an interruption."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.configs import TINY, Configure, probe

from rl_warmup.config.identity import run_folder
from rl_warmup.config.schema import RunConfig
from rl_warmup.records import models
from rl_warmup.records.read import Record, read_info
from rl_warmup.records.write import RunWriter, recording
from rl_warmup.run.execute import RunRecorder, execute, execute_stack, run_info

END = 256  # environment steps of a run of TINY


def row(env_step: int, value: float) -> dict[str, Any]:
    return {"env_step": env_step, "returns": [value, value], "lengths": [1, 1]}


def config_of(configure: Configure, keep: str | None, *overrides: str) -> RunConfig:
    return replace(configure(*TINY["ppo"], "warmup.length=0.5", "evaluation.count=5", *overrides), keep=keep)


def scripted(writer: RunWriter, config: RunConfig, returns: list[float]) -> list[str]:
    """What is kept of a run that is evaluated like this, named by the number of the evaluation."""
    recorder, kept = RunRecorder(config, writer), []
    for index, value in enumerate(returns):
        recorder.emit("evaluations", row(END * index // (len(returns) - 1), value))
        if recorder.agent_due:
            recorder.keep({models.MODEL: str(index).encode(), models.STATISTICS: b"of " + str(index).encode()})
            kept.append(str(index))
    return kept


@pytest.mark.parametrize(
    ("keep", "kept", "stays"),
    [("last", ["4"], "4"), ("best", ["0", "1", "3"], "3"), ("none", [], None), (None, [], None)],
)
def test_the_last_or_the_best_stays_and_of_equals_the_later(
    keep: str | None, kept: list[str], stays: str | None, configure: Configure
) -> None:
    config = config_of(configure, keep)
    folder = run_folder(config)
    with recording(folder, run_info(config, 1), json.loads(json.dumps(vars(config), default=vars))) as writer:
        assert scripted(writer, config, [1.0, 3.0, -2.0, 3.0, 2.5]) == kept
        writer.finish("completed")
    found = read_info(folder)["model"]
    if stays is None:
        assert found is None
        assert models.present(folder) == []
        return
    assert (folder / models.MODEL).read_bytes() == stays.encode()
    assert (folder / models.STATISTICS).read_bytes() == b"of " + stays.encode()
    assert models.is_as_recorded(folder, found["sha256"])
    assert (found["env_step"], found["return"]) == ((256, 2.5) if keep == "last" else (192, 3.0))
    (folder / models.STATISTICS).write_bytes(b"of another")
    assert not models.is_as_recorded(folder, found["sha256"])
    assert [path for path in folder.iterdir() if path.suffix == ".tmp"] == []


def weights(folder: Path) -> dict[str, torch.Tensor]:
    with zipfile.ZipFile(folder / models.MODEL) as file:
        return dict(torch.load(io.BytesIO(file.read("policy.pth")), weights_only=True))


def same(one: Path, other: Path) -> bool:
    mine, theirs = weights(one), weights(other)
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


def interrupted_at(monkeypatch: pytest.MonkeyPatch, configs: list[RunConfig], evaluation: int) -> None:
    """Train until that evaluation has been recorded and its agent kept, and press Ctrl-C."""
    emit, seen = RunRecorder.emit, []

    def then_stop(self: RunRecorder, table: str, given: Any) -> None:
        if len(seen) == evaluation * len(configs):
            raise KeyboardInterrupt
        emit(self, table, given)
        seen.extend([table] if table == "evaluations" else [])

    with monkeypatch.context() as patched:
        patched.setattr(RunRecorder, "emit", then_stop)
        with pytest.raises(KeyboardInterrupt):
            execute_stack(configs)


def best_of(folder: Path) -> tuple[int, float]:
    """Step and mean return of the best evaluation, of equals the last."""
    rows = Record(folder, read_info(folder)).evaluations().to_dicts()
    best = max(rows, key=lambda one: (sum(one["returns"]), one["env_step"]))
    return best["env_step"], sum(best["returns"]) / len(best["returns"])


@pytest.mark.slow
@pytest.mark.parametrize("trainer", [["trainer=sb3"], ["trainer=stacked", "trainer.envs=gymnasium"]], ids=str)
@pytest.mark.parametrize("evaluation", [2, 4])
def test_the_best_so_far_stays_through_an_interruption(
    trainer: list[str], evaluation: int, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = (0, 1) if "trainer=stacked" in trainer else (0,)
    given = [*trainer, "checkpoint.seconds=0", "trainer.compile=false"]
    configs = [config_of(configure, "best", *given, f"seed={seed}") for seed in seeds]
    interrupted_at(monkeypatch, configs, evaluation)
    assert all(read_info(run_folder(config))["model"] for config in configs)
    assert execute_stack(configs) == ["completed"] * len(seeds)
    whole = [replace(config, runs_dir=str(tmp_path / "whole")) for config in configs]
    assert execute_stack(whole) == ["completed"] * len(seeds)
    for config, undisturbed in zip(configs, whole, strict=True):
        folder = run_folder(config)
        info = read_info(folder)
        assert info["resumed"]
        assert (info["model"]["env_step"], info["model"]["return"]) == best_of(folder)
        assert models.is_as_recorded(folder, info["model"]["sha256"])
        assert same(folder, run_folder(undisturbed))


def test_a_run_that_resumes_has_the_agent_of_its_checkpoint(configure: Configure) -> None:
    """What was kept after the checkpoint is of evaluations that perhaps never come again."""
    from rl_warmup.records.checkpoints import Checkpoint

    config = config_of(configure, "best")
    folder, info = run_folder(config), run_info(config, 1)
    stored = json.loads(json.dumps(vars(config), default=vars))
    with recording(folder, info, stored) as writer:
        scripted(writer, config, [1.0, 3.0])
        writer.save(Checkpoint(256, 0, {}, {}, {}))
        writer.append("evaluations", row(300, 9.0))
        writer.keep({models.MODEL: b"later"})
        assert (folder / models.MODEL).read_bytes() == b"later"
    with recording(folder, info, stored) as writer:
        assert (folder / models.MODEL).read_bytes() == b"1"
        assert (folder / models.STATISTICS).read_bytes() == b"of 1"
        assert (writer.info["model"]["env_step"], writer.info["model"]["return"]) == (256, 3.0)
        assert models.is_as_recorded(folder, writer.info["model"]["sha256"])
        recorder = RunRecorder(config, writer)
        recorder.emit("evaluations", row(300, 2.0))
        assert not recorder.agent_due
        writer.forget()
    with recording(folder, info, stored) as writer:  # restarts
        assert models.present(folder) == []
        assert writer.info["model"] is None


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["last", "best"])
@pytest.mark.parametrize("trainer", ["sb3", "stacked"])
def test_a_run_that_diverges_has_no_last_agent_but_a_best_one(
    trainer: str, keep: str, configure: Configure
) -> None:
    given = [*probe("explode"), f"trainer={trainer}", "algo.normalize=false", "learning_rate=1e20"]
    given += ["trainer.envs=gymnasium"] if trainer == "stacked" else []
    config = config_of(configure, keep, *given)
    assert execute(config) == "diverged"
    info = read_info(run_folder(config))
    if keep == "last":
        assert info["model"] is None
        assert models.present(run_folder(config)) == []
    else:
        assert info["model"]["env_step"] == best_of(run_folder(config))[0]
        assert all(torch.isfinite(tensor).all() for tensor in weights(run_folder(config)).values())
