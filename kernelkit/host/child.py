"""The child: a process in a container's namespaces that waits for its job, performs it and becomes its program.

    shim ─ clone ─▶ child ─ rehearse, wait ─ perform, perform, … ─ exec ─▶ the container's program

It says nothing when all goes well: the socket to its shim closes with the exec.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pickle
import select
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from mmap import mmap

from kernelkit.container.plan import STDERR, STDIN, STDOUT, SYNC
from kernelkit.host.channel import Channel, Failed, await_employment, unpack_operations
from kernelkit.host.rehearsal import rehearse
from kernelkit.kernel.netlink import HOST_NETFILTER, HOST_ROUTE, NETLINK_ROUTE
from kernelkit.trace import Ledger, Operation, explain

LEFT = b"-"  # what a child says that leaves without having had a job

Gate = Callable[[int], bool]


@dataclass(frozen=True)
class Child:
    """A process that waits for its job at the other end of `giver`; and our ends of its socket and its three pipes."""

    pid: int
    pidfd: int
    sync: socket.socket
    pipes: tuple[int, int, int]
    giver: socket.socket


def bear(
    channel: Channel | None,
    clone: Operation,
    ledger: Ledger,
    seq: int,
    around: tuple[Operation | None, Operation | None] = (None, None),
    *,
    host_sockets: bool,
    gate: Gate | None = None,
    mounts: int = -1,
) -> Child:
    """Make a child that waits for its job; in the child, which closes the shim's `channel`, this never returns.

    One that is made before there is a job rehearses, and leaves when its `mounts` are no more what they were. `around`
    is performed just before and after the clone. Raises OSError when the kernel refuses one of these.
    """
    sync, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    giver, taker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
    (read_in, stdin), (stdout, write_out), (stderr, write_err) = pipes
    # Opened here, a netlink socket goes on speaking to this network namespace from inside the child's own.
    sockets = [_netlink(NETLINK_ROUTE), os.dup(HOST_NETFILTER)] if host_sockets else []
    try:
        if around[0]:
            ledger.perform([around[0]], seq - 1)
        pid, pidfd = ledger.fork(clone, seq, child=(0, -1))
        if pid == 0:
            if channel:
                channel.close()  # or the engine would not see the shim's end
            sync.close()
            giver.close()
            _become(taker, (theirs.detach(), read_in, write_out, write_err, *sockets), gate, mounts)
        if around[1]:
            ledger.perform([around[1]], seq + 1)
    except BaseException:
        for fd in (stdin, stdout, stderr):
            os.close(fd)
        raise
    finally:
        theirs.close()
        taker.close()
        for fd in (read_in, write_out, write_err, *sockets):
            os.close(fd)
    return Child(pid, pidfd, sync, (stdin, stdout, stderr), giver)


def move_up(fd: int) -> int:
    """The same descriptor with a number out of the way of those a child is promised."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 32)
    os.close(fd)
    return moved


def _netlink(protocol: int) -> int:
    """A netlink socket of this network namespace: netlink(7)."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol).detach()


def _become(taker: socket.socket, descriptors: Sequence[int], gate: Gate | None, mounts: int) -> None:
    """The child: wait for the job and perform it. The last operation is the exec; who comes back from here has failed.

    The descriptors are those for SYNC, STDIN, STDOUT, STDERR, and HOST_ROUTE and HOST_NETFILTER if they are needed.
    """
    failed = 0
    taker = socket.socket(fileno=move_up(taker.detach()))
    try:
        numbers = (SYNC, STDIN, STDOUT, STDERR, HOST_ROUTE, HOST_NETFILTER)
        for number, moved in [(number, move_up(fd)) for number, fd in zip(numbers, descriptors, strict=False)]:
            os.dup2(moved, number, inheritable=False)
            os.close(moved)  # or we would hold a second end, and not see the others' end
        if mounts >= 0:
            rehearse("host")
            _wait_while_unchanged(taker, mounts)
        employment = await_employment(taker)
        if not employment:
            with contextlib.suppress(OSError):
                os.write(SYNC, LEFT)
            os._exit(0)
        steps, memory_fd = employment
        memory = mmap(memory_fd, 0)
        os.close(memory_fd)
        ledger = Ledger(memory, gate)
        first, operations = unpack_operations(memory, Ledger.size(steps))
        # Whatever would still be imported would soon come from the container's files, and run with our rights.
        sys.meta_path.clear()
        try:
            ledger.perform(operations, first)
        finally:
            failed = ledger.failed
        raise OSError(errno.ENOEXEC, "the exec was left out: there is no program")
    except BaseException as error:
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        with contextlib.suppress(OSError):
            os.write(SYNC, pickle.dumps(Failed(failed, number, explain(error))))
            taker.send(b"f")
    finally:
        os._exit(127)


def _wait_while_unchanged(taker: socket.socket, mounts: int) -> None:
    """Wait for a job; when the mounts change, see to it that none will come: a copy of old mounts is of no use.

    From then on whoever offers one is refused it (shutdown(2)), and one that has come before will still be read.
    """
    poll = select.poll()
    poll.register(taker, select.POLLIN)
    poll.register(mounts, select.POLLPRI)
    if taker.fileno() not in [fd for fd, _ in poll.poll()]:
        taker.shutdown(socket.SHUT_RD)
