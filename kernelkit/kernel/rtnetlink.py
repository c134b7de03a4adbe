"""Requests to the kernel's routing part, and how they travel: rtnetlink(7).

Neighbours in a plan travel in one send.  `where` says whose links they are about: empty, those of this process's own
network namespace; `host`, the practice host's, through the socket at `HOST_ROUTE`; a pid, those of that process's.
"""

from __future__ import annotations

import errno
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar

from kernelkit.kernel import netlink
from kernelkit.kernel.netlink import HOST_ROUTE, NETLINK_ROUTE, NLM_F_CREATE, NLM_F_EXCL, Message
from kernelkit.kernel.words import join

NEW = NLM_F_CREATE | NLM_F_EXCL

LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change


@dataclass(frozen=True)
class Request(ABC):
    """An operation that is said to the kernel in rtnetlink messages; OSError says what it was about."""

    where: str = field(default="", kw_only=True)
    settles: ClassVar[bool] = False  # whether links have other names afterwards: what follows waits until it is done

    @property
    def channel(self) -> object:
        """Neighbours about the same place travel together."""
        return "route", self.where

    def perform(self) -> None:
        """Send it and wait for the kernel's answer."""
        (error,) = self.perform_together([self])
        if error:
            raise error

    @staticmethod
    def perform_together(operations: Sequence[Request]) -> list[OSError | None]:
        """Perform all in as few sends as can be; how each one ended.

        After one that fails the kernel may still do those in the same send. They are about the same new links, which
        nobody keeps after a failure.
        """
        ends: list[OSError | None] = []
        with connection(operations[0].where) as fd:
            for batch in _batches(operations):
                ends += _send(fd, batch)
                if any(ends):
                    break
        return ends + [None] * (len(operations) - len(ends))

    @abstractmethod
    def shell(self) -> str:
        """As ip(8) says it."""

    @abstractmethod
    def messages(self, fd: int) -> list[Message]:
        """What to send; OSError for a link whose number is needed and that is not there."""

    @abstractmethod
    def about(self) -> str:
        """What a refusal is about."""

    def kind(self) -> str:
        """What kind of link it makes, if it makes one: a kernel may not have it."""
        return ""

    def say(self, *words: str | int) -> str:
        """The words typed where `where` says: in another process's namespace by nsenter(1)."""
        enter = ["nsenter", "-t", self.where, "-n"] if self.where.isdigit() else []
        return join([*enter, *words])


@dataclass(frozen=True)
class LinkRequest(Request):
    """A request about the link of that name."""

    name: str

    def about(self) -> str:
        """The link's name."""
        return self.name


def connection(where: str) -> AbstractContextManager[int]:
    """A socket that speaks about the links there."""
    pid = int(where) if where.isdigit() else 0
    return netlink.connection(NETLINK_ROUTE, HOST_ROUTE if where == "host" else -1, pid)


def link(*attributes: bytes, index: int = 0, flags: int = 0) -> bytes:
    """A link's header and attributes; `flags` are switched on."""
    return LINK.pack(0, 0, index, flags, flags) + b"".join(attributes)


def _send(fd: int, operations: Sequence[Request]) -> list[OSError | None]:
    """Have these done, in one send; how each ended, up to the first whose messages could not be written."""
    written: list[list[Message]] = []
    unwritten: list[OSError] = []
    for operation in operations:
        try:
            written.append(operation.messages(fd))
        except OSError as error:
            unwritten.append(error)
            break
    answers = iter(netlink.send(fd, [message for messages in written for message in messages]) if written else [])
    ends: list[OSError | None] = []
    for operation, messages in zip(operations, written, strict=False):
        errors = [error for error in [next(answers) for _ in messages] if error]
        ends.append(_explained(errors[0], operation) if errors else None)
    return [*ends, *(_explained(error, operations[len(ends)]) for error in unwritten)]


def _batches(operations: Sequence[Request]) -> Iterator[Sequence[Request]]:
    """Runs of operations in which none depends on the names that an earlier one gives."""
    first = 0
    for last, operation in enumerate(operations, 1):
        if operation.settles or last == len(operations):
            yield operations[first:last]
            first = last


def _explained(error: OSError, operation: Request) -> OSError:
    words = error.strerror
    if error.errno == errno.EOPNOTSUPP and operation.kind():
        words = f"this kernel has no links of the kind '{operation.kind()}' (module {operation.kind()})"
    return OSError(error.errno, words, error.filename or operation.about())
