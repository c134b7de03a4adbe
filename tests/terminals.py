"""Reading what a program wrote to a terminal or a pipe, whole."""

from __future__ import annotations

import os


def read_to_end(fd: int) -> str:
    """What comes to the end; all who write must have closed theirs.

    One read may get a part: what is written to a terminal goes to its other side in the kernel's own time.  There
    the end is an error (pty(7)).
    """
    content = b""
    try:
        while piece := os.read(fd, 65536):
            content += piece
    except OSError:
        pass
    return content.decode()
