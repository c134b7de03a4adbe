"""The user's terminal: keys that detach, bars that are drawn in place, streams that are kept apart."""

from __future__ import annotations

import os
import pty
import struct
import termios
from fcntl import ioctl

import pytest

from kernelkit.cli import progress
from kernelkit.cli.output import Failure
from kernelkit.cli.streams import Frames
from kernelkit.cli.terminal import DetachKeys, Raw, parse_keys
from tests.terminals import read_to_end

LAYER = "45088ba5567b"


def test_a_beginning_of_the_keys_is_held_back_until_it_is_clear() -> None:
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"a\x10") == b"a"
    assert keys.feed(b"b") == b"\x10b"
    assert keys.feed(b"\x10\x10") == b"\x10"
    assert not keys.seen
    assert keys.feed(b"\x11rest") == b""
    assert keys.seen


def test_keys_are_spelled_as_docker_spells_them() -> None:
    assert parse_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_keys("ctrl-a,d") == b"\x01d"
    assert parse_keys("ctrl-[") == b"\x1b"
    for wrong in ("ctrl-", "ctrl-P", "abc", "ctrl-1"):
        with pytest.raises(Failure, match=r"^Invalid detach keys .* unknown character"):
            parse_keys(wrong)


def test_frames_may_be_cut_anywhere(capfd: pytest.CaptureFixture[str]) -> None:
    stream = b"\1\0\0\0\0\0\0\4out\n" + b"\2\0\0\0\0\0\0\4err\n" + b"\1\0\0\0\0\0\0\0" + b"\1\0\0\0\0\0\0\4end\n"
    sink = Frames()
    for i in range(len(stream)):
        sink.feed(stream[i : i + 1])
    assert capfd.readouterr() == ("out\nend\n", "err\n")


def test_raw_mode_ends_as_it_began() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with Raw(wanted=True, fd=slave):
        assert not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def shown(messages: list[dict[str, object]], columns: int) -> str:
    """What a terminal so wide gets; a file, when 0."""
    master, slave = pty.openpty() if columns else os.pipe()
    if columns:
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        mode = termios.tcgetattr(slave)
        mode[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, mode)
    try:
        progress.show(iter(messages), slave)
    finally:
        os.close(slave)
        text = read_to_end(master)
        os.close(master)
    return text


MESSAGES: list[dict[str, object]] = [
    {"status": "Pulling from library/busybox", "id": "latest"},
    {"status": "Pulling fs layer", "id": LAYER, "progressDetail": {}},
    {"status": "Downloading", "id": LAYER, "progressDetail": {"current": 500_000, "total": 1_000_000}},
    {"status": "Pull complete", "id": LAYER, "progressDetail": {}},
    {"status": "Status: Downloaded newer image for busybox:latest"},
]


def test_a_file_gets_a_line_for_each_message_and_no_bars() -> None:
    assert shown(MESSAGES, 0).splitlines() == [
        "latest: Pulling from library/busybox",
        f"{LAYER}: Pulling fs layer",
        f"{LAYER}: Pull complete",
        "Status: Downloaded newer image for busybox:latest",
    ]


def test_a_terminal_has_one_line_for_each_layer_rewritten_in_place() -> None:
    text = shown(MESSAGES, 132)
    bar = "[=========================>                         ]    500kB/1MB"
    assert f"\x1b[1A\r{LAYER}: Downloading {bar}\x1b[K" in text
    assert text.count("\n") == 3
    assert text.endswith("Status: Downloaded newer image for busybox:latest\n")


def test_a_narrow_terminal_gets_numbers_alone() -> None:
    assert f"{LAYER}: Downloading    500kB/1MB\x1b[K" in shown(MESSAGES, 80)


def test_an_error_among_the_messages_ends_the_command() -> None:
    with pytest.raises(Failure, match="no space left"):
        shown([*MESSAGES[:2], {"errorDetail": {"message": "no space left on device"}, "error": "x"}], 0)
