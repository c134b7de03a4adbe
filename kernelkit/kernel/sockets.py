"""Sockets opened in a container's network namespace and handed to somebody outside. unix(7), network_namespaces(7)."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from kernelkit.kernel.netlink import visiting


@dataclass(frozen=True)
class HandOverSockets:
    """Open an UDP and a listening TCP socket at an address of this network namespace, and give them to somebody else.

    He listens at the unix socket `to`, and gets the word `about` with them. A socket goes on belonging to the network
    namespace in which it was opened.
    """

    address: str
    port: int
    to: str
    about: str

    def perform(self) -> None:
        """Open, bind, send; OSError with the address when somebody has it already."""
        sockets = open_pair(self.address, self.port)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                # A name in /proc, for unix(7) allows 108 bytes and a home may be further down.
                folder = os.open(os.path.dirname(self.to), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(self.to)}")
                finally:
                    os.close(folder)
                socket.send_fds(connection, [self.about.encode()], [each.fileno() for each in sockets])
        finally:
            for each in sockets:
                each.close()

    def shell(self) -> str:
        """No shell can: what a person would start there serves the same purpose."""
        return f": the engine answers at {self.address} port {self.port}, through sockets opened here"


def open_pair(address: str, port: int, pid: int = 0) -> tuple[socket.socket, socket.socket]:
    """An UDP and a listening TCP socket at this address, here or in the network namespace of the process `pid`."""
    if pid:
        with visiting(pid):
            return open_pair(address, port)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connections = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Lets a name server of the container's own, if it does likewise, have port 53 of all its addresses.
        datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        datagrams.bind((address, port))
        connections.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connections.bind((address, port))
        connections.listen(16)
    except OSError as error:
        datagrams.close()
        connections.close()
        raise OSError(error.errno, error.strerror, f"{address}:{port}") from None
    return datagrams, connections
