"""What `nft list` shows, as plain values; or what the kernel answers when it is asked by a message of our own."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
from typing import Any

from kernelkit.kernel import netlink
from kernelkit.kernel.netlink import NETLINK_NETFILTER, text
from kernelkit.kernel.nft import DESCRIPTORS, NFNL_SUBSYS_NFTABLES, NFPROTO_IPV4

PATH = f"{os.environ.get('PATH', '/bin')}:/usr/sbin:/sbin"  # where Debian has it, and an ordinary user's PATH has not

# linux/netfilter/nf_tables.h
NFT_MSG_GETSET = NFNL_SUBSYS_NFTABLES << 8 | 10
NFTA_SET_TABLE = 1
NFTA_SET_NAME = 2


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
