"""Reads a file of a container that is not mounted, by looking through its layers from the top as overlayfs would."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from kernelkit.kernel import view
from kernelkit.kernel.paths import open_in_root

OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
MOST_STEPS = 4096  # of a path and the links in it: whoever needs more goes around in a circle
LARGEST = 1 << 20  # /etc/passwd is never larger; a hostile one must not fill the engine's memory


def read(layers: Sequence[Path], path: str) -> str:
    """The text of a regular file, from the topmost of `layers` (given top first) that knows it; "" when none does."""
    for layer in layers:
        if is_hidden(layer, path):
            return ""
        try:
            fd = open_in_root(os.fspath(layer), path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            if hides_below(layer, path):
                return ""
            continue
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                return os.read(fd, LARGEST).decode("utf-8", "replace")
            return ""
        finally:
            os.close(fd)
    return ""


def status(layers: Sequence[Path], path: str, *, links: bool = True) -> os.stat_result | None:
    """What the topmost of `layers` (given top first) has there, a link followed or not; None when none has it."""
    for layer in layers:
        if is_hidden(layer, path):
            return None
        try:
            fd = open_in_root(os.fspath(layer), path, os.O_PATH | (0 if links else os.O_NOFOLLOW))
        except OSError:
            if hides_below(layer, path):
                return None
            continue
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)
    return None


def resolve(layers: Sequence[Path], path: str) -> str:
    """The path with its links followed, wherever in `layers` (given top first) they and what they lead to are."""
    here: list[str] = []
    left = path.split("/")[::-1]
    for _ in range(MOST_STEPS):
        if not left:
            break
        part = left.pop()
        if part == "..":
            del here[-1:]
        elif part not in ("", "."):
            target = _link(layers, "/".join([*here, part]))
            if target is None:
                here.append(part)
            else:
                if target.startswith("/"):
                    here.clear()
                left += target.split("/")[::-1]
    return "/" + "/".join([*here, *left[::-1]])


def is_hidden(layer: Path, path: str) -> bool:
    """Whether this layer says that the file, or a directory on the way to it, is gone: a whiteout."""
    here = layer
    for part in path.strip("/").split("/"):
        here = here / part
        try:
            found = os.lstat(here)
        except OSError:
            return False
        if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
            return True
        if not stat.S_ISDIR(found.st_mode):
            return False
    return False


def hides_below(layer: Path, path: str) -> bool:
    """Whether a directory on the way to a path that is not in this layer hides what is below it: an opaque one."""
    here = layer
    for part in path.strip("/").split("/"):
        here = here / part
        if not here.is_dir() or here.is_symlink():
            return False
        if is_opaque(here):
            return True
    return False


def is_opaque(path: Path) -> bool:
    """Whether overlayfs shows nothing of what lower layers have in a directory."""
    for name in OPAQUE:
        try:
            if os.getxattr(path, name, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False


def _link(layers: Sequence[Path], path: str) -> str | None:
    """Where the link leads that is at a path without any other in it; None when there is no link."""
    *parents, name = path.split("/")
    with ExitStack() as opened:
        parts = opened.enter_context(view.opened(map(os.fspath, layers)))
        for parent in parents:
            parts = view.enter(parts, parent)
            opened.callback(view.close, parts)
        found = view.look(parts, name)
        return os.readlink(name, dir_fd=parts[found[1]]) if found and stat.S_ISLNK(found[0].st_mode) else None
