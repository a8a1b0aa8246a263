"""Whether the update programs of a stack are compiled."""

import os
import tempfile
from pathlib import Path

import pytest
import torch
from torch._inductor.cpp_builder import cpp_compiler_search
from torch._inductor.exc import InvalidCxxCompiler

from rl_warmup.trainers.stacked import learner
from rl_warmup.trainers.stacked.learner import _compiled_programs, prepare_compiler


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


@pytest.mark.surroundings
def test_compiled_programs_are_kept_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, temporary = tmp_path / "file", tmp_path / "temporary"
    taken.touch()
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(temporary)

    def found(**environment: str) -> str:
        for name in ("TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return _compiled_programs()

    chosen, cache, home, elsewhere = (str(tmp_path / name) for name in ("chosen", "cache", "home", "temporary"))
    assert found(TORCHINDUCTOR_CACHE_DIR=chosen, XDG_CACHE_HOME=cache, HOME=home) == chosen
    assert found(TORCHINDUCTOR_CACHE_DIR=f"{taken}/x", XDG_CACHE_HOME=cache) == f"{cache}/rl_warmup/compiled"
    assert found(XDG_CACHE_HOME="", HOME=home) == f"{home}/.cache/rl_warmup/compiled"
    private = f"{elsewhere}/rl_warmup-{os.getuid()}"
    assert found(HOME=f"{taken}/home") == found(HOME="/proc") == found(XDG_CACHE_HOME="relative") == private
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert found() == private  # a user without a home
    other = os.getuid() + 1
    monkeypatch.setattr("os.getuid", lambda: other)
    (temporary / f"rl_warmup-{os.getuid()}").mkdir()  # made by somebody else
    once = Path(found(HOME="/proc"))
    assert (once.parent, once.stat().st_mode & 0o777) == (temporary, 0o700)
    assert {path.name.partition("-")[0] for path in temporary.iterdir()} == {"rl_warmup"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # the compiler's own
def test_a_program_is_not_taken_for_another_of_the_same_shapes() -> None:
    for factor in (2.0, 3.0):
        program = learner._compiled(lambda x, factor=factor: x * factor)
        assert program(torch.ones(3)).tolist() == [factor] * 3
