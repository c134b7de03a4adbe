"""What comes for a port at an IPv6 address, passed on by a real program to a real socket."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelkit.host.relay import Relay
from tests.patience import PATIENCE

pytestmark = pytest.mark.skipif(not Path("/proc/sys/net/ipv6").is_dir(), reason="this kernel has no IPv6")


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay()
    yield made
    for port in list(made._lines):
        made.drop(port)
    assert made._proxy is None


def held(kind: int) -> socket.socket:
    """A socket with a port that was named: one that the kernel chose goes when it listens no more."""
    made = socket.socket(socket.AF_INET6, kind)
    with socket.socket(socket.AF_INET6, kind) as probe:
        for each in (probe, made):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("::1", 0))
        made.bind(probe.getsockname())
    return made


def led(relay: Relay, mine: socket.socket, target: socket.socket) -> tuple[str, str, int]:
    proto = "tcp" if mine.type == socket.SOCK_STREAM else "udp"
    port = proto, "::1", mine.getsockname()[1]
    relay.lead(port, mine, *target.getsockname())
    return port


def test_all_of_it_arrives_both_ways_though_one_half_ends_before_the_other(relay: Relay) -> None:
    sent, answer = os.urandom(3_000_000), os.urandom(2_000_000)

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            got = b"".join(iter(lambda: connection.recv(65536), b""))
            connection.sendall(hashlib.sha256(got).digest() + answer)

    with held(socket.SOCK_STREAM) as mine, socket.create_server(("127.0.0.1", 0)) as server:
        port = led(relay, mine, server)
        assert relay._proxy is None  # nobody has come
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        with socket.create_connection(("::1", port[2]), PATIENCE) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: client.recv(65536), b"")) == hashlib.sha256(sent).digest() + answer
        assert relay._proxy
        status = Path(f"/proc/{relay._proxy.pid}/status").read_text()
        assert os.geteuid() != 0 or "Uid:\t65534\t65534\t65534\t65534" in status
        relay.drop(port)


def test_one_that_is_dropped_is_cut_and_can_be_led_elsewhere(relay: Relay) -> None:
    with (
        held(socket.SOCK_STREAM) as mine,
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        port = led(relay, mine, first)
        with socket.create_connection(("::1", port[2]), PATIENCE) as client:
            first.settimeout(PATIENCE)
            connection, _ = first.accept()
            with connection:
                relay.drop(port)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("::1", port[2]), PATIENCE)
        led(relay, mine, second)
        with socket.create_connection(("::1", port[2]), PATIENCE):
            second.settimeout(PATIENCE)
            second.accept()[0].close()
        relay.drop(port)
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("::1", port[2]))
        other.listen()


def test_answers_to_datagrams_find_their_way(relay: Relay) -> None:
    with held(socket.SOCK_DGRAM) as mine, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(PATIENCE)
        port = led(relay, mine, server)
        clients = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(3)]
        for number, client in enumerate(clients):
            client.settimeout(PATIENCE)
            client.sendto(b"%d" % number, ("::1", port[2]))
        for _ in clients:
            data, sender = server.recvfrom(100)
            server.sendto(b"answer to " + data, sender)
        assert [client.recv(100) for client in clients] == [b"answer to 0", b"answer to 1", b"answer to 2"]
        for client in clients:
            client.close()
        relay.drop(port)


def test_a_program_that_has_ended_is_started_again(relay: Relay) -> None:
    with held(socket.SOCK_STREAM) as mine, socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        port = led(relay, mine, server)
        for _ in range(2):
            with socket.create_connection(("::1", port[2]), PATIENCE):
                server.accept()[0].close()
            proxy = relay._proxy
            assert proxy
            proxy.kill()
            proxy.wait()
        relay.drop(port)
