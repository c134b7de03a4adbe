"""A directory that an archive's entries are written into, and nowhere else, whatever the archive says.

Every parent directory is found by openat2(2) with RESOLVE_IN_ROOT: absolute names, `..` and links in the middle end
inside.  The last component is never followed: it is made new, with what was there before removed.  Directories that are
in use are kept open, so an entry costs four system calls.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field

from kernelkit.kernel.paths import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, is_mount_point, openat2
from kernelkit.kernel.rm import remove_tree
from kernelkit.kernel.tar import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    LINK,
    REGULAR,
    SYMLINK,
    BadArchive,
    Entry,
    Stream,
    shown,
)

_RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_OPEN_DIRECTORIES = 128
_SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Overlay's own notes on directories and files (Documentation/filesystems/overlayfs.rst): an archive has no say in them.
_OVERLAYS = (b"trusted.overlay.", b"user.overlay.")
_NODES = {CHARACTER: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK, FIFO: stat.S_IFIFO}
_HOLE = 1 << 15  # bytes of zeros that are worth a hole
_ZEROS = bytes(1 << 20)
# A name that long cannot be used by anybody (limits.h).
_PATH_MAX = 4096


def split(path: bytes) -> tuple[bytes, bytes]:
    """A member's directory and name, as seen from the archive's root; both empty for the root itself.

    Raises BadArchive for a path that leads out.

    >>> split(b"./usr//bin/env")
    (b'usr/bin', b'env')
    """
    if path[:2] == b"./":
        path = path[2:]
    if path[:1] == b"/" or b"//" in path or b"./" in path or path[-1:] in (b".", b"/") or len(path) >= _PATH_MAX:
        path = _clean(path)
    parent, _, name = path.rpartition(b"/")
    return parent, name


def _clean(path: bytes) -> bytes:
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            if not parts:
                raise BadArchive(f"'{shown(path)}' leads out of the archive's directory")
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    cleaned = b"/".join(parts)
    if len(cleaned) >= _PATH_MAX:
        raise BadArchive(f"a name of {len(cleaned)} bytes is longer than the kernel takes")
    return cleaned


@dataclass
class Tree:
    """A directory that entries are written into: `base` below what the descriptor `root` is of.

    Links lead to where a process with that root directory would get.  With `keep_kinds`, a directory is not replaced by
    something else, nor something else by a directory.
    """

    root: int
    base: bytes = b""
    keep_kinds: bool = False
    _open: dict[bytes, int] = field(default_factory=dict)
    _times: dict[bytes, tuple[int, int]] = field(default_factory=dict)  # directory -> mode if special, mtime
    _stale: bool = False
    _uid: int = field(default_factory=os.geteuid)
    _gid: int = field(default_factory=os.getegid)

    def write(self, entry: Entry, parent: bytes, name: bytes, stream: Stream) -> None:
        """Make one entry; its content is taken from the stream."""
        if self._stale or len(self._open) > _OPEN_DIRECTORIES:
            self.close()
        if not name:
            if entry.kind == DIRECTORY:
                root = self.directory(b"")
                os.chmod(".", entry.mode & 0o777, dir_fd=root)
                self._attributes_of_directory(entry, b"", b".", root)
            stream.skip(entry.stored)
            return
        directory = self.directory(parent)
        kind = entry.kind
        if kind == REGULAR:
            self._file(entry, name, directory, stream)
        elif kind == DIRECTORY:
            self._directory(entry, parent, name, directory)
        elif kind == LINK:
            self._link(entry, name, directory)
        elif kind == SYMLINK:
            self._symlink(entry, name, directory)
        elif kind in _NODES:
            self._node(entry, name, directory)
        else:
            raise BadArchive(f"'{shown(entry.name)}' is of a kind that is not known: {kind!r}")

    def directory(self, path: bytes) -> int:
        """A descriptor of a directory below the base, made with its parents where it is missing; stays this tree's."""
        fd = self._open.get(path)
        if fd is None:
            fd = self._open[path] = self._find(path)
        return fd

    def finish(self) -> None:
        """Give directories the times and special modes that could not be given while they were being filled."""
        for path, (mode, mtime) in self._times.items():
            try:
                fd = openat2(self.root, self._path(path), os.O_RDONLY | os.O_DIRECTORY, 0, _RESOLVE)
            except OSError:
                continue  # another entry has taken its place
            try:
                if mode:
                    os.fchmod(fd, mode)
                os.utime(fd, ns=(mtime, mtime))
            finally:
                os.close(fd)

    def close(self) -> None:
        """Close the descriptors of directories."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        self._stale = False

    def _find(self, path: bytes) -> int:
        missing: list[bytes] = []
        there = path
        while True:
            try:
                fd = openat2(self.root, self._path(there), os.O_PATH | os.O_DIRECTORY, 0, _RESOLVE)
                break
            except FileNotFoundError:
                if not there:
                    raise
                there, _, name = there.rpartition(b"/")
                missing.append(name)
            except OSError as error:
                if error.errno != errno.EAGAIN:  # a rename somewhere on the machine made the kernel unsure
                    raise BadArchive(f"'{shown(path)}' cannot be a directory: {error.strerror}") from None
        for name in reversed(missing):
            try:
                os.mkdir(name, 0o755, dir_fd=fd)
                below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            except FileExistsError:
                raise BadArchive(f"'{shown(path)}' leads through a link to nowhere") from None
            finally:
                os.close(fd)
            fd = below
        return fd

    def _path(self, path: bytes) -> str:
        return os.fsdecode(self.base + b"/" + path if self.base and path else self.base or path) or "."

    def _file(self, entry: Entry, name: bytes, directory: int, stream: Stream) -> None:
        try:
            fd = os.open(name, _NEW_FILE, entry.mode & 0o777, dir_fd=directory)
        except FileExistsError:
            self._remove(name, directory, entry)
            fd = os.open(name, _NEW_FILE, entry.mode & 0o777, dir_fd=directory)
        try:
            if entry.parts is not None:
                _write_parts(fd, entry, stream)
            elif entry.stored:
                _write_all(fd, entry.stored, stream)
            if entry.uid != self._uid or entry.gid != self._gid:
                os.fchown(fd, entry.uid, entry.gid)
            if entry.xattrs:
                _set_xattrs(fd, entry)
            if entry.mode & _SPECIAL:  # last, for writing and chown(2) take these bits away
                os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _directory(self, entry: Entry, parent: bytes, name: bytes, directory: int) -> None:
        try:
            os.mkdir(name, entry.mode & 0o777, dir_fd=directory)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
                os.chmod(name, entry.mode & 0o777, dir_fd=directory)
            else:
                self._remove(name, directory, entry)
                os.mkdir(name, entry.mode & 0o777, dir_fd=directory)
        self._attributes_of_directory(entry, parent + b"/" + name if parent else name, name, directory)

    def _attributes_of_directory(self, entry: Entry, path: bytes, name: bytes, directory: int) -> None:
        if entry.uid != self._uid or entry.gid != self._gid:
            os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
        if entry.xattrs:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            try:
                _set_xattrs(fd, entry)
            finally:
                os.close(fd)
        # A set-group-ID directory would give its group to what is made in it, so that bit waits too.
        self._times[path] = (entry.mode if entry.mode & _SPECIAL else 0, entry.mtime)

    def _link(self, entry: Entry, name: bytes, directory: int) -> None:
        parent, target = split(entry.link)
        source = self.directory(parent)
        try:
            try:
                os.link(target, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
            except FileExistsError:
                old, new = os.lstat(target, dir_fd=source), os.lstat(name, dir_fd=directory)
                if os.path.samestat(old, new):  # a link to itself, or the same one again
                    return
                self._remove(name, directory, entry)
                os.link(target, name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)
        except (FileNotFoundError, PermissionError) as error:
            raise BadArchive(f"'{shown(entry.name)}' links to '{shown(entry.link)}': {error.strerror}") from None

    def _symlink(self, entry: Entry, name: bytes, directory: int) -> None:
        if not entry.link or len(entry.link) >= _PATH_MAX:
            raise BadArchive(f"'{shown(entry.name)}' is a link of {len(entry.link)} bytes")
        try:
            os.symlink(entry.link, name, dir_fd=directory)
        except FileExistsError:
            self._remove(name, directory, entry)
            os.symlink(entry.link, name, dir_fd=directory)
        self._own_and_date(entry, name, directory)

    def _node(self, entry: Entry, name: bytes, directory: int) -> None:
        device = os.makedev(entry.major, entry.minor)
        mode = _NODES[entry.kind] | (entry.mode & 0o777)
        try:
            os.mknod(name, mode, device, dir_fd=directory)
        except FileExistsError:
            self._remove(name, directory, entry)
            os.mknod(name, mode, device, dir_fd=directory)
        except PermissionError:
            return  # in a user namespace; a container gets its devices from the engine
        self._own_and_date(entry, name, directory)
        if entry.mode & _SPECIAL:
            os.chmod(name, entry.mode, dir_fd=directory)

    def _own_and_date(self, entry: Entry, name: bytes, directory: int) -> None:
        if entry.uid != self._uid or entry.gid != self._gid:
            os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=directory, follow_symlinks=False)

    def _remove(self, name: bytes, directory: int, entry: Entry) -> None:
        """Make room for an entry that comes a second time, as something else perhaps."""
        is_directory = stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode)
        if self.keep_kinds and is_directory != (entry.kind == DIRECTORY):
            kinds = ("directory", "non-directory") if is_directory else ("non-directory", "directory")
            place = "/" + os.fsdecode(self.base).strip("/")
            path = f"{place.rstrip('/')}/{shown(entry.name).rstrip('/')}"
            raise BadArchive(f'cannot overwrite {kinds[0]} "{path}" with {kinds[1]} "{place}"')
        if is_mount_point(name, directory):
            # From another mount namespace unlink(2) and rmdir(2) would take the mount away with its place.
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), f"/{self._path(entry.name.strip(b'/'))}")
        if is_directory:
            remove_tree(name, directory)
            self._stale = True  # among the open directories may be one that has just gone
        else:
            os.unlink(name, dir_fd=directory)


def _write(fd: int, data: bytes | memoryview) -> None:
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])


def _write_all(fd: int, size: int, stream: Stream) -> None:
    """The content of a file; what is zeros for a while becomes a hole, as it may have been."""
    is_hole = False
    for part in stream.parts(size):
        is_hole = len(part) >= _HOLE and part[:64] == _ZEROS[:64] and bytes(part) == _ZEROS[: len(part)]
        if is_hole:
            os.lseek(fd, len(part), os.SEEK_CUR)
        else:
            _write(fd, part)
    if is_hole:
        os.ftruncate(fd, size)


def _write_parts(fd: int, entry: Entry, stream: Stream) -> None:
    os.ftruncate(fd, entry.size)
    for offset, length in entry.parts or ():
        os.lseek(fd, offset, os.SEEK_SET)
        for part in stream.parts(length):
            _write(fd, part)


def _set_xattrs(fd: int, entry: Entry) -> None:
    for name, value in entry.xattrs.items():
        if name.startswith(_OVERLAYS):
            continue
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            # A file system without them, or a namespace in which one may not: Docker goes on as well.
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise
