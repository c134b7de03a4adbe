"""A layer: the archive of one step of an image's making, unpacked into a directory that overlay can stack.

What a layer takes away from those below it is written in its archive as files with special names (OCI Image
Specification, "Image Layer Filesystem Changeset", Whiteouts), and in the directory as overlay wants it
(Documentation/filesystems/overlayfs.rst): a character device 0:0 where a file is gone, and the xattr
`trusted.overlay.opaque` on a directory whose former content is.
"""

from __future__ import annotations

import hashlib
import os
import queue
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import InitVar, dataclass
from typing import Any

from kernelkit.image.inflate import PIECE, inflate
from kernelkit.image.manifest import LAYER, Descriptor
from kernelkit.image.press import Press
from kernelkit.kernel.extract import Tree
from kernelkit.kernel.paths import openat2
from kernelkit.kernel.tar import Entry, Stream
from kernelkit.kernel.untar import Limits, untar
from kernelkit.kernel.words import join

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
_AUFS = b".wh..wh."  # notes of the file system that the format comes from; none but OPAQUE means anything

_AHEAD = 4  # pieces that may wait between the thread that decompresses and the one that writes files


@dataclass(frozen=True)
class Unpacked:
    """What came out of a layer: the digest of its tar, the bytes of its files, and what it takes away from below."""

    diff_id: str
    size: int
    removed: tuple[str, ...]
    opaque: tuple[str, ...]


@dataclass(frozen=True)
class UnpackLayer:
    """Decompress a layer's archive, hash it, and unpack it into an empty directory, all at once.

    With `source`, the compressed pieces come from there, while the archive is still being downloaded.  `size` and
    `entries` are the most that it may unpack to.  Whiteouts are only noted: MarkRemoved makes them.
    """

    archive: str
    directory: str
    size: int = Limits.size
    entries: int = Limits.entries
    source: InitVar[Iterable[bytes] | None] = None

    def __post_init__(self, source: Iterable[bytes] | None) -> None:
        object.__setattr__(self, "_source", source)

    def perform(self) -> Unpacked:
        """Raises BadArchive, or OSError with the kernel's answer; the directory is then half full."""
        source: Iterable[bytes] = self._source or pieces_of(self.archive)  # type: ignore[attr-defined]
        plain = _Ahead(inflate(source))
        try:
            return _unpack(plain, self.directory, Limits(self.size, self.entries), plain.hash)
        finally:
            plain.stop()

    def shell(self) -> str:
        """As tar(1) says it."""
        with_attributes = ["--numeric-owner", "--xattrs", "--xattrs-include=*"]
        unpack = join(["tar", "-xpf", self.archive, "-C", self.directory, *with_attributes, "--exclude=.wh.*"])
        return f"{join(['mkdir', self.directory])} && {unpack}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_source": None}


@dataclass(frozen=True)
class KeepLayer:
    """Compress a layer's archive into a file, as it comes from `source`, and unpack it into a directory, at once.

    An archive that is compressed already is decompressed first.
    """

    archive: str
    directory: str
    size: int = Limits.size
    entries: int = Limits.entries
    source: InitVar[Iterable[bytes]] = ()

    def __post_init__(self, source: Iterable[bytes]) -> None:
        object.__setattr__(self, "_source", source)

    def perform(self) -> tuple[Unpacked, Descriptor]:
        """The files, and the blob they are in; raises BadArchive, or OSError with the kernel's answer."""
        press = Press(self.archive)
        try:
            plain = press.passing(inflate(self._source))  # type: ignore[attr-defined]
            unpacked = _unpack(plain, self.directory, Limits(self.size, self.entries), press.plain)
        except BaseException:
            press.finish()
            raise
        blob = Descriptor(f"{LAYER}+gzip", *press.finish())
        return Unpacked(f"sha256:{press.plain.hexdigest()}", unpacked.size, unpacked.removed, unpacked.opaque), blob

    def shell(self) -> str:
        """As tar(1) says it, for an archive on standard input."""
        unpack = ["tar", "-xpf", "-", "-C", self.directory, "--numeric-owner", "--xattrs", "--xattrs-include=*"]
        kept = f"tee >(gzip -1 > {join([self.archive])})"
        return f"{join(['mkdir', self.directory])} && {kept} | {join([*unpack, '--exclude=.wh.*'])}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_source": ()}


@dataclass(frozen=True)
class MarkRemoved:
    """Note in an unpacked layer what it takes away from the layers below, as overlay wants it."""

    directory: str
    removed: tuple[str, ...]
    opaque: tuple[str, ...]

    def perform(self) -> None:
        """A whiteout hides what is below; where the layer itself has a directory of that name, that one is opaque."""
        root = os.open(self.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        tree = Tree(root)
        try:
            for path in map(os.fsencode, self.removed):
                parent, _, name = path.rpartition(b"/")
                directory = tree.directory(parent)
                before = os.stat(directory)
                try:
                    os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=directory)
                except FileExistsError:
                    if stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
                        set_opaque(tree.directory(path))
                else:  # the directory is as old as the archive said, not as this note in it
                    os.utime(".", ns=(before.st_atime_ns, before.st_mtime_ns), dir_fd=directory)
            for path in map(os.fsencode, self.opaque):
                set_opaque(tree.directory(path))
        finally:
            tree.close()
            os.close(root)

    def shell(self) -> str:
        """As mknod(1) and setfattr(1) say it."""
        gone = [join(["mknod", "-m", 0, f"{self.directory}/{path}", "c", 0, 0]) for path in self.removed]
        name = ["-n", "trusted.overlay.opaque", "-v", "y"]
        empty = [join(["setfattr", *name, f"{self.directory}/{path}".rstrip("/")]) for path in self.opaque]
        return " && ".join(gone + empty)


def set_opaque(directory: int) -> None:
    """Hide what lower layers have in this directory; `directory` is a descriptor of it."""
    fd = openat2(directory, ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.setxattr(fd, "trusted.overlay.opaque", b"y")
    except PermissionError:
        # In a user namespace overlay is mounted with `userxattr`, and looks for this one instead.
        os.setxattr(fd, "user.overlay.opaque", b"y")
    finally:
        os.close(fd)


def pieces_of(path: str) -> Iterator[bytes]:
    """A file's content in pieces."""
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(PIECE // 4):
            yield piece


def _unpack(plain: Iterable[bytes], directory: str, limits: Limits, digest: hashlib._Hash) -> Unpacked:
    """Unpack a tar into a directory that is made here, noting whiteouts; `digest` has hashed all of it by the end."""
    removed: list[bytes] = []
    opaque: list[bytes] = []

    def is_a_file(_: Entry, parent: bytes, name: bytes) -> bool:
        if not name.startswith(WHITEOUT):
            return True
        if name == OPAQUE:
            opaque.append(parent)
        elif not name.startswith(_AUFS) and name[4:] not in (b"", b".", b".."):
            removed.append(parent + b"/" + name[4:] if parent else name[4:])
        return False

    os.mkdir(directory, 0o755)
    written = untar(Stream(plain), directory, limits, is_a_file)
    return Unpacked(
        f"sha256:{digest.hexdigest()}",
        written.size,
        tuple(map(os.fsdecode, removed)),
        tuple(map(os.fsdecode, opaque)),
    )


class _Ahead:
    """Produces pieces, and their hash, in a thread of its own, a few ahead of whoever takes them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.hash = hashlib.sha256()
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(_AHEAD)
        self._stopped = False
        self._thread = threading.Thread(target=self._produce, args=(pieces,), name="inflate")
        self._thread.start()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            piece = self._queue.get()
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def stop(self) -> None:
        """End the thread, if it has not ended by itself."""
        self._stopped = True
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                pass
        self._thread.join()

    def _produce(self, pieces: Iterator[bytes]) -> None:
        try:
            for piece in pieces:
                if self._stopped:
                    return
                if piece:
                    self.hash.update(piece)
                    self._queue.put(piece)
            self._queue.put(None)
        except BaseException as error:
            self._queue.put(error)
