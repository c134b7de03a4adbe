"""The streams of one process: its terminal or pipes, its log, and the clients that watch and type.

process ──▶ pipe or terminal ──▶ log
                             └─▶ clients (framed without a terminal)
clients ──▶ pipe or terminal ──▶ process
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass, field

from kernelkit.host.channel import Attach
from kernelkit.host.log import Log

CHUNK = 32768
FULL = 1 << 20  # bytes waiting for a client: beyond this the process has to wait, as it would on a terminal
STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2}

Callback = Callable[[int], None]


class Loop:
    """Calls back when a descriptor has something: epoll(7)."""

    def __init__(self) -> None:
        self._poll = select.epoll(flags=select.EPOLL_CLOEXEC)
        self._callbacks: dict[int, Callback] = {}

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Call `callback(events)` when any of `events` happens, in place of what was asked for this one before."""
        if fd in self._callbacks:
            self._poll.modify(fd, events)
        else:
            self._poll.register(fd, events)
        self._callbacks[fd] = callback

    def forget(self, fd: int) -> None:
        """Stop watching; one that is not watched is left alone."""
        if self._callbacks.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def turn(self) -> None:
        """Wait for something to happen and answer it."""
        for fd, events in self._poll.poll():
            callback = self._callbacks.get(fd)
            if callback:
                callback(events)


@dataclass
class Client:
    """Somebody who is attached."""

    socket: socket.socket
    wish: Attach
    waiting: bytearray = field(default_factory=bytearray)
    matched: int = 0  # how many of the detach keys have been typed so far
    ended: bool = False  # its side of standard input is closed


class Streams:
    """Copies between one process, its log and its clients, until the process has ended and all has been said."""

    def __init__(self, loop: Loop, log: Log | None, *, stdin_once: bool) -> None:
        self._loop = loop
        self._log = log
        self._stdin_once = stdin_once
        self._input = -1
        self._sources: dict[int, str] = {}
        self._clients: list[Client] = []
        self._typed = bytearray()  # for the process, when it does not read as fast
        self._terminal = False
        self._stuck = False  # the process does not read
        self._input_ends = False  # close its input once it has got what was typed
        self._paused = False
        self._size = (0, 0)

    def connect_pipes(self, stdin: int, stdout: int, stderr: int) -> None:
        """Take over the process's pipes; `stdin` below 0 when it has none."""
        self._input = stdin
        if stdin >= 0:
            os.set_blocking(stdin, False)
        for fd, name in ((stdout, "stdout"), (stderr, "stderr")):
            os.set_blocking(fd, False)
            self._sources[fd] = name
            self._listen(fd)

    def connect_terminal(self, master: int) -> None:
        """Take over the process's terminal."""
        os.set_blocking(master, False)
        self._terminal = True
        self._input = master
        self._sources[master] = "stdout"
        if self._size != (0, 0):
            self.resize(*self._size)
        self._listen(master)

    def attach(self, descriptor: int, wish: Attach) -> None:
        """Serve one more client, over this connection."""
        connection = socket.socket(fileno=descriptor)
        connection.setblocking(False)
        client = Client(connection, wish)
        self._clients.append(client)
        self._watch(client)
        if wish.stdin and wish.leftover:
            self._type(client, wish.leftover)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its window's size; before there is one, remember it."""
        self._size = (rows, columns)
        if self._terminal and self._input >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._input, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def finish(self) -> None:
        """The process has ended: take what is still in its pipes, and let the clients go when they have got it."""
        for fd in list(self._sources):
            while self._copy(fd):
                continue
            self._end_source(fd)
        self._close_input()
        if self._log:
            self._log.close()
        for client in list(self._clients):
            if not client.waiting:
                self._drop(client)
            else:
                client.ended = True
                self._watch(client)

    @property
    def busy(self) -> bool:
        """Whether something is still on its way to a client."""
        return any(client.waiting for client in self._clients)

    # the process's words ----------------------------------------------------------------------------------------

    def _listen(self, fd: int) -> None:
        if fd == self._input:
            self._loop.watch(fd, self._terminal_events(), self._terminal_ready)
        else:
            self._loop.watch(fd, select.EPOLLIN, lambda _: self._heard(fd))

    def _terminal_events(self) -> int:
        # One descriptor carries both ways.
        return (0 if self._paused else select.EPOLLIN) | (select.EPOLLOUT if self._typed else 0)

    def _terminal_ready(self, happened: int) -> None:
        if happened & select.EPOLLOUT and self._typed:
            self._feed()
        if happened & ~select.EPOLLOUT and self._input in self._sources:
            self._heard(self._input)

    def _heard(self, fd: int) -> None:
        if self._copy(fd) == b"":
            self._end_source(fd)

    def _copy(self, fd: int) -> bytes | None:
        """Pass one chunk on and return it; None when there is none yet, empty at the end of the stream."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return None
        except OSError:
            return b""  # EIO: nobody has the terminal open any more
        name = self._sources[fd]
        if data and self._log:
            self._log.write(name, data)
        for client in list(self._clients):
            if data and getattr(client.wish, name):
                self._tell(client, name, data)
        return data

    def _end_source(self, fd: int) -> None:
        self._loop.forget(fd)
        if self._sources.pop(fd, None) is not None and fd != self._input:
            os.close(fd)

    # to the clients ---------------------------------------------------------------------------------------------

    def _tell(self, client: Client, name: str, data: bytes) -> None:
        if client.wish.framed:
            data = struct.pack(">BxxxI", STREAMS[name], len(data)) + data
        if not client.waiting:
            try:
                sent = client.socket.send(data, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(client)
                return
            data = data[sent:]
        if data:
            client.waiting += data
            self._watch(client)
            if len(client.waiting) > FULL:
                self._pause()

    def _pause(self) -> None:
        self._paused = True
        for fd in self._sources:
            self._loop.forget(fd)

    def _resume(self) -> None:
        if self._paused and not any(len(client.waiting) > FULL for client in self._clients):
            self._paused = False
            for fd in self._sources:
                self._listen(fd)

    def _watch(self, client: Client) -> None:
        reading = client.wish.stdin and not client.ended and not self._typed
        events = (select.EPOLLIN if reading else 0) | (select.EPOLLOUT if client.waiting else 0)
        self._loop.watch(client.socket.fileno(), events, lambda happened: self._serve(client, happened))

    def _serve(self, client: Client, happened: int) -> None:
        if happened & select.EPOLLOUT and client.waiting:
            try:
                sent = client.socket.send(client.waiting, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(client)
                return
            del client.waiting[:sent]
            if not client.waiting:
                if not self._sources:
                    self._drop(client)
                    return
                self._watch(client)
            self._resume()
        if happened & select.EPOLLIN and client.wish.stdin and not client.ended:
            try:
                data = client.socket.recv(CHUNK)
            except BlockingIOError:
                return
            except OSError:
                self._drop(client)
                return
            if data:
                self._type(client, data)
            else:
                self._stop_typing(client)
        elif happened & (select.EPOLLHUP | select.EPOLLERR):
            self._drop(client)

    def _drop(self, client: Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._loop.forget(client.socket.fileno())
            with contextlib.suppress(OSError):
                client.socket.shutdown(socket.SHUT_RDWR)
            client.socket.close()
            self._resume()

    # the clients' words -----------------------------------------------------------------------------------------

    def _type(self, client: Client, data: bytes) -> None:
        if self._terminal and client.wish.detach_keys:
            data, detached = _without_keys(client, data)
            if detached:
                self._drop(client)
                return
        self._typed += data
        self._feed()

    def _stop_typing(self, client: Client) -> None:
        client.ended = True
        self._watch(client)
        if self._stdin_once and not self._terminal:
            self._input_ends = True
            self._feed()

    def _feed(self, _: int = 0) -> None:
        """Give the process what was typed; what it does not take now waits, and so do those who type."""
        was_stuck = self._stuck
        try:
            while self._typed and self._input >= 0:
                written = os.write(self._input, self._typed[:CHUNK])
                del self._typed[:written]
        except BlockingIOError:
            pass
        except OSError:
            self._typed.clear()
            self._input_ends = True
        self._stuck = bool(self._typed) and self._input >= 0
        if self._terminal:
            if self._input in self._sources:
                self._listen(self._input)
        elif self._stuck:
            self._loop.watch(self._input, select.EPOLLOUT, self._feed)
        elif self._input_ends:
            self._close_input()
        elif self._input >= 0:
            self._loop.forget(self._input)
        if self._stuck != was_stuck:
            for client in self._clients:
                self._watch(client)

    def _close_input(self) -> None:
        self._typed.clear()
        if self._input >= 0:
            self._loop.forget(self._input)
            os.close(self._input)
            self._input = -1


def _without_keys(client: Client, data: bytes) -> tuple[bytes, bool]:
    """What was typed without the detach keys, and whether they have all been typed."""
    keys, kept = client.wish.detach_keys, bytearray()
    for byte in data:
        if byte == keys[client.matched]:
            client.matched += 1
            if client.matched == len(keys):
                return bytes(kept), True
            continue
        kept += keys[: client.matched]
        client.matched = 1 if byte == keys[0] else 0
        if not client.matched:
            kept.append(byte)
    return bytes(kept), False
