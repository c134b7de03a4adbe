"""What ip(8) does: links, addresses and routes made, changed and removed. rtnetlink(7).

Whose links an operation is about is said by its `where`, see `rtnetlink`.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kernelkit.kernel import netlink
from kernelkit.kernel.netlink import Message, attribute, number, text
from kernelkit.kernel.rtnetlink import LINK, NEW, LinkRequest, Request, connection, link
from kernelkit.kernel.words import join

# linux/rtnetlink.h
RTM_NEWLINK = 16
RTM_DELLINK = 17
RTM_GETLINK = 18
RTM_NEWADDR = 20
RTM_NEWROUTE = 24
RT_TABLE_MAIN = 254
RTPROT_BOOT = 3
RT_SCOPE_UNIVERSE = 0
RT_SCOPE_LINK = 253
RT_SCOPE_HOST = 254
RTN_UNICAST = 1
RTA_DST = 1
RTA_OIF = 4
RTA_GATEWAY = 5

# linux/if_link.h, linux/veth.h, linux/if_addr.h
IFF_UP = 1
IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFLA_MTU = 4
IFLA_MASTER = 10
IFLA_OPERSTATE = 16
IFLA_LINKINFO = 18
IFLA_NET_NS_PID = 19
IFLA_NET_NS_FD = 28
IFLA_EXT_MASK = 29
IFLA_NUM_TX_QUEUES = 31
IFLA_NUM_RX_QUEUES = 32
RTEXT_FILTER_SKIP_STATS = 8
IF_OPER_UP = 6
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_INFO_SLAVE_KIND = 4
IFLA_INFO_SLAVE_DATA = 5
IFLA_BRPORT_MODE = 4
VETH_INFO_PEER = 1
IFA_ADDRESS = 1
IFA_LOCAL = 2
IFA_BROADCAST = 4
IFA_F_NODAD = 2

PATIENCE = 0.5  # seconds for a link to come up
IPV6_SWITCH = "/proc/sys/net/ipv6/conf/all/disable_ipv6"

ONE_QUEUE = number(IFLA_NUM_TX_QUEUES, 1) + number(IFLA_NUM_RX_QUEUES, 1)
_ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # struct rtmsg: family, lengths, tos, table, protocol, scope, type, flags


@dataclass(frozen=True)
class AddBridge(LinkRequest):
    """Make a bridge: a switch in software."""

    settles = True

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWLINK of kind bridge."""
        return [(RTM_NEWLINK, NEW, link(text(IFLA_IFNAME, self.name), _kind("bridge")))]

    def shell(self) -> str:
        """As ip-link(8) says it."""
        return self.say("ip", "link", "add", self.name, "type", "bridge")

    def kind(self) -> str:
        """A bridge."""
        return "bridge"


@dataclass(frozen=True)
class AddVeth(LinkRequest):
    """Make a cable: two links, what goes in at one comes out at the other. veth(4).

    The peer is made in the network namespace `netns`: `self` for this process's own, whatever `where` says; else a pid,
    or a path; empty, beside its other end.

    Both ends have one queue each way. By default the kernel makes one for every processor, which nothing here uses and
    which costs a third of the time on a machine that has only two.
    """

    peer: str
    netns: str = ""
    settles = True

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWLINK of kind veth, the peer described inside."""
        with _namespace(self.netns) as place:
            peer = attribute(VETH_INFO_PEER, link(text(IFLA_IFNAME, self.peer), ONE_QUEUE, place))
            return [(RTM_NEWLINK, NEW, link(text(IFLA_IFNAME, self.name), ONE_QUEUE, _kind("veth", peer)))]

    def shell(self) -> str:
        """As ip-link(8) says it; `$$` is the shell that stands where the peer is to be."""
        queues = ("numtxqueues", 1, "numrxqueues", 1)
        words = self.say("ip", "link", "add", self.name, *queues, "type", "veth", "peer", "name", self.peer, *queues)
        return words + _netns(self.netns)

    def kind(self) -> str:
        """A pair of virtual Ethernet links."""
        return "veth"


@dataclass(frozen=True)
class SetMaster(LinkRequest):
    """Plug a link into a bridge; `hairpin` lets what comes in at this port leave by it again."""

    bridge: str
    hairpin: bool = False

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWLINK with the bridge's number; the port's mode once it is one."""
        name, bridge = text(IFLA_IFNAME, self.name), netlink.index(fd, self.bridge)
        plan = [(RTM_NEWLINK, 0, link(name, number(IFLA_MASTER, bridge)))]
        if self.hairpin:
            mode = attribute(IFLA_INFO_SLAVE_DATA, attribute(IFLA_BRPORT_MODE, b"\1"))
            port = attribute(IFLA_LINKINFO, text(IFLA_INFO_SLAVE_KIND, "bridge") + mode)
            plan.append((RTM_NEWLINK, 0, link(name, port)))
        return plan

    def shell(self) -> str:
        """As ip-link(8) says it."""
        words = self.say("ip", "link", "set", self.name, "master", self.bridge)
        mode = self.say("ip", "link", "set", self.name, "type", "bridge_slave", "hairpin", "on")
        return f"{words} && {mode}" if self.hairpin else words


@dataclass(frozen=True)
class SetLinkUp(LinkRequest):
    """Switch a link on."""

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWLINK with IFF_UP."""
        return [(RTM_NEWLINK, 0, link(text(IFLA_IFNAME, self.name), flags=IFF_UP))]

    def shell(self) -> str:
        """As ip-link(8) says it."""
        return self.say("ip", "link", "set", self.name, "up")


@dataclass(frozen=True)
class SetAddress(LinkRequest):
    """Give a link its hardware address, `02:42:ac:11:00:02`."""

    address: str

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWLINK with IFLA_ADDRESS."""
        address = bytes.fromhex(self.address.replace(":", ""))
        return [(RTM_NEWLINK, 0, link(text(IFLA_IFNAME, self.name), attribute(IFLA_ADDRESS, address)))]

    def shell(self) -> str:
        """As ip-link(8) says it."""
        return self.say("ip", "link", "set", self.name, "address", self.address)


@dataclass(frozen=True)
class SetMtu(LinkRequest):
    """Set how many bytes a link carries at once."""

    mtu: int

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWLINK with IFLA_MTU."""
        return [(RTM_NEWLINK, 0, link(text(IFLA_IFNAME, self.name), number(IFLA_MTU, self.mtu)))]

    def shell(self) -> str:
        """As ip-link(8) says it."""
        return self.say("ip", "link", "set", self.name, "mtu", self.mtu)


@dataclass(frozen=True)
class RenameLink(LinkRequest):
    """Give a link another name; most kernels want it off for that."""

    new: str
    settles = True

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWLINK by number, for the name is the new one."""
        return [(RTM_NEWLINK, 0, link(text(IFLA_IFNAME, self.new), index=netlink.index(fd, self.name)))]

    def shell(self) -> str:
        """As ip-link(8) says it."""
        return self.say("ip", "link", "set", self.name, "name", self.new)


@dataclass(frozen=True)
class MoveLink(LinkRequest):
    """Move a link into another network namespace: `self`, a pid or a path, as for `AddVeth`."""

    netns: str
    settles = True

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWLINK with the namespace."""
        with _namespace(self.netns) as place:
            return [(RTM_NEWLINK, 0, link(text(IFLA_IFNAME, self.name), place))]

    def shell(self) -> str:
        """As ip-link(8) says it."""
        return self.say("ip", "link", "set", self.name) + _netns(self.netns)


@dataclass(frozen=True)
class DeleteLink(LinkRequest):
    """Remove a link; the other end of a cable goes with it."""

    settles = True

    def messages(self, fd: int) -> list[Message]:
        """RTM_DELLINK."""
        return [(RTM_DELLINK, 0, link(text(IFLA_IFNAME, self.name)))]

    def shell(self) -> str:
        """As ip-link(8) says it."""
        return self.say("ip", "link", "delete", self.name)


@dataclass(frozen=True)
class AddAddress(Request):
    """Give a link an address and say how long its network's part is, `172.17.0.2/16`."""

    link: str
    address: str

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWADDR; IPv4's with its broadcast address, IPv6's taken at once, without asking whether it is free."""
        family, host, length = _parse(self.address)
        loopback = family == socket.AF_INET and host[0] == 127
        scope = RT_SCOPE_HOST if loopback else RT_SCOPE_UNIVERSE
        flags = IFA_F_NODAD if family == socket.AF_INET6 else 0
        body = _ADDRESS.pack(family, length, flags, scope, netlink.index(fd, self.link))
        body += attribute(IFA_LOCAL, host) + attribute(IFA_ADDRESS, host)
        if self._has_broadcast():
            last = int.from_bytes(host) | (1 << 32 - length) - 1
            body += attribute(IFA_BROADCAST, last.to_bytes(4))
        return [(RTM_NEWADDR, NEW, body)]

    def shell(self) -> str:
        """As ip-address(8) says it."""
        more = ["nodad"] if ":" in self.address else ["brd", "+"] if self._has_broadcast() else []
        return self.say("ip", "address", "add", self.address, *more, "dev", self.link)

    def about(self) -> str:
        """The address and the link."""
        return f"{self.address} on {self.link}"

    def _has_broadcast(self) -> bool:
        family, host, length = _parse(self.address)
        return family == socket.AF_INET and length < 31 and host[0] != 127


@dataclass(frozen=True)
class AddRoute(Request):
    """Say where packets for a network go: to a gateway, or out by a link. `destination` is `default` or a network."""

    destination: str
    gateway: str = ""
    link: str = ""

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWROUTE into the main table."""
        via = _parse(self.gateway) if self.gateway else None
        target = _parse(self.destination) if self.destination != "default" else None
        family = (target or via or (socket.AF_INET,))[0]
        body = attribute(RTA_DST, target[1]) if target else b""
        body += attribute(RTA_GATEWAY, via[1]) if via else b""
        body += number(RTA_OIF, netlink.index(fd, self.link)) if self.link else b""
        scope = RT_SCOPE_UNIVERSE if via or family == socket.AF_INET6 else RT_SCOPE_LINK
        length = target[2] if target else 0
        head = _ROUTE.pack(family, length, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)
        return [(RTM_NEWROUTE, NEW, head + body)]

    def shell(self) -> str:
        """As ip-route(8) says it."""
        words = [*(["via", self.gateway] if self.gateway else []), *(["dev", self.link] if self.link else [])]
        return self.say("ip", "route", "add", self.destination, *words)

    def about(self) -> str:
        """Where to, and by which way."""
        return f"route {self.destination} via {self.gateway or self.link}"


@dataclass(frozen=True)
class ReplaceRoute(AddRoute):
    """Say from now on where packets for a network go, whatever was said before."""

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWROUTE in place of the one that is there."""
        return [(kind, netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE, body) for kind, _, body in super().messages(fd)]

    def shell(self) -> str:
        """As ip-route(8) says it."""
        return super().shell().replace("ip route add", "ip route replace", 1)


@dataclass(frozen=True)
class AwaitLink:
    """Wait until a cable carries packets, a moment after both ends are on: until then they would be lost.

    One that does not come up, because its other end is off, is not waited for longer than `PATIENCE`. `where` is as for
    the others.
    """

    name: str
    where: str = ""

    def perform(self) -> None:
        """Ask until it is so; being asked, the kernel (from Linux 6.8 on) does at once what it had put off."""
        until = time.monotonic() + PATIENCE
        question = link(text(IFLA_IFNAME, self.name), number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS))
        with connection(self.where) as fd:
            while self._state(fd, question) != IF_OPER_UP and time.monotonic() < until:
                time.sleep(0.001)

    def shell(self) -> str:
        """As a loop around ip-link(8) says it."""
        show = join(["ip", "link", "show", self.name])
        return f"for tenth in 1 2 3 4 5; do {show} | grep -q 'state UP' && break; sleep 0.1; done"

    def _state(self, fd: int, question: bytes) -> int:
        try:
            answer = netlink.ask(fd, RTM_GETLINK, question)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.name) from None
        return netlink.attributes(answer[LINK.size :])[IFLA_OPERSTATE][0]


@dataclass(frozen=True)
class DisableIpv6:
    """Have no link of this network namespace speak IPv6; a kernel that cannot is told nothing."""

    def perform(self) -> None:
        """Write the switch that stands for all links, those to come too."""
        try:
            switch = os.open(IPV6_SWITCH, os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.write(switch, b"1")
        finally:
            os.close(switch)

    def shell(self) -> str:
        """As echo says it."""
        return f"echo 1 > {IPV6_SWITCH}"


def _kind(kind: str, *data: bytes) -> bytes:
    """IFLA_LINKINFO: what kind of link it is."""
    more = attribute(IFLA_INFO_DATA, b"".join(data)) if data else b""
    return attribute(IFLA_LINKINFO, text(IFLA_INFO_KIND, kind) + more)


def _parse(address: str) -> tuple[int, bytes, int]:
    """The family, the address's bytes and the length of its network's part: all of it where none is given."""
    host, _, length = address.partition("/")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host)
    return family, packed, int(length or len(packed) * 8)


@contextmanager
def _namespace(netns: str) -> Iterator[bytes]:
    """The attribute that names a network namespace."""
    if netns in ("", "self") or netns.isdigit():
        pid = os.getpid() if netns == "self" else int(netns or 0)
        yield number(IFLA_NET_NS_PID, pid) if pid else b""
        return
    fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield number(IFLA_NET_NS_FD, fd)
    finally:
        os.close(fd)


def _netns(netns: str) -> str:
    """How ip(8) is told a network namespace, which it takes by pid or by its name in /run/netns."""
    if not netns:
        return ""
    if netns == "self":
        return " netns $$"
    return f" {join(['netns', netns if netns.isdigit() else os.path.basename(netns)])}"
