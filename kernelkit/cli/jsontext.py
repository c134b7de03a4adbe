"""JSON to and from text, by the interpreter's own C code alone.

The package `json` would import `re`, `enum` and `functools` first, which takes as long as all the rest of
`kernelkit ps` together (6 of 13 ms); the accelerator below it is the same code and needs none of them.
"""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Rules:
    """What the scanner asks about: numbers as Python's, no hooks."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


_scan = _json.make_scanner(_Rules())  # type: ignore[arg-type]


def decode(text: str | bytes) -> Any:
    """The value that a JSON document holds; raises ValueError when it is none."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.strip()
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError(f"not JSON: {text[:80]!r}") from None
    if end != len(text):
        raise ValueError(f"not JSON: {text[end : end + 80]!r}")
    return value


def encode(value: Any, *, sort: bool = False) -> str:
    """One line of JSON without spaces, as Go writes it; raises TypeError for what JSON cannot hold."""
    pieces = _json.make_encoder({}, _refuse, _json.encode_basestring, None, ":", ",", sort, False, True)(value, 0)
    return "".join(pieces)


def encode_for_web(value: Any, *, sort: bool = False) -> str:
    """As `encode`, with `<`, `>` and `&` escaped, as Go's encoding/json does unless told otherwise."""
    text = encode(value, sort=sort)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def compact(text: str) -> str:
    """A JSON document without spaces between its values; strings, numbers and the order of keys untouched."""
    out: list[str] = []
    i, end = 0, len(text)
    while i < end:
        close = _end_of_string(text, i) if text[i] == '"' else i + 1
        if text[i] not in " \t\r\n":
            out.append(text[i:close])
        i = close
    return "".join(out)


def indent(text: str, step: str = "    ") -> str:
    """A JSON document laid out over lines, its strings, numbers and the order of its keys untouched."""
    out: list[str] = []
    margin = "\n"
    i, end = 0, len(text)
    while i < end:
        character = text[i]
        if character == '"':
            close = _end_of_string(text, i)
            out.append(text[i:close])
            i = close
            continue
        if character in "{[":
            after = _skip_space(text, i + 1)
            if text[after : after + 1] in ("}", "]"):
                out.append(character + text[after])
                i = after + 1
                continue
            margin += step
            out.append(character + margin)
        elif character in "}]":
            margin = margin[: -len(step)] if step else margin
            out.append(margin + character)
        elif character == ",":
            out.append("," + margin)
        elif character == ":":
            out.append(": ")
        elif character not in " \t\r\n":
            out.append(character)
        i += 1
    return "".join(out)


def _end_of_string(text: str, start: int) -> int:
    i = start + 1
    while True:
        close = text.find('"', i)
        if close < 0:
            return len(text)
        backslashes = 0
        while text[close - 1 - backslashes] == "\\":
            backslashes += 1
        i = close + 1
        if backslashes % 2 == 0:
            return i


def _skip_space(text: str, i: int) -> int:
    while i < len(text) and text[i] in " \t\r\n":
        i += 1
    return i


def _refuse(value: object) -> object:
    raise TypeError(f"not JSON: {type(value).__name__}")
