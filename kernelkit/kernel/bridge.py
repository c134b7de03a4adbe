"""What bridge(8) does: which hardware address is at which port of a bridge."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from kernelkit.kernel import netlink
from kernelkit.kernel.netlink import NLM_F_CREATE, NLM_F_REPLACE, Message, attribute
from kernelkit.kernel.rtnetlink import LinkRequest

# linux/rtnetlink.h, linux/neighbour.h
RTM_NEWNEIGH = 28
NDA_LLADDR = 2
NUD_NOARP = 0x40  # "static": it does not grow old
NTF_MASTER = 0x04
NTF_STICKY = 0x40

_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # struct ndmsg: family, index, state, flags, type


@dataclass(frozen=True)
class ReplaceFdb(LinkRequest):
    """Tell a bridge that a hardware address is at the port `name`, wherever it has seen it before.

    An address is used again sooner than the kernel has thrown away the link of whoever had it before him. Without this
    the bridge would go on sending to that one, and believe what he still says (`sticky`).
    """

    address: str

    def messages(self, fd: int) -> list[Message]:
        """RTM_NEWNEIGH of the family AF_BRIDGE."""
        port = netlink.index(fd, self.name)
        head = _NEIGHBOUR.pack(socket.AF_BRIDGE, port, NUD_NOARP, NTF_MASTER | NTF_STICKY, 0)
        address = bytes.fromhex(self.address.replace(":", ""))
        return [(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, head + attribute(NDA_LLADDR, address))]

    def shell(self) -> str:
        """As bridge(8) says it."""
        return self.say("bridge", "fdb", "replace", self.address, "dev", self.name, "master", "static", "sticky")

    def about(self) -> str:
        """The address and the port."""
        return f"{self.address} at {self.name}"
