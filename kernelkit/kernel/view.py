"""Directories laid on each other as overlayfs lays them, read without mounting anything.

    upper    a/x            (b whited out)       a directory of the view is a tuple of descriptors, the topmost first,
    layer 2        b/y                           of the directories that make it up; what lies under a whiteout, a file
    layer 1  a/z   b/w      c                    or an opaque directory is no part of it

Documentation/filesystems/overlayfs.rst of the kernel, "Upper and Lower", "whiteouts and opaque directories".
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

Parts = tuple[int, ...]

OVERLAYS = ("trusted.overlay.", "user.overlay.")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(directories: Iterable[str]) -> Iterator[Parts]:
    """The root of the view of these directories, given from the top; closed at the end. Raises OSError."""
    parts: list[int] = []
    try:
        for directory in directories:
            parts.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        yield tuple(parts)
    finally:
        close(tuple(parts))


def close(parts: Parts) -> None:
    """Close a directory of the view."""
    for fd in parts:
        os.close(fd)


def look(parts: Parts, name: str | bytes) -> tuple[os.stat_result, int] | None:
    """What has that name in a directory of the view: its status, and which of the parts has it; None for nothing."""
    for number, fd in enumerate(parts):
        try:
            status = os.lstat(name, dir_fd=fd)
        except FileNotFoundError:
            continue
        return None if is_whiteout(status) else (status, number)
    return None


def enter(parts: Parts, name: str | bytes, first: int = 0) -> Parts:
    """The directory of that name in the view, to be closed by the caller; `first` is the topmost part that has it."""
    found: list[int] = []
    try:
        for fd in parts[first:]:
            try:
                found.append(os.open(name, _DIRECTORY, dir_fd=fd))
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):  # a file or a whiteout: what is below is hidden
                    break
                raise
            if len(parts) > 1 and is_opaque(found[-1]):
                break
    except BaseException:
        close(tuple(found))
        raise
    return tuple(found)


def names(parts: Parts) -> list[tuple[bytes, int]]:
    """The names in a directory of the view, sorted, each with the number of the part that has it."""
    if len(parts) == 1:
        return [(name, 0) for name in sorted(map(os.fsencode, os.listdir(parts[0])))]
    found: dict[bytes, int] = {}
    for number, fd in enumerate(parts):
        with os.scandir(fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if name not in found:
                    found[name] = -1 if _may_be_whiteout(entry) and is_whiteout(os.lstat(name, dir_fd=fd)) else number
    return sorted((name, number) for name, number in found.items() if number >= 0)


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this says that what is below has gone: a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: int) -> bool:
    """Whether an open directory hides what the sheets below have in it."""
    for prefix in OVERLAYS:
        try:
            if os.getxattr(directory, f"{prefix}opaque") == b"y":
                return True
        except OSError:  # it has no such note, or this file system or user cannot have one
            continue
    return False


def _may_be_whiteout(entry: os.DirEntry[str]) -> bool:
    """Told by what the directory itself says of its entries, without a call for each."""
    return not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False) or entry.is_symlink())
