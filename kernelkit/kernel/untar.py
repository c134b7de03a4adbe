"""Unpacks an archive into a directory, in a thread of its own.

That thread's umask is zero (unshare(2), CLONE_FS), so that modes are exact without a chmod each.  How an entry is
written, and why none gets out of the directory, is told in `extract`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from kernelkit.kernel.extract import Tree, split
from kernelkit.kernel.libc import unshare
from kernelkit.kernel.tar import BadArchive, Entry, Stream, read

CLONE_FS = 0x00000200  # linux/sched.h


@dataclass(frozen=True)
class Limits:
    """How much an archive may unpack to: `size` bytes of content, `entries` of any kind."""

    size: int = 1 << 40
    entries: int = 4_000_000


@dataclass
class Written:
    """What has been written: `size` bytes of content, so many `entries`."""

    size: int = 0
    entries: int = 0


Filter = Callable[[Entry, bytes, bytes], bool]  # entry, its directory, its name: False leaves the entry out


def untar(stream: Stream, directory: str, limits: Limits = Limits(), keep: Filter | None = None) -> Written:
    """Unpack an archive into a directory; raises BadArchive, or OSError with the kernel's answer.

    What was written before an error stays: the caller throws the directory away.
    """
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return unpack(stream, Tree(root), limits, keep)
    finally:
        os.close(root)


def unpack(stream: Stream, tree: Tree, limits: Limits = Limits(), keep: Filter | None = None) -> Written:
    """Unpack an archive into a tree, which is closed at the end; raises BadArchive, OSError."""
    written = Written()
    failure: list[BaseException] = []

    def work() -> None:
        try:
            unshare(CLONE_FS)
            os.umask(0)
            write_all()
        except BaseException as error:
            failure.append(error)
        finally:
            tree.close()

    def write_all() -> None:
        for entry in read(stream):
            written.entries += 1
            written.size += entry.stored
            if written.entries > limits.entries or written.size > limits.size:
                raise BadArchive(
                    f"the archive unpacks to more than is allowed: {limits.size} bytes, {limits.entries} entries"
                )
            parent, name = split(entry.name)
            if keep and not keep(entry, parent, name):
                stream.skip(entry.stored)
                continue
            tree.write(entry, parent, name, stream)
        tree.finish()
        stream.drain()

    thread = threading.Thread(target=work, name="untar")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return written
