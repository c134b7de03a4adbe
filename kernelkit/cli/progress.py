"""The stream of messages with which the engine tells how a pull, push, load or import goes.

In a terminal each layer has one line that is rewritten in place; elsewhere every message without a bar is a line.
"""

from __future__ import annotations

from kernelkit.cli import human
from kernelkit.cli.output import Failure, put
from kernelkit.cli.terminal import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def show(messages: Iterable[dict[str, Any]], fd: int = 1, *, bars: bool = True) -> list[Any]:
    """Print the messages to a descriptor; what `aux` objects were among them. Raises Failure for an error message.

    Without `bars` as elsewhere than in a terminal.
    """
    columns = size(fd)[1] if bars else 0
    lines: dict[str, int] = {}
    aux: list[Any] = []
    for message in messages:
        if error := message.get("errorDetail") or message.get("error"):
            text = error.get("message", "") if isinstance(error, dict) else error
            raise Failure(str(text))
        if "aux" in message:
            aux.append(message["aux"])
            continue
        name = message.get("id", "")
        bar = _bar(message.get("progressDetail") or {}, columns) if columns else ""
        if not columns and message.get("progressDetail"):
            continue
        if columns and name and (bar or message.get("status")) and "stream" not in message:
            _rewrite(fd, lines, name, _text(message, bar, ""))
        else:
            put(fd, _text(message, bar, "\r" if bar else "\n").encode("utf-8", "replace"))
            lines.clear()
    return aux


def _text(message: dict[str, Any], bar: str, end: str) -> str:
    if "stream" in message:
        return str(message["stream"])
    name = f"{message['id']}: " if message.get("id") else ""
    origin = f"(from {message['from']}) " if message.get("from") else ""
    return f"{name}{origin}{message.get('status', '')}{' ' + bar if bar else ''}{end}"


def _rewrite(fd: int, lines: dict[str, int], name: str, text: str) -> None:
    """Write the line of one layer where it stands: up as many lines as came after it, and back down."""
    if name not in lines:
        lines[name] = len(lines)
        put(fd, f"{text}\x1b[K\n".encode())
        return
    up = len(lines) - lines[name]
    put(fd, f"\x1b[{up}A\r{text}\x1b[K\x1b[{up}B\r".encode())


def _bar(detail: dict[str, Any], columns: int) -> str:
    current, total = detail.get("current") or 0, detail.get("total") or 0
    if current <= 0 and total <= 0:
        return ""
    if total <= 0 or current > total:
        units = detail.get("units")
        return f"{current} {units}" if units else f"{human.size(current, 4):>8}"
    numbers = f"{human.size(current, 4):>8}/{human.size(total, 4)}"
    if columns <= 110:
        return numbers
    filled = int(current * 50 / total)
    return f"[{'=' * filled}>{' ' * (50 - filled)}] {numbers}"
