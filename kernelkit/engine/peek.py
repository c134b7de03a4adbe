"""Reads a file of a container that is not mounted, by looking through its layers from the top as overlayfs would."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from kernelkit.kernel.paths import open_in_root

LARGEST = 1 << 20  # /etc/passwd is never larger; a hostile one must not fill the engine's memory


def read(layers: Sequence[Path], path: str) -> str:
    """The text of a regular file, from the topmost of `layers` (given top first) that knows it; "" when none does."""
    for layer in layers:
        if is_hidden(layer, path):
            return ""
        try:
            fd = open_in_root(os.fspath(layer), path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
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
            continue
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)
    return None


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
