"""A container's place in a network, used at once: the first packet gets through, whoever had the address before."""

from __future__ import annotations

import os
import signal
import socket
import struct
from typing import Any

import pytest

from kernelkit.container import network
from kernelkit.container.network import Endpoint
from kernelkit.kernel import libc, netlink
from kernelkit.kernel.ip import SetLinkUp
from kernelkit.trace import Ledger, Operation
from tests.child import in_child
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces of one's own take CAP_SYS_ADMIN: root")

ROUNDS = 25
ADDRESS, GATEWAY = "172.17.0.2", "172.17.0.1"


def perform(plan: list[Operation]) -> None:
    """As a container does: neighbours in one send."""
    Ledger(bytearray(Ledger.size(len(plan)))).perform(plan, 1)  # type: ignore[arg-type]


def host() -> None:
    libc.unshare(libc.CLONE_NEWNET)
    netlink.open_host_sockets()
    perform([SetLinkUp("lo"), *network.bridge("kk0", "02:42:00:00:00:01", [f"{GATEWAY}/16"])])


def container(number: int) -> None:
    """In a child: its own network namespace, its cable to the bridge; always the same address."""
    libc.unshare(libc.CLONE_NEWNET)
    endpoint = Endpoint("kk0", f"veth{number}", "eth0", network.mac_of(ADDRESS), f"{ADDRESS}/16", GATEWAY)
    perform([*network.interface(endpoint), *network.addresses([endpoint])])


def sent_again(connected: socket.socket) -> int:
    """How many packets TCP had to send once more, those that asked for the connection among them: linux/tcp.h."""
    info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int(struct.unpack_from("=I", info, 100)[0])  # tcpi_total_retrans


def test_the_first_packet_from_a_container_gets_through() -> None:
    """One that is lost is sent again, but only after a second."""

    def there() -> Any:
        host()
        found = []
        with socket.create_server((GATEWAY, 80)) as server:
            server.settimeout(PATIENCE)
            for number in range(ROUNDS):
                pid = os.fork()
                if pid == 0:
                    container(number)
                    connected = socket.create_connection((GATEWAY, 80))
                    connected.sendall(bytes([sent_again(connected)]))
                    os._exit(0)
                try:
                    connection, _ = server.accept()
                    with connection:
                        found.append(connection.recv(1))
                finally:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
        return found

    assert in_child(there) == [b"\0"] * ROUNDS


def test_who_has_an_address_now_is_found_however_lately_somebody_else_had_it() -> None:
    """The kernel throws a dead container's links away when it gets round to it; until then they refuse."""

    def there() -> Any:
        host()
        found = []
        for number in range(ROUNDS):
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                container(number)
                with socket.create_server(("0.0.0.0", 80)) as server:
                    os.write(write, b"x")
                    connection, _ = server.accept()
                    connection.sendall(str(number).encode())
                    os._exit(0)
            os.read(read, 1)
            os.close(read)
            os.close(write)
            try:
                with socket.create_connection((ADDRESS, 80), PATIENCE) as asking:
                    found.append((asking.recv(10).decode(), sent_again(asking)))
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return found

    assert in_child(there) == [(str(number), 0) for number in range(ROUNDS)]
