"""Numbers and errors in words, the same in every message; digests of texts."""

import hashlib
import re
import shlex
from pathlib import Path
from typing import Any

_STACK = re.compile(r"(Exception Group )?Traceback\b")
_NEXT = re.compile(r"^(?:The above exception was|During handling of the above) .*:$", re.MULTILINE)  # of a chain


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the error's name."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def error_line(error: Any) -> str | None:
    """The line of a recorded error that names it; None where nothing was recorded.

    Of a traceback it is the one after the stack, whatever lines the message has below it.

    >>> error_line("Traceback (most recent call last):\\n  File ...\\nValueError: no\\nhint: compile with X=1")
    'ValueError: no'
    >>> error_line("loss is nan"), error_line("")
    ('loss is nan', None)
    """
    last = _NEXT.split(str(error or ""))[-1]
    plain = re.sub(r"^  [|+] ", "", last, flags=re.MULTILINE)  # groups of exceptions have a margin
    lines = [line for line in plain.splitlines() if line.strip()]
    start = next((number for number, line in enumerate(lines) if _STACK.match(line)), -1)
    named = start + 1
    while 0 <= start < named < len(lines) and lines[named].startswith(" "):
        named += 1
    line, *below = lines[named:] or [""]
    return f"{line}{below[0].strip()}" if line.endswith(": ") and below else line.strip() or None


def quoted(path: Path) -> str:
    """A path as a shell takes it.

    >>> quoted(Path("runs/quick")), quoted(Path("my runs/[1]"))
    ('runs/quick', "'my runs/[1]'")
    """
    return shlex.quote(str(path))


def readable(value: float) -> str:
    """A return of any size.

    >>> [readable(value) for value in (412.25, 0.0, -0.00031, 1.5e-7, -3.2e21)]
    ['412.2', '0.0', '-0.00031', '1.5e-07', '-3.2e+21']
    """
    return f"{value:.1f}" if value == 0 or 1 <= abs(value) < 1e6 else f"{value:.3g}"


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "run"), counted(3, "run")
    ('1 run', '3 runs')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(3725), duration(59.6), duration(61)
    ('1 h 02 min', '1 min 00 s', '1 min 01 s')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def megabytes(size: float) -> str:
    """A size on disk.

    >>> megabytes(40_000), megabytes(123_400_000), megabytes(5.6e9)
    ('0.04 MB', '123 MB', '5.6 GB')
    """
    return f"{size / 1e9:.2g} GB" if size >= 1e9 else f"{size / 1e6:.{0 if size >= 1e6 else 2}f} MB"


def digest(content: str | bytes, length: int = 16) -> str:
    """The first hexadecimal digits of the SHA-256 of a text or file."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:length]
