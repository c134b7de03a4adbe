"""`save`, `load` and `import`: images to and from archives."""

from __future__ import annotations

import os

from kernelkit.cli import progress
from kernelkit.cli.changes import check_output, refuse_terminal, write_archive
from kernelkit.cli.connect import connect
from kernelkit.cli.flags import BOOL, LIST, STRING, Command, Flag
from kernelkit.cli.names import check, familiar, platform_json, split
from kernelkit.cli.output import Failure
from kernelkit.cli.wire import PIECE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from kernelkit.cli.flags import Options

PLATFORM = "Only the variant of this platform (os[/arch[/variant]])"


def save(options: Options) -> int:
    """Write images as one archive."""
    path = options.text("output")
    refuse_terminal(path)
    check_output(path, "failed to save image")
    query: dict[str, Any] = {"names": options.arguments}
    if options.text("platform"):
        query["platform"] = platform_json(options.text("platform"))
    write_archive(connect().request("GET", "/images/get", query).pieces(), path)
    return 0


def load(options: Options) -> int:
    """Read images from an archive and say their names."""
    path = options.text("input")
    if not path and os.isatty(0):
        raise Failure("requested load from stdin, but stdin is empty")
    fd = _open(path) if path else 0
    quiet = options.on("quiet") or not os.isatty(1)
    query: dict[str, Any] = {"quiet": quiet}
    if options.text("platform"):
        query["platform"] = platform_json(options.text("platform"))
    try:
        answer = connect().request("POST", "/images/load", query, pieces(fd), {"Content-Type": "application/x-tar"})
        if answer.headers.get("content-type", "").startswith("application/json"):
            progress.show(answer.messages())
        else:
            for piece in answer.pieces():
                os.write(1, piece)
    finally:
        if path:
            os.close(fd)
    return 0


def bring(options: Options) -> int:
    """Make an image of an archive of files, and print its ID."""
    source, *names = options.arguments
    query: dict[str, Any] = {
        "fromSrc": source,
        "message": options.text("message"),
        "changes": options.many("change"),
        "platform": options.text("platform"),
    }
    if names:
        try:
            check(names[0])
        except ValueError as error:
            raise Failure(str(error)) from None
        repository, tag = split(names[0])
        query["repo"] = familiar(repository) + (f"{'@' if ':' in tag else ':'}{tag}" if tag else "")
    fd, body = -1, None
    if source == "-":
        fd = 0
    elif not source.startswith(("http://", "https://")):
        fd, query["fromSrc"] = _open(source), "-"
    if fd >= 0:
        body = pieces(fd)
    try:
        progress.show(connect().request("POST", "/images/create", query, body).messages())
    finally:
        if fd > 0:
            os.close(fd)
    return 0


def pieces(fd: int) -> Iterator[bytes]:
    """What a descriptor gives, to its end."""
    while piece := os.read(fd, PIECE):
        yield piece


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Failure(f"open {path}: {(error.strerror or '').lower()}") from None


SAVE = Command(
    save,
    "[OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    (Flag("output", STRING, "Write to a file, instead of STDOUT", "o"), Flag("platform", STRING, PLATFORM)),
    least=1,
    most=None,
)
LOAD = Command(
    load,
    "[OPTIONS]",
    "Load an image from a tar archive or STDIN",
    (
        Flag("input", STRING, "Read from tar archive file, instead of STDIN", "i"),
        Flag("platform", STRING, PLATFORM),
        Flag("quiet", BOOL, "Suppress the load output", "q"),
    ),
)
IMPORT = Command(
    bring,
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
    (
        Flag("change", LIST, "Apply Dockerfile instruction to the created image", "c"),
        Flag("message", STRING, "Set commit message for imported image", "m"),
        Flag("platform", STRING, "Platform of the image, if not this one"),
    ),
    least=1,
    most=2,
)
