"""Messages to the kernel's network, packed by hand: netlink(7), rtnetlink(7).

    message     length, type, flags, number, sender │ a fixed header of its kind │ attributes
    attribute   length, kind │ value, or attributes again

A socket speaks to the network namespace in which it was opened, wherever the process that holds it has gone since.
That is how a container's first process, standing in its own, makes a cable on the host.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kernelkit.kernel import libc

# Which part of the kernel a socket speaks to: linux/netlink.h
NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

# Where a process finds sockets of other network namespaces: the practice host's, the real machine's.
HOST_ROUTE = 7
HOST_NETFILTER = 8
MACHINE_NETFILTER = 9

NLM_F_REQUEST = 1
NLM_F_ACK = 4
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_CAPPED = 0x100  # in an answer: the request is not repeated in it
NLM_F_ACK_TLVS = 0x200  # in an answer: the kernel explains itself in attributes

NFNL_MSG_BATCH_BEGIN = 16
NFNL_MSG_BATCH_END = 17

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSGERR_ATTR_MSG = 1

SOL_NETLINK = 270
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11

SIOCGIFINDEX = 0x8933  # netdevice(7)
SIOCGSKNS = 0x894C  # linux/sockios.h

HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_ERROR = struct.Struct("=i")
_BUFFER = 1 << 16

# (type, flags, what follows the header)
Message = tuple[int, int, bytes]

# Threads that share a socket must not read each other's answers.
_sharing = threading.Lock()


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = len(value) + 4
    return _ATTRIBUTE.pack(length, kind) + value + b"\0" * (-length % 4)


def text(kind: int, value: str) -> bytes:
    """An attribute that is a text."""
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    """An attribute that is a 32-bit number, in this machine's byte order."""
    return attribute(kind, _NUMBER.pack(value))


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in these bytes: kind → value; of two of a kind the later one."""
    return dict(each_attribute(data))


def each_attribute(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in these bytes, in order: kind and value."""
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        yield kind & 0x3FFF, data[at + 4 : at + length]  # without NLA_F_NESTED, NLA_F_NET_BYTEORDER
        at += length + 3 & ~3


def connect(protocol: int, pid: int = 0) -> int:
    """A new socket, whose errors explain themselves, of this network namespace or that of the process `pid`.

    The caller closes it. netlink(7)
    """
    if pid:
        with visiting(pid):
            return connect(protocol)
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    made.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
    made.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
    return made.detach()


def open_shared_socket() -> None:
    """Have this process, and all that will be forked from it, find one netfilter socket at `HOST_NETFILTER`.

    See `open_machine_socket` for why it stays open. Processes take turns, see `connection`.
    """
    _place(HOST_NETFILTER, NETLINK_NETFILTER)
    os.set_blocking(HOST_NETFILTER, False)  # the kernel has answered when a request is sent: netlink(7)


def open_host_sockets() -> None:
    """Have this process find, at `HOST_ROUTE` and `HOST_NETFILTER`, sockets of the network namespace it is in now."""
    for descriptor, protocol in ((HOST_ROUTE, NETLINK_ROUTE), (HOST_NETFILTER, NETLINK_NETFILTER)):
        _place(descriptor, protocol)


def open_machine_socket() -> None:
    """Have this process find, at `MACHINE_NETFILTER`, a socket of the network namespace it is in now.

    To close a netfilter socket just after something was deleted takes 10 to 20 milliseconds: the kernel waits until
    nobody uses the deleted thing any more. One that stays open spares that.
    """
    _place(MACHINE_NETFILTER, NETLINK_NETFILTER)


def namespace(fd: int) -> int:
    """A descriptor of the network namespace that a socket speaks to; the caller closes it."""
    return fcntl.ioctl(fd, SIOCGSKNS)


@contextmanager
def connection(protocol: int, descriptor: int = -1, pid: int = 0) -> Iterator[int]:
    """A new socket, as `connect` makes it, for the length of the block; or that descriptor, for this thread alone."""
    if descriptor >= 0:
        with _sharing, _alone(descriptor, protocol):
            yield descriptor
        return
    made = connect(protocol, pid)
    try:
        yield made
    finally:
        os.close(made)


@contextmanager
def _alone(descriptor: int, protocol: int) -> Iterator[None]:
    """No other process that has this socket from the same parent uses it meanwhile; what was left in it is dropped.

    The lock is this process's: the kernel takes it back however the process ends, fcntl(2).
    """
    if protocol != NETLINK_NETFILTER or os.get_blocking(descriptor):
        yield
        return
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    try:
        with contextlib.suppress(BlockingIOError):
            while True:
                os.read(descriptor, _BUFFER)  # the answer to somebody who was killed before reading it
        yield
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN)


def send(fd: int, messages: Sequence[Message]) -> list[OSError | None]:
    """Have these done in one send; how each ended.

    One that fails does not keep the kernel from doing the later ones.
    """
    os.write(fd, _packed(messages, answered=len(messages)))
    return _answers(fd, len(messages))


def transact(fd: int, subsystem: int, messages: Sequence[Message]) -> list[OSError | None]:
    """Have all of these done by a part of netfilter, or none of them; how each ended: nfnetlink's batches."""
    frame = struct.pack("=BxH", 0, socket.htons(subsystem))
    begin = HEADER.pack(HEADER.size + len(frame), NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 0, 0) + frame
    end = HEADER.pack(HEADER.size + len(frame), NFNL_MSG_BATCH_END, NLM_F_REQUEST, 0, 0) + frame
    # Failures are answered unasked. A thousand answers would not fit into the socket: one, to the last, must do.
    os.write(fd, begin + _packed(messages, answered=1) + end)
    return _answers(fd, len(messages))


def dump(fd: int, kind: int, body: bytes) -> Iterator[bytes]:
    """Everything there is of a kind: each answer's fixed header and attributes."""
    os.write(fd, HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, 0, 0) + body)
    while True:
        for answer, flags, _, data in _split(os.read(fd, _BUFFER)):
            if answer == NLMSG_DONE:
                return
            if answer == NLMSG_ERROR:
                error = failure(flags, data)
                if error:
                    raise error
                return
            yield data


def ask(fd: int, kind: int, body: bytes) -> bytes:
    """The one answer to a question: its fixed header and attributes; OSError when there is none."""
    os.write(fd, HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST, 0, 0) + body)
    for answer, flags, _, data in _split(os.read(fd, _BUFFER)):
        error = failure(flags, data) if answer == NLMSG_ERROR else None
        if error:
            raise error
        return data
    raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))


def failure(flags: int, body: bytes) -> OSError | None:
    """What an NLMSG_ERROR says: None when all is well; the kernel's own words about it, where it has some."""
    (code,) = _ERROR.unpack_from(body)
    if code == 0:
        return None
    said = ""
    if flags & NLM_F_ACK_TLVS:
        # The request's header is repeated, and the request itself unless the answer is capped.
        repeated = HEADER.size if flags & NLM_F_CAPPED else HEADER.unpack_from(body, 4)[0] + 3 & ~3
        said = attributes(body[4 + repeated :]).get(NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode()
    words = os.strerror(-code)
    return OSError(-code, f"{words}: {said}" if said else words)


def index(fd: int, link: str) -> int:
    """The number of the link of that name, in the socket's network namespace; OSError ENODEV names the link."""
    request = struct.pack("16si20x", link.encode(), 0)
    try:
        answer = fcntl.ioctl(fd, SIOCGIFINDEX, request)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or errno.ENODEV), link) from None
    return int(struct.unpack("16si20x", answer)[1])


@contextmanager
def visiting(pid: int) -> Iterator[None]:
    """This thread, and no other, in the network namespace of a process for the length of the block: setns(2)."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc.setns(there, libc.CLONE_NEWNET)
        finally:
            os.close(there)
        try:
            yield
        finally:
            libc.setns(own, libc.CLONE_NEWNET)
    finally:
        os.close(own)


def _place(descriptor: int, protocol: int) -> None:
    made = connect(protocol)
    if made != descriptor:
        os.dup2(made, descriptor, inheritable=False)
        os.close(made)


def _packed(messages: Sequence[Message], answered: int) -> bytes:
    """The messages with their headers, numbered from 0; the last so many are to be answered even if all is well."""
    packed = []
    for seq, (kind, flags, body) in enumerate(messages):
        flags |= NLM_F_REQUEST | (NLM_F_ACK if seq >= len(messages) - answered else 0)
        packed.append(HEADER.pack(HEADER.size + len(body), kind, flags, seq, 0) + body)
    return b"".join(packed)


def _answers(fd: int, count: int) -> list[OSError | None]:
    """How each of `count` messages ended; they are answered in order."""
    ends: list[OSError | None] = [None] * count
    while True:
        for kind, flags, seq, body in _split(os.read(fd, _BUFFER)):
            if kind == NLMSG_ERROR:
                ends[seq] = failure(flags, body)
                if seq == count - 1:
                    return ends


def _split(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The messages in what was read: type, flags, number, body."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, seq, _ = HEADER.unpack_from(data, at)
        yield kind, flags, seq, data[at + HEADER.size : at + length]
        at += length + 3 & ~3
