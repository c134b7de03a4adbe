"""The practice host's way out: a cable to the real machine, which forwards and translates for it.

    the real machine                                   the practice host
    kk1a2b3c4d  10.244.7.1/30 ═════ cable ═════ 10.244.7.2/30  uplink
    nft: source addresses out, published ports in

A published port is led in twice: by the real machine to the practice host, and by the practice host to the container.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kernelkit.container import nat
from kernelkit.container.nat import Publication
from kernelkit.errors import Conflict, Unavailable
from kernelkit.host.relay import Relay
from kernelkit.kernel.files import WriteFile
from kernelkit.kernel.ip import AddAddress, AddRoute, AddVeth, SetLinkUp
from kernelkit.kernel.nft import RunNft
from kernelkit.trace import Operation

SPACE = ipaddress.ip_network("10.244.0.0/16")  # cables get their addresses here, four each
INSIDE = "uplink"  # the cable's end in the practice host
# What has not been given the practice host's address on its way would not get an answer; and it stays where it is.
HONEST = """\
add chain ip {table} honest {{ type filter hook prerouting priority raw; }}
add rule ip {table} honest iifname "{link}" fib saddr . iif oif missing drop
"""

_ORDER = -1 if sys.byteorder == "little" else 1

Port = tuple[str, str, int]  # protocol, address, number


@dataclass(frozen=True)
class Cable:
    """The cable: the name of its outer end, the addresses of both, the real machine's table of rules for it."""

    link: str
    outer: str
    inner: str
    prefix: int
    table: str

    def outside(self, pid: int) -> list[Operation]:
        """On the real machine: lay it to the network namespace of that process, translate for it."""
        network = str(ipaddress.ip_network(f"{self.outer}/{self.prefix}", strict=False))
        return [
            AddVeth(self.link, INSIDE, str(pid)),
            AddAddress(self.link, f"{self.outer}/{self.prefix}"),
            SetLinkUp(self.link),
            # A packet for 127.0.0.1 may then leave by this cable, and come back: `localhost:PORT` is led inside.
            WriteFile(f"/proc/sys/net/ipv4/conf/{self.link}/route_localnet", "1"),
            *nat.table(self.table),
            *nat.masquerade(network, self.link, table=self.table),
            *nat.let_out([self.inner], self.table, where=""),
            RunNft(HONEST.format(table=self.table, link=self.link)),
        ]

    def inside(self) -> list[Operation]:
        """In the practice host: its end, and the way out through it."""
        return [
            AddAddress(INSIDE, f"{self.inner}/{self.prefix}"),
            SetLinkUp(INSIDE),
            AddRoute("default", self.outer, INSIDE),
        ]


def choose(mark: str) -> Cable:
    """A cable for the home with this mark: addresses that no route of this machine leads to. Unavailable without."""
    taken = list(_routes(Path("/proc/net/route").read_text()))
    first = int(mark, 16) % (1 << 14)
    for number in range(1 << 14):
        offset = (first + number) % (1 << 14) * 4
        network = ipaddress.IPv4Network((int(SPACE.network_address) + offset, 30))
        if not any(network.overlaps(other) for other in taken):
            outer, inner = map(str, network.hosts())
            return Cable(f"kk{mark}", outer, inner, 30, f"kernelkit-{mark}")
    raise Unavailable(f"every address in {SPACE} is in use on this machine")


def _routes(text: str) -> Iterator[ipaddress.IPv4Network]:
    """The networks in /proc/net/route, the default route left out: hexadecimal in the machine's own byte order."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        destination, mask = (int.from_bytes(bytes.fromhex(fields[i])[::_ORDER], "big") for i in (1, 7))
        if mask:
            yield ipaddress.IPv4Network((destination, mask.bit_count()))


class Uplink:
    """The engine's side: published ports, held so that no other program takes them, and led inside.

    The engine stands in the real machine's network namespace; without a cable it and its containers' host are one.
    """

    def __init__(self, cable: Cable | None) -> None:
        self._cable = cable
        self._relay = Relay()
        self._held: dict[Port, socket.socket] = {}
        self.ipv6 = _has_ipv6()
        self._lock = threading.Lock()

    def take(self, ports: Iterable[Port]) -> None:
        """Hold all of these or none; Conflict in Docker's words when somebody else has one."""
        taken: list[Port] = []
        with self._lock:
            for port in ports:
                try:
                    self._held[port] = _bind(port)
                except OSError as error:
                    for earlier in taken:
                        self._held.pop(earlier).close()
                    protocol, address, number = port
                    what = f"{protocol}6 [{address}]" if ":" in address else f"{protocol}4 {address}"
                    why = (error.strerror or str(error)).lower()
                    raise Conflict(f"listen {what}:{number}: bind: {why}") from None
                taken.append(port)

    def free(self, ports: Iterable[Port]) -> None:
        """Give them back; one that is not held is left alone."""
        with self._lock:
            for port in ports:
                held = self._held.pop(port, None)
                if held:
                    self._relay.drop(port)
                    held.close()

    def inner(self, publications: Sequence[Publication]) -> tuple[Publication, ...]:
        """As the practice host sees them: whatever address a packet came for, it arrives at the cable's end.

        There each has a port of its own; who is published at one address only is not at the host's others either.
        """
        if not self._cable:
            return tuple(p for p in publications if ":" not in p.host_ip)
        arriving: dict[tuple[str, int], Publication] = {}
        for p in sorted(publications, key=lambda p: ":" in p.host_ip):
            # What an earlier version held has no such number, and is at all the host's addresses.
            at, port = self._cable.inner if p.host_ip and p.cable else "", p.cable or p.host_port
            arriving.setdefault((p.proto, port), replace(p, host_ip=at, host_port=port, cable=0))
        return tuple(arriving.values())

    def publish(self, publications: Sequence[Publication]) -> list[Operation]:
        """The plan, for the real machine, that leads these ports to the practice host."""
        if not self._cable:
            return []
        return nat.publish(self.outer(publications), table=self._cable.table, where="machine")

    def unpublish(self, publications: Sequence[Publication]) -> list[Operation]:
        """The plan that takes that back."""
        if not self._cable:
            return []
        return nat.unpublish(self.outer(publications), table=self._cable.table, where="machine")

    def relay(self, publications: Sequence[Publication]) -> None:
        """Have what comes for IPv6 addresses passed on; OSError when it cannot be. To be held, and led in, by then."""
        for p in publications:
            port = p.proto, p.host_ip, p.host_port
            held = self._held.get(port) if ":" in p.host_ip else None
            if held:
                target = (self._cable.inner, p.cable or p.host_port) if self._cable else (p.address, p.port)
                self._relay.lead(port, held, *target)

    def unrelay(self, publications: Sequence[Publication]) -> None:
        """Have it passed on no more; the ports stay held."""
        for p in publications:
            self._relay.drop((p.proto, p.host_ip, p.host_port))

    @property
    def table(self) -> str:
        """The real machine's table of rules for the cable; empty without one."""
        return self._cable.table if self._cable else ""

    def outer(self, publications: Sequence[Publication]) -> list[Publication]:
        """As the real machine sees them: those of IPv4, leading to where they arrive in the practice host."""
        if not self._cable:
            return []
        return [
            replace(p, address=self._cable.inner, port=p.cable or p.host_port)
            for p in publications
            if ":" not in p.host_ip
        ]


def _has_ipv6() -> bool:
    """Whether this machine speaks IPv6 at all."""
    try:
        _bind(("tcp", "::1", 0)).close()
    except OSError:
        return False
    return True


def _bind(port: Port) -> socket.socket:
    """A socket that holds a port. With IPv4 it never listens: the rules lead packets away before they get to it."""
    protocol, address, number = port
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 is held by another one
        if protocol == "tcp":
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # where connections have been: tcp(7)
    try:
        held.bind((address or "0.0.0.0", number))
    except OSError:
        held.close()
        raise
    return held
