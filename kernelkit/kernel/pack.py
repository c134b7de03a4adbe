"""Writes a directory as a tar archive, streaming; the same files always give the same bytes.

Sorted by name, whole seconds, numeric owners, no names of users; pax headers only for what ustar has no room for
(pax(1), "pax Header Block").  With `layer`, the directory is the upper side of an overlay, and what it hides from the
layers below is written the way image layers say it (OCI Image Specification, "Whiteouts").
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from kernelkit.kernel.tar import BLOCK, BLOCK_DEVICE, CHARACTER, DIRECTORY, FIFO, LINK, REGULAR, SYMLINK

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
PIECE = 1 << 18  # bytes given on at once, about
END = bytes(2 * BLOCK)

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_LARGEST = 0o77777777777  # what eleven octal digits hold
_LARGEST_OWNER = 0o7777777
_KINDS = {
    stat.S_IFREG: REGULAR,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFIFO: FIFO,
}
_OVERLAYS = ("trusted.overlay.", "user.overlay.")
_NOT_OURS = (*_OVERLAYS, "security.selinux")


def pack(directory: str, *, layer: bool = False, prefix: bytes = b"") -> Iterator[bytes]:
    """The archive of a directory's content in pieces, its end included; names begin with `prefix`.

    Sockets are left out, as tar(1) does.  Raises OSError.
    """
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        packer = _Packer(layer)
        status = os.fstat(root)
        if prefix or (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != (0o755, 0, 0):
            yield header(prefix or b"./", DIRECTORY, status, mtime=int(status.st_mtime) if prefix else 0)
        yield from packer.tree(root, prefix)
        yield packer.rest() + END
    finally:
        os.close(root)


def header(
    name: bytes,
    kind: bytes,
    status: os.stat_result | None = None,
    *,
    size: int = 0,
    link: bytes = b"",
    mtime: int | None = None,
    xattrs: dict[bytes, bytes] | None = None,
    mode: int = 0o644,
) -> bytes:
    """One member's header, with a pax header before it if need be.

    Without a `status`, the member belongs to root and has the given mode.
    """
    uid = gid = major = minor = 0
    when = mtime or 0
    if status is not None:
        mode, uid, gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        when = int(status.st_mtime // 1) if mtime is None else mtime
        if kind in (CHARACTER, BLOCK_DEVICE):
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    extended: dict[bytes, bytes] = {}
    short, before = name, b""
    if len(name) > 100 or not name.isascii():
        cut = name.rfind(b"/", 0, 156)
        if name.isascii() and cut > 0 and len(name) - cut - 1 <= 100 and cut < len(name) - 1:
            before, short = name[:cut], name[cut + 1 :]
        else:
            extended[b"path"] = name
            short = name[:100]
    if len(link) > 100 or not link.isascii():
        extended[b"linkpath"] = link
    for key, number, most in ((b"uid", uid, _LARGEST_OWNER), (b"gid", gid, _LARGEST_OWNER), (b"size", size, _LARGEST)):
        if number > most:
            extended[key] = b"%d" % number
    if not 0 <= when <= _LARGEST:
        extended[b"mtime"] = b"%d" % when
    for key, value in sorted((xattrs or {}).items()):
        extended[b"SCHILY.xattr." + key] = value
    block = _block(short, kind, mode, uid, gid, size, when, link, major, minor, before)
    if not extended:
        return block
    records = b"".join(_record(key, value) for key, value in sorted(extended.items()))
    first = _block(b"PaxHeaders/" + short[:80], b"x", 0o644, 0, 0, len(records), 0, b"", 0, 0, b"")
    return first + records + bytes(-len(records) % BLOCK) + block


def padding(size: int) -> bytes:
    """What follows a content of so many bytes."""
    return bytes(-size % BLOCK)


@dataclass
class _Packer:
    is_layer: bool
    _seen: dict[tuple[int, int], bytes] = field(default_factory=dict)  # hard-linked file -> its first name
    _parts: list[bytes] = field(default_factory=list)
    _size: int = 0

    def tree(self, root: int, prefix: bytes) -> Iterator[bytes]:
        """Everything in a directory, in order; not recursive, for a tree may be deeper than Python goes."""
        levels = [(os.dup(root), prefix, iter(_names(root)))]
        try:
            while levels:
                fd, path, names = levels[-1]
                name = next(names, None)
                if name is None:
                    os.close(levels.pop()[0])
                    continue
                status = os.lstat(name, dir_fd=fd)
                kind = _KINDS.get(status.st_mode & 0o170000)
                if kind == REGULAR:
                    yield from self._file(name, path + name, status, fd)
                elif kind == DIRECTORY:
                    below = os.open(name, _READ | os.O_DIRECTORY, dir_fd=fd)
                    levels.append((below, path + name + b"/", iter(_names(below))))
                    self._directory(below, path + name + b"/", status)
                elif kind is not None:
                    self._special(name, path, kind, status, fd)
                if self._size >= PIECE:
                    yield self.rest()
        finally:
            for fd, _, _ in levels:
                os.close(fd)

    def rest(self) -> bytes:
        """What has been collected and not given on yet."""
        collected = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return collected

    def _add(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)

    def _is_known(self, full: bytes, status: os.stat_result) -> bool:
        """Whether a file with several names has come before; it is then a link to its first name."""
        first = self._seen.setdefault((status.st_dev, status.st_ino), full)
        if first is full:
            return False
        self._add(header(full, LINK, status, link=first))
        return True

    def _directory(self, fd: int, full: bytes, status: os.stat_result) -> None:
        names = _listed(fd)
        self._add(header(full, DIRECTORY, status, xattrs=_xattrs(fd, names)))
        if self.is_layer and any(_is_opaque(fd, name) for name in names):
            self._add(header(full + OPAQUE, REGULAR, mode=0))

    def _special(self, name: bytes, path: bytes, kind: bytes, status: os.stat_result, parent: int) -> None:
        if self.is_layer and kind == CHARACTER and status.st_rdev == 0:
            # All whiteouts of an overlay may be one file with many names; its time says nothing.
            self._add(header(path + WHITEOUT + name, REGULAR, mode=0))
        elif status.st_nlink == 1 or not self._is_known(path + name, status):
            link = os.readlink(name, dir_fd=parent) if kind == SYMLINK else b""
            self._add(header(path + name, kind, status, link=link))

    def _file(self, name: bytes, full: bytes, status: os.stat_result, parent: int) -> Iterator[bytes]:
        if status.st_nlink > 1 and self._is_known(full, status):
            return
        fd = os.open(name, _READ, dir_fd=parent)
        try:
            left = size = status.st_size
            self._add(header(full, REGULAR, status, size=size, xattrs=_xattrs(fd, _listed(fd))))
            while left:
                part = os.read(fd, min(left, PIECE))
                if not part:  # it has become shorter since; the header has been written
                    part = bytes(min(left, PIECE))
                self._add(part)
                left -= len(part)
                if self._size >= PIECE:
                    yield self.rest()
            if size % BLOCK:
                self._add(padding(size))
        finally:
            os.close(fd)


def _names(fd: int) -> list[bytes]:
    return sorted(map(os.fsencode, os.listdir(fd)))


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
    return name.startswith(_OVERLAYS) and name.endswith(".opaque") and os.getxattr(fd, name) == b"y"


def _block(
    name: bytes, kind: bytes, mode: int, uid: int, gid: int, size: int, mtime: int, link: bytes,
    major: int, minor: int, prefix: bytes,
) -> bytes:  # fmt: skip
    device = b"%07o\0%07o\0" % (major, minor) if kind in (CHARACTER, BLOCK_DEVICE) else b"0000000\x000000000\x00"
    block = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0        %s%sustar\x0000%s%s%s" % (
        name[:100].ljust(100, b"\0"), mode, min(uid, _LARGEST_OWNER), min(gid, _LARGEST_OWNER),
        min(size, _LARGEST), min(max(mtime, 0), _LARGEST), kind, link[:100].ljust(100, b"\0"), bytes(64), device,
        prefix.ljust(167, b"\0"),
    )  # fmt: skip
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where the length counts its own digits."""
    rest = b" %s=%s\n" % (key, value)
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return b"%d%s" % (length, rest)
