"""What sync(1) and mv(1) do: finished work is first made to survive a loss of power, and then given its name."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kernelkit.kernel.libc import syscall
from kernelkit.kernel.words import join

SYS_syncfs = 306 if os.uname().machine == "x86_64" else 267


@dataclass(frozen=True)
class SyncFileSystem:
    """Write out everything that waits in memory for the file system that a path is on: syncfs(2)."""

    path: str

    def perform(self) -> None:
        """Returns when it is on the disk."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscall(SYS_syncfs, fd, filename=self.path)
        finally:
            os.close(fd)

    def shell(self) -> str:
        """As sync(1) says it."""
        return join(["sync", "-f", self.path])


@dataclass(frozen=True)
class Rename:
    """Give a file or tree the name under which others look for it, in one step: rename(2)."""

    path: str
    name: str

    def perform(self) -> None:
        """Raises OSError; both names are on one file system."""
        os.rename(self.path, self.name)

    def shell(self) -> str:
        """As mv(1) says it."""
        return join(["mv", "-T", self.path, self.name])
