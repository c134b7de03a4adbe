"""Writes files into a new directory as they are met on a walk through another one: the second half of cp(1) with -a.

Times are whole seconds, as archives have them, so that what was copied and what was unpacked is the same.  The thread
that does it has a umask of zero.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass
class Mirror:
    """A directory in the making: `root` is a descriptor of it, the caller's to close, `size` the bytes of its files."""

    root: int
    size: int = 0
    _levels: list[tuple[int, os.stat_result]] = field(default_factory=list)
    _uid: int = field(default_factory=os.geteuid)
    _gid: int = field(default_factory=os.getegid)

    def itself(self, status: os.stat_result) -> None:
        """Give the directory itself its owner and mode; its time says nothing."""
        self._own(self.root, status)
        os.fchmod(self.root, stat.S_IMODE(status.st_mode))
        os.utime(self.root, ns=(0, 0))

    def enter(
        self,
        name: bytes,
        status: os.stat_result,
        xattrs: Mapping[bytes, bytes],
        opaque: bool = False,
    ) -> None:
        """Make a directory, and go into it; an opaque one hides what the sheets below have in it."""
        os.mkdir(name, status.st_mode & 0o777, dir_fd=self._here)
        fd = os.open(name, _DIRECTORY, dir_fd=self._here)
        self._levels.append((fd, status))
        self._own(fd, status)
        _set_xattrs(fd, xattrs)
        if opaque:
            set_opaque(fd)

    def leave(self) -> None:
        """Leave a directory: what is in it is complete, so it gets its time, and the modes that would be inherited."""
        fd, status = self._levels.pop()
        try:
            if status.st_mode & _SPECIAL:
                os.fchmod(fd, stat.S_IMODE(status.st_mode))
            _date(fd, status)
        finally:
            os.close(fd)

    def file(self, name: bytes, status: os.stat_result, xattrs: Mapping[bytes, bytes]) -> int:
        """Make a file; a descriptor to write its content to, the caller's to close."""
        fd = os.open(name, _NEW_FILE, status.st_mode & 0o777, dir_fd=self._here)
        if xattrs:
            _set_xattrs(fd, xattrs)
        return fd

    def written(self, fd: int, status: os.stat_result) -> None:
        """The file has its content; it gets the rest, in the order that takes nothing away again."""
        self.size += status.st_size
        self._own(fd, status)
        if status.st_mode & _SPECIAL:
            os.fchmod(fd, stat.S_IMODE(status.st_mode))
        _date(fd, status)

    def link(self, first: bytes, name: bytes) -> None:
        """Give a file that is here another name; `first` is its path from the root."""
        os.link(first, name, src_dir_fd=self.root, dst_dir_fd=self._here, follow_symlinks=False)

    def special(self, name: bytes, status: os.stat_result, link: bytes) -> None:
        """Make a symbolic link, or a node of another kind."""
        here = self._here
        if stat.S_ISLNK(status.st_mode):
            os.symlink(link, name, dir_fd=here)
        else:
            try:
                os.mknod(name, status.st_mode, status.st_rdev, dir_fd=here)
            except PermissionError:
                return  # in a user namespace; a container gets its devices from the engine
        if (status.st_uid, status.st_gid) != (self._uid, self._gid):
            os.chown(name, status.st_uid, status.st_gid, dir_fd=here, follow_symlinks=False)
        when = _seconds(status)
        os.utime(name, ns=(when, when), dir_fd=here, follow_symlinks=False)

    def whiteout(self, name: bytes) -> None:
        """Note that what the sheets below have of that name is gone."""
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=self._here)

    def close(self) -> None:
        """Close the directories that were not left."""
        while self._levels:
            os.close(self._levels.pop()[0])

    @property
    def _here(self) -> int:
        return self._levels[-1][0] if self._levels else self.root

    def _own(self, fd: int, status: os.stat_result) -> None:
        if (status.st_uid, status.st_gid) != (self._uid, self._gid):
            os.fchown(fd, status.st_uid, status.st_gid)


def write(fd: int, data: bytes) -> None:
    """Write all of it: write(2) may take less."""
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])


def set_opaque(fd: int) -> None:
    """Hide what lower layers have in an open directory."""
    try:
        os.setxattr(fd, "trusted.overlay.opaque", b"y")
    except PermissionError:
        # In a user namespace overlay is mounted with `userxattr`, and looks for this one instead.
        os.setxattr(fd, "user.overlay.opaque", b"y")


def _set_xattrs(fd: int, xattrs: Mapping[bytes, bytes]) -> None:
    for name, value in xattrs.items():
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            # A file system without them, or a namespace in which one may not: as when an archive is unpacked.
            if error.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


def _seconds(status: os.stat_result) -> int:
    """The time of the last change of content, without parts of a second, in nanoseconds."""
    return status.st_mtime_ns // 1_000_000_000 * 1_000_000_000


def _date(fd: int, status: os.stat_result) -> None:
    when = _seconds(status)
    os.utime(fd, ns=(when, when))
