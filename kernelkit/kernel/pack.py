"""Writes a directory as a tar archive, streaming; the same files always give the same bytes.

Sorted by name, whole seconds, numeric owners, no names of users; pax headers only for what ustar has no room for
(pax(1), "pax Header Block").  With `layer`, the directory is the upper side of an overlay, and what it hides from the
layers below is written the way image layers say it (OCI Image Specification, "Whiteouts").
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from kernelkit.kernel import view
from kernelkit.kernel.header import END, file_header, header
from kernelkit.kernel.tar import BLOCK, BLOCK_DEVICE, CHARACTER, DIRECTORY, FIFO, LINK, REGULAR, SYMLINK
from kernelkit.kernel.view import Parts

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
PIECE = 1 << 18  # bytes given on at once, about

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_KINDS = {
    stat.S_IFREG: REGULAR,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFIFO: FIFO,
}
_PADDING = bytes(BLOCK)
_NOT_OURS = (*view.OVERLAYS, "security.selinux")

Made = frozenset[bytes]


def pack(
    *directories: str,
    layer: bool = False,
    prefix: bytes = b"",
    below: Sequence[str] = (),
    made: Made = frozenset(),
) -> Generator[bytes, None, int]:
    """The archive of a directory's content in pieces, its end included; returns the bytes of all files in it.

    Names begin with `prefix`.

    Several directories, given from the top, are packed as overlayfs would show them.  With `layer`, one is packed as a
    layer over the directories `below`: those of its own that only lead to a change are left out when there is none, and
    so is what is empty at the paths in `made`.  Sockets are left out, as tar(1) does.  Raises OSError.
    """
    with view.opened(directories) as roots, view.opened(below) as under:
        packer = _Packer(layer, made, is_view=not layer)
        status = os.fstat(roots[0])
        is_plain = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o755, 0, 0)
        if prefix or not (_is_same_directory(roots[0], under[0]) if under else is_plain):
            yield header(prefix or b"./", DIRECTORY, status, mtime=int(status.st_mtime) if prefix else 0)
        yield from packer.tree(roots, under, prefix)
        yield packer.rest() + END
        return packer.size


def pack_open(name: bytes, directory: int, as_name: bytes, hollow: frozenset[int] = frozenset()) -> Iterator[bytes]:
    """The archive of one file, or of a directory with all that is in it, under another name, its end included.

    `name` is looked up in the open directory and not followed when it is a link.  Directories on other devices that are
    in `hollow` are packed without what is in them.  What vanishes meanwhile is left out.
    """
    packer = _Packer(hollow=hollow - {os.lstat(name, dir_fd=directory).st_dev})
    status = os.lstat(name, dir_fd=directory)
    if stat.S_ISDIR(status.st_mode):
        fd = os.open(name, _READ | os.O_DIRECTORY, dir_fd=directory)
        try:
            packer.directory(fd, as_name.rstrip(b"/") + b"/", status)
            yield from packer.tree((fd,), (), as_name.rstrip(b"/") + b"/")
        finally:
            os.close(fd)
    else:
        yield from packer.one(name, as_name, status, directory)
    yield packer.rest() + END


@dataclass(slots=True)
class _Level:
    """A directory on the way down: what is in it is named `path` + …; `held` is its header while that is not needed."""

    path: bytes
    parts: Parts
    under: Parts
    names: Iterator[tuple[bytes, int]]
    held: bytes = b""


@dataclass
class _Packer:
    is_layer: bool = False
    made: Made = frozenset()
    is_view: bool = False  # of sheets, in which a whiteout of what is nowhere shows as little as any other
    hollow: frozenset[int] = frozenset()
    size: int = 0  # bytes of files so far
    _seen: dict[tuple[int, int], bytes] = field(default_factory=dict)  # hard-linked file -> its first name
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0
    _levels: list[_Level] = field(default_factory=list)
    _holding: bool = False

    def tree(self, roots: Parts, under: Parts, prefix: bytes) -> Iterator[bytes]:
        """Everything in a directory, in order; not recursive, for a tree may be deeper than Python goes."""
        levels = self._levels
        levels.append(_Level(prefix, tuple(map(os.dup, roots)), tuple(map(os.dup, under)), iter(view.names(roots))))
        try:
            while levels:
                level = levels[-1]
                name, part = next(level.names, (b"", 0))
                if not name:
                    self._leave()
                    continue
                fd = level.parts[part]
                try:
                    status = os.lstat(name, dir_fd=fd)
                except FileNotFoundError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    self._enter(level, name, part, status)
                elif self._is_hidden(level.path + name, status):
                    continue
                else:
                    yield from self.one(name, level.path + name, status, fd)
                if self._size >= PIECE:
                    yield self.rest()
        finally:
            for level in levels:
                view.close(level.parts + level.under)
            levels.clear()

    def one(self, name: bytes, full: bytes, status: os.stat_result, parent: int) -> Iterator[bytes]:
        """Something that is no directory."""
        kind = _KINDS.get(status.st_mode & 0o170000)
        if kind == REGULAR:
            yield from self._file(name, full, status, parent)
        elif kind is not None:
            self._special(name, full, kind, status, parent)

    def directory(self, fd: int, full: bytes, status: os.stat_result) -> None:
        """A directory's own header; `full` ends in a slash."""
        listed = _listed(fd)
        xattrs = _xattrs(fd, listed)
        is_opaque = self.is_layer and any(_is_opaque(fd, each) for each in listed)
        self._add(header(full, DIRECTORY, status, xattrs=xattrs))
        if is_opaque:
            self._add(header(full + OPAQUE, REGULAR, mode=0))

    def rest(self) -> bytes:
        """What has been collected and not given on yet."""
        collected = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return collected

    def _add(self, part: bytes) -> None:
        if self._holding:
            for level in self._levels:
                if level.held:
                    self._parts.append(level.held)
                    level.held = b""
            self._holding = False
        self._parts.append(part)
        self._size += len(part)

    def _enter(self, level: _Level, name: bytes, part: int, status: os.stat_result) -> None:
        full = level.path + name + b"/"
        if status.st_dev in self.hollow:
            self._add(header(full, DIRECTORY, status))
            return
        parts = view.enter(level.parts[:1] if self.is_layer else level.parts, name, part)
        if not parts:
            return  # it has just gone
        under = view.enter(level.under, name) if level.under else ()
        below = _Level(full, parts, under, iter(view.names(parts)))
        self._levels.append(below)
        if _is_same_directory(parts[0], under[0]) if under else level.path + name in self.made:
            xattrs = _xattrs(parts[0], _listed(parts[0]))
            below.held = header(full, DIRECTORY, status, xattrs=xattrs)
            self._holding = True
        else:
            self.directory(parts[0], full, status)

    def _is_hidden(self, full: bytes, status: os.stat_result) -> bool:
        if self.is_view and view.is_whiteout(status):
            return True
        return bool(self.made) and full in self.made and not status.st_size

    def _leave(self) -> None:
        level = self._levels.pop()
        view.close(level.parts + level.under)

    def _is_known(self, full: bytes, status: os.stat_result) -> bool:
        """Whether a file with several names has come before; it is then a link to its first name."""
        first = self._seen.setdefault((status.st_dev, status.st_ino), full)
        if first is full:
            return False
        self._add(header(full, LINK, status, link=first))
        return True

    def _special(self, name: bytes, full: bytes, kind: bytes, status: os.stat_result, parent: int) -> None:
        if self.is_layer and view.is_whiteout(status):
            # All whiteouts of an overlay may be one file with many names; its time says nothing.
            self._add(header(full[: len(full) - len(name)] + WHITEOUT + name, REGULAR, mode=0))
        elif status.st_nlink == 1 or not self._is_known(full, status):
            try:
                link = os.readlink(name, dir_fd=parent) if kind == SYMLINK else b""
            except FileNotFoundError:
                return
            self._add(header(full, kind, status, link=link))

    def _file(self, name: bytes, full: bytes, status: os.stat_result, parent: int) -> Iterator[bytes]:
        if status.st_nlink > 1 and self._is_known(full, status):
            return
        try:
            fd = os.open(name, _READ, dir_fd=parent)
        except FileNotFoundError:
            return
        try:
            listed = _listed(fd)
            xattrs = _xattrs(fd, listed) if listed else {}
            left = size = status.st_size
            self.size += size
            self._add(file_header(full, status, xattrs))
            while left:
                part = os.read(fd, left if left < PIECE else PIECE)
                if not part:  # it has become shorter since; the header has been written
                    part = bytes(min(left, PIECE))
                self._parts.append(part)
                self._size += len(part)
                left -= len(part)
                if self._size >= PIECE:
                    yield self.rest()
            if size % BLOCK:
                self._parts.append(_PADDING[size % BLOCK :])
        finally:
            os.close(fd)


def _is_same_directory(upper: int, lower: int) -> bool:
    """Whether a directory was copied up only because of what is in it, and hides nothing."""
    one, other = os.fstat(upper), os.fstat(lower)
    if (one.st_mode, one.st_uid, one.st_gid) != (other.st_mode, other.st_uid, other.st_gid):
        return False
    names = _listed(upper)
    return not view.is_opaque(upper) and _xattrs(upper, names) == _xattrs(lower, _listed(lower))


def _listed(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise


def _xattrs(fd: int, names: list[str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.getxattr(fd, name) for name in names if not name.startswith(_NOT_OURS)}


def _is_opaque(fd: int, name: str) -> bool:
    return name.startswith(view.OVERLAYS) and name.endswith(".opaque") and os.getxattr(fd, name) == b"y"
