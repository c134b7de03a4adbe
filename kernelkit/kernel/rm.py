"""What rm(1) with -rf does, for trees of any depth: nothing is followed, and what cannot be removed stays."""

from __future__ import annotations

import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str | bytes | os.PathLike[str], directory: int | None = None) -> bool:
    """Remove a file, or a directory with all that is in it; whether nothing is left of it.

    A tree may be deeper than Python, or the number of open files, goes: directories in it are moved up to its top
    before they are emptied.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path, dir_fd=directory).st_mode):
            os.unlink(path, dir_fd=directory)
            return True
        top = os.open(path, _DIRECTORY, dir_fd=directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        _empty(top)
    finally:
        os.close(top)
    return _removed(path, directory)


def _empty(top: int) -> None:
    prefix, moved = os.urandom(8).hex(), 0
    waiting = _remove_files(top)
    while waiting:
        name = waiting.pop()
        try:
            here = os.open(name, _DIRECTORY, dir_fd=top)
        except OSError:
            continue
        try:
            for below in _remove_files(here):
                moved += 1
                try:
                    if not _removed(below, here):  # most directories on the way down are small, some are empty
                        os.rename(below, f"{prefix}.{moved}", src_dir_fd=here, dst_dir_fd=top)
                        waiting.append(f"{prefix}.{moved}")
                except OSError:
                    continue
        finally:
            os.close(here)
        _removed(name, top)


def _remove_files(fd: int) -> list[str]:
    """Remove what is no directory; the names of those that are."""
    below = []
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            below.append(name)
            continue
        try:
            os.unlink(name, dir_fd=fd)
        except OSError:
            continue
    return below


def _removed(path: str | bytes | os.PathLike[str], directory: int | None) -> bool:
    try:
        os.rmdir(path, dir_fd=directory)
    except OSError:
        return False
    return True
