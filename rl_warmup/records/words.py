"""Numbers and errors in words, the same in every message; digests of texts."""

import hashlib
from typing import Any


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the error's name."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def last_line(error: Any) -> str | None:
    """The last line of a recorded error, which names it; None where nothing was recorded."""
    return str(error).strip().splitlines()[-1] if error and str(error).strip() else None


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
