"""Questions for names through real sockets, answered or passed on; the containers are plain values."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kernelkit.engine import dns, etc, resolver
from kernelkit.engine.model import Container
from kernelkit.engine.resolver import Resolver
from kernelkit.errors import NotFound
from kernelkit.kernel.sockets import open_pair
from tests.patience import PATIENCE


def question(name: str, kind: int = dns.A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, dns.IN)


def container(name: str, **networks: str) -> Container:
    """A container that is in these networks, at these addresses."""
    settings = {
        network: {"EndpointID": "e", "IPAddress": address, "GlobalIPv6Address": "", "DNSNames": [name, "Shared"]}
        for network, address in networks.items()
    }
    return Container(name, name, "", "", "", {}, {"Dns": ["127.0.0.53"]}, networks=settings)


class Book:
    """The containers there are."""

    def __init__(self, *containers: Container) -> None:
        self._containers = {c.id: c for c in containers}

    def containers(self) -> list[Container]:
        """All of them."""
        return list(self._containers.values())

    def container(self, word: str) -> Container:
        """One of them."""
        if word not in self._containers:
            raise NotFound(word)
        return self._containers[word]


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    (tmp_path / "run").mkdir()
    state = Book(
        container("web", one="10.1.0.2", two="10.2.0.2"),
        container("db", one="10.1.0.3"),
        container("far", three="10.3.0.2"),
    )
    return SimpleNamespace(home=tmp_path, state=state, complain=lambda text: pytest.fail(text))


@pytest.fixture
def address(engine: Any) -> Iterator[tuple[str, int]]:
    """Where `web` asks."""
    there = Resolver(engine)
    datagrams, connections = pair()
    found = datagrams.getsockname()
    there._adopt("web", (datagrams, connections))
    yield found
    there.close("web")


def pair() -> tuple[socket.socket, socket.socket]:
    """A socket for datagrams and one for connections, with the same number; for one of them somebody may have it."""
    while True:
        datagrams, other = open_pair("127.0.0.1", 0)
        other.close()
        try:
            return datagrams, socket.create_server(datagrams.getsockname())
        except OSError:
            datagrams.close()


def ask(address: tuple[str, int], message: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(PATIENCE)
        asking.sendto(message, address)
        return asking.recv(4096)


def ask_by_connection(address: tuple[str, int], message: bytes) -> bytes:
    with socket.create_connection(address, timeout=PATIENCE) as asking:
        asking.sendall(struct.pack("!H", len(message)) + message)
        (length,) = struct.unpack("!H", asking.recv(2, socket.MSG_WAITALL))
        return asking.recv(length, socket.MSG_WAITALL)


@pytest.mark.parametrize("by", [ask, ask_by_connection])
@pytest.mark.parametrize("name", ["db", "DB", "db.one"])
def test_a_neighbours_name_is_answered(address: tuple[str, int], name: str, by: Any) -> None:
    answer = by(address, question(name))
    assert answer.endswith(socket.inet_aton("10.1.0.3"))
    assert answer[2:4] == b"\x81\x80"


def test_all_who_share_a_name_in_one_network_are_listed(address: tuple[str, int]) -> None:
    answer = ask(address, question("shared"))
    assert struct.unpack_from("!HHHH", answer)[3] == 2  # web, and db, in the first network
    for elsewhere in ("10.2.0.2", "10.3.0.2"):
        assert socket.inet_aton(elsewhere) not in answer


def test_an_address_is_answered_with_the_name(address: tuple[str, int]) -> None:
    assert ask(address, question("3.0.1.10.in-addr.arpa", dns.PTR)).endswith(b"\x02db\x03one\0")


def test_a_name_without_an_address_of_that_kind_has_an_empty_answer(address: tuple[str, int]) -> None:
    assert struct.unpack_from("!HHHH", ask(address, question("db", dns.AAAA)))[1:] == (0x8180, 1, 0)


def test_what_is_no_question_is_answered_with_an_error(address: tuple[str, int]) -> None:
    assert ask(address, b"\x12\x34nonsense")[:4] == b"\x12\x34\x80\x81"
    assert ask(address, question("db"))[3] == 0x80  # and the next one is served


@pytest.mark.parametrize("name", ["far", "example.com"])
@pytest.mark.parametrize("by", [ask, ask_by_connection])
def test_everything_else_is_passed_on(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, name: str, by: Any
) -> None:
    """Also the name of somebody in a network of which the asker is not."""
    message = question(name)
    datagrams, connections = pair()
    monkeypatch.setattr(resolver, "PORT", datagrams.getsockname()[1])
    monkeypatch.setattr(resolver, "PATIENCE", PATIENCE)
    monkeypatch.setattr(etc, "upstream", lambda host: ["127.0.0.1"])

    def world() -> None:
        if by is ask:
            heard, who = datagrams.recvfrom(100)
            datagrams.sendto(heard[:2] + b"answer", who)
        else:
            connection, _ = connections.accept()
            with connection:
                heard = connection.recv(100)[2:]
                connection.sendall(struct.pack("!H", 8) + heard[:2] + b"answer")

    answering = threading.Thread(target=world)
    answering.start()
    assert by(address, message) == message[:2] + b"answer"
    answering.join()
    datagrams.close()
    connections.close()


def test_when_nobody_else_answers_that_is_said(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etc, "upstream", lambda host: [])
    assert ask(address, question("example.com"))[3] == 0x82  # SERVFAIL
