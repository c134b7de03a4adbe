"""What `nft list` shows, as plain values; or what the kernel answers when it is asked by a message of our own."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import subprocess
from typing import Any

from kernelkit.kernel import netlink
from kernelkit.kernel.netlink import NETLINK_NETFILTER, text
from kernelkit.kernel.nft import (
    DESCRIPTORS,
    NFNL_SUBSYS_NFTABLES,
    NFPROTO_IPV4,
    NFTA_DATA_VALUE,
    NFTA_SET_ELEM_DATA,
    NFTA_SET_ELEM_KEY,
    NFTA_SET_ELEM_LIST_ELEMENTS,
    NFTA_SET_ELEM_LIST_SET,
    NFTA_SET_ELEM_LIST_TABLE,
)

PATH = f"{os.environ.get('PATH', '/bin')}:/usr/sbin:/sbin"  # where Debian has it, and an ordinary user's PATH has not

# linux/netfilter/nf_tables.h
NFT_MSG_GETSET = NFNL_SUBSYS_NFTABLES << 8 | 10
NFT_MSG_GETSETELEM = NFNL_SUBSYS_NFTABLES << 8 | 13
NFTA_SET_TABLE = 1
NFTA_SET_NAME = 2
GENERIC = 4  # bytes before the attributes: struct nfgenmsg


def has_set(table: str, name: str, where: str = "") -> bool:
    """Whether there is such a table of IPv4 with such a set or map; `where` is as for `nft.RunNft`."""
    body = struct.pack("BxH", NFPROTO_IPV4, 0) + text(NFTA_SET_TABLE, table) + text(NFTA_SET_NAME, name)
    try:
        with netlink.connection(NETLINK_NETFILTER, DESCRIPTORS[where]) as fd:
            netlink.ask(fd, NFT_MSG_GETSET, body)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def held(table: str, name: str, where: str = "") -> list[tuple[str, str]]:
    """The elements of a set or map of addresses and ports: key, and value or nothing; none when it is not there."""
    body = struct.pack("BxH", NFPROTO_IPV4, 0)
    body += text(NFTA_SET_ELEM_LIST_TABLE, table) + text(NFTA_SET_ELEM_LIST_SET, name)
    found = []
    try:
        with netlink.connection(NETLINK_NETFILTER, DESCRIPTORS[where]) as fd:
            for answer in list(netlink.dump(fd, NFT_MSG_GETSETELEM, body)):
                listed = netlink.attributes(answer[GENERIC:]).get(NFTA_SET_ELEM_LIST_ELEMENTS, b"")
                for _, element in netlink.each_attribute(listed):
                    parts = netlink.attributes(element)
                    found.append(tuple(_words(parts.get(k, b"")) for k in (NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_DATA)))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    return [(key, value) for key, value in found]


def _words(nested: bytes) -> str:
    """A port, an address, or both, as nft(8) writes them."""
    packed = netlink.attributes(nested).get(NFTA_DATA_VALUE, b"")
    address = socket.inet_ntoa(packed[:4]) if len(packed) >= 4 else ""
    rest = packed[4:6] if address else packed[:2]
    port = str(int.from_bytes(rest)) if len(rest) == 2 else ""
    return " . ".join(filter(None, (address, port)))


def elements(table: str, name: str) -> list[str]:
    """The elements of a set in a table of IPv4; none when there is no such table or no nft."""
    found = _listed("set", "ip", table, name)
    return [str(element) for each in found if "set" in each for element in each["set"].get("elem", [])]


def dropping(hook: str) -> list[str]:
    """The chains, as `ip filter FORWARD`, that drop at this hook whatever no rule of theirs accepts."""
    chains = (each["chain"] for each in _listed("chains") if "chain" in each)
    return [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") == hook and chain.get("policy") == "drop"
    ]


def _listed(*words: str) -> list[dict[str, Any]]:
    try:
        ran = subprocess.run(
            ["nft", "-j", "list", *words], capture_output=True, text=True, env={**os.environ, "PATH": PATH}
        )
    except FileNotFoundError:
        return []
    found: list[dict[str, Any]] = json.loads(ran.stdout)["nftables"] if not ran.returncode else []
    return found
