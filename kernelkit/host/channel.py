"""How init, shims and the engine talk: whole messages, with descriptors, over a unix socket.

    engine → init     Start Prepare
    engine ⇄ shim     Take Attach Resize Signal StartExec Bye  →   ←  Ready Started Failed Exited ExecStarted ExecExited

The messages are types; their order of declaration is the order in which they are spoken.  SOCK_SEQPACKET keeps
their borders: unix(7).
"""

from __future__ import annotations

import array
import contextlib
import os
import pickle
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Any

from kernelkit.trace import Operation

LARGEST = 65536  # bytes of one message; plans travel in shared memory instead

# Descriptors of the keeper and its children that have a number of their own; others begin at PROMISED.
ENGINE = 3  # the engine's end of its channel to init
READY = 4  # where the first engine says "ready", and whoever fails before that says why
OUTSIDE = 10  # the real machine's network namespace
PROMISED = 16

_LENGTH = 4  # bytes of a length in a job's memory


@dataclass(frozen=True)
class Start:
    """Engine to init: fork a shim for the job in this memory. Descriptors: memory, the shim's channel, gate or none."""

    steps: int
    address: str  # where the shim listens for a next engine


@dataclass(frozen=True)
class Prepare:
    """Engine to init: fork a shim for whatever will be started next. Descriptor: the shim's channel.

    With `clone` it performs that ahead as well: the new namespaces are there before anybody asks for them.
    """

    clone: Operation | None = None


@dataclass(frozen=True)
class Ready:
    """A prepared shim to the engine: I am there, and so is my child with this pid, or 0 if there is none.

    Descriptors: the mounts of the host as the child has inherited them, for poll(2) to tell when they have changed, see
    proc(5), /proc/PID/mounts; and the child's own socket, through which it wants its job (see `employ`), says that it
    has failed, and which ends when it has become its program.
    """

    pid: int


@dataclass(frozen=True)
class Take:
    """Engine to a prepared shim: this is your job. Descriptor: memory, as for `Start`."""

    steps: int
    address: str


@dataclass(frozen=True)
class Attach:
    """Engine to shim: the descriptor is a client's connection; copy the process's streams to and from it."""

    process: str = ""  # an exec's id, or empty for the container's own
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    framed: bool = True  # Docker's 8-byte headers; not with a terminal
    detach_keys: bytes = b"\x10\x11"
    leftover: bytes = b""  # what the client had sent before it was handed over


@dataclass(frozen=True)
class Started:
    """Shim to engine: the container's program runs."""

    pid: int


@dataclass(frozen=True)
class Failed:
    """Shim to engine: the step with this number was refused, the container is gone."""

    seq: int
    errno: int
    error: str


@dataclass(frozen=True)
class Resize:
    """Engine to shim: the client's window has a new size."""

    rows: int
    columns: int
    process: str = ""


@dataclass(frozen=True)
class Signal:
    """Engine to shim: send the container's first process a signal."""

    number: int


@dataclass(frozen=True)
class StartExec:
    """Engine to shim: run one more program in the container; the memory descriptor holds its job."""

    process: str
    steps: int
    attach: Attach | None = None  # a second descriptor is the client's connection


@dataclass(frozen=True)
class ExecStarted:
    """Shim to engine: that program runs; `seq` and `error` tell of the step that failed instead."""

    process: str
    pid: int
    seq: int = 0
    errno: int = 0
    error: str = ""


@dataclass(frozen=True)
class ExecExited:
    """Shim to engine: that program has ended with this code."""

    process: str
    code: int


@dataclass(frozen=True)
class Exited:
    """Shim to engine: the container's program has ended; 128 + n after signal n. `at` is seconds since the epoch."""

    code: int
    at: float


@dataclass(frozen=True)
class Bye:
    """Engine to shim: the end is known and noted; go."""


@dataclass(frozen=True)
class LogSettings:
    """Docker's json-file options: a file of at most `max_size` bytes (0: no limit), `max_file` of them kept.

    `attributes`, a JSON object as text, goes with each entry; with `compress` all files but the newest are packed.
    """

    path: str
    max_size: int = 0
    max_file: int = 1
    attributes: str = ""
    compress: bool = False


@dataclass(frozen=True)
class Job:
    """What a shim has to do, and the record's numbers for it.

    `clone` is performed by the shim as step `clone_seq`; `enter` just before and `leave` just after it, where the
    child is to be born into another container's pid namespace. The child performs the rest; the last is the exec, step
    `exec_seq`.
    """

    exec_seq: int
    clone: Operation
    clone_seq: int
    enter: Operation | None = None
    leave: Operation | None = None
    fork_seq: int = 0
    terminal: bool = False
    stdin: bool = False  # keep standard input open for clients
    stdin_once: bool = False  # close it when the first client closes its side
    host_sockets: bool = False  # the plan speaks to the host's network namespace from inside
    log: LogSettings | None = None


def pack(job: Job, operations: Sequence[Operation], first: int, ledger_size: int) -> int:
    """A descriptor of memory: an empty ledger of that size, the job, what its child performs from step `first` on.

    Two parts, for each reader unpacks only its own: every page that a shim writes to is one more for each container.
    """
    head = pickle.dumps(job, pickle.HIGHEST_PROTOCOL)
    memory = os.memfd_create("kernelkit-job", os.MFD_CLOEXEC)
    os.ftruncate(memory, ledger_size)
    os.lseek(memory, ledger_size, os.SEEK_SET)
    rest = pickle.dumps((first, operations), pickle.HIGHEST_PROTOCOL)
    os.write(memory, len(head).to_bytes(_LENGTH, "little") + head + rest)
    return memory


def unpack_job(memory: mmap, ledger_size: int) -> Job:
    """The job in that memory."""
    job: Job = pickle.loads(memoryview(memory)[ledger_size + _LENGTH :])
    return job


def unpack_operations(memory: mmap, ledger_size: int) -> tuple[int, Sequence[Operation]]:
    """The operations in that memory, and the number of the first."""
    start = ledger_size + _LENGTH
    start += int.from_bytes(memory[ledger_size:start], "little")
    found: tuple[int, Sequence[Operation]] = pickle.loads(memoryview(memory)[start:])
    return found


def employ(child: socket.socket, steps: int, memory: int) -> None:
    """Give a waiting child the job in this memory; OSError when it is not there any more."""
    socket.send_fds(child, [steps.to_bytes(_LENGTH, "little")], [memory])


def await_employment(giver: socket.socket) -> tuple[int, int] | None:
    """The child's side: how many steps the job has, and its memory; None when there will be none."""
    data, descriptors = receive_descriptors(giver)
    return (int.from_bytes(data, "little"), descriptors[0]) if data else None


def receive_descriptors(connection: socket.socket, flags: int = 0) -> tuple[bytes, list[int]]:
    """One message and the descriptors with it; empty at the end.

    `socket.recv_fds` of Python 3.11 forgets its flags.
    """
    space = socket.CMSG_LEN(8 * 4)
    payload, ancillary, _, _ = connection.recvmsg(LARGEST, space, flags | socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % 4])
    return payload, list(descriptors)


class Channel:
    """One end of a conversation; it owns its socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two ends connected to each other."""
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(a), cls(b)

    def fileno(self) -> int:
        """The descriptor, for poll."""
        return self.socket.fileno()

    def send(self, message: object, *descriptors: int) -> None:
        """Send one message, descriptors with it; BrokenPipeError when nobody is at the other end."""
        payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if descriptors:
            socket.send_fds(self.socket, [payload], list(descriptors))
        else:
            self.socket.send(payload, socket.MSG_NOSIGNAL)

    def receive(self, *, wait: bool = True) -> tuple[Any, list[int]] | None:
        """The next message with its descriptors; None when the other end is gone.

        Without `wait`, BlockingIOError when there is none yet.
        """
        flags = 0 if wait else socket.MSG_DONTWAIT
        try:
            payload, descriptors = receive_descriptors(self.socket, flags)
        except ConnectionResetError:
            return None
        if not payload:
            return None
        return pickle.loads(payload), descriptors

    def close(self) -> None:
        """Close this end."""
        with contextlib.suppress(OSError):
            self.socket.close()
