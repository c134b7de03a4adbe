"""What `ip link show`, `ip address show` and `ip route show` say, as plain values. rtnetlink(7).

Asked by netlink, because /sys/class/net shows the network namespace of whoever mounted /sys.  `where` is as in `ip`.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from kernelkit.kernel import netlink
from kernelkit.kernel.netlink import HOST_ROUTE, NETLINK_ROUTE, attributes

# linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
RTM_GETLINK = 18
RTM_GETADDR = 22
RTM_GETROUTE = 26
IFF_UP = 1
IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFLA_MTU = 4
IFLA_LINK = 5
IFLA_MASTER = 10
IFLA_LINKINFO = 18
IFLA_INFO_KIND = 1
IFA_ADDRESS = 1
IFA_LOCAL = 2
RTA_DST = 1
RTA_OIF = 4
RTA_GATEWAY = 5
RTA_TABLE = 15
RT_TABLE_MAIN = 254

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


@dataclass(frozen=True)
class Link:
    """A network interface. `master` is the bridge it is plugged into; `peer` the number of a cable's other end."""

    index: int
    name: str
    kind: str
    address: str
    mtu: int
    up: bool
    master: str = ""
    peer: int = 0


@dataclass(frozen=True)
class Address:
    """An address of a link, `172.17.0.1/16`."""

    link: str
    address: str


@dataclass(frozen=True)
class Route:
    """A route of the main table; `destination` is `default` or a network."""

    destination: str
    gateway: str
    link: str


def links(where: str = "") -> list[Link]:
    """Every link, in the order of their numbers."""
    found = []
    for data in _dump(RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0), where):
        _, _, index, flags, _ = _LINK.unpack_from(data)
        about = attributes(data[_LINK.size :])
        kind = attributes(about.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"")
        found.append((index, flags, about, _text(kind)))
    names = {index: _text(about[IFLA_IFNAME]) for index, _, about, _ in found}
    return [
        Link(
            index=index,
            name=names[index],
            kind=kind,
            address=about.get(IFLA_ADDRESS, b"").hex(":"),
            mtu=_number(about.get(IFLA_MTU, b"")),
            up=bool(flags & IFF_UP),
            master=names.get(_number(about.get(IFLA_MASTER, b"")), ""),
            peer=_number(about.get(IFLA_LINK, b"")),
        )
        for index, flags, about, kind in sorted(found, key=lambda row: row[0])
    ]


def addresses(where: str = "") -> list[Address]:
    """Every address of every link, IPv4's first."""
    names = {link.index: link.name for link in links(where)}
    found = []
    for data in _dump(RTM_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0), where):
        family, length, _, _, index = _ADDRESS.unpack_from(data)
        about = attributes(data[_ADDRESS.size :])
        packed = about.get(IFA_LOCAL) or about[IFA_ADDRESS]
        found.append(Address(names.get(index, ""), f"{socket.inet_ntop(family, packed)}/{length}"))
    return sorted(found, key=lambda address: ":" in address.address)


def routes(where: str = "") -> list[Route]:
    """The main table's routes, IPv4's first."""
    names = {link.index: link.name for link in links(where)}
    found = []
    for data in _dump(RTM_GETROUTE, _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0), where):
        family, length, _, _, table, *_ = _ROUTE.unpack_from(data)
        about = attributes(data[_ROUTE.size :])
        if (_number(about.get(RTA_TABLE, b"")) or table) != RT_TABLE_MAIN or family not in (
            socket.AF_INET,
            socket.AF_INET6,
        ):
            continue
        target, via = about.get(RTA_DST), about.get(RTA_GATEWAY)
        destination = f"{socket.inet_ntop(family, target)}/{length}" if target else "default"
        gateway = socket.inet_ntop(family, via) if via else ""
        found.append(Route(destination, gateway, names.get(_number(about.get(RTA_OIF, b"")), "")))
    return sorted(found, key=lambda route: ":" in route.destination + route.gateway)


def _dump(kind: int, request: bytes, where: str) -> Iterator[bytes]:
    pid = int(where) if where.isdigit() else 0
    with netlink.connection(NETLINK_ROUTE, HOST_ROUTE if where == "host" else -1, pid) as fd:
        yield from netlink.dump(fd, kind, request)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _number(value: bytes) -> int:
    return int.from_bytes(value[:4], sys.byteorder)
