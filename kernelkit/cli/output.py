"""What the command says: text to descriptors 1 and 2, always UTF-8, and the one way to fail.

The text layers of `sys.stdout` would guess an encoding from the locale and keep text back; a container's bytes and our
own lines must come out in the order in which they were written.
"""

from __future__ import annotations

import os

PROGRAM = "kernelkit"


class Failure(Exception):
    """The command ends here: one message for standard error (none if empty), and the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def write(text: str) -> None:
    """Write text to standard output; raises BrokenPipeError when nobody reads it any more."""
    put(1, text.encode("utf-8", "surrogateescape"))


def say(line: str = "") -> None:
    """Write a line to standard output."""
    write(line + "\n")


def complain(line: str) -> None:
    """Write a line to standard error."""
    put(2, (line + "\n").encode("utf-8", "surrogateescape"))


def put(fd: int, content: bytes) -> None:
    """Write all of it: the kernel may take less at a time, or ask to wait when the descriptor does not block."""
    view = memoryview(content)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            _wait_until_writable(fd)


def _wait_until_writable(fd: int) -> None:
    import select  # only for a terminal that another program left in non-blocking mode

    select.select([], [fd], [])
