"""The user's terminal: its size, raw mode and the way back, the keys that detach."""

from __future__ import annotations

import os
import termios

from kernelkit.cli.output import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_KEYS = b"\x10\x11"  # ctrl-p ctrl-q


def size(fd: int) -> tuple[int, int]:
    """(rows, columns) of the terminal at a descriptor; (0, 0) when it is none."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return 0, 0
    return rows, columns


def read_line(fd: int) -> bytes:
    """A line with its end, read byte by byte: what follows belongs to others; empty at the end."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(fd, 1)
        if not byte:
            break
        line += byte
    return line


class Raw:
    """A terminal in raw mode (termios(3), cfmakeraw) while the context lasts; left as it was, whatever happens.

    Output post-processing is kept off as well: the container's terminal has already made CR LF of each line's end.
    """

    def __init__(self, *, wanted: bool, fd: int = 0) -> None:
        self._fd = fd
        self._wanted = wanted
        self._before: list[object] | None = None

    def __enter__(self) -> Raw:
        if not self._wanted:
            return self
        try:
            mode = termios.tcgetattr(self._fd)
        except termios.error:
            return self
        self._before = [*mode[:6], list(mode[6])]
        off_in = (
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        mode[0] &= ~off_in
        mode[1] &= ~termios.OPOST
        mode[2] = mode[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSANOW, mode)
        return self

    def restore(self) -> None:
        """Leave raw mode; a second call does nothing."""
        if self._before is not None:
            before, self._before = self._before, None
            termios.tcsetattr(self._fd, termios.TCSANOW, before)  # type: ignore[arg-type]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.restore()


def parse_keys(text: str) -> bytes:
    """The bytes of a key sequence such as `ctrl-p,ctrl-q` or `ctrl-a,d`; raises Failure for what is none."""
    keys = bytearray()
    for key in text.split(","):
        if len(key) == 1:
            keys += key.encode()
            continue
        letter = key.removeprefix("ctrl-")
        if letter == key or len(letter) != 1 or not ((letter.isascii() and letter.islower()) or letter in "@[\\]^_"):
            raise Failure(f"Invalid detach keys ({text}) provided: unknown character '{key}'")
        keys.append(ord(letter.upper()) & 0x1F)
    return bytes(keys)


class DetachKeys:
    """Watches what is typed for the keys that detach.

    A beginning of the sequence is held back until the next key shows whether it goes on, as Docker does.
    """

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._held = b""
        self.seen = False

    def feed(self, typed: bytes) -> bytes:
        """What of it is for the container; `seen` is true once the whole sequence has come."""
        out = bytearray()
        for i in range(len(typed)):
            self._held += typed[i : i + 1]
            if self._held == self._sequence:
                self.seen = True
                return bytes(out)
            while self._held and not self._sequence.startswith(self._held):
                out.append(self._held[0])
                self._held = self._held[1:]
        return bytes(out)
