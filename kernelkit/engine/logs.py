"""What a container has said: its log in Docker's json-file format, read from the newest file backwards or followed."""

from __future__ import annotations

import json
import os
import re
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.engine.when import parse
from kernelkit.errors import Unavailable

BLOCK = 1 << 16
STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2}
WORD = re.compile(r"{{ *\.(ID|FullID|Name|ImageID|ImageFullID|ImageName|DaemonName) *}}")  # what a tag may contain


@dataclass(frozen=True)
class Wish:
    """What is wanted of a log: `tail` entries from its end (below 0 all), times in nanoseconds since the epoch."""

    stdout: bool = True
    stderr: bool = True
    tail: int = -1
    since: int = 0
    until: int = 0
    timestamps: bool = False
    details: bool = False
    framed: bool = True  # Docker's 8-byte headers; not with a terminal


def attributes(options: Mapping[str, str], container: Container) -> dict[str, str]:
    """What goes with each entry, for `--details`: the labels and variables that `--log-opt` names, and its tag."""
    variables = dict(entry.partition("=")[::2] for entry in container.config.get("Env") or ())
    found = {}
    for known, listed in ((container.config.get("Labels") or {}, "labels"), (variables, "env")):
        names = options.get(listed, "").split(",")
        pattern = options.get(f"{listed}-regex")
        for name, value in known.items():
            if name in names or (pattern and re.search(pattern, name)):
                found[name] = value
    if options.get("tag"):
        found["tag"] = tag(options["tag"], container)
    return found


def tag(template: str, container: Container) -> str:
    """The value of `--log-opt tag=`, with the words in braces replaced by what they stand for."""
    words = {
        "ID": container.short_id,
        "FullID": container.id,
        "Name": container.name,
        "ImageID": container.image_id.removeprefix("sha256:")[:12],
        "ImageFullID": container.image_id,
        "ImageName": container.image,
        "DaemonName": "docker",
    }
    return WORD.sub(lambda found: words[found[1]], template)


class Reader:
    """Reads one container's log once, and what is added to it later, as bytes for the client."""

    def __init__(self, engine: Engine, container: Container, wish: Wish) -> None:
        if (container.host_config.get("LogConfig") or {}).get("Type") == "none":
            raise Unavailable("configured logging driver does not support reading")
        self.folder = engine.folder(container.id)
        self._wish = wish
        self._identity = (0, 0)  # of the file that is read: rotation puts another one in its place
        self._offset = 0
        self.over = False  # an entry later than `until` was seen

    def there(self) -> Iterator[bytes]:
        """What is in the log now."""
        path = self.folder / "log"
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return
        self._identity, self._offset = (found.st_dev, found.st_ino), found.st_size
        lines = self._tail(found.st_size) if self._wish.tail >= 0 else self._whole(found.st_size)
        for line in lines:
            yield self._said(line)

    def added(self) -> Iterator[bytes]:
        """What has been written since the last look."""
        path = self.folder / "log"
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return
        if (found.st_dev, found.st_ino) != self._identity:
            yield from self._rest_of_rotated()
            self._identity, self._offset = (found.st_dev, found.st_ino), 0
        elif found.st_size < self._offset:
            self._offset = 0  # max-file 1: emptied and begun again
        for line, end in _lines(path, self._offset, found.st_size):
            self._offset = end
            yield self._said(line)

    def _rest_of_rotated(self) -> Iterator[bytes]:
        """The lines that came between the last look and the rotation."""
        older = self.folder / "log.1"
        try:
            found = os.stat(older)
        except FileNotFoundError:
            return
        if (found.st_dev, found.st_ino) == self._identity:
            for line, _ in _lines(older, self._offset, found.st_size):
                yield self._said(line)

    def _whole(self, size: int) -> Iterator[bytes]:
        for path in self._rotated():
            for line, _ in _lines(path, 0, os.stat(path).st_size):
                yield line
        for line, _ in _lines(self.folder / "log", 0, size):
            yield line

    def _tail(self, size: int) -> Iterator[bytes]:
        """The last entries, found from the end."""
        wanted, found = self._wish.tail, deque[bytes]()
        files = [(self.folder / "log", size), *((path, os.stat(path).st_size) for path in reversed(self._rotated()))]
        for path, length in files:
            if len(found) < wanted:
                found.extendleft(_backwards(path, length, wanted - len(found)))
        yield from found

    def _rotated(self) -> list[Path]:
        """The files before the present one, the oldest first."""
        numbered = [path for path in self.folder.glob("log.*") if path.suffix[1:].isdigit()]
        return sorted(numbered, key=lambda path: int(path.suffix[1:]), reverse=True)

    def _said(self, line: bytes) -> bytes:
        """One entry as the client gets it; nothing for one that it does not want."""
        try:
            entry = json.loads(line)
            text, stream, time = entry["log"], entry["stream"], entry["time"]
        except (ValueError, KeyError, TypeError):
            return b""  # cut off by a full disk
        wish = self._wish
        if not (wish.stdout if stream == "stdout" else wish.stderr):
            return b""
        if wish.since and parse(time) < wish.since:
            return b""
        if wish.until and parse(time) > wish.until:
            self.over = True
            return b""
        said: bytes = text.encode()
        if wish.details:
            said = _details(entry.get("attrs") or {}) + b" " + said
        if wish.timestamps:
            said = bytes(time.encode()) + b" " + said
        return struct.pack(">BxxxI", STREAMS[stream], len(said)) + said if wish.framed else said


def _details(attributes: dict[str, str]) -> bytes:
    return ",".join(f"{key}={value}" for key, value in sorted(attributes.items())).encode()


def _lines(path: Path, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """The whole lines between two offsets, each with the offset after it."""
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            line = file.readline()
            if not line.endswith(b"\n"):
                return
            start += len(line)
            yield line, start


def _backwards(path: Path, size: int, most: int) -> Iterator[bytes]:
    """The last lines of a file, the last one first."""
    with path.open("rb") as file:
        rest, position = b"", size
        while position > 0 and most > 0:
            step = min(BLOCK, position)
            position -= step
            file.seek(position)
            pieces = (file.read(step) + rest).split(b"\n")
            rest = pieces[0]
            for piece in reversed(pieces[1:]):
                if piece and most > 0:
                    most -= 1
                    yield piece + b"\n"
        if rest and most > 0:
            yield rest + b"\n"
