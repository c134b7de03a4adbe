"""The functions a template may call: Go's own (pkg.go.dev/text/template, "Functions"), and those Docker adds.

Docker's are json split join title lower upper pad truncate println. One that does not like its arguments raises
TypeError, ValueError, IndexError or KeyError, which the template then explains.
"""

from __future__ import annotations

from kernelkit.cli import gotext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, "" if all(isinstance(one, str) for one in value.values()) and value else None)
        elif isinstance(value, list | str):
            if not isinstance(key, int):
                raise ValueError(f"cannot index slice/array with type {gotext.type_name(key)}")
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = ord(value[key]) if isinstance(value, str) else value[key]
        else:
            raise ValueError(
                "index of untyped nil" if value is None else f"can't index item of type {gotext.type_name(value)}"
            )
    return value


def _length(value: Any) -> int:
    if value is None:
        return 0  # in Go's structs a list that is not there is an empty one
    if not isinstance(value, dict | list | str):
        raise ValueError(f"len of type {gotext.type_name(value)}")
    return len(value.encode() if isinstance(value, str) else value)


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(one: Any, other: Any) -> bool:
        numbers = (int, float)
        if isinstance(one, str) != isinstance(other, str) or not isinstance(one, (str, *numbers)):
            raise ValueError("incompatible types for comparison")
        return test(one, other)

    return compare


def _equal(one: Any, *others: Any) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    for other in others:
        if one is not None and other is not None and isinstance(one, str) != isinstance(other, str):
            raise ValueError("incompatible types for comparison")
    return any(one == other for other in others)


def _slice(value: Any, *bounds: int) -> Any:
    start = bounds[0] if bounds else 0
    end = bounds[1] if len(bounds) > 1 else len(value)
    for bound in bounds:
        if not 0 <= bound <= len(value):
            raise ValueError(f"index out of range: {bound}")
    if start > end:
        raise ValueError(f"invalid slice index: {start} > {end}")
    return value[start:end]


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else ""


def _truncate(text: str, length: int) -> str:
    return text[:length]


def _title(text: str) -> str:
    return "".join(c.upper() if i == 0 or not text[i - 1].isalnum() else c for i, c in enumerate(text))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: values[-1],
    "or": lambda *values: values[-1],
    "not": lambda value: not gotext.truth(value),
    "len": _length,
    "index": _index,
    "slice": _slice,
    "eq": _equal,
    "ne": lambda one, other: not _equal(one, other),
    "lt": _compare(lambda one, other: one < other),
    "le": _compare(lambda one, other: one <= other),
    "gt": _compare(lambda one, other: one > other),
    "ge": _compare(lambda one, other: one >= other),
    "print": gotext.print_text,
    "println": lambda *values: " ".join(gotext.text(value) for value in values) + "\n",
    "printf": gotext.printf,
    "html": lambda value: gotext.html(gotext.text(value)),
    "urlquery": lambda value: gotext.url_query(gotext.text(value)),
    "json": gotext.json,
    "split": lambda text, separator: text.split(separator) if separator else list(text),
    "join": lambda texts, separator: separator.join(texts or []),
    "title": _title,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "pad": _pad,
    "truncate": _truncate,
}
