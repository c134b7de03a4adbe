"""Paths under a container's root, resolved as the container itself would: no link leads out of it.

An image is somebody else's: `etc -> /` in it must not make the engine mount over the host's files.
openat2(2) with RESOLVE_IN_ROOT does the walk inside the kernel, so nothing can be swapped in between.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from kernelkit.kernel.libc import syscall

SYS_openat2 = 437
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

_HOW = struct.Struct("<QQQ")  # struct open_how: flags, mode, resolve


def openat2(directory: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open a path relative to a directory, with a say in how it is resolved: openat2(2)."""
    how = _HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    return syscall(SYS_openat2, directory, os.fsencode(path), how, ctypes.c_size_t(len(how)), filename=path)


@contextmanager
def root_directory(root: str) -> Iterator[int]:
    """A descriptor of a container's root directory, closed at the end."""
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def open_in_root(root: str, path: str, flags: int) -> int:
    """Open `path` as a process whose root directory is `root` would."""
    with root_directory(root) as directory:
        return openat2(directory, path.lstrip("/") or ".", flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def is_mount_point(name: str | bytes, directory: int) -> bool:
    """Whether something is mounted on that name in an open directory: proc(5), /proc/PID/fdinfo, mnt_id."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        return _mount(fd) != _mount(directory)
    finally:
        os.close(fd)


def make_in_root(root: str, path: str, *, directory: bool, links: bool = True) -> None:
    """Make sure that `path` is there under `root`, as a directory or as a file, with its parents.

    Links inside are followed as the container would follow them, or with `links` false refused by OSError (ELOOP);
    what exists is left as it is.
    """
    with root_directory(root) as base:
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (0 if links else RESOLVE_NO_SYMLINKS)
        parts = [part for part in path.split("/") if part]
        here, there = _deepest(base, parts, resolve)
        try:
            for i in range(there, len(parts)):
                last = i == len(parts) - 1
                try:
                    _make(parts[i], here, directory=directory or not last)
                except FileExistsError:
                    # A link to what is not there: that is what is to be made, wherever in the root it is.
                    target = os.path.join("/".join(parts[:i]), os.readlink(parts[i], dir_fd=here))
                    make_in_root(root, target, directory=directory or not last)
                beyond = openat2(base, "/".join(parts[: i + 1]), os.O_PATH, 0, resolve)
                os.close(here)
                here = beyond
        finally:
            os.close(here)


def _mount(descriptor: int) -> str:
    with open(f"/proc/thread-self/fdinfo/{descriptor}") as about:
        return next(line for line in about if line.startswith("mnt_id:"))


def _deepest(base: int, parts: list[str], resolve: int) -> tuple[int, int]:
    """A descriptor of the deepest that is there of a path, mostly all of it; and how many of its parts that has."""
    for there in range(len(parts), 0, -1):
        with contextlib.suppress(FileNotFoundError):
            return openat2(base, "/".join(parts[:there]), os.O_PATH, 0, resolve), there
    return os.dup(base), 0


def _make(name: str, directory_fd: int, *, directory: bool) -> None:
    if directory:
        os.mkdir(name, 0o755, dir_fd=directory_fd)
    else:
        # Exclusively, or a link would be followed: by us, whose root directory is the host's.
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=directory_fd))
