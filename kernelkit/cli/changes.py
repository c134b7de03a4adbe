"""`commit`, `diff`, `export`: a container's changes as an image, as a list; and all it has, as an archive."""

from __future__ import annotations

import os
import stat

from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, LIST, STRING, Command, Flag
from kernelkit.cli.names import check, split
from kernelkit.cli.output import Failure, put, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from kernelkit.cli.flags import Options

KINDS = ("C", "A", "D")
NOT_A_FILE = {
    stat.S_IFDIR: "directory",
    stat.S_IFCHR: "character device file",
    stat.S_IFBLK: "block device file",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
}


def commit(options: Options) -> int:
    """Make an image of a container and print its ID."""
    container, *names = options.arguments
    query: dict[str, Any] = {
        "container": container,
        "author": options.text("author"),
        "comment": options.text("message"),
        "changes": options.many("change"),
        "pause": None if options.on("pause") else "0",
    }
    if names and names[0]:
        try:
            check(names[0])
        except ValueError as error:
            raise Failure(str(error)) from None
        query["repo"], query["tag"] = split(names[0])
        if ":" in query["tag"]:
            raise Failure("refusing to create a tag with a digest reference")
    say(connect().post("/commit", query)["Id"])
    return 0


def diff(options: Options) -> int:
    """Print each path that was changed, added or deleted."""
    name = options.arguments[0]
    if not name:
        raise Failure("Container name cannot be empty")
    changes = connect().get(f"/containers/{name}/changes") or []
    for change in changes:
        say(f"{KINDS[change['Kind']]} {change['Path']}")
    return 0


def export(options: Options) -> int:
    """Write a container's whole file system as a tar archive."""
    path = options.text("output")
    refuse_terminal(path)
    check_output(path, "failed to export container")
    answer = connect().request("GET", f"/containers/{options.arguments[0]}/export")
    write_archive(answer.pieces(), path)
    return 0


def refuse_terminal(path: str) -> None:
    """An archive is nothing to look at."""
    if not path and os.isatty(1):
        raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")


def check_output(path: str, what: str) -> None:
    """Whether a file can be made there, found out before anything is asked for. Raises Failure, `what` first."""
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise Failure(f"{what}: invalid output path: stat {folder}: no such file or directory")
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError:
        return
    if kind in NOT_A_FILE:
        raise Failure(f"{what}: cannot write to a {NOT_A_FILE[kind]}")


def write_archive(pieces: Iterable[bytes], path: str) -> None:
    """Write to a file, or to standard output without a path. The file is there when it is whole, or not at all."""
    if not path:
        for piece in pieces:
            put(1, piece)
        return
    beside = f"{path}.{os.getpid()}.part"
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for piece in pieces:
                put(fd, piece)
        finally:
            os.close(fd)
        os.replace(beside, path)
    except OSError as error:
        _forget(beside)
        raise Failure(f"write '{path}': {(error.strerror or '').lower()}") from None
    except BaseException:
        _forget(beside)
        raise


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


COMMIT = Command(
    commit,
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
    (
        Flag("author", STRING, 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', "a"),
        Flag("change", LIST, "Apply Dockerfile instruction to the created image", "c"),
        Flag("message", STRING, "Commit message", "m"),
        Flag("pause", BOOL, "Pause container during commit", "p", default=True),
    ),
    least=1,
    most=2,
)
DIFF = Command(
    diff, "CONTAINER", "Inspect changes to files or directories on a container's filesystem", least=1, most=1
)
EXPORT = Command(
    export,
    "[OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
    (Flag("output", STRING, "Write to a file, instead of STDOUT", "o"),),
    least=1,
    most=1,
)
