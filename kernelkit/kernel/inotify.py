"""Being told when something changes in a directory: inotify(7). It changes nothing, so it is no operation."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kernelkit.kernel import libc

IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE = 0x2, 0x40, 0x80, 0x100
IN_NONBLOCK, IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC


@dataclass
class DirectoryWatch:
    """A descriptor that is readable when a file in `path` has been made, written or renamed; close it at the end."""

    path: str

    def __post_init__(self) -> None:
        self._fd = libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        try:
            libc.inotify_add_watch(self._fd, self.path, IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE)
        except BaseException:
            os.close(self._fd)
            raise

    def fileno(self) -> int:
        """What to poll."""
        return self._fd

    def hush(self) -> None:
        """Make it unreadable until the next change."""
        try:
            while os.read(self._fd, 65536):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
