"""Files into a container and out of it: `docker cp`, both ways, as tar archives that stream by."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kernelkit.engine import facts
from kernelkit.engine.engine import Engine
from kernelkit.engine.model import Container, timestamp
from kernelkit.engine.place import Place, entered
from kernelkit.errors import Forbidden, InvalidRequest, KernelkitError, NotFound
from kernelkit.image.inflate import inflate
from kernelkit.kernel.cp import UnpackInto
from kernelkit.kernel.pack import pack_open
from kernelkit.kernel.tar import BadArchive
from kernelkit.trace import Trace, explain_within

Json = dict[str, Any]

# Go's os.FileMode: permissions below, what the file is above.
_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_GO_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


@dataclass(frozen=True)
class _Found:
    """Something in a container: `name` in the open `directory`, called `base` by whoever asked."""

    directory: int
    name: bytes
    base: str
    status: os.stat_result


def look(engine: Engine, container: Container, path: str) -> Json:
    """Docker's `ContainerPathStat` of what is at a path, a link itself and not what it leads to; NotFound."""
    with entered(engine, container) as place, _found(place, container, path) as found:
        return _about(place, path, found)


def take(engine: Engine, container: Container, path: str) -> tuple[Json, Iterator[bytes]]:
    """What is at a path as an archive, and what it is; the archive is to be read to its end, or closed. NotFound."""
    pieces = _pieces(engine, container, path)
    about = next(pieces)
    assert isinstance(about, dict)
    return about, pieces  # type: ignore[return-value]


def put(
    engine: Engine,
    container: Container,
    path: str,
    archive: Iterable[bytes],
    *,
    keep_kinds: bool = False,
    own: bool = False,
) -> None:
    """Unpack an archive, compressed or not, into a directory of a container.

    `keep_kinds` refuses to replace a directory by something else and the other way round; with `own` the files belong
    to the container's user.  NotFound without the directory, InvalidRequest for a bad archive, Forbidden for a
    read-only place.
    """
    trace = Trace(engine.records.tell)
    owner = _user(engine, container) if own else ()
    with entered(engine, container) as place:
        target = _directory(place, container, path)
        try:
            real = place.real(target)
            _check_writable(container, target, real)
        finally:
            os.close(target)
        operation = UnpackInto(place.name, real, keep_kinds, owner, inflate(archive), place.root)
        try:
            trace.perform("copy", operation)
        except BadArchive as error:
            raise InvalidRequest(str(error)) from None
        except OSError as error:
            raise KernelkitError(f"cannot copy to {container.name}:{path}: {explain_within(error)}") from None
        finally:
            engine.records.add(container.id, trace.steps, engine.folder(container.id))
    engine.events.container(container, "extract-to-dir", path=path)


def _pieces(engine: Engine, container: Container, path: str) -> Iterator[Json | bytes]:
    with entered(engine, container) as place, _found(place, container, path) as found:
        yield _about(place, path, found)
        engine.events.container(container, "archive-path", path=path)
        yield from pack_open(found.name, found.directory, os.fsencode(found.base), place.kernels)


@contextmanager
def _found(place: Place, container: Container, path: str) -> Iterator[_Found]:
    """What is at a path; all but its last part is followed, and that too when a slash or a dot comes after it."""
    if not path:
        raise InvalidRequest("bad parameter: 'path' cannot be empty")
    whole = _absolute(path)
    parent, _, name = whole.rpartition("/")
    if name in ("", "."):
        parent, name = whole, "."
    try:
        directory = place.open(parent or "/", os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise _missing(error, container, path) from None
    try:
        base = posixpath.basename(whole.rstrip("/")) or "/"
        try:
            status = os.lstat(name, dir_fd=directory)
        except OSError as error:
            raise _missing(error, container, path) from None
        yield _Found(directory, os.fsencode(name), base, status)
    finally:
        os.close(directory)


def _absolute(path: str) -> str:
    """From the root, without `..`; a slash or dot at the end stays, for it means the directory that a link leads to."""
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if path.endswith("/.") or path == ".":
        return f"{clean.rstrip('/')}/."
    return f"{clean.rstrip('/')}/" if path.endswith("/") else clean


def _about(place: Place, path: str, found: _Found) -> Json:
    status = found.status
    return {
        "name": found.base,
        "size": status.st_size,
        "mode": _go_mode(status.st_mode),
        "mtime": timestamp(status.st_mtime_ns),
        "linkTarget": _link_target(place, path, found) if stat.S_ISLNK(status.st_mode) else "",
    }


def _go_mode(mode: int) -> int:
    special = sum(theirs for ours, theirs in _GO_BITS.items() if mode & ours)
    return (mode & 0o777) | special | _GO_KINDS.get(stat.S_IFMT(mode), 0)


def _link_target(place: Place, path: str, found: _Found) -> str:
    """Where a link leads in the end; as far as it goes when that is not there."""
    try:
        target = place.open(_absolute(path))
    except OSError:
        said = os.readlink(found.name, dir_fd=found.directory)
        return posixpath.normpath(posixpath.join(place.real(found.directory), os.fsdecode(said)))
    try:
        return place.real(target)
    finally:
        os.close(target)


def _directory(place: Place, container: Container, path: str) -> int:
    if not path:
        raise InvalidRequest("bad parameter: 'path' cannot be empty")
    try:
        target = place.open(_absolute(path))
    except OSError as error:
        raise _missing(error, container, path) from None
    if not stat.S_ISDIR(os.fstat(target).st_mode):
        os.close(target)
        raise InvalidRequest("extraction point is not a directory")
    return target


def _missing(error: OSError, container: Container, path: str) -> KernelkitError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound(f"Could not find the file {path} in container {container.name or container.id}")
    return KernelkitError(f"cannot open {path} in container {container.name or container.id}: {explain_within(error)}")


def _check_writable(container: Container, target: int, real: str) -> None:
    inside = [m for m in container.mounts if f"{real}/".startswith(f"{str(m['Destination']).rstrip('/')}/")]
    if inside:
        if not max(inside, key=lambda mount: len(mount["Destination"])).get("RW", True):
            raise Forbidden("mounted volume is marked read-only")
    elif os.fstatvfs(target).f_flag & os.ST_RDONLY or (
        container.host_config.get("ReadonlyRootfs") and not container.state.pid
    ):
        raise Forbidden("container rootfs is marked read-only")


def _user(engine: Engine, container: Container) -> tuple[int, ...]:
    """Who the container's program runs as; empty for the user that the image or the client never named."""
    wanted = container.config.get("User") or ""
    if not wanted:
        return ()
    found = facts.user(engine, container, wanted)
    return found.uid, found.gid
