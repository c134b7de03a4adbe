"""Passes on what comes for ports at IPv6 addresses to where IPv4 reaches them: a program of its own.

    the engine ── take, drop ──▶ proxy SOCKET
    client ══ a listening socket, handed over by the engine ══ proxy ══ IPv4 ══ container

`relay` starts it when the first client is there.  It ends when the engine does, or has nothing more for it.  It imports
nothing of kernelkit and little else, for somebody waits; and gives up its rights, for it needs only what it is given.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading
import time

NOBODY = 65534
CHUNK = 1 << 16
PATIENCE = 10.0  # seconds for a container to take a connection
QUIET = 90.0  # seconds after which somebody who has sent a datagram is forgotten
STACK = 1 << 18  # bytes; there are two threads to a connection

Address = tuple[str, int]
Sender = tuple[str, int, int, int]  # an address of IPv6, as ipv6(7) has it


class Streams:
    """A port of TCP: each connection is one of ours to the container, and a thread for either direction."""

    def __init__(self, listener: socket.socket, target: Address) -> None:
        self.listener = listener
        self._target = target
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def sockets(self) -> list[socket.socket]:
        """What to wait for."""
        return [self.listener]

    def turn(self, _: socket.socket) -> None:
        """Somebody is at the door."""
        try:
            client, _address = self.listener.accept()
        except OSError:
            return
        threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def tidy(self) -> None:
        """Nothing: a connection ends when one side wants it to."""

    def close(self) -> None:
        """Close the door, and cut the connections there are."""
        self.listener.close()
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        client.setblocking(True)
        with client, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.settimeout(PATIENCE)
            with contextlib.suppress(OSError):
                server.connect(self._target)
                server.settimeout(None)
                both = {client, server}
                with self._lock:
                    self._open |= both
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()
                with self._lock:
                    self._open -= both


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """All that comes, to its end, which is passed on as well: a half of a connection may end before the other."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Datagrams:
    """A port of UDP: a socket to the container for each who sends something, so that answers find their way."""

    def __init__(self, listener: socket.socket, target: Address) -> None:
        self.listener = listener
        self._target = target
        self._senders: dict[Sender, socket.socket] = {}
        self._heard: dict[socket.socket, tuple[Sender, float]] = {}  # who is behind it, and when they were last heard

    def sockets(self) -> list[socket.socket]:
        """What to wait for."""
        return [self.listener, *self._heard]

    def turn(self, ready: socket.socket) -> None:
        """A datagram, in or out."""
        with contextlib.suppress(OSError):
            if ready is self.listener:
                data, sender = ready.recvfrom(CHUNK)
                self._towards(sender).send(data)
            elif ready in self._heard:
                self.listener.sendto(ready.recv(CHUNK), self._heard[ready][0])

    def tidy(self) -> None:
        """Forget who has not been heard for long."""
        for outward, (sender, at) in list(self._heard.items()):
            if time.monotonic() - at > QUIET:
                self._senders.pop(sender).close()
                del self._heard[outward]

    def close(self) -> None:
        """Close the door, and forget who has been there."""
        for each in self.sockets():
            each.close()

    def _towards(self, sender: Sender) -> socket.socket:
        outward = self._senders.get(sender)
        if outward is None:
            outward = self._senders[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            outward.connect(self._target)
        self._heard[outward] = sender, time.monotonic()
        return outward


Door = Streams | Datagrams


def main(control: socket.socket) -> None:
    """Do as the engine says, until it says nothing more."""
    threading.stack_size(STACK)
    with contextlib.suppress(OSError):
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    doors: dict[str, Door] = {}
    while True:
        waiting = {each.fileno(): (door, each) for door in doors.values() for each in door.sockets()}
        poll = select.poll()
        for fd in (control.fileno(), *waiting):
            poll.register(fd, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(QUIET * 1000)]
        if control.fileno() in ready:
            if not listen(control, doors):
                return
            continue  # one of those that are ready may be closed by now
        for fd in ready:
            door, each = waiting[fd]
            door.turn(each)
        for door in doors.values():
            door.tidy()


def listen(control: socket.socket, doors: dict[str, Door]) -> bool:
    """One word of the engine's: `take NAME PROTO ADDRESS PORT` with a socket, or `drop NAME`, which is answered."""
    message, descriptors, _, _ = socket.recv_fds(control, CHUNK, 1)
    words = message.decode().split()
    if not words:
        return False
    if words[0] == "take":
        _, name, proto, address, port = words
        given = socket.socket(fileno=descriptors[0])
        given.setblocking(False)
        doors[name] = (Streams if proto == "tcp" else Datagrams)(given, (address, int(port)))
    else:
        doors.pop(words[1]).close()
        control.send(b"dropped")
    return True


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)  # threads that wait for clients would keep us
