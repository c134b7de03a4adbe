"""Sockets handed out of a network namespace, which they go on belonging to."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from kernelkit.kernel import libc
from kernelkit.kernel.ip import SetLinkUp
from kernelkit.kernel.sockets import HandOverSockets, open_pair
from tests.child import in_child

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces of one's own take CAP_SYS_ADMIN: root")


def test_whoever_gets_them_answers_in_there(tmp_path: Path) -> None:
    """Also by a name longer than unix(7) allows."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()

    def there() -> Any:
        os.chdir(folder)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind("names")
            listener.listen()
            libc.unshare(libc.CLONE_NEWNET)
            SetLinkUp("lo").perform()
            HandOverSockets("127.0.0.11", 53, str(folder / "names"), "me").perform()
            connection, _ = listener.accept()
            about, descriptors, *_ = socket.recv_fds(connection, 100, 2)
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.sendto(b"?", ("127.0.0.11", 53))
        calling = socket.create_connection(("127.0.0.11", 53))
        libc.unshare(libc.CLONE_NEWNET)  # where we are now, no loopback is even up
        datagrams, connections = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        question, who = datagrams.recvfrom(10)
        datagrams.sendto(b"!", who)
        answering, _ = connections.accept()
        answering.sendall(b"!!")
        return about, question, asking.recv(10), calling.recv(10)

    assert in_child(there) == (b"me", b"?", b"!", b"!!")


def test_an_address_that_somebody_has_is_named() -> None:
    def there() -> None:
        libc.unshare(libc.CLONE_NEWNET)
        SetLinkUp("lo").perform()
        with socket.create_server(("127.0.0.11", 53)):
            open_pair("127.0.0.11", 53)

    with pytest.raises(OSError, match=r"127\.0\.0\.11:53") as refused:
        in_child(there)
    assert refused.value.errno == errno.EADDRINUSE


def test_a_name_server_of_ones_own_can_have_the_port_at_all_addresses() -> None:
    def there() -> bool:
        libc.unshare(libc.CLONE_NEWNET)
        SetLinkUp("lo").perform()
        open_pair("127.0.0.11", 53)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            own.bind(("0.0.0.0", 53))
        return True

    assert in_child(there)


def test_without_anybody_who_listens_that_is_said(tmp_path: Path) -> None:
    def there() -> None:
        libc.unshare(libc.CLONE_NEWNET)
        SetLinkUp("lo").perform()
        HandOverSockets("127.0.0.11", 53, str(tmp_path / "nobody"), "me").perform()

    with pytest.raises(FileNotFoundError):
        in_child(there)
