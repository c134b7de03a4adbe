"""The sheet between an image and what a container writes: places to mount on, and /.dockerenv; Docker's init layer.

    upper         what this container has written
    init/…        /.dockerenv  /dev/console  /etc/hosts  …  /proc  /sys     shared by all containers
    layers/…      the image

Programs look for /.dockerenv to find out that they are in a container. That these places are in a sheet of their own
keeps them out of what a container has changed (`docker diff`), and spares each start the making of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from kernelkit.engine import peek
from kernelkit.engine.engine import Engine
from kernelkit.image.catalogue import Image

DIRECTORIES = ("dev", "dev/pts", "dev/shm", "etc", "proc", "sys")
FILES = (".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf")
LINKS = {"etc/mtab": "/proc/mounts"}

Owned = tuple[str, int, int, int]  # a directory, its mode, user and group
PLAIN = tuple((path, 0o755, 0, 0) for path in DIRECTORIES)


def sheets(engine: Engine, image: Image) -> tuple[str, ...]:
    """The directories below a container's writable sheet, the lowest first."""
    layers = tuple(image.layers)
    return (*map(os.fspath, layers), _under(engine.home / "init", layers))


@lru_cache(maxsize=256)
def _under(folder: Path, layers: tuple[Path, ...]) -> str:
    """The init layer that fits on this image, made if there is none yet."""
    owned = _owned(layers)
    name = "plain" if owned == PLAIN else hashlib.sha256(repr(owned).encode()).hexdigest()[:12]
    sheet = folder / name
    if not sheet.is_dir():
        _make(sheet, owned)
    return os.fspath(sheet)


def _owned(layers: Sequence[Path]) -> tuple[Owned, ...]:
    """Whose its directories are to be: where the image has the same directory, it is to look as it did."""
    top_first = tuple(reversed(layers))
    found: list[Owned] = []
    for path, mode, uid, gid in PLAIN:
        status = peek.status(top_first, path, links=False)
        if status and stat.S_ISDIR(status.st_mode):
            mode, uid, gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        found.append((path, mode, uid, gid))
    return tuple(found)


def _make(sheet: Path, owned: Sequence[Owned]) -> None:
    """Whole or not at all, whoever else makes the same one meanwhile."""
    sheet.parent.mkdir(exist_ok=True)
    new = Path(tempfile.mkdtemp(dir=sheet.parent))
    new.chmod(0o755)
    for path in DIRECTORIES:
        (new / path).mkdir()
    for path in FILES:
        (new / path).touch()
        (new / path).chmod(0o755)
    for path, target in LINKS.items():
        (new / path).symlink_to(target)
    for path, mode, uid, gid in owned:
        os.chown(new / path, uid, gid)
        os.chmod(new / path, mode)
    try:
        new.rename(sheet)
    except OSError:
        shutil.rmtree(new)
        if not sheet.is_dir():
            raise
