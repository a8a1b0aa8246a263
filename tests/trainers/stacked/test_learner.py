"""Whether the update programs of a stack are compiled."""

import os
from pathlib import Path

import pytest
import torch
from torch._inductor.cpp_builder import cpp_compiler_search
from torch._inductor.exc import InvalidCxxCompiler

from rl_warmup.trainers.stacked import learner
from rl_warmup.trainers.stacked.learner import prepare_compiler


def torch_finds(search: tuple[str | None, str]) -> bool:
    try:
        cpp_compiler_search.__wrapped__(search)  # what it finds is kept for later calls
    except InvalidCxxCompiler:
        return False
    return True


@pytest.mark.parametrize(
    ("cxx", "there", "compiled"),
    [
        (None, "g++", True),
        ("clang++", "clang++", True),
        (None, "clang++", False),  # torch looks for one only
        ("nothing", "g++", False),
        ("ccache g++", "g++", False),
    ],
)
def test_without_the_compiler_that_torch_looks_for_programs_stay_uncompiled_and_it_is_said(
    cxx: str | None,
    there: str,
    compiled: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / there).write_text("#!/bin/sh\n")
    (tmp_path / there).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", cxx) if cxx else monkeypatch.delenv("CXX", raising=False)
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TORCHINDUCTOR_COMPILE_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))  # what is set by the way is not left behind
    assert torch_finds((None, cxx or "g++")) is compiled
    assert prepare_compiler(True, torch.device("cpu")) is compiled
    said = capsys.readouterr().err
    assert ("run uncompiled" in said and (cxx or "g++") in said) is not compiled
    assert not prepare_compiler(False, torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own
def test_a_program_is_not_taken_for_another_of_the_same_shapes() -> None:
    for factor in (2.0, 3.0):
        program = learner._compiled(lambda x, factor=factor: x * factor)
        assert program(torch.ones(3)).tolist() == [factor] * 3
