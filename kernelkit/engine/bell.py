"""A descriptor that becomes readable when something has happened: eventfd(2).

For those who wait for two things at once: a change of a container, say, and their client's going away.
"""

from __future__ import annotations

import contextlib
import os


class Bell:
    """Rung by one thread, heard by another with poll(2) on `fileno()`."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closed = False

    def fileno(self) -> int:
        """What to poll."""
        return self._fd

    def ring(self) -> None:
        """Make it readable; ringing twice is ringing once."""
        with contextlib.suppress(BlockingIOError):
            if not self._closed:
                os.eventfd_write(self._fd, 1)

    def hush(self) -> None:
        """Make it unreadable until it is rung again."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._fd)

    def close(self) -> None:
        """Give the descriptor back; nobody may ring afterwards."""
        self._closed = True
        os.close(self._fd)
