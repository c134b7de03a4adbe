"""Files of this machine as a tar archive, piece by piece, for `cp` into a container."""

from __future__ import annotations

import os
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

PIECE = 1 << 16
END = b"\0" * 2 * tarfile.BLOCKSIZE  # two empty blocks: tar(5)


def pack(path: str, name: str) -> Iterator[bytes]:
    """The archive of a file or folder that goes by `name` in it; nothing but one piece is held in memory.

    `.` is the content of a folder. Owners, modes and times are kept, links are links; sockets are left out.
    """
    seen: dict[tuple[int, int], str] = {}
    for file, inside in _walk(os.fspath(path), name):
        entry = _entry(file, inside, seen)
        if entry is None:
            continue
        yield entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if entry.isreg() and entry.size:
            with open(file, "rb") as content:
                yield from _content(content, entry.size, file)
    yield END


def _walk(path: str, name: str) -> Iterator[tuple[str, str]]:
    yield path, name
    if os.path.islink(path) or not os.path.isdir(path):
        return
    for child in sorted(os.listdir(path)):
        yield from _walk(os.path.join(path, child), f"{name}/{child}")


def _entry(file: str, name: str, seen: dict[tuple[int, int], str]) -> tarfile.TarInfo | None:
    # A TarFile knows how to describe a file; it is told to write nowhere.
    archive = tarfile.TarFile(fileobj=open(os.devnull, "wb"), mode="w")
    try:
        entry = archive.gettarinfo(file, name)
    finally:
        archive.fileobj.close()
    if entry is None:
        return None
    found = os.lstat(file)
    # As text, for a float cannot hold a time to the nanosecond.
    seconds, rest = divmod(found.st_mtime_ns, 1_000_000_000)
    entry.pax_headers = {"mtime": f"{seconds}.{rest:09d}"}
    if entry.isreg():
        key = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and key in seen:
            entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, seen[key], 0
        seen[key] = name
    return entry


def _content(content: BinaryIO, size: int, file: str) -> Iterator[bytes]:
    """As many bytes as the entry has announced: a file that has grown is cut, one that has shrunk is filled up."""
    left = size
    while left:
        piece = content.read(min(left, PIECE))
        if not piece:
            piece = b"\0" * min(left, PIECE)
        left -= len(piece)
        yield piece
    if size % tarfile.BLOCKSIZE:
        yield b"\0" * (tarfile.BLOCKSIZE - size % tarfile.BLOCKSIZE)
