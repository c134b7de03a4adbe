"""What a container has said: its log in Docker's json-file format, read from the newest file backwards or followed.

The driver `local` keeps the same elsewhere: its format is the engine's own business, says Docker.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.engine.when import parse
from kernelkit.errors import Unavailable
from kernelkit.host.log import HEADER, PACKED

BLOCK = 1 << 16
STILL, SHORT = 10.0, 0.001  # seconds to wait for a moment in which nothing is rotated; and between two looks
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
        driver = (container.host_config.get("LogConfig") or {}).get("Type") or "json-file"
        if driver == "none":
            raise Unavailable("configured logging driver does not support reading")
        self._path = path_of(engine, container, driver)
        self._wish = wish
        # The file that is read, kept open: rotation puts another one in its place, and may pack this one.
        self._file: BinaryIO | None = None
        self._offset = 0
        self.over = False  # an entry later than `until` was seen

    @property
    def folder(self) -> Path:
        """Where a change tells that there may be more to read."""
        return self._path.parent

    def there(self) -> Iterator[bytes]:
        """What is in the log now."""
        return self._all(self._tail if self._wish.tail >= 0 else self._whole)

    def added(self) -> Iterator[bytes]:
        """What has been written since the last look."""
        if self._file is None:
            yield from self._all(self._whole)
        elif not self._is_present():
            yield from self._overtaken()
        elif os.fstat(self._file.fileno()).st_size < self._offset:
            self._offset = 0  # max-file 1: emptied and begun again
        if self._file:
            yield from self._rest()

    def _overtaken(self) -> Iterator[bytes]:
        """The lines of files that have been rotated away since the last look; then the present one is open."""
        previous, self._file = self._file, None
        assert previous
        # Open until all is read: so long nobody else gets its number.
        with previous, contextlib.ExitStack() as opened:
            for line, _ in _lines(previous, self._offset, os.fstat(previous.fileno()).st_size):
                yield self._said(line)
            for file in _later(self._open_all(opened), previous):
                for line in _unpacked(file):
                    yield self._said(line)
        self._offset = 0

    def _is_present(self) -> bool:
        """Whether the file that is open is the one that is written to."""
        assert self._file
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        return False

    def close(self) -> None:
        """Let go of the file."""
        if self._file:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        """Open the present file, its end being where the next look begins; False when there is none."""
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            return False
        self._offset = os.fstat(self._file.fileno()).st_size
        return True

    def _all(self, lines: Callable[[Sequence[BinaryIO]], Iterator[bytes]]) -> Iterator[bytes]:
        with contextlib.ExitStack() as opened:
            rotated = self._open_all(opened)
            if self._file:
                for line in lines(rotated):
                    yield self._said(line)

    def _open_all(self, opened: contextlib.ExitStack) -> list[BinaryIO]:
        """Open the present file; and those before it, the oldest first: as they were when nothing was just rotated."""
        until = time.monotonic() + STILL
        while True:
            self.close()
            paths, is_there = self._rotated(), self._open()
            files = list(filter(None, map(_opened, paths)))
            is_still = self._rotated() == paths and (self._is_present() if is_there else not paths)
            if (is_still and len(files) == len(paths)) or time.monotonic() > until:
                for file in files:
                    opened.callback(file.close)
                return files
            for file in files:
                file.close()
            time.sleep(SHORT)

    def _rest(self) -> Iterator[bytes]:
        """The lines from the last look to the file's end."""
        assert self._file
        for line, end in _lines(self._file, self._offset, os.fstat(self._file.fileno()).st_size):
            self._offset = end
            yield self._said(line)

    def _whole(self, rotated: Sequence[BinaryIO]) -> Iterator[bytes]:
        for file in rotated:
            yield from _unpacked(file)
        assert self._file
        for line, _ in _lines(self._file, 0, self._offset):
            yield line

    def _tail(self, rotated: Sequence[BinaryIO]) -> Iterator[bytes]:
        """The last entries, found from the end."""
        assert self._file
        wanted, found = self._wish.tail, deque[bytes]()
        found.extendleft(_backwards(self._file, self._offset, wanted))
        for file in reversed(rotated):
            missing = wanted - len(found)
            if missing <= 0:
                break
            if _is_packed(file):
                # Of what is packed the end is only found by going through all of it.
                found.extendleft(reversed(deque(_unpacked(file), missing)))
            else:
                found.extendleft(_backwards(file, os.fstat(file.fileno()).st_size, missing))
        yield from found

    def _rotated(self) -> list[Path]:
        """The files before the present one, the oldest first."""
        numbered: dict[int, Path] = {}
        for path in self._path.parent.glob(f"{self._path.name}.*"):
            number = path.name.removeprefix(f"{self._path.name}.").removesuffix(".gz")
            if number.isdigit():
                # While one is being packed it is there twice for a moment.
                numbered[int(number)] = min(path, numbered.get(int(number), path), key=lambda each: len(each.name))
        return [numbered[number] for number in sorted(numbered, reverse=True)]

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


def path_of(engine: Engine, container: Container, driver: str) -> Path:
    """The file that a container's log goes to."""
    folder = engine.folder(container.id)
    return folder / "local-logs" / "container.log" if driver == "local" else folder / "log"


def _opened(path: Path) -> BinaryIO | None:
    """A rotated file, which may just have been packed."""
    for name in (path, path.with_name(f"{path.name}.gz")):
        with contextlib.suppress(FileNotFoundError):
            return name.open("rb")
    return None


def _later(rotated: Sequence[BinaryIO], previous: BinaryIO) -> Iterator[BinaryIO]:
    """Those of the rotated files that came after a previous one, the oldest first."""
    found: list[BinaryIO] = []
    before = os.fstat(previous.fileno()).st_ino & 0xFFFFFFFF
    for file in reversed(rotated):
        # An older file may have had its number: the newest one counts.
        if _inode(file) == before:
            break
        found.append(file)
    return reversed(found)


def _inode(file: BinaryIO) -> int:
    """Which file a rotated one is, in 32 bits; of a packed one its header tells, see `host.log.squeeze`."""
    head = file.read(HEADER.size)
    file.seek(0)
    if head.startswith(PACKED):
        return int(HEADER.unpack(head)[1])
    return os.fstat(file.fileno()).st_ino & 0xFFFFFFFF


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, packed or not."""
    with contextlib.suppress(EOFError, gzip.BadGzipFile):
        yield from gzip.GzipFile(fileobj=file) if _is_packed(file) else file


def _is_packed(file: BinaryIO) -> bool:
    head = file.read(len(PACKED))
    file.seek(0)
    return head == PACKED


def _lines(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """The whole lines between two offsets, each with the offset after it."""
    file.seek(start)
    while start < end:
        line = file.readline()
        if not line.endswith(b"\n"):
            return
        start += len(line)
        yield line, start


def _backwards(file: BinaryIO, size: int, most: int) -> Iterator[bytes]:
    """The last lines of a file, the last one first."""
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
