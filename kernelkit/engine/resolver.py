"""Answers containers that ask for names: of each other in user-defined networks, of the world elsewhere.

container                          engine
127.0.0.11:53  UDP, TCP  ───────▶  a name of one of its networks?  its address
   sockets opened there, held here  else ─▶ the machine's own name servers, or those of --dns
"""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelkit.engine import dns, etc
from kernelkit.engine.model import Container
from kernelkit.errors import NotFound
from kernelkit.kernel.sockets import open_pair

if TYPE_CHECKING:
    from kernelkit.engine.engine import Engine

PORT = 53
PATIENCE = 2.0  # seconds for one name server to answer
IDLE = 10.0  # seconds that a TCP client may say nothing
ASKERS = 16  # questions that other name servers are asked at once
QUEUED = 256  # questions and TCP clients that wait; more are not heard: asking again is their custom
DATAGRAM = 4096

Reply = Callable[[bytes], Any]


class Resolver:
    """One thread that answers for all containers, a few more that wait for other name servers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sockets: dict[str, tuple[socket.socket, socket.socket]] = {}
        self._lock = threading.Lock()
        self._waiting = selectors.DefaultSelector()
        self._room = threading.BoundedSemaphore(QUEUED)
        self._askers = ThreadPoolExecutor(ASKERS, thread_name_prefix="names")
        self.address = address(engine.home)
        self._listener = self._listen()
        self._waiting.register(self._listener, selectors.EVENT_READ, ("", self._take_over))
        threading.Thread(target=self._serve, name="names", daemon=True).start()

    def open(self, container: Container) -> None:
        """Open the sockets in a running container that has none, from here; OSError when somebody has the address."""
        with self._lock:
            if container.id in self._sockets:
                return
        self._adopt(container.id, open_pair(etc.EMBEDDED, PORT, container.state.pid))

    def close(self, container: str) -> None:
        """Let go of a container's sockets: they would keep its network namespace alive."""
        with self._lock:
            for each in self._sockets.pop(container, ()):
                with contextlib.suppress(KeyError):
                    self._waiting.unregister(each)
                each.close()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.address)
        folder = os.open(os.path.dirname(self.address), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(self.address)}")
        finally:
            os.close(folder)
        os.chmod(self.address, 0o600)
        listener.listen(128)
        return listener

    def _serve(self) -> None:
        while True:
            for key, _ in self._waiting.select():
                container, act = key.data
                try:
                    act(container, key.fileobj)
                except OSError:
                    continue  # closed meanwhile, or a client that did not wait
                except Exception as error:  # whatever a container sends must not end the thread that serves the others
                    self._engine.complain(f"answer a question of {container[:12]}: {error!r}")

    def _take_over(self, _: str, listener: socket.socket) -> None:
        """A container's first process hands over the sockets that it has opened."""
        connection, _sender = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            about, descriptors, *_rest = socket.recv_fds(connection, 256, 2)
        if len(descriptors) == 2:
            datagrams, connections = (socket.socket(fileno=descriptor) for descriptor in descriptors)
            self._adopt(about.decode(), (datagrams, connections))

    def _adopt(self, container: str, sockets: tuple[socket.socket, socket.socket]) -> None:
        self.close(container)
        with self._lock:
            self._sockets[container] = sockets
            self._waiting.register(sockets[0], selectors.EVENT_READ, (container, self._datagram))
            self._waiting.register(sockets[1], selectors.EVENT_READ, (container, self._connection))

    def _datagram(self, container: str, source: socket.socket) -> None:
        message, client = source.recvfrom(DATAGRAM, socket.MSG_DONTWAIT)
        answer = self._local(container, message, datagram=True)
        if answer is not None:
            source.sendto(answer, client)
            return

        def ask() -> None:
            with self._leaving(), contextlib.suppress(OSError):
                source.sendto(_ask(message, self._servers(container), _by_datagram), client)

        if self._room.acquire(blocking=False):
            self._askers.submit(ask)

    def _connection(self, container: str, source: socket.socket) -> None:
        connection, _ = source.accept()
        if self._room.acquire(blocking=False):
            threading.Thread(target=self._converse, args=(container, connection), daemon=True).start()
        else:
            connection.close()

    def _converse(self, container: str, connection: socket.socket) -> None:
        with self._leaving(), connection, contextlib.suppress(OSError, EOFError):
            connection.settimeout(IDLE)
            while True:
                message = _read(connection)
                answer = self._local(container, message, datagram=False)
                if answer is None:
                    answer = _ask(message, self._servers(container), _by_connection)
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    @contextlib.contextmanager
    def _leaving(self) -> Iterator[None]:
        """Make room for the next one at the end."""
        try:
            yield
        finally:
            self._room.release()

    def _local(self, container: str, message: bytes, *, datagram: bool) -> bytes | None:
        """The answer that we know ourselves; None for a question that others must be asked."""
        question = dns.parse(message)
        if question is None:
            return dns.failure(message, dns.FORMERR)
        try:
            asking = self._engine.state.container(container)
        except NotFound:
            return dns.failure(message, dns.SERVFAIL)
        if question.kind == dns.PTR:
            name = whose(self._engine, asking, dns.reversed_address(question.name))
            return dns.pointer(question, name) if name else None
        found = lookup(self._engine, asking, question.name)
        if not found:
            return None
        key = {dns.A: "IPAddress", dns.AAAA: "GlobalIPv6Address"}.get(question.kind, "")
        known = [settings[key] for settings in found if key and settings.get(key)]
        random.shuffle(known)  # of several with one alias, each gets its share
        return dns.addresses(question, known, datagram=datagram)

    def _servers(self, container: str) -> list[str]:
        try:
            return etc.upstream(self._engine.state.container(container).host_config)
        except NotFound:
            return []


def address(home: Path) -> str:
    """Where containers hand over their sockets."""
    return os.fspath(home / "run" / "names.sock")


def lookup(engine: Engine, asking: Container, name: str) -> list[dict[str, Any]]:
    """The settings of those in the asker's user-defined networks that have this name: `web`, or `web.NETWORK`.

    They are all in one network, the first of the asker's in which there are any.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for network, _, settings in _neighbours(engine, asking):
        names = [known.lower() for known in settings["DNSNames"]]
        if {name, name.removesuffix(f".{network.lower()}"), *_linked(asking, network, name)} & set(names):
            found.setdefault(network, []).append(settings)
    return next((found[network] for network in asking.order if network in found), [])


def _linked(asking: Container, network: str, name: str) -> list[str]:
    """Whom the asker calls by that name, and nobody else does: `--link CONTAINER:NAME`."""
    links = (link.partition(":") for link in asking.networks.get(network, {}).get("Links") or ())
    return [target.lower() for target, _, alias in links if (alias or target).lower() == name]


def whose(engine: Engine, asking: Container, address: str) -> str:
    """The name of whoever has this address in one of the asker's user-defined networks; or nothing."""
    for network, other, settings in _neighbours(engine, asking):
        if address and settings["IPAddress"] == address:
            return f"{other.name}.{network}"
    return ""


def _neighbours(engine: Engine, asking: Container) -> Iterator[tuple[str, Container, dict[str, Any]]]:
    mine = {name for name, settings in asking.networks.items() if settings.get("DNSNames")}
    for other in engine.state.containers():
        for name, settings in list(other.networks.items()):
            if name in mine and settings.get("DNSNames"):
                yield name, other, settings


def _ask(message: bytes, servers: Sequence[str], by: Callable[[bytes, str], bytes]) -> bytes:
    """The first answer that one of these name servers gives; that there is none, when none does."""
    for server in servers:
        with contextlib.suppress(OSError, EOFError):
            return by(message, server)
    return dns.failure(message, dns.SERVFAIL)


def _by_datagram(message: bytes, server: str) -> bytes:
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(PATIENCE)
        asking.connect((server, PORT))
        asking.send(message)
        while True:
            answer = asking.recv(65535)
            if answer[:2] == message[:2]:  # and not one to an earlier question
                return answer


def _by_connection(message: bytes, server: str) -> bytes:
    with socket.create_connection((server, PORT), timeout=PATIENCE) as asking:
        asking.sendall(struct.pack("!H", len(message)) + message)
        return _read(asking)


def _read(connection: socket.socket) -> bytes:
    """One message from a stream: its length goes before it. EOFError at the end."""
    (length,) = struct.unpack("!H", _exactly(connection, 2))
    return _exactly(connection, length)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
