"""An archive that a container sent, unpacked here, with no way out of the folder it goes to.

The names and links in it are the container's; whoever made the container may have chosen them to hit files outside.
Nothing is written through a symbolic link that leads out of the folder.
"""

from __future__ import annotations

import os
import stat
import tarfile

from kernelkit.cli.output import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 1 << 16


class Source:
    """A stream of pieces as the file that `tarfile` reads."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""
        self.size = 0

    def read(self, count: int) -> bytes:
        """Exactly so many bytes, fewer at the end only."""
        while len(self._rest) < count:
            piece = next(self._pieces, b"")
            if not piece:
                break
            self._rest += piece
        content, self._rest = self._rest[:count], self._rest[count:]
        self.size += len(content)
        return content

    def finish(self) -> None:
        """Read what comes after the archive's end, so that the connection ends well."""
        for piece in self._pieces:
            self.size += len(piece)


def unpack(source: Source, folder: str, *, rename: tuple[str, str], owners: bool) -> int:
    """Unpack into a folder; the bytes that came. `rename` is the first part of the names, and what it becomes.

    With `owners` files get the owner that the archive names, if we may; else they are ours. Raises Failure.
    """
    root = os.path.realpath(folder)
    times: list[tuple[str, tarfile.TarInfo]] = []
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:  # type: ignore[call-overload]
            for entry in archive:
                path = _path(root, _renamed(entry.name, *rename))
                if entry.islnk():
                    entry.linkname = _renamed(entry.linkname, *rename)
                _put(archive, entry, path, root)
                _own(path, entry, owners=owners)
                if entry.isdir():
                    times.append((path, entry))
                else:
                    _date(path, entry)
    except tarfile.TarError as error:
        raise Failure(f"the archive cannot be read: {error}") from None
    except OSError as error:
        raise Failure(f"write '{error.filename or folder}': {(error.strerror or '').lower()}") from None
    # Folders last, from the inside out: what was put in them has changed their time, and their mode may lock us out.
    for path, entry in reversed(times):
        os.chmod(path, stat.S_IMODE(entry.mode))
        _date(path, entry)
    source.finish()
    return source.size


def _renamed(name: str, first: str, becomes: str) -> str:
    name = name.strip("/")
    head, slash, rest = name.partition("/")
    if first == "." and head != ".":
        return f"{becomes}/{name}"  # the names of the root's archive may begin with nothing at all
    return becomes + slash + rest if head == first else name


def _path(root: str, name: str) -> str:
    """Where an entry goes; raises Failure when that is not inside the folder."""
    path = os.path.normpath(os.path.join(root, name))
    parent = os.path.realpath(os.path.dirname(path)) if path != root else root
    inside = os.path.join(parent, os.path.basename(path)) if path != root else root
    if os.path.commonpath([root, inside]) != root:
        raise Failure(f"refused: '{name}' in the archive leads out of '{root}'")
    return inside


def _put(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str, root: str) -> None:
    there = os.path.lexists(path)
    is_dir = there and os.path.isdir(path) and not os.path.islink(path)
    if entry.isdir():
        if there and not is_dir:
            raise Failure(f"cannot overwrite non-directory '{path}' with a directory")
        if not there:
            os.makedirs(path, 0o700)
        return
    if is_dir:
        raise Failure(f"cannot overwrite directory '{path}' with a non-directory")
    if there:
        os.unlink(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if entry.issym():
        os.symlink(entry.linkname, path)
    elif entry.islnk():
        os.link(_path(root, entry.linkname), path, follow_symlinks=False)
    elif entry.isfifo():
        os.mkfifo(path)
        os.chmod(path, stat.S_IMODE(entry.mode))
    elif entry.ischr() or entry.isblk():
        kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
        os.mknod(path, kind, os.makedev(entry.devmajor, entry.devminor))
        os.chmod(path, stat.S_IMODE(entry.mode))
    elif entry.isreg():
        _write(archive, entry, path)


def _write(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
    content = archive.extractfile(entry)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        while content and (piece := content.read(PIECE)):
            file.write(piece)
        os.fchmod(file.fileno(), stat.S_IMODE(entry.mode))


def _own(path: str, entry: tarfile.TarInfo, *, owners: bool) -> None:
    if owners and os.geteuid() == 0:
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        if not entry.issym() and not entry.isdir():
            os.chmod(path, stat.S_IMODE(entry.mode))  # chown(2) clears setuid


def _date(path: str, entry: tarfile.TarInfo) -> None:
    seconds, _, fraction = entry.pax_headers.get("mtime", str(int(entry.mtime))).partition(".")
    nanoseconds = int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)
