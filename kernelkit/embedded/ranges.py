"""The Range header of HTTP (RFC 9110, section 14): which bytes of a blob a client wants, as after a broken download."""

from __future__ import annotations

import re

_BYTES = re.compile(r"bytes=(\d*)-(\d*)")


class Unsatisfiable(ValueError):
    """The range lies wholly outside of the blob; the answer is 416."""


def parse(header: str | None, size: int) -> tuple[int, int] | None:
    """(first, length) of the range asked for; None for the whole, which is also the answer to what is not understood.

    >>> parse("bytes=10-", 100), parse("bytes=0-0", 100), parse("bytes=-5", 100), parse("lines=1-2", 100)
    ((10, 90), (0, 1), (95, 5), None)
    """
    found = _BYTES.fullmatch((header or "").strip())
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        if not length:
            raise Unsatisfiable(header)
        return size - length, length
    start, end = int(first), min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable(header)
    return start, end - start + 1
