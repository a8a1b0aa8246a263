"""The device that a run gets, and the cores, GPUs and memory that there are for it."""

import os
from dataclasses import replace

import pytest
import torch
from helpers.composing import unresolved

from rl_warmup.config.hardware import (
    ASSUMED_GPU_BYTES,
    cores,
    default_workers,
    env_threads,
    memory_bytes,
    resolved_device,
    visible_gpus,
)
from rl_warmup.config.resolve import resolve
from rl_warmup.config.schema import RunConfig
from rl_warmup.config.settings import ConfigError


def config(*overrides: str) -> RunConfig:
    return resolve(unresolved(*overrides))


# ---- the device ----


@pytest.mark.parametrize(
    ("found", "asked", "device"),
    [
        (0, "auto", "cpu"),
        (2, "auto", "cuda:0"),
        (2, "cuda", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
        (2, "cpu", "cpu"),
    ],
)
def test_device_becomes_the_one_it_stands_for(
    found: int, asked: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _have_gpus(found, monkeypatch)
    config = resolve(unresolved(device=asked))
    assert config.device == device
    assert resolve(config) == config


@pytest.mark.parametrize(("found", "asked"), [(0, "cuda"), (0, "cuda:0"), (2, "cuda:2")])
def test_device_that_is_not_there_is_refused(found: int, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _have_gpus(found, monkeypatch)
    message = rf"device={asked}: torch finds {found} CUDA devices here; use device=auto or device=cpu"
    with pytest.raises(ConfigError, match=message):
        resolve(unresolved(device=asked))


def _have_gpus(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("tpu", "device=tpu is not a device; use auto, cpu, cuda or cuda:N"),
        ("cuda:x", "device=cuda:x is not a device"),
    ],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_no_device_is_refused_wherever_it_is(asked: str, message: str, elsewhere: bool) -> None:
    with pytest.raises(ConfigError, match=message):
        resolved_device(asked, elsewhere)


@pytest.mark.parametrize(
    ("asked", "device"), [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:7", "cuda:7"), ("auto", "cpu")]
)
def test_a_device_of_another_machine_need_not_be_here(
    asked: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _have_gpus(0, monkeypatch)
    assert resolved_device(asked, elsewhere=True) == device


# ---- cores, GPUs and memory ----


def test_a_worker_for_every_core_and_one_for_a_gpu() -> None:
    assert default_workers(config()) == cores()
    assert default_workers(config("threads=2")) == max(1, cores() // 2)
    assert default_workers(config(f"threads={cores() + 1}")) == 1
    assert default_workers(replace(config(), device="cuda:0")) == 1


def test_cores_are_no_more_than_what_this_process_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores() <= len(os.sched_getaffinity(0))
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # joblib reads it with affinity and control group
    assert cores() == default_workers(config()) == env_threads("cuda:0", 10_000) == 1


def test_environments_are_stepped_by_several_threads_beside_a_gpu_only() -> None:
    assert env_threads("cpu", 10_000) == env_threads("cuda:0", 63) == 1
    assert env_threads("cuda:0", 64) == min(2, cores())
    assert env_threads("cuda:0", 10_000) == min(157, cores())


@pytest.mark.parametrize(
    ("device", "named", "gpus"),
    [
        ("cuda:0", None, ["0", "1", "2"]),
        ("cuda:0", "5,7,2", ["5", "7", "2"]),
        ("cuda:0", "", ["0", "1", "2"]),
        ("cuda:2", None, []),  # a certain one was asked for
        ("cpu", "5,7,2", []),
    ],
)
def test_processes_take_the_visible_gpus_in_turn(
    device: str, named: str | None, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus(device) == gpus
    if gpus:
        assert default_workers(replace(config(), device=device)) == 3


def test_memory_is_no_more_than_there_is_and_assumed_where_the_gpu_is_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 0 < memory_bytes("cpu") <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    _have_gpus(0, monkeypatch)
    assert memory_bytes("cuda:0") == ASSUMED_GPU_BYTES == 16 * 2**30
