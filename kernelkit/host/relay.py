"""Ports published at IPv6 addresses, where containers have none: what comes is passed on by a program beside us.

    held        the engine has the socket, and waits with it for somebody to come
    handed      somebody has come: the program `proxy`, started for the first of them, has it as well, and serves

So a container whose ports nobody calls by IPv6 costs a socket.
"""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

PROXY = Path(__file__).with_name("proxy.py")
PATIENCE = 5.0  # seconds for the program to let go of a port
QUEUE = 128  # connections that may wait

Port = tuple[str, str, int]  # protocol, address, number


@dataclass
class Line:
    """A held port and where it leads: to an IPv4 address and port."""

    socket: socket.socket
    address: str
    number: int
    handed: bool = False


class Relay:
    """The engine's side; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._lines: dict[Port, Line] = {}
        self._epoll: select.epoll | None = None
        self._control: socket.socket | None = None
        self._proxy: subprocess.Popen[bytes] | None = None

    def lead(self, port: Port, held: socket.socket, address: str, number: int) -> None:
        """Pass on what comes to a held socket; OSError when it cannot listen."""
        with self._lock:
            self.drop(port)
            if port[0] == "tcp":
                held.listen(QUEUE)
            self._lines[port] = Line(held, address, number)
            self._wait_for(held)

    def drop(self, port: Port) -> None:
        """Pass on nothing more, and cut what is under way; the socket stays the caller's."""
        with self._lock:
            line = self._lines.pop(port, None)
            if line is None:
                return
            if line.handed:
                self._tell(f"drop {_name(port)}")
                self._end_unneeded()
            else:
                self._forget(line.socket)
            if port[0] == "tcp":
                with contextlib.suppress(OSError):
                    line.socket.shutdown(socket.SHUT_RDWR)  # it listens no more, and is still held

    def _wait_for(self, held: socket.socket) -> None:
        if self._epoll is None:
            self._epoll = select.epoll()
            threading.Thread(target=self._watch, args=(self._epoll,), name="relay", daemon=True).start()
        self._epoll.register(held.fileno(), select.EPOLLIN | select.EPOLLONESHOT)

    def _forget(self, held: socket.socket) -> None:
        assert self._epoll
        with contextlib.suppress(OSError):
            self._epoll.unregister(held.fileno())

    def _watch(self, epoll: select.epoll) -> None:
        while True:
            for fd, _ in epoll.poll():
                with self._lock:
                    if self._control and fd == self._control.fileno():
                        self._lose_proxy()
                        continue
                    for port, line in self._lines.items():
                        if line.socket.fileno() == fd and not line.handed:
                            self._forget(line.socket)
                            self._hand(port, line)

    def _hand(self, port: Port, line: Line) -> None:
        if self._control is None:
            self._start()
        message = f"take {_name(port)} {port[0]} {line.address} {line.number}"
        line.handed = True
        assert self._control
        with contextlib.suppress(OSError):  # the program has just ended: `_watch` hears of it, and begins again
            socket.send_fds(self._control, [message.encode()], [line.socket.fileno()])

    def _tell(self, message: str) -> None:
        """Say something and wait until it is done: whoever wants the port next must find it free."""
        if self._control:
            with contextlib.suppress(OSError):
                self._control.send(message.encode())
                self._control.recv(64)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(PATIENCE)
        with theirs:
            self._proxy = subprocess.Popen(
                [sys.executable, "-I", "-S", PROXY, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                cwd="/",
            )
        self._control = ours
        assert self._epoll
        self._epoll.register(ours.fileno(), 0)  # that the other end is closed is always told: epoll_ctl(2)

    def _lose_proxy(self) -> None:
        """It has ended, for whatever reason: what it had is waited for again."""
        self._stop()
        for line in self._lines.values():
            if line.handed:
                line.handed = False
                self._wait_for(line.socket)

    def _end_unneeded(self) -> None:
        if not any(line.handed for line in self._lines.values()):
            self._stop()

    def _stop(self) -> None:
        if self._control:
            self._forget(self._control)
            self._control.close()
            self._control = None
        if self._proxy:
            self._proxy.wait()
            self._proxy = None


def _name(port: Port) -> str:
    return "/".join(map(str, port))
