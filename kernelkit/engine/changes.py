"""What a container has changed: `docker diff`.

A container's writable sheet holds what it has changed, and more: directories that were copied up only because something
in them has changed, files that were opened for writing and left as they were, and the places the engine made to mount
on.  Only what differs from the sheets below is told: added, changed or deleted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from kernelkit.engine import initlayer
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container
from kernelkit.errors import NotFound
from kernelkit.kernel import view
from kernelkit.kernel.view import Parts

CHANGED, ADDED, DELETED = 0, 1, 2  # Docker's numbers for C, A and D

# What every container gets mounted; Docker keeps the places for that in a sheet of their own.
MOUNT_POINTS = frozenset(("/proc", "/sys", "/dev", "/etc", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"))


_NAME = attrgetter("name")


class Change(NamedTuple):
    """One line of `docker diff`: `kind` is one of the three numbers, `path` as os.fsdecode gives it."""

    kind: int
    path: str


def changes(engine: Engine, container: Container) -> Iterator[Change]:
    """What a container has changed in its files, volumes not among them; NotFound when its files are gone."""
    upper = engine.folder(container.id) / "upper"
    if not upper.is_dir():
        return iter(())  # it has never been started
    return compare(os.fspath(upper), below(engine, container))


def below(engine: Engine, container: Container) -> list[str]:
    """The directories under a container's writable sheet, the topmost first."""
    try:
        image = engine.store.find(container.image_id)
    except NotFound:
        raise NotFound(f"the image of container {container.id} has been removed: {container.image_id}") from None
    return list(reversed(initlayer.sheets(engine, image)))


def compare(upper: str, lower: Sequence[str], made: frozenset[str] = MOUNT_POINTS) -> Iterator[Change]:
    """What the upper directory of an overlay changes in the lower ones, given from the top, by path.

    Empty files and directories at the paths in `made` count as not there. Raises OSError.
    """
    with view.opened([upper]) as (top,), view.opened(lower) as under:
        yield from _Walk(made).tree(top, under)


@dataclass(slots=True)
class _Level:
    """A directory on the way down: its path, its descriptor, what is below it, and what of it is still to be seen."""

    path: str
    upper: int
    lower: Parts
    entries: Iterator[os.DirEntry[str]]


class _Walk:
    """Down one tree beside another; not recursive, for a tree may be deeper than Python goes."""

    def __init__(self, made: frozenset[str]) -> None:
        self._made = made
        self._levels: list[_Level] = []
        self._unsaid: list[str] = []  # directories on the way down that are told when something in them is

    def tree(self, upper: int, lower: Parts) -> Iterator[Change]:
        """Everything that is different below the two, a directory before what is in it."""
        self._levels.append(_Level("", os.dup(upper), tuple(map(os.dup, lower)), iter(_sorted(upper))))
        try:
            while self._levels:
                level = self._levels[-1]
                yield from self._beside(level) if level.lower else self._alone(level)
                if self._levels[-1] is level:
                    yield from self._leave(level)
        finally:
            for level in self._levels:
                view.close((level.upper, *level.lower))

    def _beside(self, level: _Level) -> Iterator[Change]:
        """What is different in a directory that has something below it, as far as the next one in it."""
        for entry in level.entries:
            name = entry.name
            full = f"{level.path}/{name}"
            if full in self._made and _is_empty(entry):
                continue
            before = view.look(level.lower, name)
            yield from (
                self._both(level, name, full, entry, *before) if before else self._added(level, name, full, entry)
            )
            if self._levels[-1] is not level:
                return

    def _alone(self, level: _Level) -> Iterator[Change]:
        """The same where nothing is below, so nothing has to be compared."""
        path, unsaid = level.path, self._unsaid
        for entry in level.entries:
            name = entry.name
            full = f"{path}/{name}"
            if not unsaid and entry.is_file(follow_symlinks=False) and full not in self._made:
                yield Change(ADDED, full)
                continue
            if full in self._made and _is_empty(entry):
                continue
            yield from self._added(level, name, full, entry)
            if self._levels[-1] is not level:
                return

    def _both(
        self, level: _Level, name: str, full: str, entry: os.DirEntry[str], old: os.stat_result, part: int
    ) -> Iterable[Change]:
        now = entry.stat(follow_symlinks=False)
        if view.is_whiteout(now):
            return self._say(DELETED, full)
        differs = _differs(old, now)
        if not differs and stat.S_ISREG(now.st_mode):  # setcap(8) changes neither size nor time
            differs = _capabilities(level.upper, name) != _capabilities(level.lower[part], name)
        said = self._say(CHANGED, full) if differs else ()
        if stat.S_ISDIR(now.st_mode):
            if not differs:
                self._unsaid.append(full)
            self._enter(level, name, full, view.enter(level.lower, name, part))
        return said

    def _added(self, level: _Level, name: str, full: str, entry: os.DirEntry[str]) -> Iterable[Change]:
        if entry.is_dir(follow_symlinks=False):
            said: Iterable[Change] = ()
            if full in self._made:
                self._unsaid.append(full)
            else:
                said = self._say(ADDED, full)
            self._enter(level, name, full, ())
            return said
        if entry.is_file(follow_symlinks=False) or entry.is_symlink() or not _is_whiteout(entry):
            return self._say(ADDED, full)
        return ()

    def _enter(self, level: _Level, name: str, full: str, lower: Parts) -> None:
        try:
            (fd,) = view.enter((level.upper,), name)
        except BaseException:
            view.close(lower)
            raise
        self._levels.append(_Level(full, fd, lower, iter(_sorted(fd))))

    def _leave(self, level: _Level) -> Iterator[Change]:
        if level.lower and view.is_opaque(level.upper):
            for name, _ in view.names(level.lower):
                if not _has(level.upper, name):
                    yield from self._say(DELETED, f"{level.path}/{os.fsdecode(name)}")
        if self._unsaid and self._unsaid[-1] == level.path:
            self._unsaid.pop()
        self._levels.pop()
        view.close((level.upper, *level.lower))

    def _say(self, kind: int, path: str) -> Iterable[Change]:
        said = [Change(CHANGED, parent) for parent in self._unsaid]
        self._unsaid.clear()
        return [*said, Change(kind, path)]


def _sorted(fd: int) -> list[os.DirEntry[str]]:
    with os.scandir(fd) as entries:
        return sorted(entries, key=_NAME)


def _differs(old: os.stat_result, now: os.stat_result) -> bool:
    """Docker's idea of it: a directory's size and time say nothing."""
    if (old.st_mode, old.st_uid, old.st_gid, old.st_rdev) != (now.st_mode, now.st_uid, now.st_gid, now.st_rdev):
        return True
    return not stat.S_ISDIR(now.st_mode) and (old.st_size, old.st_mtime_ns) != (now.st_size, now.st_mtime_ns)


def _capabilities(directory: int, name: str) -> bytes:
    try:
        return os.getxattr(f"/proc/self/fd/{directory}/{name}", "security.capability", follow_symlinks=False)
    except OSError:  # it has none
        return b""


def _has(directory: int, name: bytes) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True


def _is_whiteout(entry: os.DirEntry[str]) -> bool:
    return view.is_whiteout(entry.stat(follow_symlinks=False))


def _is_empty(entry: os.DirEntry[str]) -> bool:
    """A file that was made to be mounted on; a directory is one when nothing in it is told."""
    return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_size == 0
