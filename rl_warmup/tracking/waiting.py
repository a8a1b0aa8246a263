"""Waiting for the client no longer than so many seconds."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

Result = TypeVar("Result")


def within(seconds: float, action: Callable[[], object]) -> bool:
    """Whether `action` ended in time, be it by an exception; otherwise it runs on in a daemon thread."""
    begun = _begun(action)
    wait([begun], seconds)
    return begun.done()


def in_time(seconds: float, action: Callable[[], Result]) -> Result:
    """What `action` returns or raises; TimeoutError once it takes longer, and it runs on in a daemon thread."""
    try:
        return _begun(action).result(seconds)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {seconds:g} s") from error


def _begun(action: Callable[[], Result]) -> Future[Result]:
    future: Future[Result] = Future()

    def settle() -> None:
        try:
            future.set_result(action())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=settle, daemon=True).start()
    return future
