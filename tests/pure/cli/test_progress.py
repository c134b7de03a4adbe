"""How a pull goes, as it is told: lines that are rewritten in a terminal, and plain ones."""

from __future__ import annotations

import os
import pty
import struct
import termios
from collections.abc import Callable
from fcntl import ioctl

import pytest

from kernelkit.cli.output import Failure
from kernelkit.cli.progress import show
from tests.terminals import read_to_end

MESSAGES = [
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "45088ba5567b"},
    {"status": "Downloading", "progressDetail": {"current": 512, "total": 1024}, "id": "45088ba5567b"},
    {"status": "Pull complete", "progressDetail": {}, "id": "45088ba5567b"},
    {"status": "Status: Downloaded newer image for busybox:latest"},
    {"aux": {"Tag": "latest"}},
]
PLAIN = """45088ba5567b: Pulling fs layer
45088ba5567b: Pull complete
Status: Downloaded newer image for busybox:latest
"""


def in_a_terminal(say: Callable[[int], object]) -> str:
    """What is written to a terminal of 80 columns."""
    master, slave = pty.openpty()
    try:
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        say(slave)
    finally:
        os.close(slave)
        text = read_to_end(master)
        os.close(master)
    return text.replace("\r\n", "\n")


def test_elsewhere_than_in_a_terminal_there_are_no_bars() -> None:
    read, write = os.pipe()
    assert show(MESSAGES, write) == [{"Tag": "latest"}]
    os.close(write)
    with os.fdopen(read) as pipe:
        assert pipe.read() == PLAIN


def test_in_a_terminal_a_layer_has_one_line() -> None:
    said = in_a_terminal(lambda fd: show(MESSAGES, fd))
    assert "Downloading 512B/1.024kB" in " ".join(said.split())
    assert said.count("\x1b[1A") == 2, "two of its three messages are written over the first"


def test_unless_no_bars_are_wanted() -> None:
    assert in_a_terminal(lambda fd: show(MESSAGES, fd, bars=False)) == PLAIN


def test_what_went_wrong_ends_it() -> None:
    with pytest.raises(Failure, match="no such manifest"):
        show([{"errorDetail": {"message": "no such manifest"}, "error": "no such manifest"}])
