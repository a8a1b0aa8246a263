"""Commands on a terminal: they print any text, still when nobody reads it any more, and end a Ctrl-C in words."""

import codecs
import errno
import functools
import io
import os
import sys
import unicodedata
from collections.abc import Callable
from typing import Any, ParamSpec

INTERRUPTED = 130
"""Exit code after a Ctrl-C, as in shells."""
P = ParamSpec("P")
PLAIN = {
    "▲": "^",
    "▼": "v",
    "△": "^",
    "▽": "v",
    "≈": "=",
    "−": "-",
    "–": "-",
    "…": "~",
    "•": "*",
    "·": "-",
    "×": "x",
    "“": '"',
    "”": '"',
}
PLAIN |= {"∞": "inf", "ρ": "rho", "─": "-", "━": "-", "│": "|", "┃": "|", "▁": "_"}
"""Characters that we print, as those of an old terminal; most as wide as they were, for the sake of tables."""
_UNREAD = (errno.EPIPE, errno.EIO)  # of a pipe whose reader has ended, of a terminal that was closed


def prepare() -> None:
    """Have this process print what its terminal can show, and continue when its pipe or terminal is closed.

    Streams that are not the interpreter's own any more are left to whoever replaced them.
    """
    codecs.register_error("plain", _encode)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):
            continue
        stream.flush()
        file: Any = _File(stream.fileno(), "w", closefd=False)
        buffer = file if stream.write_through else io.BufferedWriter(file)
        flushes = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
        setattr(sys, name, io.TextIOWrapper(buffer, stream.encoding, "plain", **flushes))


def command(interrupted: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Decorate the main function of a command: it prints as `prepare` says, and a Ctrl-C ends it in words.

    Args:
        interrupted: what stays then.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(main)
        def prepared(*args: P.args, **kwargs: P.kwargs) -> int:
            prepare()
            try:
                return main(*args, **kwargs)
            except KeyboardInterrupt:
                print(f"interrupted: {interrupted}", file=sys.stderr)
                return INTERRUPTED

        return prepared

    return decorate


def plain(character: str) -> str:
    """What a terminal without this character is shown.

    >>> "".join(map(plain, "▲ − “é²” ┌▀ 字"))
    '^ - "e2" +# ?'
    """
    if character in PLAIN:
        return PLAIN[character]
    kind = unicodedata.name(character, "").split()
    if "BOX" in kind or "BLOCK" in kind or "QUADRANT" in kind:
        return "+" if "BOX" in kind else "#"
    letters = [each for each in unicodedata.normalize("NFKD", character) if not unicodedata.combining(each)]
    return "".join(PLAIN.get(each, each if each.isascii() else "?") for each in letters)


class _File(io.FileIO):
    """A file descriptor that drops what is written to it once nobody reads it."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _UNREAD:
                raise
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, self.fileno())
            os.close(devnull)
            return super().write(data)


def _encode(error: UnicodeError) -> tuple[str | bytes, int]:
    """What takes the place of the first character that cannot be encoded; a byte of a path is itself (PEP 383)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    is_byte = "\udc80" <= character <= "\udcff"
    return bytes([ord(character) - 0xDC00]) if is_byte else plain(character), error.start + 1
