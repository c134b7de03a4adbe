"""What nft(8) does: a packet filter's rules from a script, elements of its maps and sets by messages of our own.

An address that is let out is one element of a set, a published port one of a map, so each is one message and costs 20
microseconds; a run of `nft` takes several milliseconds and is for what happens once, at the boot of a host or with a
new network.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from kernelkit.kernel import netlink
from kernelkit.kernel.netlink import (
    HOST_NETFILTER,
    MACHINE_NETFILTER,
    NETLINK_NETFILTER,
    NLM_F_CREATE,
    NLM_F_EXCL,
    attribute,
    text,
)
from kernelkit.kernel.words import join

# linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
NFNL_SUBSYS_NFTABLES = 10
NFT_MSG_NEWSETELEM = NFNL_SUBSYS_NFTABLES << 8 | 12
NFT_MSG_DELSETELEM = NFNL_SUBSYS_NFTABLES << 8 | 14
NFPROTO_IPV4 = 2
NFTA_SET_ELEM_LIST_TABLE = 1
NFTA_SET_ELEM_LIST_SET = 2
NFTA_SET_ELEM_LIST_ELEMENTS = 3
NFTA_LIST_ELEM = 1
NFTA_SET_ELEM_KEY = 1
NFTA_SET_ELEM_DATA = 2
NFTA_DATA_VALUE = 1
NLA_F_NESTED = 0x8000

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # where nft is, and PATH may not lead
AT_ONCE = 200  # messages whose answers fit into a socket
DESCRIPTORS = {"": -1, "host": HOST_NETFILTER, "machine": MACHINE_NETFILTER}


@dataclass(frozen=True)
class RunNft:
    """Have a script done by nft(8), all of it or nothing.

    `where` says whose rules: empty for this network namespace, `host` for the practice host's, `machine` for the real
    machine's.
    """

    script: str
    where: str = field(default="", kw_only=True)

    def perform(self) -> None:
        """Run it; OSError with what nft says."""
        namespace = netlink.namespace(DESCRIPTORS[self.where]) if self.where else -1
        enter = ["nsenter", f"--net=/proc/self/fd/{namespace}"] if self.where else []
        try:
            ran = subprocess.run(
                [*enter, "nft", "-f", "-"],
                input=self.script,
                capture_output=True,
                text=True,
                pass_fds=(namespace,) if self.where else (),
                env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{SBIN}"},
            )
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "no such program: install nftables", error.filename) from None
        finally:
            if self.where:
                os.close(namespace)
        if ran.returncode:
            raise _refused(ran.stderr)

    def shell(self) -> str:
        """As nft(8) is told it."""
        if "\n" not in self.script:
            return join(["nft", self.script])
        return "nft -f - <<'.'\n" + self.script.rstrip("\n") + "\n."


@dataclass(frozen=True)
class _Element(ABC):
    """What adding and deleting an element have in common.

    `key` is as nft(8) writes it: numbers of ports and IPv4 addresses, joined by ` . `; `where` is as for `RunNft`.
    """

    table: str
    where: str = field(default="", kw_only=True)

    @property
    def channel(self) -> object:
        """Neighbours of the same kind and place travel together."""
        return type(self).__name__, self.where

    @property
    @abstractmethod
    def place(self) -> tuple[str, str, str]:
        """The kind of thing that holds it, its name, and the key."""

    @abstractmethod
    def packed(self) -> bytes:
        """The element as the attributes of a message."""

    @abstractmethod
    def shell(self) -> str:
        """As nft(8) is told it."""


@dataclass(frozen=True)
class _SetElement(_Element):
    set: str
    key: str

    @property
    def place(self) -> tuple[str, str, str]:
        """The set and the key."""
        return "set", self.set, self.key

    def packed(self) -> bytes:
        """The key."""
        return _nested(NFTA_SET_ELEM_KEY, self.key)


@dataclass(frozen=True)
class _MapElement(_Element):
    """An element of a map; `value` is written like a key."""

    map: str
    key: str
    value: str

    @property
    def place(self) -> tuple[str, str, str]:
        """The map and the key."""
        return "map", self.map, self.key

    def packed(self) -> bytes:
        """The key and the value."""
        return _nested(NFTA_SET_ELEM_KEY, self.key) + _nested(NFTA_SET_ELEM_DATA, self.value)


@dataclass(frozen=True)
class AddSetElement(_SetElement):
    """Have `key` in a set of the table; one that is there already stays."""

    def perform(self) -> None:
        """Send one batch of one message: NFT_MSG_NEWSETELEM."""
        _raise(self.perform_together([self]))

    @staticmethod
    def perform_together(operations: Sequence[AddSetElement]) -> list[OSError | None]:
        """All or none, in one batch; how each one ended."""
        return _transact(NFT_MSG_NEWSETELEM, NLM_F_CREATE, operations)

    def shell(self) -> str:
        """As nft(8) is told it."""
        return join(["nft", f"add element ip {self.table} {self.set} {{ {self.key} }}"])


@dataclass(frozen=True)
class DeleteSetElement(_SetElement):
    """Have `key` in a set no more; one that is not there is already gone."""

    def perform(self) -> None:
        """Send one batch of one message: NFT_MSG_DELSETELEM."""
        _raise(self.perform_together([self]))

    @staticmethod
    def perform_together(operations: Sequence[DeleteSetElement]) -> list[OSError | None]:
        """In one batch; when the kernel refuses it because one is gone already, one after another."""
        return _delete(operations)

    def shell(self) -> str:
        """As nft(8) is told it."""
        return join(["nft", f"delete element ip {self.table} {self.set} {{ {self.key} }}"])


@dataclass(frozen=True)
class AddMapElement(_MapElement):
    """Have a map of the table say `value` for `key`; FileExistsError when it says something else already."""

    def perform(self) -> None:
        """Send one batch of one message: NFT_MSG_NEWSETELEM."""
        _raise(self.perform_together([self]))

    @staticmethod
    def perform_together(operations: Sequence[AddMapElement]) -> list[OSError | None]:
        """All or none, in one batch; how each one ended."""
        return _transact(NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL, operations)

    def shell(self) -> str:
        """As nft(8) is told it."""
        return join(["nft", f"add element ip {self.table} {self.map} {{ {self.key} : {self.value} }}"])


@dataclass(frozen=True)
class DeleteMapElement(_MapElement):
    """Have a map say nothing any more for `key`; one that is not there is already gone."""

    def perform(self) -> None:
        """Send one batch of one message: NFT_MSG_DELSETELEM."""
        _raise(self.perform_together([self]))

    @staticmethod
    def perform_together(operations: Sequence[DeleteMapElement]) -> list[OSError | None]:
        """In one batch; when the kernel refuses it because one is gone already, one after another."""
        return _delete(operations)

    def shell(self) -> str:
        """As nft(8) is told it."""
        return join(["nft", f"delete element ip {self.table} {self.map} {{ {self.key} : {self.value} }}"])


def _delete(operations: Sequence[_Element]) -> list[OSError | None]:
    ends = _transact(NFT_MSG_DELSETELEM, 0, operations)
    if len(operations) > 1 and any(ends):
        ends = [_transact(NFT_MSG_DELSETELEM, 0, [operation])[0] for operation in operations]
    return [None if error and error.errno == errno.ENOENT else error for error in ends]


def _transact(kind: int, flags: int, operations: Sequence[_Element]) -> list[OSError | None]:
    """A batch: begin, a message for each, end. The kernel does all of it or nothing."""
    ends: list[OSError | None] = []
    with netlink.connection(NETLINK_NETFILTER, DESCRIPTORS[operations[0].where]) as fd:
        messages = [(kind, flags, _body(operation)) for operation in operations]
        while len(ends) < len(messages) and not any(ends):
            ends += netlink.transact(fd, NFNL_SUBSYS_NFTABLES, messages[len(ends) : len(ends) + AT_ONCE])
    ends += [None] * (len(messages) - len(ends))
    return [error and _explained(error, operation) for error, operation in zip(ends, operations, strict=True)]


def _body(element: _Element) -> bytes:
    elements = attribute(NFTA_LIST_ELEM | NLA_F_NESTED, element.packed())
    return (
        struct.pack("BxH", NFPROTO_IPV4, 0)
        + text(NFTA_SET_ELEM_LIST_TABLE, element.table)
        + text(NFTA_SET_ELEM_LIST_SET, element.place[1])
        + attribute(NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED, elements)
    )


def _nested(kind: int, words: str) -> bytes:
    return attribute(kind | NLA_F_NESTED, attribute(NFTA_DATA_VALUE, _packed(words)))


def _packed(words: str) -> bytes:
    """Addresses and ports in network order; where they are joined, each is filled up to four bytes."""
    found = [struct.pack("!H", int(word)) if word.isdigit() else socket.inet_aton(word) for word in words.split(" . ")]
    return b"".join(word.ljust(4, b"\0") for word in found) if len(found) > 1 else found[0]


def _explained(error: OSError, element: _Element) -> OSError:
    kind, name, key = element.place
    return OSError(error.errno, error.strerror, f"{key} in {kind} {name} of table {element.table}")


def _raise(ends: Sequence[OSError | None]) -> None:
    for error in ends:
        if error:
            raise error


def _refused(said: str) -> OSError:
    """What nft printed as an error: its words, and the line of the script they are about."""
    lines = said.strip().splitlines() or ["nft failed"]
    text = (lines[0].partition("Error: ")[2] or lines[0]).removesuffix(".")
    code = next((e for e in (errno.ENOENT, errno.EEXIST, errno.EPERM, errno.EBUSY) if os.strerror(e) in text), 0)
    return OSError(code or errno.EINVAL, text, lines[1].strip() if len(lines) > 1 else "nft")
