"""Errors, paths and returns in words."""

import traceback
from collections.abc import Callable

import pytest

from rl_warmup.records.words import error_line


class Refused(Exception):
    pass


def plain() -> None:
    raise Refused("no step\n\nhint: compile with X=1\nTraceback (most recent call last):\nKeyError: 'inner'")


def chained() -> None:
    try:
        plain()
    except Refused as error:
        raise ValueError("lost\nsee above") from error


def handled() -> None:
    try:
        plain()
    except Refused:
        raise ValueError("lost\nsee above")  # noqa: B904


def noted() -> None:
    error = Refused("no step")
    error.add_note("a note of the environment")
    raise error


def grouped() -> None:
    raise ExceptionGroup("two at once", [ValueError("one"), KeyError("two")])


def late() -> None:
    raise Refused("\n  the second line says it")


def syntax() -> None:
    compile("x = = 1", "mine.py", "exec")


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        (plain, "Refused: no step"),
        (chained, "ValueError: lost"),
        (handled, "ValueError: lost"),
        (noted, "Refused: no step"),
        (grouped, "ExceptionGroup: two at once (2 sub-exceptions)"),
        (late, "Refused: the second line says it"),
        (syntax, "SyntaxError: invalid syntax"),
    ],
)
def test_the_line_of_an_error_is_the_one_with_its_name(fail: Callable[[], None], line: str) -> None:
    try:
        fail()
    except Exception:
        recorded = traceback.format_exc()
    assert (error_line(recorded) or "").removeprefix(f"{__name__}.") == line


@pytest.mark.parametrize(
    ("recorded", "line"),
    [("killed by signal 9 (SIGKILL)", "killed by signal 9 (SIGKILL)"), ("  \n", None), (None, None)],
)
def test_a_reason_without_a_traceback_is_its_own_line(recorded: str | None, line: str | None) -> None:
    assert error_line(recorded) == line
