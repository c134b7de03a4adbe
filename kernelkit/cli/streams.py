"""Between this terminal and a container: what is typed goes there, what it says comes here.

The connection is the container's streams themselves. With a terminal it is raw; without one, each piece the container
writes comes in a frame that says which of the two it wrote to: one byte 1 (stdout) or 2 (stderr), three of zero, the
length in four, the piece (Docker Engine API, ContainerAttach).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import os
import select

from kernelkit.cli import terminal
from kernelkit.cli.output import put
from kernelkit.cli.wire import MSG_NOSIGNAL, PIECE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kernelkit.cli.wire import Wire

HEAD = 8  # bytes before each frame
# Signals that are the program's own affair: its children, its pipes, Go's and Python's own use.
NOT_FORWARDED = (
    "SIGCHLD",
    "SIGPIPE",
    "SIGURG",
    "SIGWINCH",
    "SIGKILL",
    "SIGSTOP",
    "SIGSEGV",
    "SIGBUS",
    "SIGFPE",
    "SIGILL",
)


class Frames:
    """Takes a multiplexed stream apart, however it was cut into pieces."""

    def __init__(self) -> None:
        self._buffer = b""  # a head that has not come whole
        self._left = 0  # bytes of the present frame that are still to come
        self._fd = 1

    def feed(self, content: bytes) -> None:
        """Write what has come to standard output and standard error, neighbours of one kind with one write."""
        content, self._buffer = self._buffer + content, b""
        pieces: list[bytes] = []
        at, end = 0, len(content)
        while at < end:
            if not self._left:
                if end - at < HEAD:
                    self._buffer = content[at:]
                    break
                fd = 2 if content[at] == 2 else 1
                if fd != self._fd and pieces:
                    put(self._fd, b"".join(pieces))
                    pieces.clear()
                self._fd = fd
                self._left = int.from_bytes(content[at + 4 : at + HEAD], "big")
                at += HEAD
                continue
            piece = content[at : at + self._left]
            self._left -= len(piece)
            at += len(piece)
            pieces.append(piece)
        if pieces:
            put(self._fd, b"".join(pieces))


class Raw:
    """A stream without frames: all of it is standard output."""

    def feed(self, content: bytes) -> None:
        """Write what has come to standard output."""
        put(1, content)


def show(pieces: Iterable[bytes], *, framed: bool) -> None:
    """Print a stream to its end."""
    sink = Frames() if framed else Raw()
    for piece in pieces:
        sink.feed(piece)


def carry(wire: Wire, *, tty: bool, stdin: bool, keys: bytes = b"") -> bool:
    """Carry bytes both ways until the container closes its side; True when the user detached.

    The end of standard input closes our half of the connection only, so that `cat` and its kind can finish.
    """
    sink = Raw() if tty else Frames()
    detach = terminal.DetachKeys(keys or terminal.DEFAULT_KEYS) if tty else None
    socket = wire.socket
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    if stdin:
        poll.register(0, select.POLLIN)
    if wire.rest:
        sink.feed(wire.receive())
    waiting = b""  # typed, and not yet taken by the socket: never block there, the container may be writing to us
    socket.setblocking(False)
    while True:
        for fd, events in poll.poll():
            if fd == 0:
                typed = _read(0)
                if not typed:
                    poll.unregister(0)
                    _half_close(socket)
                    continue
                if detach:
                    typed = detach.feed(typed)
                waiting = _send(socket, typed)
                if detach and detach.seen:
                    return True
                if waiting:
                    poll.unregister(0)
                    poll.modify(socket.fileno(), select.POLLIN | select.POLLOUT)
                continue
            if events & select.POLLOUT and waiting:
                waiting = _send(socket, waiting)
                if not waiting:
                    poll.modify(socket.fileno(), select.POLLIN)
                    poll.register(0, select.POLLIN)
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                content = _receive(socket)
                if content is None:
                    continue
                if not content:
                    return False
                sink.feed(content)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, PIECE)
    except BlockingIOError:
        return b""
    except OSError:
        return b""  # the terminal has gone


def _send(socket: _socket.socket, content: bytes) -> bytes:
    """What the socket did not take."""
    try:
        return content[socket.send(content, MSG_NOSIGNAL) :] if content else b""
    except BlockingIOError:
        return content
    except OSError:
        return b""  # the container no longer reads; what it still says is on its way


def _receive(socket: _socket.socket) -> bytes | None:
    try:
        return socket.recv(PIECE)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _half_close(socket: _socket.socket) -> None:
    try:
        socket.shutdown(_socket.SHUT_WR)
    except OSError:
        pass


def forward_signals(send: Callable[[str], object]) -> None:
    """Hand every signal that this process gets to the container, by name without SIG; `send` may fail in peace."""

    def handler(number: int, _frame: object) -> None:
        try:
            send(names[number])
        except Exception:
            pass  # the container has just ended, or does not take this signal: neither is this command's failure

    names = {
        getattr(_signal, name): name[3:]
        for name in dir(_signal)
        if name.startswith("SIG") and not name.startswith("SIG_") and name not in NOT_FORWARDED
    }
    for number in names:
        try:
            _signal.signal(number, handler)
        except (OSError, ValueError):
            continue  # real-time signals of the C library


def follow_size(resize: Callable[[int, int], object]) -> None:
    """Tell the container's terminal the size of ours, now and whenever it changes."""

    def tell(*_: object) -> None:
        rows, columns = terminal.size(1)
        if rows and columns:
            try:
                resize(rows, columns)
            except Exception:
                pass  # it has just ended

    _signal.signal(_signal.SIGWINCH, tell)
    tell()
