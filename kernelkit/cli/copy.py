"""`cp`: files between a container and here, as a tar archive in both directions.

A copy has four cases, as cp(1) has: the destination is a folder, a file, not there, or not there and meant as a folder
(it ends in a slash). `place` decides between them on both sides.
"""

from __future__ import annotations

import binascii
import os
import stat

from kernelkit.cli import human, jsontext
from kernelkit.cli.archives import pieces
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, Command, Flag
from kernelkit.cli.http import ApiError
from kernelkit.cli.output import Failure, complain, put
from kernelkit.cli.unpack import Source, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kernelkit.cli.flags import Options
    from kernelkit.cli.http import Client

# Go's os.FileMode, which the engine's answers carry: not the numbers of stat(2).
GO_DIR, GO_SYMLINK, GO_DEVICE = 1 << 31, 1 << 27, 1 << 26


def cp(options: Options) -> int:
    """Copy files out of a container or into one."""
    source, target = options.arguments
    if not source:
        raise Failure("source can not be empty")
    if not target:
        raise Failure("destination can not be empty")
    from_container, from_path = split(source)
    to_container, to_path = split(target)
    if from_container and to_container:
        raise Failure("copying between containers is not supported")
    if from_container:
        return _out(options, from_container, from_path, to_path)
    if to_container:
        return _in(options, from_path, to_container, to_path)
    raise Failure("must specify at least one container source")


def split(text: str) -> tuple[str, str]:
    """(container, path) of `web:/etc/passwd`; the container is empty for a path of this machine."""
    if os.path.isabs(text):
        return "", text
    container, colon, path = text.partition(":")
    if not colon or container.startswith("."):
        return "", text
    return container, path


class Spot:
    """A path, and what is there: nothing, a folder, or something else."""

    __slots__ = ("exists", "is_dir", "path")

    def __init__(self, path: str, *, exists: bool, is_dir: bool) -> None:
        self.path = path
        self.exists = exists
        self.is_dir = is_dir


def place(source: Spot, target: Spot) -> tuple[str, str]:
    """(folder to unpack in, name to give the source there; "" leaves its own). Raises Failure for what cannot be."""
    if target.exists and target.is_dir:
        return target.path, ""
    if target.exists and source.is_dir:
        raise Failure("cannot copy directory")
    if not target.exists and target.path.endswith("/") and not source.is_dir:
        raise Failure("no such directory")
    folder, name = os.path.split(target.path.rstrip("/") or "/")
    return folder or "/", name


def _name_of(path: str) -> str:
    """The name that an archive of this path begins with; `.` for the content of a folder, or for the root."""
    if path.endswith("/.") or path in (".", "/"):
        return "."
    return os.path.basename(path.rstrip("/"))


def _out(options: Options, container: str, path: str, local: str) -> int:
    client = connect()
    to_stdout = local == "-"
    target = "" if to_stdout else _absolute(local)
    if target:
        _check_folder_of(target)
    renamed = ""
    if options.on("follow-link"):
        path, renamed = _follow(client, container, path)
    answer = client.request("GET", f"/containers/{container}/archive", {"path": path})
    if to_stdout:
        for piece in answer.pieces():
            put(1, piece)
        return 0
    about = _stat(answer.headers)
    is_dir = bool(int(about["mode"]) & GO_DIR)
    if os.path.islink(target):
        target = os.path.realpath(target)
    there = os.path.lexists(target)
    spot = Spot(target, exists=there, is_dir=os.path.isdir(target))
    folder, name = place(Spot(path, exists=True, is_dir=is_dir), spot)
    source = Source(answer.pieces())
    first = _name_of(path)
    size = unpack(source, folder, rename=(first, name or renamed or first), owners=options.on("archive"))
    _say_copied(options, size, local if spot.exists and spot.is_dir else target)
    return 0


def _follow(client: Client, container: str, path: str) -> tuple[str, str]:
    """(what a symbolic link in the container leads to, the link's own name)."""
    about = _stat(client.request("HEAD", f"/containers/{container}/archive", {"path": path}).headers)
    if not int(about["mode"]) & GO_SYMLINK:
        return path, ""
    link = os.path.join(os.path.dirname(path.rstrip("/")), about["linkTarget"])
    return link, _name_of(path)


def _absolute(path: str) -> str:
    """The path from the root, its last slash or dot kept: they mean a folder."""
    whole = os.path.abspath(path)
    if path.endswith(("/", "/.")) or path in (".", ".."):
        return whole.rstrip("/") + ("/." if path.endswith(("/.", ".")) else "/")
    return whole


def _check_folder_of(target: str) -> None:
    folder = os.path.dirname(target.rstrip("/."))
    if folder and not os.path.isdir(folder):
        raise Failure(f'invalid output path: directory "{folder}" does not exist')
    try:
        mode = os.stat(target).st_mode
    except OSError:
        return
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise Failure(f'invalid output path: "{target}" must be a directory or a regular file: got a device')


def _in(options: Options, local: str, container: str, path: str) -> int:
    client = connect()
    target = _target(client, container, path)
    query: dict[str, Any] = {"noOverwriteDirNonDir": "true", "path": target.path}
    if options.on("archive"):
        query["copyUIDGID"] = "true"
    counted = _Counter()
    if local == "-":
        if not target.is_dir:
            raise Failure(f'destination "{container}:{path}" must be a directory')
        body = pieces(0)
    else:
        from kernelkit.cli.pack import pack  # tarfile takes long to import

        if not path:
            raise Failure("no such directory")
        source, name = _source(local, follow=options.on("follow-link"))
        folder, renamed = place(source, target)
        query["path"] = folder
        body = counted.through(pack(source.path, renamed or name))
    client.request("PUT", f"/containers/{container}/archive", query, body).read()
    if local != "-":
        _say_copied(options, counted.size, f"{container}:{path}")
    return 0


def _source(local: str, *, follow: bool) -> tuple[Spot, str]:
    """(what is to be copied, the name it goes by). Raises Failure when it is not there."""
    path = os.path.abspath(local)
    try:
        found = os.stat(path) if follow or local.endswith(("/", "/.")) else os.lstat(path)
    except OSError as error:
        raise Failure(f"lstat {path}: {(error.strerror or '').lower()}") from None
    is_dir = stat.S_ISDIR(found.st_mode)
    if local.endswith("/") and not is_dir:
        raise Failure("not a directory")
    name = _name_of(local) if local not in ("", "..") else os.path.basename(path)
    real = os.path.realpath(path) if follow or local.endswith("/") else path
    return Spot(real + ("/." if name == "." and is_dir else ""), exists=True, is_dir=is_dir), name


def _target(client: Client, container: str, path: str) -> Spot:
    """What is at a path of the container, a symbolic link followed."""
    if not path.startswith("/"):
        path = f"/{path}"
    for _ in range(2):
        try:
            answer = client.request("HEAD", f"/containers/{container}/archive", {"path": path})
        except ApiError as error:
            if error.status != 404:
                raise
            return Spot(path, exists=False, is_dir=False)
        about = _stat(answer.headers)
        mode = int(about["mode"])
        if mode & GO_SYMLINK:
            path = os.path.join(os.path.dirname(path.rstrip("/")), about["linkTarget"])
            continue
        if mode & GO_DEVICE:
            raise Failure(f'destination "{container}:{path}" must be a directory or a regular file: got a device')
        return Spot(path, exists=True, is_dir=bool(mode & GO_DIR))
    return Spot(path, exists=False, is_dir=False)


def _stat(headers: dict[str, str]) -> dict[str, Any]:
    text = headers.get("x-docker-container-path-stat", "")
    if not text:
        raise Failure("the engine did not say what is at that path")
    about: dict[str, Any] = jsontext.decode(binascii.a2b_base64(text))
    return about


class _Counter:
    """Counts the bytes that go by."""

    def __init__(self) -> None:
        self.size = 0

    def through(self, content: Any) -> Any:
        """The same pieces."""
        for piece in content:
            self.size += len(piece)
            yield piece


def _say_copied(options: Options, size: int, where: str) -> None:
    quiet = options.on("quiet") if "quiet" in options.given else not os.isatty(1)
    if not quiet:
        complain(f"Successfully copied {human.size(size)} to {where}")


CP = Command(
    cp,
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tkernelkit cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files/folders between a container and the local filesystem\n\n"
    "Use '-' as the source to read a tar archive from stdin\n"
    "and extract it to a directory destination in a container.\n"
    "Use '-' as the destination to stream a tar archive of a\n"
    "container source to stdout.",
    (
        Flag("archive", BOOL, "Archive mode (copy all uid/gid information)", "a"),
        Flag("follow-link", BOOL, "Always follow symbol link in SRC_PATH", "L"),
        Flag("quiet", BOOL, "Do not say what was copied; nothing is said without a terminal", "q"),
    ),
    least=2,
    most=2,
)
